"""Deep links: what a person asked for comes back octet by octet, or the page says that it will not."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlencode, urlsplit

import pytest
import time_machine

from oauth2_mw.boundary import MAX_ASKED
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.cookie_cache import NO_SESSION
from oauth2_mw.web.signin.attempt import KEPT_FOR
from oauth2_mw.web.signin.destinations import LOST, MAX_KEPT
from tests.support.hosts.guarded import App, guard
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN, make_settings
from tests.support.stores.redis_servers import RedisServer

PREFIX = "/auth/oauth2"
NAVIGATION = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}
#: What a link may not say, and a browser may ask.
TARGETS = ["/a%2Fb//c?x=%ff", "//evil.example/x", "/caf%E9?q=%A4", "/a%2fb", "/CORP%5Cjane?x=100%"]


class Visit:
    """One browser's way through a sign-in, request by request."""

    def __init__(self, provider: StandIn, **keys: Any) -> None:
        self.provider = provider
        self.middleware = OAuth2Middleware(App(), make_settings(issuer=provider.issuer, **keys))
        self.jar: dict[str, str] = {}

    def get(self, target: str, *, script_name: str = "", **keys: Any) -> WsgiResponse:
        path, _, query = target.removeprefix(ORIGIN).partition("?")
        info = unquote_to_bytes(path).decode("latin-1").removeprefix(script_name)
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        environ = environ_for(
            info,
            SCRIPT_NAME=script_name,
            QUERY_STRING=query,
            **{
                "HTTP_COOKIE": cookies or None,
                "RAW_URI": target.removeprefix(ORIGIN),
                **NAVIGATION,
                **keys,
            },
        )
        answer = call(self.middleware, environ)
        for name, cookie in answer.cookies.items():
            self.jar[name] = cookie.partition(";")[0].partition("=")[2]
        return answer

    def at_provider(self, answer: WsgiResponse, **keys: Any) -> str | None:
        """Sign in where *answer* leads, and return where the person ends."""
        location = answer.header("Location") or ""
        assert location.startswith(self.provider.url), (answer.status, location)
        back = urlencode(self.provider.follow(location))
        return self.get(f"{PREFIX}/login/callback/?{back}", **keys).header("Location")


def button(answer: WsgiResponse, name: str = "login/default/") -> str:
    """Return the address of the one link to a sign-in."""
    (link,) = {part.partition('"')[0] for part in answer.text.split('href="') if f"{PREFIX}/{name}" in part}
    return unescape(link)


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_asked_for_comes_back_octet_by_octet(provider: StandIn, target: str) -> None:
    visit = Visit(provider)
    assert visit.at_provider(visit.get(target)) == ORIGIN + target


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_asked_for_comes_back_through_the_page_of_buttons(provider: StandIn, target: str) -> None:
    visit = Visit(provider, login_page=True)
    page = visit.get(target)
    assert page.status == 401
    assert LOST not in page.text
    assert visit.at_provider(visit.get(button(page))) == ORIGIN + target


@pytest.mark.parametrize("script_name", ["", "/core"])
def test_what_was_asked_for_comes_back_below_a_mount(provider: StandIn, script_name: str) -> None:
    visit = Visit(provider, public_url=f"{ORIGIN}/core")
    asked = visit.get(script_name + "/a%2Fb//c?x=%ff", script_name=script_name)
    assert visit.at_provider(asked) == f"{ORIGIN}/core/a%2Fb//c?x=%ff"


def test_without_the_address_as_it_was_sent_the_path_is_what_the_application_sees(provider: StandIn) -> None:
    visit = Visit(provider)
    assert visit.at_provider(visit.get("/a%2Fb//c?x=%ff", RAW_URI=None)) == f"{ORIGIN}/a/b//c?x=%ff"
    visit = Visit(provider)
    asked = visit.get("/a%2Fb", RAW_URI=None, REQUEST_URI="/a%2Fb")
    assert visit.at_provider(asked) == f"{ORIGIN}/a%2Fb"


@pytest.mark.requirement("R-destination")
@pytest.mark.parametrize("target", [target for target in TARGETS if target != "/a%2fb"])
def test_no_link_says_what_only_a_browser_may_ask(provider: StandIn, target: str) -> None:
    """Neither as ``next``, nor unsealed in the parameter of our own pages."""
    page = call(guard(), environ_for(unquote_to_bytes(target).decode("latin-1"), **NAVIGATION))
    assert "next=" not in button(page)
    for value in (target, ORIGIN + target):
        visit = Visit(provider)
        begun = visit.get(f"{PREFIX}/login/?" + urlencode({"next": value}))
        assert visit.at_provider(begun) in (f"{ORIGIN}/", f"{ORIGIN}{target.replace('%', '%25')}")
        page = Visit(provider).get(f"{PREFIX}/login/?" + urlencode({"asked": value}))
        assert (page.status, LOST in page.text) == (200, True)
        assert button(page) == f"{ORIGIN}{PREFIX}/login/default/"


@pytest.mark.requirement("R-destination")
def test_what_was_sealed_for_another_purpose_or_application_is_no_destination(provider: StandIn) -> None:
    visit = Visit(provider)
    others = [
        Visit(provider, public_url="https://other.example").middleware._sessions.sealer.seal(
            "destination", "", b"/x"
        ),
        visit.middleware._sessions.sealer.seal("logout-state", "", b'"/x"'),
    ]
    for sealed in others:
        page = visit.get(f"{PREFIX}/login/?asked={sealed}")
        assert LOST in page.text


@pytest.mark.requirement("R-destination")
@pytest.mark.parametrize(
    "path", ["/../x", "/auth/oauth2/logout/", "/%61uth/oauth2/logout/", "/a\r\nb", "@evil.example/", "x"]
)
def test_what_an_older_version_sealed_as_asked_is_judged_again(provider: StandIn, path: str) -> None:
    visit = Visit(provider)
    begun = visit.middleware._site()._login.begin("default", ORIGIN + path, NO_SESSION)
    for cookie in begun.headers.getall("Set-Cookie"):
        name, _, value = cookie.partition(";")[0].partition("=")
        visit.jar[name] = value
    back = urlencode(provider.follow(begun.headers["Location"]))
    assert visit.get(f"{PREFIX}/login/callback/?{back}").header("Location") == f"{ORIGIN}/"


def test_a_failed_sign_in_is_tried_again_with_what_was_asked_for(provider: StandIn) -> None:
    visit = Visit(provider)
    location = visit.get("/a%2Fb//c").header("Location") or ""
    state = parse_qs(urlsplit(location).query)["state"][0]
    declined = urlencode({"error": "access_denied", "state": state, "iss": provider.issuer})
    page = visit.get(f"{PREFIX}/login/callback/?{declined}")
    assert page.status == 403
    assert visit.at_provider(visit.get(button(page, "login/?"))) == f"{ORIGIN}/a%2Fb//c"


@pytest.mark.parametrize("length", [10, 2500, 3500, 8000])
def test_the_page_about_a_failure_has_a_link_that_servers_read(tmp_path: Path, length: int) -> None:
    target = "/a%2Fb?" + "x" * length
    settings: list[dict[str, Any]] = [{}, {"directory": f"sqlite:///{tmp_path}/data.db"}]
    for keys in settings:
        page = call(
            guard(login_page=False, issuer="http://127.0.0.1:1", **keys),
            environ_for("/a/b", QUERY_STRING="x" * length, RAW_URI=target, **NAVIGATION),
        )
        link = button(page, "login/")
        assert len(link) < 4000
        assert (page.status, "asked=" in link) == ((503, True) if keys or length < 2800 else (401, False))


# What a cookie holds


@pytest.mark.parametrize("login_page", ["false", "true"])
def test_an_address_is_kept_up_to_what_a_cookie_holds(
    provider: StandIn, login_page: str, caplog: pytest.LogCaptureFixture
) -> None:
    longest = ""
    for length in range(2000, 4000, 25):
        target = "/a?" + "x" * length
        visit = Visit(provider, login_page=login_page)
        answer = visit.get(target)
        if LOST in answer.text:
            break
        if login_page == "true":
            answer = visit.get(button(answer))
        assert all(len(f"{name}={value}") <= 4097 for name, value in visit.jar.items())
        assert visit.at_provider(answer) == ORIGIN + target
        longest = target
    assert len(longest) > 2700
    # Then it is said, to the person and to the operator, and nothing is begun before they read it.
    assert answer.status == 401
    assert visit.jar == {}
    (line,) = [record.getMessage() for record in caplog.records if "destination_lost" in record.getMessage()]
    assert "provider=default" in line
    assert button(answer) == f"{ORIGIN}{PREFIX}/login/default/"
    assert visit.at_provider(visit.get(button(answer))) == f"{ORIGIN}/"


def test_a_plain_next_that_has_no_room_beside_a_session_is_said_in_the_log(
    provider: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    visit = Visit(provider)
    target = "/" + "x" * 2000
    visit.jar["__Host-oauth2_mw"] = "x" * 3800
    visit.jar["__Host-oauth2_mw.1"] = "x" * 2200
    begun = visit.get(f"{PREFIX}/login/?next={quote(target)}")
    assert re.search(r"event=destination_lost .*provider=default", caplog.text)
    assert visit.at_provider(begun) == f"{ORIGIN}/"


def test_a_program_loses_nothing_and_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/../x", "//evil.example/x", "/" + "x" * 5000):
        answer = call(guard(), environ_for(path, HTTP_ACCEPT="application/json"))
        assert answer.status == 401
        assert "?" not in answer.text
        assert len(answer.header("WWW-Authenticate") or "") < 200
    assert caplog.records == []


# What a store holds


@pytest.fixture(params=["directory", "sql", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of what keeps long addresses."""
    if request.param == "redis":
        with RedisServer(tmp_path) as server:
            yield {"session": server.url}
    else:
        key = "session" if request.param == "sql" else "directory"
        yield {key: f"sqlite:///{tmp_path}/data.db"}


@pytest.mark.parametrize("login_page", ["false", "true"])
def test_a_store_keeps_what_a_cookie_does_not_hold(
    provider: StandIn, store: dict[str, str], login_page: str
) -> None:
    target = "/a%2Fb//c?" + "x" * (MAX_ASKED - 10)
    visit = Visit(provider, login_page=login_page, **store)
    answer = visit.get(target)
    if login_page == "true":
        assert len(button(answer)) < 500
        answer = visit.get(button(answer))
    assert visit.at_provider(answer) == ORIGIN + target
    registry = visit.middleware._sessions.registry
    assert registry is not None
    assert [info.username for info in registry.all()] == ["jane"]
    # Nobody who reads the store reads where people go.
    assert all("xxxx" not in record.data + record.summary for _, record in registry.store.all())
    assert LOST in visit.get(target + "x", HTTP_COOKIE=None).text


def test_a_store_is_not_filled_by_whoever_asks_for_long_addresses(provider: StandIn, tmp_path: Path) -> None:
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        visit = Visit(provider, directory=f"sqlite:///{tmp_path}/data.db")
        target = "/a?" + "x" * 4000
        for _ in range(MAX_KEPT):
            assert LOST not in visit.get(target, HTTP_COOKIE=None).text
        assert LOST in visit.get(target, HTTP_COOKIE=None).text
        clock.shift(KEPT_FOR)
        assert LOST not in visit.get(target, HTTP_COOKIE=None).text


def test_a_store_that_is_away_loses_a_long_address_and_keeps_nobody_out(
    provider: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    visit = Visit(provider, directory=f"sqlite:///{tmp_path}/data.db")
    target = "/a?" + "x" * 4000
    begun = visit.get(target)
    destinations = visit.middleware._site()._login._destinations
    with sqlite3.connect(tmp_path / "data.db") as database:
        database.execute("DELETE FROM oauth2_mw_sessions")
    assert visit.at_provider(begun) == f"{ORIGIN}/"
    assert "the store has forgotten it" in caplog.text
    with sqlite3.connect(tmp_path / "data.db") as database:
        database.execute("DROP TABLE oauth2_mw_sessions")
    assert LOST in visit.get(target, HTTP_COOKIE=None).text
    assert destinations.location("kept:abc", provider="default") == f"{ORIGIN}/"
