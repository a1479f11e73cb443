"""Release 0.1.0 and this one share a database, a store and the cookies: whoever is signed in at one is at the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import Host
from tests.support.hosts.load import user_of
from tests.support.hosts.processes import ROOT, child_environment
from tests.support.hosts.stage import ask, pages_of, wait_until
from tests.upgrade.conftest import MODES, Mode, Pair

# Beside the marks of what talks to real servers: it is no part of the quick tests either.
pytestmark = [pytest.mark.integration, pytest.mark.deep]

ORDERS = ("before first", "after first")
#: Seconds that an access token lives; it is refreshed a quarter of them earlier.
LIFETIME = 8


def name_of(mode: Mode) -> str:
    return mode.name


def in_modes(*names: str) -> pytest.MarkDecorator:
    """Run a test in these modes alone."""
    return pytest.mark.parametrize(
        "mode", [mode for mode in MODES if mode.name in names], indirect=True, ids=name_of
    )


@pytest.fixture(params=MODES, ids=name_of)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


@pytest.fixture
def more() -> dict[str, Any]:
    """What else the provider is told of the client."""
    return {}


def in_order(pair: Pair, order: str) -> tuple[Host, Host]:
    return (pair.before, pair.after) if order == ORDERS[0] else (pair.after, pair.before)


def users(host: Host, browser: Browser) -> set[str | None]:
    """Who the application is told of by each worker of a host."""
    return {user_of(page) for page in pages_of(host, browser.jar)}


@contextmanager
def paused(host: Host) -> Iterator[None]:
    """Let the other host take whatever comes to the site."""
    workers = host.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def sign_in_across(pair: Pair, login: str, begun: Host, ended: Host) -> Browser:
    """Begin at one host, and come back from the provider to the other."""
    pair.provider.add_account(login, preferred_username=login)
    browser = Browser()
    with paused(ended):
        browser.navigate(pair.site.own_url("login/default/"))
    with paused(begun):
        page = pair.provider.sign_in(browser, login)
    assert user_of(page) == login, f"{page.status} {page.text}\n{browser.transcript}\n{pair.deployed.log}"
    return browser


def command(pair: Pair, host: Host, *words: str) -> str:
    """What the command line of that host's release prints."""
    code = pair.code(host)
    answer = subprocess.run(
        [sys.executable, "-m", "oauth2_mw.cli", words[0], words[1], pair.ini(host), *words[2:]],
        cwd=code,
        env=child_environment({"PYTHONPATH": f"{code}:{ROOT}"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("order", ORDERS)
def test_whoever_is_signed_in_at_one_release_is_at_the_other(pair: Pair, order: str) -> None:
    first, second = in_order(pair, order)
    pair.start(first)
    early = pair.sign_in("jane")
    assert users(first, early) == {"jane"}
    pair.start(second)
    # The second has brought the tables to its release; the first goes on with them, also after a restart.
    assert users(second, early) == {"jane"}
    time.sleep(1.1)
    assert users(first, early) == {"jane"}
    first.restart()
    assert users(first, early) == {"jane"}
    for begun, ended in ((first, second), (second, first)):
        across = sign_in_across(pair, f"across-{begun.name}", begun, ended)
        assert users(first, across) == users(second, across) == {f"across-{begun.name}"}
    assert users(first, early) == users(second, early) == {"jane"}


# Without a directory or a store nothing tells one host what the other knows.
@in_modes("cookies-sqlite", "cookies-postgresql", "redis", "redis-sqlite", "postgresql")
def test_whoever_signs_out_at_one_release_is_out_at_the_other(pair: Pair) -> None:
    for host in pair.hosts:
        pair.start(host)
    for here, there in (pair.hosts, pair.hosts[::-1]):
        browser = pair.sign_in(f"out-{here.name}")
        copy = browser.jar.copy()
        assert user_of(ask(copy, there.url("/"))) == f"out-{here.name}"
        pair.sign_out(browser, here)
        wait_until(lambda copy=copy: pair.users(copy) == {None})  # type: ignore[misc]


@in_modes("cookies-postgresql", "redis-sqlite")
def test_whom_one_command_line_disables_and_enables_both_releases_keep_out_and_let_in(pair: Pair) -> None:
    for host in pair.hosts:
        pair.start(host)
    for here in pair.hosts:
        login = f"person-{here.name}"
        browser = pair.sign_in(login)
        assert pair.users(browser.jar) == {login}
        command(pair, here, "users", "disable", login)
        wait_until(lambda jar=browser.jar: pair.users(jar) == {None})  # type: ignore[misc]
        command(pair, here, "users", "enable", login)
        time.sleep(2.1)
        assert pair.users(pair.sign_in(login).jar) == {login}


@in_modes("cookies-sqlite", "redis", "postgresql")
def test_all_sessions_that_one_command_line_ends_have_ended_at_both_releases(pair: Pair) -> None:
    for host in pair.hosts:
        pair.start(host)
    for here in pair.hosts:
        people = [pair.sign_in(f"{login}-{here.name}") for login in ("jane", "bob")]
        command(pair, here, "sessions", "revoke", "--all")
        for browser in people:
            wait_until(lambda jar=browser.jar: pair.users(jar) == {None})  # type: ignore[misc]


@in_modes("cookies", "cookies-postgresql", "redis", "postgresql")
@pytest.mark.parametrize("more", [{"access_token_lifetime": LIFETIME}])
def test_tokens_that_one_release_refreshes_serve_at_the_other(pair: Pair) -> None:
    for host in pair.hosts:
        pair.start(host)
    browser = pair.sign_in("jane")
    pair.provider.forget_requests()
    for turn in range(4):
        time.sleep(LIFETIME - 1)
        for host in (pair.hosts[turn % 2], pair.hosts[1 - turn % 2]):
            assert user_of(browser.navigate(host.url("/"), follow=False)) == "jane"
    statuses = [each["status"] for each in pair.provider.requests("/token")]
    assert (len(statuses), set(statuses)) == (4, {200})
