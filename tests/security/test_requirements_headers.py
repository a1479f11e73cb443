"""Headers and cookies: what every response of ours carries, and what a browser does with it."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import time_machine
from packaging.requirements import Requirement
from packaging.version import Version

from oauth2_mw.identity.model import freeze
from oauth2_mw.session.cookies import Cookies
from tests.support.browser.cookie_jar import MAX_PAIR
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.guarded import JANE, App, Guarded, guard, guarded, sign_in
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.lowest import metadata
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN

HTML = "text/html,*/*;q=0.8"
COOKIE = "__Host-oauth2_mw"
PREFIX = "/auth/oauth2"
LOGOUT = f"{ORIGIN}{PREFIX}/logout/"
CALLBACK = f"{ORIGIN}{PREFIX}/login/callback/"
SETUP = Path(__file__).parents[2] / "setup.py"
#: What an attacker would have end up in a header.
BREAKING = [
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\rX-Evil: 1",
    "a\x00b",
    "a\u2028X-Evil: 1",
    "a\x85X-Evil: 1",
    "é\r\n\r\n<html>",
]


def walk(browser: Browser, site: Guarded) -> list[Page]:
    """Every response of ours that a browser sees in its life."""
    pages = [
        browser.navigate(site.url + "/", follow=False),
        browser.navigate(site.url + "/", stop_before=CALLBACK),
    ]
    answer = pages[-1].location or ""
    pages += [
        browser.navigate(answer, follow=False),
        browser.navigate(answer, follow=False),
        browser.navigate(f"{site.url}{PREFIX}/login", follow=False),
        browser.navigate(f"{site.url}{PREFIX}/nothing"),
        browser.navigate(f"{site.url}{PREFIX}/login/callback/"),
        browser.navigate(LOGOUT, initiator="https://evil.example"),
        browser.post(LOGOUT, {"csrf_token": "bad"}, initiator=ORIGIN),
        browser.navigate(LOGOUT, follow=False),
        browser.navigate(f"{site.url}{PREFIX}/logout/done/"),
        browser.fetch(site.url + "/api", initiator=ORIGIN),
        browser.navigate(f"{site.url}{PREFIX}/static/oauth2_mw.css"),
    ]
    return [page for page in pages if page.url.startswith(ORIGIN)]


# WebOb


def floor(name: str, *, extra: str | None = None) -> Version:
    """The lowest version of a distribution that ``setup.py`` allows, which may be newer than what is installed."""
    arguments = metadata(str(SETUP))
    lines = arguments["install_requires"] if extra is None else arguments["extras_require"][extra]
    [requirement] = [each for each in map(Requirement, lines) if each.name.lower() == name.lower()]
    [lowest] = [each.version for each in requirement.specifier if each.operator == ">="]
    return Version(lowest)


@pytest.mark.requirement("W1", "V26")
def test_the_webob_in_use_keeps_a_redirect_on_its_host() -> None:
    assert floor("WebOb") >= Version("1.8.11")
    assert Version(version("WebOb")) >= Version("1.8.11")


@pytest.mark.requirement("V37")
def test_the_servers_of_the_demo_and_the_tests_have_no_known_hole() -> None:
    assert floor("gunicorn", extra="demo") >= Version("23")
    assert floor("waitress", extra="test") >= Version("3.0.1")


# Headers


@pytest.mark.requirement("3a.11", "W4")
@pytest.mark.parametrize("text", BREAKING, ids=ascii)
@pytest.mark.parametrize(
    "name", ["error_description", "error", "error_uri", "code", "session_state", "iss", "x"]
)
def test_nothing_in_an_answer_reaches_a_header(
    site: Guarded, provider: StandIn, name: str, text: str
) -> None:
    browser = site.browser()
    url = urlsplit(browser.navigate(site.url + "/", stop_before=CALLBACK).location or "")
    query = {**dict(parse_qsl(url.query)), name: text}
    if name.startswith("error"):
        query = {"error": "server_error", **query}
        query.pop("code")
    page = browser.navigate(url._replace(query=urlencode(query)).geturl(), follow=False)
    assert page.header("X-Evil") is None
    for line in page.headers:
        assert "evil" not in "".join(line).lower()
        assert all("\x20" <= character <= "\x7e" for part in line for character in part)


@pytest.mark.requirement("3a.11", "W4")
@pytest.mark.parametrize("text", BREAKING, ids=ascii)
def test_nothing_that_a_provider_says_reaches_a_header(provider: StandIn, text: str) -> None:
    provider.userinfo.update(name=text, phone_number=text, groups=[text], picture=text)
    with guarded(issuer=provider.issuer, environ={"HTTP_X_NAME": "name", "HTTP_X_GROUPS": "groups"}) as site:
        browser = site.browser()
        browser.navigate(site.url + "/")
        assert all("X-Evil" not in str(step) for step in browser.steps)
        for seen in site.app.seen:
            for value in seen["environ"].values():
                assert not re.search("[\r\n\x00]", value)


@pytest.mark.requirement("3i.2", "3i.3", "N2.5.13")
def test_every_response_of_ours_is_private(site: Guarded) -> None:
    pages = walk(site.browser(), site)
    assert len(pages) >= 11
    for page in pages:
        assert page.header("Cache-Control") == "no-store", page.url
        assert page.header("Referrer-Policy") in ("no-referrer", "same-origin"), page.url
        assert page.header("X-Content-Type-Options") == "nosniff", page.url
        assert page.header("X-Frame-Options") == "DENY", page.url
        assert "frame-ancestors 'none'" in (page.header("Content-Security-Policy") or ""), page.url


@pytest.mark.requirement("R-coop")
def test_pages_that_change_something_are_cut_off_from_their_opener_and_no_other_response_is(
    provider: StandIn, tmp_path: Path
) -> None:
    with guarded(issuer=provider.issuer, directory=f"sqlite:///{tmp_path}/users.db") as site:
        browser, url = site.browser(), f"{site.url}{PREFIX}/sessions/"
        pages = walk(browser, site)
        pages += [browser.navigate(url, follow=False), browser.navigate(url)]
        pages += [browser.submit(follow=False), browser.navigate(url)]
        pages += [browser.post(url, {"csrf_token": "bad", "others": "1"}, initiator=ORIGIN)]
    policies = {(page.url, page.status): page.header("Cross-Origin-Opener-Policy") for page in pages}
    cut_off = {(LOGOUT, 200), (LOGOUT, 400), (url, 200), (url, 400)}
    assert {key for key, policy in policies.items() if policy is not None} == cut_off
    assert {policies[key] for key in cut_off} == {"same-origin"}
    # Redirects to sign in and to sign out, the login page, the callback and failures are among the others.
    assert len(policies.keys() - cut_off) >= 10


@pytest.mark.requirement("3i.3")
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "OPTIONS"])
@pytest.mark.parametrize("accept", [HTML, "application/json"])
def test_the_applications_body_never_goes_along_with_ours(method: str, accept: str) -> None:
    app = App()
    answer = call(guard(app), environ_for("/", REQUEST_METHOD=method, HTTP_ACCEPT=accept))
    assert answer.header("Cache-Control") == "no-store"
    assert "identity" not in answer.text
    assert app.calls == 0


@pytest.mark.requirement("3j.3", "3j.4")
def test_pages_allow_nothing_but_our_own_style_and_pictures(site: Guarded) -> None:
    for page in walk(site.browser(), site):
        policy = dict(
            directive.strip().partition(" ")[::2]
            for directive in (page.header("Content-Security-Policy") or "").split(";")
        )
        assert policy.get("default-src") == "'none'"
        assert policy["base-uri"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert page.header("X-Frame-Options") == "DENY"
        assert policy.keys() <= {
            "default-src",
            "style-src",
            "img-src",
            "form-action",
            "frame-ancestors",
            "base-uri",
        }
        assert (policy["style-src"], policy["img-src"]) == ("'self'", "'self'")
        assert policy["form-action"].startswith(("'none'", "'self'"))
        assert "unsafe" not in str(policy)


# Cookies


def attributes(line: str) -> dict[str, str]:
    """The attributes of a ``Set-Cookie``, names in lower case."""
    return {
        name.lower(): value
        for name, _, value in (part.strip().partition("=") for part in line.split(";")[1:])
    }


@pytest.mark.requirement("K1", "K5", "K2")
def test_every_cookie_keeps_the_promises_of_its_name(site: Guarded) -> None:
    browser = site.browser()
    lines = [line for page in walk(browser, site) for line in page.all_headers("Set-Cookie")]
    assert any("Max-Age=0" in line for line in lines)
    assert any("Max-Age=0" not in line for line in lines)
    for line in lines:
        found = attributes(line)
        assert line.startswith("__Host-")
        assert found["path"] == "/"
        assert {"secure", "httponly"} <= found.keys()
        assert "domain" not in found
    assert browser.jar.refused == []


@pytest.mark.requirement("K5")
def test_on_plain_http_cookies_have_no_prefix_that_they_could_not_keep(provider: StandIn) -> None:
    middleware = guard(public_url="http://localhost:8000", issuer=provider.issuer, login_page=False)
    answer = call(middleware, environ_for("/", HTTP_ACCEPT=HTML))
    for name, line in answer.cookies.items():
        assert not name.startswith("__")
        assert "httponly" in attributes(line)
        assert "secure" not in attributes(line)


@pytest.mark.requirement("K2", "3c.15")
def test_after_a_logout_nothing_of_the_session_is_left_in_the_browser(provider: StandIn) -> None:
    provider.claims = {"much": "x" * 2500}
    with guarded(issuer=provider.issuer) as site:
        browser = site.browser()
        browser.navigate(site.url + "/")
        names = browser.jar.names(site.url)
        assert {site.session_cookie, f"{site.session_cookie}.1"} <= set(names)
        browser.navigate(LOGOUT)
        assert not [
            name for name in browser.jar.names(site.url) if not name.startswith(f"{site.session_cookie}-a-")
        ]


@pytest.mark.requirement("K3", "W10")
@pytest.mark.parametrize("length", [1, 1000, 2600, 2700, 3000, 4000])
def test_no_cookie_is_larger_than_a_browser_takes(length: int) -> None:
    name = "n" * 64
    middleware = guard(cookie_name=name, session_max_bytes=6000, environ={"HTTP_X_MUCH": "claims.much"})
    identity = replace(JANE, claims=freeze({"much": "x" * length}))
    cookies = sign_in(middleware, identity)
    assert all(len(pair.replace("=", "", 1)) <= MAX_PAIR for pair in cookies.split("; "))
    back = middleware._sessions.resolve(cookies)
    assert back is not None and back.session is not None
    assert back.session.identity == identity


@pytest.mark.requirement("W10", "K3")
def test_an_attempts_cookie_stays_small_however_long_its_destination(provider: StandIn) -> None:
    middleware = guard(cookie_name="n" * 64, issuer=provider.issuer, login_page=False)
    for length, status in ((1, 303), (1000, 303), (1900, 303), (2047, 303), (2600, 303), (5000, 401)):
        answer = call(middleware, environ_for("/" + "d" * (length - 1), HTTP_ACCEPT=HTML))
        assert answer.status == status
        assert bool(answer.cookies) == (status == 303)
        for line in answer.cookies.values():
            assert len(line.partition(";")[0]) <= MAX_PAIR


@pytest.mark.requirement("K4")
@pytest.mark.parametrize(("mode", "expected"), [("query", "Lax"), ("form_post", "None")])
def test_an_attempt_is_lax_for_an_address_and_none_for_a_form(
    provider: StandIn, mode: str, expected: str
) -> None:
    with guarded(issuer=provider.issuer, response_mode=mode) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/", follow=False)
        (line,) = page.all_headers("Set-Cookie")
        assert attributes(line)["samesite"] == expected
        if mode == "form_post":
            fields = provider.follow(page.location or "")
            page = browser.post(CALLBACK, fields, initiator=provider.url, follow=False)
        else:
            page = browser.navigate(page.location or "", stop_before=CALLBACK)
            page = browser.navigate(page.location or "", follow=False)
        session = [
            line for line in page.all_headers("Set-Cookie") if line.startswith(f"{site.session_cookie}=")
        ]
        assert [attributes(line)["samesite"] for line in session] == ["Lax"]


@pytest.mark.requirement("K6", "W8")
@pytest.mark.parametrize("spell", ["={}", "=; {}x", " ={}", "={}; ", "{}=; "])
def test_a_cookie_without_a_name_is_not_taken_for_ours(spell: str) -> None:
    app = App()
    middleware = guard(app)
    cookie = sign_in(middleware)
    header = spell.format(cookie) if not spell.startswith("{") else f"{cookie.partition('=')[0]}=; ={cookie}"
    assert call(middleware, environ_for("/", HTTP_COOKIE=header)).status == 401
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200


@pytest.mark.requirement("W8")
@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.title, lambda name: name + "\x01", lambda name: "x" + name]
)
def test_the_name_of_a_cookie_is_compared_to_the_letter(change: Any) -> None:
    app = App()
    middleware = guard(app)
    name, _, value = sign_in(middleware).partition("=")
    assert change(name) != name
    assert call(middleware, environ_for("/", HTTP_COOKIE=f"{change(name)}={value}")).status == 401


@pytest.mark.requirement("K7", "V34")
def test_a_response_that_sets_or_reads_our_cookies_is_not_stored_and_varies_by_them(site: Guarded) -> None:
    for page in walk(site.browser(), site):
        assert page.header("Cache-Control") == "no-store"
        assert page.header("Vary") in ("Cookie", "Cookie, Accept-Language")


@pytest.mark.requirement("3c.6")
def test_a_cookie_that_a_neighbour_planted_does_not_displace_ours() -> None:
    app = App()
    middleware = guard(app, public_url="http://localhost:8000")
    cookie = sign_in(middleware)
    name = cookie.partition("=")[0]
    for header in (f"{name}=planted; {cookie}", f"{cookie}; {name}=planted", f"{name}=; {cookie}; {name}=x"):
        assert call(middleware, environ_for("/", HTTP_COOKIE=header)).status == 200
    crowd = "; ".join([f"{name}=planted"] * 50)
    assert call(middleware, environ_for("/", HTTP_COOKIE=f"{crowd}; {cookie}")).status == 401


@pytest.mark.requirement("3c.7")
def test_chunks_that_do_not_belong_together_are_no_session() -> None:
    middleware = guard(session_max_bytes=6000, environ={"HTTP_X_MUCH": "claims.much"})
    names = Cookies("oauth2_mw", secure=True)
    jars = []
    for letter in "ab":
        identity = replace(JANE, claims=freeze({"much": letter * 3500}))
        jars.append(dict(pair.split("=", 1) for pair in sign_in(middleware, identity).split("; ")))
    first, second = names.session, f"{names.session}.1"
    one, other = jars
    assert one.keys() == {first, second}

    def status(jar: dict[str, str]) -> int:
        header = "; ".join(f"{name}={value}" for name, value in jar.items())
        return call(middleware, environ_for("/", HTTP_COOKIE=header)).status

    assert status(one) == 200
    for jar in (
        {first: one[first]},
        {second: one[second]},
        {first: one[second], second: one[first]},
        {first: one[first], second: other[second]},
        {first: one[first], second: one[second] + "A"},
        {first: one[first], second: one[second][:-1]},
        {first: one[first], second: ""},
        {first: one[first] + one[second]},
        {first: one[first], f"{names.session}.2": one[second]},
    ):
        assert status(jar) == 401


@pytest.mark.requirement("3c.14")
@pytest.mark.parametrize("start", [2**31 - 1800, 2**31 + 10, 2**32 + 10, 1])
def test_no_year_is_special(start: int) -> None:
    with time_machine.travel(start, tick=False) as clock:
        middleware = guard(session_lifetime="2h", session_idle="1h")
        cookie = sign_in(middleware)
        clock.shift(3599)
        assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200
        clock.shift(2)
        assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 401


@pytest.mark.requirement("3c.14", "3l.9")
def test_a_clock_that_goes_back_ends_nothing_and_extends_nothing() -> None:
    with time_machine.travel(1_900_000_000, tick=False) as clock:
        middleware = guard(session_lifetime="2h", session_idle="1h")
        cookie = sign_in(middleware)
        clock.shift(-600)
        assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200
        clock.shift(600 + 3601)
        assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 401


@pytest.mark.requirement("3c.16")
def test_a_tab_that_goes_on_after_a_logout_brings_no_session_back() -> None:
    """The cookie that renews an idle session is sealed with the id that the logout ended."""
    with time_machine.travel(1_900_000_000, tick=False) as clock:
        middleware = guard(sync_logout=False)
        cookie = sign_in(middleware)
        clock.shift(1800)
        renewed = call(middleware, environ_for("/", HTTP_COOKIE=cookie)).cookies.get(COOKIE)
        assert renewed is not None
        fresh = renewed.partition(";")[0]
        assert call(middleware, environ_for("/", HTTP_COOKIE=fresh)).status == 200
        gone = environ_for(
            f"{PREFIX}/logout/",
            HTTP_COOKIE=cookie,
            HTTP_SEC_FETCH_SITE="same-origin",
            HTTP_SEC_FETCH_MODE="navigate",
            HTTP_SEC_FETCH_DEST="document",
        )
        assert COOKIE in call(middleware, gone).cookies
        for copy in (cookie, fresh):
            answer = call(middleware, environ_for("/", HTTP_COOKIE=copy))
            assert answer.status == 401
            assert "Max-Age=0" in answer.cookies[COOKIE]
