"""Where a browser may be sent: the rules of a destination, and every place that takes one."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import ada_url
import pytest

from oauth2_mw.boundary import MAX_DESTINATION, safe_destination
from oauth2_mw.errors import ConfigError, ProviderError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.cookie_cache import NO_SESSION
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http.urls import Urls
from oauth2_mw.web.signin.destinations import LOST
from tests.support.browser.jar import Browser
from tests.support.hosts.guarded import App, Guarded, guard
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import ORIGIN, make_settings

HTML = "text/html,*/*;q=0.8"
PREFIX = "/auth/oauth2"
LOGOUT = f"{ORIGIN}{PREFIX}/logout/"
DONE = f"{ORIGIN}{PREFIX}/logout/done/"
NAVIGATION = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document", "HTTP_ACCEPT": HTML}
#: One of each family; the whole corpus is with the validator's own tests.
AWAY = [
    "https://evil.example/",
    "HTTPS://EVIL.example",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example",
    "/\t/evil.example",
    " //evil.example",
    "/%2f/evil.example",
    "/%2F%2Fevil.example",
    "/%252f%252fevil.example",
    "/%5cevil.example",
    "/.//evil.example",
    "/a/..//evil.example",
    "/a/../..//evil.example",
    "https:evil.example",
    "https:/evil.example",
    f"{ORIGIN}@evil.example/",
    f"{ORIGIN}.evil.example/",
    f"{ORIGIN}:8443/",
    "https://app.example%00.evil.example/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "evil.example",
    "?//evil.example",
    "#//evil.example",
    "/\r\nLocation: https://evil.example",
    "/\u2028/evil.example",
    "/\uff0f/evil.example",
    "http://app.example/",
]


def judged(value: str | None) -> str | None:
    return safe_destination(value, origin=ORIGIN, mount="", own_prefix=PREFIX)


def is_here(location: str | None) -> bool:
    """Return whether a browser that is redirected to *location* stays on our origin."""
    return location is not None and ada_url.URL(location, ORIGIN).origin == ORIGIN


def destination_shown(answer: WsgiResponse) -> str | None:
    """Return ``next`` of the button on the login page."""
    (link,) = [part.partition('"')[0] for part in answer.text.split('href="') if "/login/default/" in part]
    return parse_qs(urlsplit(unescape(link)).query).get("next", [None])[0]


# The rules of one destination


@pytest.mark.requirement("3d.1")
def test_a_destination_has_between_1_and_2048_characters() -> None:
    longest = "/" + "a" * (MAX_DESTINATION - 1)
    assert judged(longest) == longest
    assert judged(longest + "a") is None
    assert judged("") is None
    assert judged(None) is None


@pytest.mark.requirement("3d.2", "V39")
def test_a_destination_is_visible_ascii_without_a_backslash() -> None:
    """Every character of the first plane, in every place: none is stripped, as URL parsers do."""
    good = {chr(code) for code in range(0x21, 0x7F)} - {"\\"}
    for code in range(0x3000):
        character = chr(code)
        for value in (f"/a{character}b", f"{character}/a", f"/a{character}", f"/a?q={character}"):
            if character not in good:
                assert judged(value) is None, ascii(value)


@pytest.mark.requirement("3d.3")
@pytest.mark.parametrize(
    "value", ["a", "a/b", "//", "//a", "///a", ".", "..", "?a=/b", "#/a", "*", "~", "@/", ":80/"]
)
def test_a_destination_begins_with_one_slash(value: str) -> None:
    assert judged(value) is None


@pytest.mark.requirement("3d.4")
@pytest.mark.parametrize("text", ["//evil", "/..", "/a/../b", "/\\evil", "/\x00", "/\r\n", "/\u2028", "/."])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_layer_of_encoding_hides_nothing(text: str, times: int) -> None:
    hidden = text
    for _ in range(times):
        hidden = quote(hidden, safe="")
    assert judged("/" + hidden) is None
    assert judged("/a/" + hidden) is None


@pytest.mark.requirement("3d.5")
@pytest.mark.parametrize(
    "path", ["", "/", "/login/", "/login/callback/", "/logout/", "/%6cogout/", "/x?y=1", "#z"]
)
def test_an_endpoint_of_ours_is_no_destination(path: str) -> None:
    assert judged(PREFIX + path) is None
    assert judged(ORIGIN + PREFIX + path) is None


@pytest.mark.requirement("3d.6")
@pytest.mark.parametrize(
    "value",
    [
        "https://app.example:443/a",
        "https://APP.example/a",
        "https://app.example./a",
        "http://app.example/a",
        "https://user@app.example/a",
        "https://app.example@evil.example/a",
        "https://app.example.evil.example/a",
        "https://app.examplea",
        "https://app.example:8443/a",
        "https:app.example/a",
        "//app.example/a",
    ],
)
def test_an_absolute_destination_is_of_our_origin_to_the_letter(value: str) -> None:
    assert judged(value) is None
    assert judged("https://app.example/a") == "/a"


@pytest.mark.requirement("3d.7")
def test_a_destination_is_built_anew_and_never_what_came_in() -> None:
    for value, built in (
        (f"{ORIGIN}/a?b#c", "/a?b"),
        ("/%61/%C3%A4?x=%zz", "/a/%C3%A4?x=%25zz"),
        ("/a'b<c>?<x>", "/a'b%3Cc%3E?%3Cx%3E"),
    ):
        assert judged(value) == built
        assert is_here(built)


# The places that take one


@pytest.mark.requirement("3d.8", "N2.1.13")
@pytest.mark.parametrize("path", [f"{PREFIX}/login/", f"{PREFIX}/login/default/", f"{PREFIX}/login"])
def test_next_at_the_login_leads_nowhere_else(provider: StandIn, path: str) -> None:
    middleware = OAuth2Middleware(App(), make_settings(issuer=provider.issuer))
    for value in AWAY:
        answer = call(middleware, environ_for(path, QUERY_STRING="next=" + quote(value), **NAVIGATION))
        if answer.status == 303 and path.endswith("/"):
            jar = "; ".join(cookie.partition(";")[0] for cookie in answer.cookies.values())
            back = urlencode(provider.follow(answer.header("Location") or ""))
            answer = call(
                middleware,
                environ_for(f"{PREFIX}/login/callback/", QUERY_STRING=back, HTTP_COOKIE=jar, **NAVIGATION),
            )
            assert answer.header("Location") == f"{ORIGIN}/"
        elif answer.status == 303:
            assert is_here(answer.header("Location"))
        else:
            assert answer.status == 400


@pytest.mark.requirement("3d.9", "V29")
@pytest.mark.parametrize("value", AWAY, ids=ascii)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_next_at_the_logout_leads_nowhere_else(method: str, value: str) -> None:
    answer = call(
        guard(),
        environ_for(
            f"{PREFIX}/logout/", REQUEST_METHOD=method, QUERY_STRING="next=" + quote(value), **NAVIGATION
        ),
    )
    if answer.status != 400:
        assert answer.header("Location") == DONE


@pytest.mark.requirement("3d.10")
@pytest.mark.parametrize("value", [*AWAY, f"{PREFIX}/logout/", None], ids=ascii)
def test_a_destination_in_the_logouts_state_is_judged_again(value: str | None) -> None:
    """Also a destination that another version of this package has sealed."""
    middleware = guard()
    state = middleware._sessions.sealer.seal("logout-state", "", json.dumps(value).encode())
    answer = call(middleware, environ_for(f"{PREFIX}/logout/done/", QUERY_STRING=urlencode({"state": state})))
    assert answer.status == 200
    assert answer.header("Location") is None


@pytest.mark.requirement("3d.10")
def test_a_state_of_the_logout_that_was_not_sealed_here_says_nothing(site: Guarded) -> None:
    plain = urlsafe_b64encode(json.dumps("/a").encode()).decode()
    for state in (
        "/a",
        '"/a"',
        plain,
        f"{ORIGIN}/a",
        guard(public_url="https://other.example")._sessions.sealer.seal("logout-state", "", b'"/a"'),
    ):
        page = site.browser().navigate(DONE + "?" + urlencode({"state": state}), follow=False)
        assert page.status == 200


#: What only this browser may be sent back to, and never by a link.
KEPT = ("//evil.example/x", "///evil.example", "/\\evil.example")


@pytest.mark.requirement("3d.15", "V28", "R-destination")
@pytest.mark.parametrize(
    "path",
    [
        *KEPT,
        "http://evil.example/",
        "/a/..//evil.example",
        "/\r\nX: y",
    ],
)
def test_an_address_that_was_asked_for_is_judged_before_it_is_kept(path: str) -> None:
    answer = call(guard(), environ_for(path, QUERY_STRING="//evil.example", **NAVIGATION))
    assert answer.status == 401
    assert destination_shown(answer) is None
    assert (LOST in answer.text) == (path not in KEPT)
    program = call(guard(), environ_for(path, HTTP_ACCEPT="application/json"))
    assert "evil" not in program.text + (program.header("WWW-Authenticate") or "")


@pytest.mark.requirement("3d.15")
def test_an_address_that_was_sealed_by_an_older_version_is_judged_again(provider: StandIn) -> None:
    middleware = OAuth2Middleware(App(), make_settings(issuer=provider.issuer))
    for value in AWAY:
        begun = middleware._site()._login.begin("default", value, NO_SESSION)
        jar = "; ".join(cookie.partition(";")[0] for cookie in begun.headers.getall("Set-Cookie"))
        back = urlencode(provider.follow(begun.headers["Location"]))
        answer = call(
            middleware,
            environ_for(f"{PREFIX}/login/callback/", QUERY_STRING=back, HTTP_COOKIE=jar, **NAVIGATION),
        )
        assert answer.header("Location") == f"{ORIGIN}/"


@pytest.mark.requirement("3d.16", "W5", "V38")
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "app.example/abc?x=",
        "app.example/abc/?x=",
        "app.example#",
        "a b",
        "app.example\\evil",
        "app.example@evil",
        "",
        None,
    ],
)
def test_the_redirect_uri_is_the_configured_one_whatever_the_host(
    provider: StandIn, host: str | None
) -> None:
    middleware = OAuth2Middleware(
        App(), make_settings(public_url=f"{ORIGIN}/core", issuer=provider.issuer, public_paths="/abc/")
    )
    for path in ("/deep", f"{PREFIX}/login/", f"{PREFIX}/login/default/"):
        answer = call(
            middleware,
            environ_for(path, HTTP_HOST=host, SERVER_NAME="evil.example", SERVER_PORT="81", **NAVIGATION),
        )
        query = parse_qs(urlsplit(answer.header("Location") or "").query)
        assert query.get("redirect_uri") == [f"{ORIGIN}/core{PREFIX}/login/callback/"]
    answer = call(middleware, environ_for("/x", HTTP_HOST=host, HTTP_ACCEPT="*/*"))
    assert (answer.status, "evil" in answer.text) == (401, False)


FORWARDED = [
    ("HTTP_X_FORWARDED_HOST", "evil.example"),
    ("HTTP_X_FORWARDED_PROTO", "http"),
    ("HTTP_X_FORWARDED_PORT", "81"),
    ("HTTP_X_FORWARDED_PREFIX", "/public"),
    ("HTTP_X_FORWARDED_URI", "/public/x"),
    ("HTTP_X_FORWARDED_FOR", "127.0.0.1"),
    ("HTTP_X_REAL_IP", "127.0.0.1"),
    ("HTTP_X_ORIGINAL_URL", "/public/x"),
    ("HTTP_X_REWRITE_URL", "/public/x"),
    ("HTTP_X_ORIGINAL_HOST", "evil.example"),
    ("HTTP_FORWARDED", "host=evil.example;proto=http"),
    ("HTTP_CONNECTION", "X-Forwarded-Host"),
]


@pytest.mark.requirement("3d.17", "N2.5.10", "3g.9")
@pytest.mark.parametrize(("name", "value"), FORWARDED)
@pytest.mark.parametrize("spell", [str, lambda value: f"{value}, {value}", lambda _: "", str.upper])
def test_what_a_proxy_is_said_to_have_added_changes_nothing(name: str, value: str, spell: Any) -> None:
    app = App()
    middleware = guard(app, public_paths="/public/")
    for path in ("/deep", f"{PREFIX}/login/", f"{PREFIX}/logout/", f"{PREFIX}/nothing"):
        plain = call(middleware, environ_for(path, **NAVIGATION))
        forged = call(middleware, environ_for(path, **NAVIGATION, **{name: spell(value)}))
        assert (forged.status, forged.header("Location")) == (plain.status, plain.header("Location"))
        assert "evil" not in forged.text
    assert app.calls == 0


@pytest.mark.requirement("V11")
def test_the_page_about_a_failure_leads_back_to_this_site() -> None:
    middleware = guard(login_page=False, issuer="http://127.0.0.1:1")
    answers = [
        call(middleware, environ_for(f"{PREFIX}/login/", QUERY_STRING="next=" + quote(value), **NAVIGATION))
        for value in AWAY
    ]
    # Where the person wanted to go is kept for the link to try again, and it may be an address like these.
    for path in KEPT:
        answers.append(call(middleware, environ_for(path, **NAVIGATION)))
    for answer in answers:
        assert answer.status in (400, 503)
        links = [part.partition('"')[0] for part in answer.text.split('href="')[1:]]
        assert links
        assert all(link.startswith(f"{ORIGIN}/") for link in links)
        assert "evil" not in answer.text


@pytest.mark.requirement("N2.1.15")
def test_every_redirect_of_ours_is_a_303(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/deep")
    browser.navigate(f"{site.url}{PREFIX}/login")
    browser.navigate(LOGOUT, initiator=ORIGIN)
    ours = [step for step in browser.steps if step.url.startswith(ORIGIN) and step.location is not None]
    assert len(ours) >= 5
    assert {step.status for step in ours} == {303}


@pytest.mark.requirement("N2.1.14", "N2.5.7")
def test_the_callback_leaves_its_address_at_once_and_loads_nothing(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    page = browser.navigate(site.url + "/deep", stop_before=ORIGIN)
    page = browser.navigate(page.location or "", follow=False)
    assert (page.status, page.location, page.text) == (303, f"{ORIGIN}/deep", "")
    assert page.header("Cache-Control") == "no-store"
    assert page.header("Referrer-Policy") == "no-referrer"
    assert "default-src 'none'" in (page.header("Content-Security-Policy") or "")


@pytest.mark.requirement("N2.5.6", "3i.2")
def test_no_page_sees_where_a_person_came_from(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    challenge = browser.navigate(site.url + "/deep?token=secret", follow=False)
    provided = browser.navigate(challenge.location or "", stop_before=ORIGIN)
    answered = browser.navigate(provided.location or "", follow=False)
    assert (
        browser.navigate(LOGOUT, initiator="https://evil.example").header("Referrer-Policy") == "same-origin"
    )
    gone = browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
    for page in (challenge, answered, gone):
        assert page.status == 303
        assert page.header("Referrer-Policy") == "no-referrer"
    referers = [request.headers.get("Referer", "") for request in provider.requests]
    assert all("secret" not in referer and "code=" not in referer for referer in referers)


@pytest.mark.requirement("V18")
@pytest.mark.parametrize(
    "url",
    [
        "https://[" + ":" * 100_000 + "]/",
        "https://[" + "1:" * 50_000 + "]",
        "https://" + "a." * 100_000,
        "https://[::1%25eth0]/",
        "https://app.example:" + "9" * 100_000,
        "https://user:password@app.example",
        "https://app.example/#part",
        "https://app.example/?a=b",
        "//app.example",
        "javascript:alert(1)",
        "https://app.example\\@evil.example",
    ],
    ids=range(11),
)
def test_a_strange_address_in_the_settings_is_refused_and_does_not_hang(url: str) -> None:
    for key in ("public_url", "issuer", "logout_endpoint"):
        keys = {"public_url": ORIGIN, "issuer": "https://id.example", "client_id": "a", "client_secret": "b"}
        if key != "public_url" and url.endswith("?a=b"):
            continue
        with pytest.raises(ConfigError):
            Settings.from_mapping({"secret_keys": text_key(), **keys, key: url})


@pytest.mark.requirement("N2.1.1")
@pytest.mark.parametrize("public_url", [ORIGIN, f"{ORIGIN}/core", "http://localhost:8000"])
def test_a_redirect_uri_is_absolute_and_without_a_fragment(public_url: str) -> None:
    urls = Urls(make_settings(public_url=public_url, issuer="https://id.example"))
    for name in ("default", "corp"):
        parts = urlsplit(urls.callback(name))
        assert (parts.scheme, bool(parts.netloc), parts.query, parts.fragment) == (
            public_url.partition(":")[0],
            True,
            "",
            "",
        )
    with pytest.raises(ConfigError):
        make_settings(public_url=public_url + "/#x", issuer="https://id.example")


@pytest.mark.requirement("N2.1.13")
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/authorize?x",
        "https://id.example.evil.example/authorize",
        "https://id.example@evil.example/authorize",
        "https://id.example/other",
        "http://id.example/authorize",
        "https://id.example/authorize?a\r\nX: y",
        "https://id.example/authorize?\u2028",
        "//id.example/authorize",
    ],
)
def test_a_redirect_to_a_provider_goes_to_its_endpoint(url: str) -> None:
    endpoint = "https://id.example/authorize"
    assert Urls.to_provider(endpoint + "?a=b", endpoint=endpoint) == endpoint + "?a=b"
    with pytest.raises(ProviderError):
        Urls.to_provider(url, endpoint=endpoint)


@pytest.mark.requirement("V29")
def test_no_address_signs_anybody_in_or_out(site: Guarded) -> None:
    """Tokens count only in our forms and cookies, never in a query."""
    browser = site.browser()
    browser.navigate(site.url + "/")
    token = browser.navigate(LOGOUT, initiator="https://evil.example").form().value("csrf_token") or ""
    page = browser.navigate(LOGOUT + "?" + urlencode({"csrf_token": token}), initiator="https://evil.example")
    assert page.status == 200
    assert browser.fetch(site.url + "/").status == 200
    session = next(cookie for cookie in browser.jar if cookie.name == site.session_cookie)
    stranger: Browser = site.browser()
    query = urlencode({site.session_cookie: session.value, "access_token": "x", "id_token": "y"})
    assert stranger.fetch(f"{site.url}/?{query}").status == 401
