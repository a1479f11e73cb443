"""Rules for every test: nothing leaves this machine, and nothing of the developer's shell reaches a test."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial, partialmethod
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
from hypothesis import settings
from jinja2.bccache import Bucket

from oauth2_mw.session.host_watch import HostWatch
from oauth2_mw.telemetry import enter
from tests.security import requirements
from tests.support import surplus
from tests.support.clock import Clock
from tests.support.hosts.loopback import stay_here
from tests.support.stores.redis_servers import program

if TYPE_CHECKING:
    from tests.support.hosts.guarded import Guarded
    from tests.support.providers.standin import StandIn

# What several modules run as their own tests explains its assertions like theirs.
pytest.register_assert_rewrite(
    "tests.support.contracts.directory", "tests.support.contracts.sql_store", "tests.support.contracts.store"
)

# A shared machine may be slow for a moment; a property is about values, not about time.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
# For runs by the thousand (make mutation), and those that come often (make check): few examples, always the same ones.
settings.register_profile("quick", deadline=None, max_examples=15, derandomize=True, database=None)
settings.register_profile("check", deadline=None, max_examples=8, derandomize=True, database=None)
# Chance finds new examples at a desk; what decides whether a change lands gives the same answer twice.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


stay_here()


def pytest_configure(config: pytest.Config) -> None:
    """Which requirements of ``tests/security/requirements.tsv`` a run has held is written down."""
    # pytest-xdist marks the processes that it starts.
    config.pluginmanager.register(requirements.Plugin(worker=hasattr(config, "workerinput")), "requirements")
    gc.disable()


@pytest.fixture(autouse=True)
def no_request() -> None:
    """What a thread has worked for before is no request of a test's own."""
    enter(None)


@pytest.fixture(autouse=True, scope="session")
def no_look_at_other_hosts() -> Iterator[None]:
    """What a test counts is what it has asked for; the tests of the thread that looks let it look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostWatch, "start", lambda _watch: None)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where Redis is not installed, the tests of its store run on Valkey: that is to be seen."""
    terminalreporter.write_line(f"Redis server of the in-process tests: {program()}")


def pytest_collection_finish() -> None:
    """Ten thousand tests are no garbage: nothing looks at them again and again, while they are collected or after."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    """``make check`` makes no items of what it would not run; whoever names a file or a test gets what is named."""
    yield
    if metafunc.config.getoption("markexpr") == "not deep" and not metafunc.config.getoption("file_or_dir"):
        surplus.leave_out(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what the deep run alone runs, and keep properties out of coverage."""
    surplus.mark(items)
    config.stash[surplus.DEEP_ALONE] = surplus.deep_alone(items)
    # What a property meets by chance counts as covered for nobody: coverage is the same in every run.
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("no_cover")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_shell() -> Iterator[None]:
    """Proxies, ``OAUTH2_MW_*`` and the like are the developer's, not the tests'."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            upper = name.upper()
            if upper.endswith("_PROXY") or upper.startswith(
                ("OAUTH2_MW_", "OAUTHLIB_", "REQUESTS_", "CURL_CA")
            ):
                patch.delenv(name)
        yield


@pytest.fixture
def clock() -> Clock:
    """The time that the test sets, for what takes a clock."""
    return Clock()


@pytest.fixture
def provider() -> Iterator[StandIn]:
    """A provider that knows the client of the tests' settings."""
    # Here, because the process that starts the others, and tests without a site, need neither this nor what it imports.
    from tests.support.providers.standin import StandIn

    with StandIn(client_id="app", sends_iss=True) as provider:
        yield provider


@pytest.fixture
def site(provider: StandIn) -> Iterator[Guarded]:
    """An application at which people sign in with that provider."""
    from tests.support.hosts.guarded import guarded

    with guarded(issuer=provider.issuer) as site:
        yield site


class _Compiled(jinja2.BytecodeCache):
    """Templates that were compiled, by name and content."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once() -> Iterator[None]:
    """Most tests build a site of their own, and compiling its templates takes longer than all that it does beside."""
    with pytest.MonkeyPatch.context() as patch:
        init = partialmethod(jinja2.Environment.__init__, bytecode_cache=_Compiled())
        patch.setattr(jinja2.Environment, "__init__", init)
        yield


class _Statements(dict[Any, Any]):
    """Statements of SQL that were compiled, for every database of one kind and version."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(self._of_any(*key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(self._of_any(*key), compiled)

    @staticmethod
    def _of_any(dialect: Any, *rest: Any) -> Any:
        return type(dialect), dialect.server_version_info, *rest


@pytest.fixture(scope="session", autouse=True)
def _statements_are_compiled_once() -> Iterator[None]:
    """Most tests have a database of their own, and SQLAlchemy compiles every statement anew for each."""
    if "sqlalchemy" not in sys.modules:
        yield
        return
    from sqlalchemy import create_engine

    from oauth2_mw.sql import engine

    with pytest.MonkeyPatch.context() as patch:
        options = {"compiled_cache": _Statements()}
        patch.setattr(engine, "create_engine", partial(create_engine, execution_options=options))
        yield


@pytest.fixture(scope="session", autouse=True)
def _argparse_speaks_english() -> Iterator[None]:
    """Whatever the shell's language is; and nobody looks for a catalogue anew with each of a thousand arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse, "_", str)
        yield


class _Unexpected(logging.Handler):
    """Keeps what the middleware did not expect: each would have been a 500."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(autouse=True)
def _no_error_of_ours(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test sends, it must not meet an exception that nobody foresaw."""
    handler, logger = _Unexpected(), logging.getLogger("oauth2_mw.web.failures")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    if request.node.get_closest_marker("breaks_us") is None:
        assert handler.lines == []
