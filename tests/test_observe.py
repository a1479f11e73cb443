"""References and ids, and libraries that keep our secrets."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import re
from collections.abc import Callable, Iterator
from logging.handlers import BufferingHandler

import pytest

from oauth2_mw.observe import new_id, new_reference, quiet_libraries

LIBRARIES = ("requests_oauthlib", "oauthlib", "urllib3")


def test_references_are_eight_hexadecimal_digits_and_differ() -> None:
    references = {new_reference() for _ in range(100)}
    assert len(references) == 100
    assert all(re.fullmatch("[0-9a-f]{8}", reference) for reference in references)


def test_an_id_is_never_taken_for_an_option() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{21}", one) for one in ids)
    assert len({one[1] for one in ids}) > 32


# Libraries that talk too much


@pytest.fixture
def everything_logged() -> Iterator[Callable[[], list[logging.LogRecord]]]:
    """Every library of ours at DEBUG, as an operator who looks for a fault sets it."""
    handler, root = BufferingHandler(capacity=10_000), logging.getLogger()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield lambda: handler.buffer
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.requirement("O5")
def test_a_token_request_at_debug_logs_no_secret(
    everything_logged: Callable[[], list[logging.LogRecord]],
) -> None:
    quiet_libraries()
    from oauthlib.oauth2 import WebApplicationClient
    from requests_oauthlib import OAuth2Session

    session = OAuth2Session(client=WebApplicationClient("app"), state="c4n4ry-state")
    session.authorization_url("https://op.example/authorize", state="c4n4ry-state")
    session.token = {"access_token": "c4n4ry-token", "token_type": "Bearer"}
    session._client.add_token("https://op.example/userinfo")
    session._client.parse_request_body_response('{"access_token": "c4n4ry-token", "token_type": "Bearer"}')
    assert "c4n4ry" not in "".join(record.getMessage() for record in everything_logged())


@pytest.mark.requirement("O5", "V19")
def test_every_logger_of_the_http_libraries_is_silent_at_debug(
    everything_logged: Callable[[], list[logging.LogRecord]],
) -> None:
    quiet_libraries()
    for library in LIBRARIES:
        package = importlib.import_module(library)
        for module in pkgutil.walk_packages(package.__path__, f"{library}.", onerror=lambda _: None):
            logging.getLogger(module.name).debug("c4n4ry")
        package_logger = logging.getLogger(library)
        package_logger.debug("c4n4ry")
    assert everything_logged() == []


def test_what_libraries_say_above_debug_is_still_heard(
    everything_logged: Callable[[], list[logging.LogRecord]],
) -> None:
    quiet_libraries()
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    assert [record.getMessage() for record in everything_logged()] == ["retrying"]


@pytest.mark.requirement("R-dialects")
def test_a_query_is_cut_from_what_libraries_say_above_debug(
    everything_logged: Callable[[], list[logging.LogRecord]],
) -> None:
    quiet_libraries()
    logging.getLogger("urllib3.connection").warning(
        "(url=%s): %s", "https://a.example/x?secret=c4n4ry", "why"
    )
    assert [record.getMessage() for record in everything_logged()] == [
        "(url=https://a.example/x?[hidden]): why"
    ]


def test_quieting_twice_changes_nothing_more() -> None:
    quiet_libraries()
    before = {name: list(logging.getLogger(name).filters) for name in logging.root.manager.loggerDict}
    quiet_libraries()
    assert {name: logging.getLogger(name).filters for name in before} == before


def test_quieting_twice_looks_at_no_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_libraries()
    monkeypatch.setattr(os, "walk", lambda _: pytest.fail("walked again"))
    quiet_libraries()


def test_a_quieting_that_broke_off_is_made_up_for(
    everything_logged: Callable[[], list[logging.LogRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in LIBRARIES:
        for name in (library, *(n for n in logging.root.manager.loggerDict if n.startswith(f"{library}."))):
            monkeypatch.setattr(logging.getLogger(name), "filters", [])

    def broken(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
        yield folder, [], ["__init__.py", "a.py"]
        raise OSError("gone")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="gone"):
        patch.setattr(os, "walk", broken)
        quiet_libraries()
    quiet_libraries()
    for name in ("urllib3", "urllib3.connectionpool", "oauthlib.oauth2.rfc6749.parameters"):
        logging.getLogger(name).debug("c4n4ry")
    assert everything_logged() == []


def test_levels_and_handlers_stay_as_the_operator_set_them() -> None:
    logger = logging.getLogger("oauthlib")
    before = (logger.level, logger.propagate, list(logger.handlers))
    quiet_libraries()
    assert (logger.level, logger.propagate, logger.handlers) == before
