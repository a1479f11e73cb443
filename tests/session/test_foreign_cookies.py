"""Two applications on one host with one ``cookie_name``: neither can know of the other, and the log says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookies import CHUNK_BYTES
from oauth2_mw.session.foreign_cookies import PAUSE
from tests.support.clock import Clock
from tests.support.hosts.guarded import JANE, guard, sign_in
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.settings.keys import text_key

Told = Callable[[], Sequence[str]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    return lambda: [line for line in caplog.messages if "not sealed here" in line]


def wiki(**keys: Any) -> OAuth2Middleware:
    return guard(public_url="https://app.example/wiki", **keys)


@pytest.mark.parametrize("protect", ["required", "optional"])
@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("keys", [{}, {"secret_keys": text_key(9)}])
def test_a_neighbours_cookie_is_told_once_an_hour(
    told: Told, clock: Clock, tmp_path: Path, keys: dict[str, str], protect: str, *, store: bool
) -> None:
    more = {"session": f"sqlite:///{tmp_path}/sessions.db"} if store else {}
    middleware = wiki(protect=protect, clocks=Clocks(clock, clock), **keys, **more)
    theirs = sign_in(guard(), JANE)
    for _ in range(3):
        call(middleware, environ_for("/", HTTP_COOKIE=theirs))
    assert len(told()) == 1
    assert "the cookie is called __Host-oauth2_mw" in told()[0]
    clock.now += PAUSE
    call(middleware, environ_for("/", HTTP_COOKIE=theirs))
    assert len(told()) == 2


def test_names_of_their_own_are_told_nowhere(told: Told) -> None:
    theirs = sign_in(guard(cookie_name="oauth2_mw_shop"), JANE)
    middleware = wiki(cookie_name="oauth2_mw_wiki")
    ours = sign_in(middleware, JANE)
    assert call(middleware, environ_for("/", HTTP_COOKIE=f"{theirs}; {ours}")).status == 200
    assert call(middleware, environ_for("/", HTTP_COOKIE=theirs)).status == 401
    assert not told()


@pytest.mark.parametrize("value", ["", "of-the-app", "A" * 60, "AQ", "AQ" + "!" * 60])
def test_what_nobody_sealed_is_told_nowhere(told: Told, value: str) -> None:
    assert call(wiki(), environ_for("/", HTTP_COOKIE=f"__Host-oauth2_mw={value}")).status == 401
    assert not told()


def test_half_of_a_long_cookie_of_ours_is_told_nowhere(told: Told) -> None:
    middleware = wiki(session_max_bytes=6000, environ={"HTTP_X_MUCH": "claims.much"})
    cookies = sign_in(middleware, replace(JANE, claims={"much": "x" * CHUNK_BYTES})).split("; ")
    assert len(cookies) == 2
    assert call(middleware, environ_for("/", HTTP_COOKIE="; ".join(cookies))).status == 200
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookies[0])).status == 401
    assert not told()
