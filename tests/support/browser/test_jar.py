"""The client of the integration tests: cookies as RFC 6265bis says, redirects and headers as browsers do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser.cookie_jar import Context, CookieJar, default_path, parse_date, site
from tests.support.browser.jar import Browser, BrowserError
from tests.support.browser.page import resolve
from tests.support.clock import Clock
from tests.support.hosts.wsgi_thread import serve

SECURE = "https://app.example.com/core/page"
PLAIN = "http://app.example.com/core/page"
MINE = Context()
LINK_ELSEWHERE = Context("https://other.example")
POST_ELSEWHERE = Context("https://other.example", "POST")
IMAGE_ELSEWHERE = Context("https://other.example", top_level=False)


@pytest.fixture
def jar() -> CookieJar:
    return CookieJar()


# Which cookies are kept


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("__Host-a=1; Secure; Path=/", SECURE),
        ("__Host-a=1; Path=/; HttpOnly; Secure; SameSite=Lax", SECURE),
        ("__Secure-a=1; Secure", SECURE),
        ("a=1", PLAIN),
        ("a=1; Domain=example.com", PLAIN),
        ("a=1; Domain=.app.example.com", PLAIN),
        ("a=1; SameSite=None; Secure", SECURE),
        ("a=" + "x" * 4095, PLAIN),
        ("=nameless", PLAIN),
    ],
)
def test_a_proper_cookie_is_kept(jar: CookieJar, line: str, url: str) -> None:
    assert jar.store(url, line, MINE), jar.refused


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("__Host-a=1; Path=/", SECURE),
        ("__Host-a=1; Secure; Path=/", PLAIN),
        ("__Host-a=1; Secure", SECURE),
        ("__Host-a=1; Secure", "https://app.example.com/"),
        ("__Host-a=1; Secure; Path=/core", SECURE),
        ("__Host-a=1; Secure; Path=/; Domain=app.example.com", SECURE),
        ("__host-a=1; Path=/", SECURE),
        ("=__Host-a=1; Secure; Path=/", SECURE),
        ("__Secure-a=1", SECURE),
        ("a=1; Secure", PLAIN),
        ("a=1; Secure", "http://127.0.0.1:8000/"),
        ("a=1; SameSite=None", SECURE),
        ("a=1; Domain=other.example", PLAIN),
        ("a=1; Domain=deep.app.example.com", PLAIN),
        ("a=1; Domain=com", PLAIN),
        ("a=" + "x" * 4096, PLAIN),
        ("a=1\x002", PLAIN),
        ("=", PLAIN),
    ],
)
def test_an_improper_cookie_is_dropped_silently(jar: CookieJar, line: str, url: str) -> None:
    assert not jar.store(url, line, MINE)
    assert list(jar) == []
    assert len(jar.refused) == 1


def test_loopback_counts_as_secure_only_when_asked_to() -> None:
    jar = CookieJar(trust_loopback=True)
    assert jar.store("http://127.0.0.1:8000/", "a=1; Secure", MINE)
    assert jar.header("http://127.0.0.1:8000/", MINE) == "a=1"


def test_a_plain_page_cannot_cover_a_secure_cookie(jar: CookieJar) -> None:
    jar.store(SECURE, "a=1; Secure; Path=/", MINE)
    assert not jar.store(PLAIN, "a=evil; Path=/", MINE)
    assert jar.header(SECURE, MINE) == "a=1"


def test_a_cross_site_subrequest_sets_no_samesite_cookie(jar: CookieJar) -> None:
    assert not jar.store(SECURE, "a=1; SameSite=Lax", IMAGE_ELSEWHERE)
    assert jar.store(SECURE, "a=1; SameSite=Lax", LINK_ELSEWHERE)


def test_an_oversized_attribute_is_ignored_and_the_cookie_stays(jar: CookieJar) -> None:
    assert jar.store(PLAIN, f"a=1; Path=/{'x' * 1025}", MINE)
    assert jar.header("http://app.example.com/core/", MINE) == "a=1"


# How long


def test_max_age_ends_a_cookie() -> None:
    clock = Clock()
    jar = CookieJar(clock=clock)
    jar.store(PLAIN, "a=1; Max-Age=60", MINE)
    clock.now += 59
    assert jar.header(PLAIN, MINE) == "a=1"
    clock.now += 1
    assert jar.header(PLAIN, MINE) is None


@pytest.mark.parametrize(
    "ending",
    [
        "Max-Age=0",
        "Max-Age=-1",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Expires=Thu, 01-Jan-1970 00:00:10 GMT",
        "Expires=Wed, 09 Jun 2100 10:18:14 GMT; Max-Age=0",
    ],
)
def test_a_cookie_is_deleted_by_an_end_in_the_past(jar: CookieJar, ending: str) -> None:
    jar.store(PLAIN, "a=1; Path=/", MINE)
    jar.store(PLAIN, f"a=; Path=/; {ending}", MINE)
    assert list(jar) == []


def test_a_cookie_is_not_deleted_by_one_of_another_path(jar: CookieJar) -> None:
    jar.store(PLAIN, "a=1; Path=/", MINE)
    jar.store(PLAIN, "a=; Path=/core; Max-Age=0", MINE)
    assert jar.header(PLAIN, MINE) == "a=1"


def test_a_session_cookie_ends_with_the_browser(jar: CookieJar) -> None:
    jar.store(PLAIN, "a=1", MINE)
    jar.store(PLAIN, "b=1; Max-Age=60", MINE)
    jar.close_browser()
    assert jar.header(PLAIN, MINE) == "b=1"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wed, 09 Jun 2021 10:18:14 GMT", 1623233894),
        ("Wednesday, 09-Jun-21 10:18:14 GMT", 1623233894),
        ("Wed Jun  9 10:18:14 2021", 1623233894),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Feb 2021 10:18:14 GMT", None),
        ("tomorrow", None),
    ],
)
def test_dates_are_read_as_forgivingly_as_browsers_do(text: str, seconds: float | None) -> None:
    assert parse_date(text) == seconds


# Where they go


def test_cookies_stay_with_their_host_unless_they_name_a_domain(jar: CookieJar) -> None:
    jar.store(PLAIN, "own=1; Path=/", MINE)
    jar.store(PLAIN, "wide=1; Path=/; Domain=example.com", MINE)
    assert jar.header("http://www.example.com/", MINE) == "wide=1"
    assert jar.header("http://app.example.com:8080/", MINE) == "own=1; wide=1"
    assert jar.header("http://badexample.com/", MINE) is None


def test_longer_paths_come_first_then_older_cookies(jar: CookieJar) -> None:
    jar.store(PLAIN, "a=1; Path=/", MINE)
    jar.store(PLAIN, "b=2; Path=/", MINE)
    jar.store(PLAIN, "c=3; Path=/core", MINE)
    jar.store(PLAIN, "a=4; Path=/", MINE)
    assert jar.header(PLAIN, MINE) == "c=3; a=4; b=2"


@pytest.mark.parametrize(
    ("path", "sent"), [("/core", "a=1"), ("/core/", "a=1"), ("/core/x", "a=1"), ("/corex", None), ("/", None)]
)
def test_a_path_matches_whole_segments(jar: CookieJar, path: str, sent: str | None) -> None:
    jar.store(PLAIN, "a=1; Path=/core", MINE)
    assert jar.header(f"http://app.example.com{path}", MINE) == sent


@pytest.mark.parametrize(
    ("path", "default"), [("", "/"), ("/x", "/"), ("/core/page", "/core"), ("/a/b/", "/a/b")]
)
def test_the_default_path_is_the_folder(path: str, default: str) -> None:
    assert default_path(path) == default


def test_a_secure_cookie_stays_off_plain_http(jar: CookieJar) -> None:
    jar.store(SECURE, "a=1; Secure; Path=/", MINE)
    assert jar.header(PLAIN, MINE) is None


@pytest.mark.parametrize(
    ("context", "sent"),
    [
        (MINE, "strict lax none default"),
        (Context("https://www.example.com", "POST"), "strict lax none default"),
        (LINK_ELSEWHERE, "lax none default"),
        (POST_ELSEWHERE, "none"),
        (IMAGE_ELSEWHERE, "none"),
        (Context("http://app.example.com"), "lax none default"),
    ],
)
def test_samesite_decides_by_who_asks_and_how(jar: CookieJar, context: Context, sent: str) -> None:
    for name, attribute in [("strict", "Strict"), ("lax", "Lax"), ("none", "None"), ("default", "odd")]:
        jar.store(SECURE, f"{name}=1; Secure; SameSite={attribute}", MINE)
    assert (jar.header(SECURE, context) or "").replace("=1", "").replace(";", "") == sent


def test_names_and_addresses_of_this_machine_are_different_sites() -> None:
    assert site("http://127.0.0.1:1") == site("http://127.0.0.1:2")
    assert site("http://127.0.0.1:1") != site("http://localhost:1")


@pytest.mark.parametrize(
    ("location", "resolved"),
    [
        ("/\\evil.example/x", "http://evil.example/x"),
        ("\\\\evil.example", "http://evil.example"),
        ("/\t/evil.example", "http://evil.example"),
        ("///evil.example", "http://evil.example"),
        (" https:\\\\evil.example", "https://evil.example"),
        ("x?next=\\y", "http://app.example.com/core/x?next=\\y"),
        ("", PLAIN),
    ],
)
def test_an_address_is_resolved_as_a_browser_does(location: str, resolved: str) -> None:
    assert resolve(PLAIN, location) == resolved


# The browser around it


def scripted(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A server that does what the query says, and tells what it got."""
    path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    headers = [("Content-Type", "text/html")]
    if path.startswith("/to/"):
        start_response(f"{path[4:7]} Go", [*headers, ("Location", query), ("Set-Cookie", "way=1; Path=/")])
        return [b""]
    if path == "/form":
        headers += [("Content-Security-Policy", "default-src 'none'; form-action 'self'")]
        headers += [("Referrer-Policy", query)] if query else []
        start_response("200 OK", headers)
        return [
            b"<title>A form</title><a href='/seen?link'>a link</a>"
            b"<form method=post action='/seen'><input name=login><input type=hidden name=t value='&amp;1'>"
            b"<input type=checkbox name=c><button name=go value=yes>Sign in</button>"
            b"<button>No</button></form>"
            b"<form id=away method=post action='/to/303?http://localhost:9/'></form>"
            b"<form id=parts method=post action='/seen' enctype='multipart/form-data'><input name=password></form>"
        ]
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    seen["body"] = environ["wsgi.input"].read(length).decode()
    return [json.dumps(seen).encode()]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(scripted) as origin:
        yield origin


def test_redirects_are_followed_step_by_step(server: str) -> None:
    browser = Browser()
    seen = browser.navigate(f"{server}/to/302?/seen?x=1#here").json()
    assert [(step.method, step.status) for step in browser.steps] == [("GET", 302), ("GET", 200)]
    assert browser.steps[0].cookies_set == ("way",)
    assert browser.steps[1].cookies_sent == ("way",)
    assert browser.steps[1].url.endswith("/seen?x=1#here")
    assert (seen["QUERY_STRING"], seen["HTTP_COOKIE"]) == ("x=1", "way=1")


def test_a_navigation_says_that_it_is_one(server: str) -> None:
    seen = Browser().navigate(f"{server}/seen").json()
    assert seen["HTTP_SEC_FETCH_SITE"] == "none"
    assert seen["HTTP_SEC_FETCH_MODE"] == "navigate"
    assert seen["HTTP_SEC_FETCH_DEST"] == "document"
    assert seen["HTTP_ACCEPT"].startswith("text/html")
    assert "HTTP_ORIGIN" not in seen


@pytest.mark.parametrize(
    ("status", "method", "body"), [(302, "GET", ""), (303, "GET", ""), (307, "POST", "a=1")]
)
def test_a_redirect_keeps_or_drops_the_posted_body(server: str, status: int, method: str, body: str) -> None:
    seen = Browser().post(f"{server}/to/{status}?/seen", {"a": "1"}, initiator=server).json()
    assert (seen["REQUEST_METHOD"], seen["body"]) == (method, body)


def test_a_form_is_filled_and_sent_with_its_button(server: str) -> None:
    browser = Browser()
    page = browser.navigate(f"{server}/form")
    assert page.title == "A form"
    seen = browser.submit(login="jane roe").json()
    assert seen["body"] == "login=jane+roe&t=%261&go=yes"
    assert seen["HTTP_ORIGIN"] == server
    assert seen["HTTP_SEC_FETCH_SITE"] == "same-origin"
    assert seen["HTTP_REFERER"] == f"{server}/form"


def test_the_second_button_can_be_pressed_and_an_unknown_input_is_an_error(server: str) -> None:
    browser = Browser()
    browser.navigate(f"{server}/form")
    with pytest.raises(AssertionError, match="no input 'password'"):
        browser.submit(password="x")
    assert browser.submit(button="No").json()["body"] == "login=&t=%261"


def test_a_form_of_parts_is_sent_in_parts(server: str) -> None:
    browser = Browser()
    browser.navigate(f"{server}/form")
    seen = browser.submit("parts", password="ä b").json()
    boundary = seen["CONTENT_TYPE"].removeprefix("multipart/form-data; boundary=")
    part = 'Content-Disposition: form-data; name="password"\r\n\r\nä b'
    assert seen["body"] == f"--{boundary}\r\n{part}\r\n--{boundary}--\r\n"


def test_no_referrer_makes_the_origin_null_as_in_chromium(server: str) -> None:
    browser = Browser()
    browser.navigate(f"{server}/form?no-referrer")
    seen = browser.submit("login").json()
    assert seen["HTTP_ORIGIN"] == "null"
    assert "HTTP_REFERER" not in seen
    browser.navigate(f"{server}/form?same-origin")
    assert browser.submit("login").json()["HTTP_ORIGIN"] == server


def test_form_action_reaches_the_redirects_behind_a_form(server: str) -> None:
    browser = Browser()
    browser.navigate(f"{server}/form")
    with pytest.raises(BrowserError, match="form-action"):
        browser.submit("away")


def test_a_link_is_same_origin_and_one_from_elsewhere_is_cross_site(server: str) -> None:
    browser = Browser()
    browser.navigate(f"{server}/form")
    assert browser.click("a link").json()["HTTP_SEC_FETCH_SITE"] == "same-origin"
    seen = browser.navigate(f"{server}/seen", initiator="http://localhost:1").json()
    assert seen["HTTP_SEC_FETCH_SITE"] == "cross-site"


def test_a_redirect_through_another_site_makes_a_link_cross_site(server: str) -> None:
    elsewhere = server.replace("127.0.0.1", "localhost")
    seen = Browser().navigate(f"{elsewhere}/to/302?{server}/seen", initiator=server).json()
    assert seen["HTTP_SEC_FETCH_SITE"] == "cross-site"


def test_fetch_is_no_navigation_and_the_tab_keeps_its_page(server: str) -> None:
    browser = Browser()
    browser.navigate(f"{server}/form")
    seen = browser.fetch("/seen", method="POST", json={"a": 1}).json()
    assert seen["HTTP_SEC_FETCH_MODE"] == "cors"
    assert seen["HTTP_SEC_FETCH_DEST"] == "empty"
    assert (seen["HTTP_ORIGIN"], seen["CONTENT_TYPE"], seen["body"]) == (
        server,
        "application/json",
        '{"a": 1}',
    )
    assert browser.page is not None and browser.page.title == "A form"


def test_fetch_from_another_origin_carries_no_credentials_unless_asked(server: str) -> None:
    browser = Browser()
    browser.jar.set("a", "1", server)
    other = "http://127.0.0.1:1"
    assert "HTTP_COOKIE" not in browser.fetch(f"{server}/seen", initiator=other).json()
    assert "HTTP_COOKIE" not in browser.fetch(f"{server}/seen", credentials="omit").json()
    assert browser.fetch(f"{server}/seen").json()["HTTP_COOKIE"] == "a=1"


def test_a_redirect_can_be_looked_at_before_it_is_followed(server: str) -> None:
    page = Browser().navigate(
        f"{server}/to/302?https://outside.example/x", stop_before="https://outside.example"
    )
    assert page.location == "https://outside.example/x"


def test_no_other_machine_is_reached(server: str) -> None:
    with pytest.raises(BrowserError, match="not served by this machine"):
        Browser().navigate(f"{server}/to/302?https://outside.example/x")


@pytest.mark.parametrize("target", ["javascript:alert(1)", "data:text/html,x"])
def test_a_redirect_to_another_scheme_is_an_error(server: str, target: str) -> None:
    with pytest.raises(BrowserError, match="opens no"):
        Browser().navigate(f"{server}/to/302?{target}")


def test_a_loop_ends_with_the_steps_that_made_it(server: str) -> None:
    with pytest.raises(BrowserError, match=r"more than 20 redirects(.|\n)*302 GET"):
        Browser().navigate(f"{server}/to/302?/to/302?/to/302?" + "/to/302?" * 30)


def test_behind_tls_the_page_is_https_and_host_cookies_are_kept(server: str) -> None:
    browser = Browser(behind_tls={"https://app.example.com": server})
    assert browser.jar.store("https://app.example.com/", "__Host-a=1; Secure; Path=/", MINE)
    seen = browser.navigate("https://app.example.com/seen").json()
    assert (seen["HTTP_HOST"], seen["HTTP_COOKIE"]) == ("app.example.com", "__Host-a=1")


def test_tabs_share_cookies_and_nothing_else(server: str) -> None:
    first = Browser()
    second = first.tab()
    first.navigate(f"{server}/to/302?/seen")
    assert second.navigate(f"{server}/seen").json()["HTTP_COOKIE"] == "way=1"
    assert len(second.steps) == 1
