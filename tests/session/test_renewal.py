"""A cookie that notes a session's use is decided on when the response begins: it signs nobody in again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.clocks import Clocks
from tests.support.clock import Clock
from tests.support.hosts.guarded import guard, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for

COOKIE = "__Host-oauth2_mw"
HALF_AN_HOUR = 1800


class SlowApp:
    """Lets something happen before its response begins."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.meanwhile()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]


class Workers:
    """Two workers of one application in front of a slow page, and a browser that is signed in for half an hour."""

    def __init__(self, clock: Clock, **keys: Any) -> None:
        self.app = SlowApp()
        self.clock = clock
        settings = {"session_lifetime": "8h", "session_idle": "1h", "sync_logout": "false", **keys}
        self.first, self.second = (guard(self.app, clocks=Clocks(clock, clock), **settings) for _ in range(2))
        self.cookie = sign_in(self.first)
        clock.now += HALF_AN_HOUR

    def open(self, meanwhile: Callable[[], object] = lambda: None) -> WsgiResponse:
        self.app.meanwhile = meanwhile
        answer = call(self.first, environ_for("/slow", HTTP_COOKIE=self.cookie))
        assert answer.status == 200
        return answer

    def sign_out(self, worker: OAuth2Middleware) -> None:
        answer = call(
            worker,
            environ_for(
                "/auth/oauth2/logout/",
                HTTP_COOKIE=self.cookie,
                HTTP_SEC_FETCH_SITE="same-origin",
                HTTP_SEC_FETCH_MODE="navigate",
                HTTP_SEC_FETCH_DEST="document",
                HTTP_SEC_FETCH_USER="?1",
            ),
        )
        assert answer.status == 303
        assert "Max-Age=0" in answer.cookies[COOKIE]

    def wait(self, seconds: float) -> Callable[[], object]:
        def wait() -> None:
            self.clock.now += seconds

        return wait


@pytest.fixture
def alone(clock: Clock) -> Workers:
    return Workers(clock)


@pytest.fixture
def beside_a_directory(clock: Clock, tmp_path: Path) -> Workers:
    return Workers(clock, directory=f"sqlite:///{tmp_path / 'users.db'}")


@pytest.mark.parametrize("what", ["alone", "beside_a_directory"])
def test_a_response_after_a_sign_out_in_the_same_worker_sets_no_cookie(
    what: str, request: pytest.FixtureRequest
) -> None:
    workers: Workers = request.getfixturevalue(what)
    assert COOKIE not in workers.open(lambda: workers.sign_out(workers.first)).cookies


def test_with_a_directory_a_sign_out_at_another_worker_counts_at_once(beside_a_directory: Workers) -> None:
    workers = beside_a_directory
    assert COOKIE in workers.open().cookies
    assert COOKIE not in workers.open(lambda: workers.sign_out(workers.second)).cookies


@pytest.mark.requirement("R-cut-off")
def test_with_a_directory_a_response_after_the_end_of_all_sessions_sets_no_cookie(
    beside_a_directory: Workers,
) -> None:
    site = beside_a_directory
    answer = site.open(lambda: site.second._sessions.cut_offs.end())
    assert answer.cookies == {}


def test_with_a_directory_a_slow_response_notes_use(beside_a_directory: Workers) -> None:
    assert COOKIE in beside_a_directory.open(beside_a_directory.wait(60)).cookies


def test_a_directory_that_cannot_be_asked_leaves_the_cookie_out_and_the_answer_goes_on(
    beside_a_directory: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = beside_a_directory

    def away(since: int) -> None:
        raise StoreUnavailableError("away")

    def cut_off() -> None:
        monkeypatch.setattr(workers.first._sessions.revocations._shared, "revocations", away)

    assert COOKIE not in workers.open(cut_off).cookies
    assert COOKIE not in workers.open().cookies
    monkeypatch.undo()
    workers.clock.now += 1
    assert COOKIE in workers.open().cookies


def test_new_tokens_reach_the_browser_although_the_directory_cannot_be_asked(
    beside_a_directory: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They exist in this response alone; a session that this worker knows to have ended stays ended all the same."""
    sessions = beside_a_directory.first._sessions
    current = sessions.resolve(beside_a_directory.cookie)
    assert current is not None
    assert current.session is not None
    refreshed = replace(current, needs_new_cookie=True)

    def away(since: int) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(sessions.revocations._shared, "revocations", away)
    assert sessions.renewal.set_cookies(refreshed) != []
    sessions.end(current.session)
    assert sessions.renewal.set_cookies(refreshed) == []


@pytest.mark.parametrize(("seconds", "sets_cookie"), [(0, True), (2, True), (2.5, False), (600, False)])
def test_in_cookies_alone_a_late_response_does_not_note_use(
    alone: Workers, seconds: float, *, sets_cookie: bool
) -> None:
    # Another worker may have signed the person out meanwhile, and this one cannot know.
    assert (COOKIE in alone.open(alone.wait(seconds)).cookies) == sets_cookie


@pytest.mark.parametrize(("already", "sets_cookie"), [(14 * 60, False), (15 * 60, True)])
def test_in_cookies_alone_a_session_that_would_end_soon_is_renewed_by_a_late_response(
    alone: Workers, already: int, *, sets_cookie: bool
) -> None:
    alone.clock.now += already
    assert (COOKIE in alone.open(alone.wait(10)).cookies) == sets_cookie


@pytest.mark.parametrize("what", ["alone", "beside_a_directory"])
def test_a_session_that_ends_before_the_response_begins_is_not_revived(
    what: str, request: pytest.FixtureRequest
) -> None:
    workers: Workers = request.getfixturevalue(what)
    assert COOKIE not in workers.open(workers.wait(HALF_AN_HOUR)).cookies


def test_a_response_that_begins_anew_after_an_error_is_judged_anew(alone: Workers) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        alone.sign_out(alone.first)
        start_response("500 Oops", [("Content-Type", "text/plain")], (None, None, None))
        return [b""]

    alone.first._app = app
    answer = call(alone.first, environ_for("/slow", HTTP_COOKIE=alone.cookie))
    assert answer.status == 500
    assert COOKIE not in answer.cookies
