"""``whoami/``: who is signed in, for the scripts of a single-page application."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from oauth2_mw.session.clocks import Clocks
from tests.support.clock import Clock
from tests.support.hosts.guarded import JANE, App, guard, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.settings.minimal import ORIGIN

PATH = "/auth/oauth2/whoami/"


def ask(middleware: Any, cookie: str | None = None, **keys: Any) -> WsgiResponse:
    return call(middleware, environ_for(PATH, HTTP_COOKIE=cookie, **keys))


@pytest.mark.requirement("R-whoami")
@pytest.mark.parametrize("site", [None, "same-origin", "none"])
def test_a_script_reads_who_is_signed_in_and_until_when(site: str | None) -> None:
    app = App()
    middleware = guard(app, session_lifetime="8h", session_idle="1h")
    cookie = sign_in(middleware, replace(JANE, name="Jan\u00e9"))
    session = middleware._sessions.resolve(cookie).session  # type: ignore[union-attr]
    assert session is not None
    answer = ask(middleware, cookie, HTTP_SEC_FETCH_SITE=site)
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Cache-Control") == "no-store"
    assert json.loads(answer.text) == {
        "username": "jane",
        "name": "Jan\u00e9",
        "email": "jane@example.com",
        "groups": ["staff"],
        "expires": session.created_at + 8 * 3600,
        "idle_expires": session.created_at + 3600,
        "logout_url": f"{ORIGIN}/auth/oauth2/logout/",
    }
    assert app.calls == 0


@pytest.mark.requirement("R-whoami")
def test_nobody_reads_where_to_sign_in() -> None:
    for answer in (ask(guard()), ask(guard(), "__Host-oauth2_mw=junk")):
        assert answer.status == 401
        assert json.loads(answer.text)["login_url"] == f"{ORIGIN}/auth/oauth2/login/"
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("WWW-Authenticate") is None


@pytest.mark.requirement("R-whoami")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_page_of_another_origin_reads_nothing(site: str, *, signed_in: bool) -> None:
    middleware = guard(cors_origins="https://spa.example")
    cookie = sign_in(middleware) if signed_in else None
    answer = ask(middleware, cookie, HTTP_SEC_FETCH_SITE=site, HTTP_ORIGIN="https://spa.example")
    assert answer.status == 403
    assert "jane" not in answer.text
    assert answer.header("Access-Control-Allow-Origin") is None


@pytest.mark.requirement("R-whoami")
def test_no_other_origin_is_let_in() -> None:
    middleware = guard(cors_origins="https://spa.example")
    answer = ask(middleware, sign_in(middleware), HTTP_ORIGIN="https://spa.example")
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_read(method: str) -> None:
    middleware = guard()
    answer = ask(middleware, sign_in(middleware), REQUEST_METHOD=method)
    assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD")


@pytest.mark.requirement("R-whoami")
def test_it_does_not_count_as_use() -> None:
    clock = Clock()
    middleware = guard(session_idle="1h", clocks=Clocks(clock, clock))
    cookie = sign_in(middleware)
    for asked in range(1, 4):
        clock.now += 1000
        answer = ask(middleware, cookie)
        assert answer.status == 200
        assert answer.cookies == {}
        assert json.loads(answer.text)["idle_expires"] == clock.now + 3600 - 1000 * asked
    clock.now += 601
    assert ask(middleware, cookie).status == 401
