"""``auth``: what a proxy is told about a request, by the rules of the application."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.clocks import Clocks
from tests.support.browser.protected_targets import PROTECTED_TARGETS
from tests.support.clock import Clock
from tests.support.hosts.guarded import JANE, App, guard, sign_in
from tests.support.hosts.sign_in_parts import SignInParts
from tests.support.hosts.token_site import TokenSite, basic, bearer
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.settings.minimal import ORIGIN, make_settings, oidc, only_problem, service

RULES = """
public     /static/
denied     /internal/
required   /admin/ if group:admins
required   GET /api/
required   /api/ if group:editors
delegated  /app-api/
"""
AUTH = "/auth/oauth2/auth"
LOGIN = f"{ORIGIN}/auth/oauth2/login/"
PERSON: dict[str, Any] = {
    "HTTP_ACCEPT": "text/html",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
}
ADMIN = replace(JANE, groups=("admins", "a,b"), name="Jané Doe")
HEADERS = tuple(
    f"X-Auth-Request-{name}" for name in ("User", "Email", "Groups", "Preferred-Username", "Name")
)
NGINX = "X-Original-Method X-Original-URI"


class Proxy:
    """A proxy that asks, at a middleware of its own."""

    def __init__(self, identity: Identity | None = None, rules: str = RULES, **keys: Any) -> None:
        self.app = App()
        keys = {"trusted_peers": "127.0.0.1", "access": {"rules": rules}, **keys}
        self.middleware: OAuth2Middleware = guard(self.app, **keys)
        self.cookie = sign_in(self.middleware, identity) if identity is not None else None

    def ask(self, uri: str, method: str = "GET", *, query: str = "", **headers: Any) -> WsgiResponse:
        """Ask about a request; ``None`` leaves a header out."""
        told = {
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_X_FORWARDED_METHOD": method,
            "HTTP_X_FORWARDED_URI": uri,
            "HTTP_X_FORWARDED_HOST": "app.example",
            "HTTP_COOKIE": self.cookie,
            "QUERY_STRING": query,
        }
        answer = call(self.middleware, environ_for(AUTH, **{**told, **headers}))
        # Whatever it is, it is one of those that the proxies know.
        assert answer.status in (200, 401, 403, 503) or (answer.status == 303 and query == "redirect")
        assert self.app.calls == 0
        return answer

    def ask_nginx(self, uri: str, method: str = "GET", **headers: Any) -> WsgiResponse:
        told = {"HTTP_X_ORIGINAL_METHOD": method, "HTTP_X_ORIGINAL_URI": uri}
        forwarded = dict.fromkeys(
            ("HTTP_X_FORWARDED_METHOD", "HTTP_X_FORWARDED_URI", "HTTP_X_FORWARDED_HOST")
        )
        return self.ask("", **{**forwarded, **told, **headers})


# What the rules say


@pytest.mark.parametrize(
    ("identity", "method", "uri", "status"),
    [
        (None, "GET", "/static/x.css", 200),
        (None, "GET", "/", 401),
        (None, "GET", "/internal/", 403),
        (None, "GET", "/admin/", 401),
        (None, "GET", "/api/x", 401),
        (None, "GET", "/app-api/x", 401),
        (JANE, "GET", "/static/x.css", 200),
        (JANE, "GET", "/", 200),
        (JANE, "GET", "/wiki?x=/internal/", 200),
        (JANE, "GET", "/internal/", 403),
        (JANE, "GET", "/internal", 403),
        (JANE, "GET", "/admin/users?a=1", 403),
        (JANE, "GET", "/%61dmin/users", 403),
        (JANE, "GET", "/api/x", 200),
        (JANE, "HEAD", "/api/x", 200),
        (JANE, "POST", "/api/x", 403),
        (JANE, "get", "/api/x", 403),
        (JANE, "PROPFIND", "/api/x", 403),
        (ADMIN, "GET", "/admin/users", 200),
        (ADMIN, "DELETE", "/internal/x", 403),
    ],
)
@pytest.mark.requirement("R-forward-auth")
def test_the_rules_are_applied_to_the_request_that_is_asked_about(
    identity: Identity | None, method: str, uri: str, status: int
) -> None:
    proxy = Proxy(identity)
    assert proxy.ask(uri, method).status == status
    # The subrequest's own method says nothing.
    assert proxy.ask(uri, method, REQUEST_METHOD="POST").status == status
    nginx = Proxy(identity, forward_auth_headers=NGINX)
    assert nginx.ask_nginx(uri, method).status == status


def test_what_overrides_a_method_is_judged_as_well() -> None:
    assert Proxy(JANE).ask("/api/x", "GET", HTTP_X_HTTP_METHOD_OVERRIDE="DELETE").status == 403


def test_who_is_not_let_in_at_all_is_let_in_nowhere() -> None:
    assert Proxy(JANE, protect="optional", rules="required /in/").ask("/in/").status == 200
    assert Proxy(None, protect="optional", rules="required /in/").ask("/out").status == 200
    assert Proxy(None, protect="optional", rules="required /in/").ask("/in/").status == 401


def test_an_applications_own_token_passes_where_a_rule_delegates() -> None:
    proxy = Proxy()
    assert proxy.ask("/app-api/x", HTTP_AUTHORIZATION="Token abc").status == 200
    assert proxy.ask("/other", HTTP_AUTHORIZATION="Token abc").status == 401


def test_what_the_application_has_not_answered_yet_signs_nobody_out() -> None:
    proxy = Proxy(JANE, app_logout_paths="POST:/bye")
    vouched = {**PERSON, "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": ORIGIN}
    for query in ("", "redirect"):
        answer = proxy.ask("/bye", "POST", query=query, **vouched)
        assert (answer.status, answer.cookies) == (200, {})
        assert proxy.ask("/").status == 200


def test_a_preflight_is_no_way_in() -> None:
    preflight = {"HTTP_ORIGIN": "https://spa.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
    for mode in ("answer", "pass", "refuse"):
        proxy = Proxy(preflight=mode, cors_origins="https://spa.example")
        assert proxy.ask("/api/x", "OPTIONS", **preflight).status == 401


# Who it is


@pytest.mark.requirement("3e.6")
def test_a_proxy_is_told_who_it_is() -> None:
    answer = Proxy(ADMIN).ask("/")
    assert {name: answer.header(name) for name in HEADERS} == {
        "X-Auth-Request-User": "jane",
        "X-Auth-Request-Email": "jane@example.com",
        "X-Auth-Request-Groups": "admins,a%2Cb",
        "X-Auth-Request-Preferred-Username": "jane",
        "X-Auth-Request-Name": "Jané Doe".encode().decode("latin-1"),
    }
    assert (answer.text, answer.header("Content-Length")) == ("", "0")
    assert "no-store" in (answer.header("Cache-Control") or "")


@pytest.mark.requirement("3e.6")
@pytest.mark.parametrize("identity", [None, JANE, replace(JANE, email=None, groups=(), name="a\nb")])
@pytest.mark.parametrize("uri", ["/static/x", "/"])
def test_every_header_is_there_each_time_and_none_is_the_clients(identity: Identity | None, uri: str) -> None:
    forged = {f"HTTP_{name.upper().replace('-', '_')}": "root" for name in HEADERS}
    answer = Proxy(identity).ask(uri, **forged)
    assert answer.status == (401 if identity is None and uri == "/" else 200)
    if answer.status == 200:
        assert [len(answer.all_headers(name)) for name in HEADERS] == [1] * 5
        assert answer.header("X-Auth-Request-User") == ("" if uri != "/" else "jane")
    assert "root" not in str(answer.headers)


def test_a_session_that_is_used_is_renewed() -> None:
    clock = Clock()
    proxy = Proxy(clocks=Clocks(clock, clock))
    proxy.cookie = sign_in(proxy.middleware)
    assert proxy.ask("/").cookies == {}
    clock.now += 1900
    assert list(proxy.ask("/").cookies) == [proxy.middleware._sessions.cookies.session]


# Who is to sign in


@pytest.mark.parametrize("kind", [{}, PERSON, {"HTTP_ACCEPT": "application/json"}])
def test_who_is_to_sign_in_is_told_where(kind: dict[str, Any]) -> None:
    proxy = Proxy(login_page=False)
    answer = proxy.ask("/wiki/a?b=1", **kind)
    assert answer.status == 401
    assert answer.header("Location") == LOGIN + "?next=/wiki/a%3Fb%3D1"
    # Nothing begins that the proxy would have to hand on.
    assert answer.cookies == {}
    assert json.loads(answer.text)["status"] == 401
    assert answer.header("WWW-Authenticate") is None


def test_with_redirect_a_person_is_sent_there_and_a_program_is_not() -> None:
    proxy = Proxy(login_page=False)
    answer = proxy.ask("/wiki", query="redirect", **PERSON)
    assert (answer.status, answer.header("Location"), answer.cookies) == (303, LOGIN + "?next=/wiki", {})
    assert proxy.ask("/wiki", "POST", query="redirect", **PERSON).status == 303
    programs: list[dict[str, Any]] = [{}, {"HTTP_ACCEPT": "*/*"}, {**PERSON, "HTTP_SEC_FETCH_MODE": "cors"}]
    for program in programs:
        answer = proxy.ask("/wiki", query="redirect", **program)
        assert (answer.status, answer.header("Location")) == (401, LOGIN + "?next=/wiki")
    frame = {**PERSON, "HTTP_SEC_FETCH_DEST": "iframe"}
    assert proxy.ask("/wiki", query="redirect", **frame).status == 401


def test_a_head_is_answered_without_a_body_and_without_its_length() -> None:
    for answer in (Proxy().ask("/", "HEAD"), Proxy(JANE).ask("/admin/", "HEAD")):
        assert (answer.text, answer.header("Content-Length")) == ("", "0")


def test_a_cookie_that_means_nothing_is_expired_on_the_way() -> None:
    proxy = Proxy()
    name = proxy.middleware._sessions.cookies.session
    for query in ("", "redirect"):
        answer = proxy.ask("/", query=query, HTTP_COOKIE=f"{name}=nonsense", **PERSON)
        assert "Max-Age=0" in answer.cookies[name]


@pytest.mark.requirement("3d.14")
@pytest.mark.parametrize("target", PROTECTED_TARGETS)
@pytest.mark.parametrize("query", ["", "redirect"])
def test_the_login_leads_back_into_the_application_and_nowhere_else(target: str, query: str) -> None:
    uri = target.encode().decode("latin-1")
    answer = Proxy().ask(uri, query=query, **PERSON)
    location = answer.header("Location")
    if location is not None:
        assert location.startswith(LOGIN)
        for wanted in parse_qs(urlsplit(location).query).get("next", []):
            assert wanted.startswith("/")
            assert not wanted.startswith(("//", "/\\"))


@pytest.mark.requirement("3d.14")
@pytest.mark.parametrize(
    "octet", ["\r\nSet-Cookie: a=b", "\xff", '"', "<b>", "\\", "#", " ", "&next=//evil.example"]
)
def test_an_address_is_built_anew_before_it_stands_in_a_header(octet: str) -> None:
    answer = Proxy().ask(f"/wiki?x={octet}", **PERSON)
    location = answer.header("Location") or ""
    assert location.startswith(f"{LOGIN}?next=/wiki%3Fx%3D")
    assert re.fullmatch(r"[\w:/.?=%-]+", location, re.ASCII)


def test_an_address_that_only_its_browser_may_ask_for_travels_sealed() -> None:
    location = Proxy(odd_paths="/files/").ask("/files/a%2Fb", **PERSON).header("Location") or ""
    assert location.startswith(LOGIN + "?asked=")


def test_sign_ins_that_leave_no_session_go_in_no_circle() -> None:
    clock = Clock()
    parts, proxy = SignInParts(clock), Proxy(clocks=Clocks(clock, clock))
    for _ in range(3):
        parts.answer(parts.begin())
        del parts.jar[proxy.middleware._sessions.cookies.session]
    proxy.cookie = "; ".join(f"{name}={value}" for name, value in parts.jar.items())
    for query in ("", "redirect"):
        answer = proxy.ask("/", query=query, **PERSON)
        assert (answer.status, answer.header("Location")) == (403, None)
        assert "does not keep it" in answer.text
        assert proxy.ask("/", query=query).status == 401


# Who is refused


def test_who_may_not_pass_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "oauth2_mw.audit"):
        answer = Proxy(JANE).ask("/admin/users", "POST", **PERSON)
    assert json.loads(answer.text)["status"] == 403
    (line,) = caplog.messages
    assert "code=path_not_allowed" in line
    assert "'POST' '/admin/users': the rule required /admin/ if group:admins" in line


def test_with_redirect_a_person_who_may_not_pass_gets_the_page() -> None:
    answer = Proxy(JANE).ask("/admin/users", query="redirect", **PERSON)
    assert answer.status == 403
    assert "<bdi>jane</bdi>" in answer.text
    assert "/auth/oauth2/logout/" in answer.text


def test_a_person_who_must_prove_more_is_sent_on_where_the_proxy_passes_redirects_on() -> None:
    issuer = "http://127.0.0.1:1"
    endpoints = {f"{name}_endpoint": f"{issuer}/{name}" for name in ("authorization", "token")}
    jane = replace(JANE, issuer=issuer)
    keys = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks", "login_page": False, **endpoints}
    proxy = Proxy(jane, rules="required /x/ if acr:gold", **keys)
    answer = proxy.ask("/x/", query="redirect", **PERSON)
    assert answer.status == 303
    location = urlsplit(answer.header("Location") or "")
    assert (location.path, parse_qs(location.query)["acr_values"]) == ("/authorization", ["gold"])
    assert list(answer.cookies)
    assert proxy.ask("/x/", **PERSON).status == 403
    assert proxy.ask("/x/", query="redirect").status == 403


@pytest.mark.parametrize("query", ["", "redirect"])
def test_a_store_that_is_away_is_a_503_and_no_way_in(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    proxy = Proxy(JANE)

    def away(_header: str) -> None:
        raise StoreUnavailableError("away")

    for question in ("_at_hand", "_resolve"):
        monkeypatch.setattr(proxy.middleware, question, away)
    monkeypatch.setattr(proxy.middleware._sessions, "resolve", away)
    answer = proxy.ask("/", query=query, **PERSON)
    assert (answer.status, answer.header("Retry-After") is not None) == (503, True)
    assert proxy.ask("/static/x", query=query, **PERSON).status == 200


# What cannot be believed


@pytest.mark.requirement("R-forward-auth", "R-peers")
@pytest.mark.parametrize("peers", ["none", "127.0.0.1", "unix"])
@pytest.mark.parametrize("remote", ["203.0.113.9", "", None, "127.0.0.1"])
def test_a_stranger_is_told_nothing(peers: str, remote: str | None, caplog: pytest.LogCaptureFixture) -> None:
    proxy = Proxy(JANE, trusted_peers=peers)
    answer = proxy.ask("/static/x", REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR="127.0.0.1")
    is_trusted = (peers, remote) in (("127.0.0.1", "127.0.0.1"), ("unix", ""))
    assert answer.status == (200 if is_trusted else 403)
    if not is_trusted:
        assert "event=refused" in caplog.messages[-1]
        assert "code=forward_auth" in caplog.messages[-1]
        assert "trusted_peers" in caplog.messages[-1]


WRONG: list[dict[str, Any]] = [
    {"HTTP_X_FORWARDED_METHOD": None},
    {"HTTP_X_FORWARDED_URI": None},
    {"HTTP_X_FORWARDED_HOST": None},
    {"HTTP_X_FORWARDED_METHOD": ""},
    {"HTTP_X_FORWARDED_METHOD": "GET,GET"},
    {"HTTP_X_FORWARDED_METHOD": "GET, POST"},
    {"HTTP_X_FORWARDED_METHOD": "GET POST"},
    {"HTTP_X_FORWARDED_METHOD": "G" * 41},
    {"HTTP_X_FORWARDED_URI": ""},
    {"HTTP_X_FORWARDED_URI": "/static/x,/admin/"},
    {"HTTP_X_FORWARDED_URI": "/admin/,/static/x"},
    {"HTTP_X_FORWARDED_URI": "/static/x, /admin/"},
    {"HTTP_X_FORWARDED_URI": "/static/x,\t/admin/"},
    {"HTTP_X_FORWARDED_URI": "/static/x,https://app.example/admin/"},
    {"HTTP_X_FORWARDED_URI": "/static/x,HTTP:/admin/"},
    {"HTTP_X_FORWARDED_URI": "/static/x,ftp://app.example/"},
    {"HTTP_X_FORWARDED_URI": "/static/x?a=1,/admin/"},
    {"HTTP_X_FORWARDED_URI": "static/x"},
    {"HTTP_X_FORWARDED_URI": "*"},
    {"HTTP_X_FORWARDED_URI": "?/static/x"},
    {"HTTP_X_FORWARDED_URI": "https://app.example/static/x"},
    {"HTTP_X_FORWARDED_HOST": ""},
    {"HTTP_X_FORWARDED_HOST": "evil.example"},
    {"HTTP_X_FORWARDED_HOST": "app.example,app.example"},
    {"HTTP_X_FORWARDED_HOST": "app.example, evil.example"},
    {"HTTP_X_FORWARDED_HOST": "app.example:444"},
    {"HTTP_X_FORWARDED_HOST": "app.example:80"},
    {"HTTP_X_FORWARDED_HOST": "app.example."},
    {"HTTP_X_FORWARDED_HOST": "jane@app.example"},
    {"HTTP_X_FORWARDED_HOST": "app.example/"},
    {"HTTP_X_FORWARDED_HOST": "xapp.example"},
    # names that servers take for the same
    {"HTTP_X_Forwarded_Uri": "/static/x"},
    {"HTTP_X-FORWARDED-URI": "/static/x"},
    {"HTTP_X__FORWARDED_HOST": "app.example"},
    {"HTTP_X_FORWARDED.METHOD": "GET"},
    # the other family is no default
    {"HTTP_X_FORWARDED_URI": None, "HTTP_X_ORIGINAL_URI": "/static/x"},
    {"HTTP_X_FORWARDED_METHOD": None, "HTTP_X_ORIGINAL_METHOD": "GET"},
    {"HTTP_X_FORWARDED_URI": None, "HTTP_X_FORWARDED_PATH": "/static/x"},
    # one address may not be told twice
    {"HTTP_X_ORIGINAL_URL": "https://app.example/static/x"},
    {"HTTP_X_ORIGINAL_URL": ""},
    # our own
    {"HTTP_X_FORWARDED_URI": "/auth/oauth2/login/"},
    {"HTTP_X_FORWARDED_URI": "/auth/oauth2"},
    {"HTTP_X_FORWARDED_URI": AUTH},
    {"HTTP_X_FORWARDED_URI": "/%61uth/oauth2/static/x"},
    {"HTTP_X_FORWARDED_URI": "/oidc/callback"},
]


@pytest.mark.requirement("R-forward-auth")
@pytest.mark.parametrize("wrong", WRONG, ids=str)
@pytest.mark.parametrize("query", ["", "redirect"])
def test_what_is_missing_or_double_or_foreign_is_refused(
    wrong: dict[str, Any], query: str, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = Proxy(JANE, callback_path="/oidc/callback")
    answer = proxy.ask("/static/x", query=query, **wrong)
    assert answer.status == 403
    assert json.loads(answer.text)["reference"] in caplog.messages[0]
    assert [message.split()[0] for message in caplog.messages] == ["event=refused"]
    page = proxy.ask("/static/x", query=query, **PERSON, **wrong)
    assert (page.status, "<h1>" in page.text) == (403, True)
    assert "code=forward_auth" in caplog.messages[0]


@pytest.mark.parametrize(
    "uri",
    [
        "/static/a,b",
        "/static/x?ids=1,2",
        "/static/x?a,b:c",
        "/static/%2C/x",
        "/static/a,b:c",
        "/static/x?u=/,",
    ],
)
def test_a_comma_is_an_ordinary_character(uri: str) -> None:
    assert Proxy().ask(uri).status == 200


@pytest.mark.parametrize("host", ["APP.example", "app.example:443"])
def test_a_host_is_told_in_several_spellings(host: str) -> None:
    assert Proxy().ask("/static/x", HTTP_X_FORWARDED_HOST=host).status == 200


INGRESS: dict[str, Any] = {
    "HTTP_X_FORWARDED_URI": None,
    "HTTP_X_FORWARDED_HOST": None,
    "HTTP_X_FORWARDED_METHOD": None,
    "HTTP_X_ORIGINAL_METHOD": "GET",
}


@pytest.mark.requirement("R-forward-auth")
@pytest.mark.parametrize(
    "headers",
    ["X-Original-Method X-Original-URL", "X-Original-Method X-Original-URI X-Forwarded-Host", NGINX],
)
@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"{ORIGIN}/static/x", 200),
        (f"{ORIGIN}:443/static/x?a=1", 200),
        ("HTTPS://APP.example/static/x", 200),
        (f"{ORIGIN}/internal/", 403),
        (f"{ORIGIN}/wiki", 401),
        ("http://app.example/static/x", 403),
        ("https://evil.example/static/x", 403),
        ("https://app.example.evil/static/x", 403),
        ("https://app.example@evil.example/static/x", 403),
        ("https://jane@app.example/static/x", 403),
        ("https://app.example:444/static/x", 403),
        ("https:///static/x", 403),
        ("//app.example/static/x", 403),
        ("/static/x", 403),
        ("", 403),
        (f"{ORIGIN}", 403),
        (f"{ORIGIN}?/static/x", 403),
        (f"{ORIGIN}\\static/x", 403),
        (f"{ORIGIN}/static/x,{ORIGIN}/static/x", 403),
        (f"{ORIGIN}/static/x, {ORIGIN}/static/y", 403),
    ],
)
def test_the_whole_address_stands_for_uri_and_host(headers: str, url: str, status: int) -> None:
    proxy = Proxy(forward_auth_headers=headers)
    assert proxy.ask("", **INGRESS, HTTP_X_ORIGINAL_URL=url).status == status
    if headers != NGINX:
        wrong = {**INGRESS, "HTTP_X_FORWARDED_HOST": "evil.example"}
        expected = 403 if "Host" in headers else status
        assert proxy.ask("", **wrong, HTTP_X_ORIGINAL_URL=url).status == expected


@pytest.mark.requirement("R-forward-auth", "3g.9")
@pytest.mark.parametrize(
    "uri",
    [
        "/static//x",
        "//static/x",
        "//evil.example/x",
        "/static/../admin/",
        "/static/%2e%2e/admin/",
        "/static/..%2fadmin/",
        "/static/%252e%252e/admin/",
        "/static/x;a",
        "/static/%5c..%5cadmin",
        "/static/\\x",
        "/static/%3f/x",
        "/static/%23x",
        "/static/#x",
        "/static/%00",
        "/static/%0a",
        "/static/%zz",
        "/static/%",
        "/static/%ff",
        "/static/\xff",
        "/static/%ef%bc%8e%ef%bc%8e/x",
        "/static/.../x",
    ],
)
def test_an_odd_path_is_refused_even_where_nothing_is_stricter(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    for proxy in (Proxy(ADMIN), Proxy(ADMIN, rules=""), Proxy(ADMIN, rules="", protect="optional")):
        assert proxy.ask(uri).status == 403
        assert "code=odd_path" in caplog.messages[-1]
        assert "odd_paths" in caplog.messages[-1]


def test_in_odd_paths_the_strictest_reading_decides() -> None:
    proxy = Proxy(JANE, rules="denied /files/secret/", odd_paths="/files/")
    assert proxy.ask("/files/a%2Fb").status == 200
    assert proxy.ask("/files//a;b").status == 200
    assert proxy.ask("/files/a/..%2Fsecret/x").status == 403
    for uri in ("/files/%00", "/files/%5c", "/files/%ff", "/other//x"):
        assert proxy.ask(uri).status == 403


@pytest.mark.requirement("R-forward-auth")
@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("/core/static/x", 200),
        ("/%63ore/static/x", 200),
        ("/core", 401),
        ("/core/", 401),
        ("/core/internal/", 403),
        ("/static/x", 403),
        ("/", 403),
        ("/corex/static/x", 403),
        ("/core//static/x", 403),
        ("/core/../static/x", 403),
        ("//core/static/x", 403),
        ("/CORE/static/x", 403),
        ("/core/auth/oauth2/login/", 403),
    ],
)
def test_the_path_is_judged_below_the_mount(uri: str, status: int) -> None:
    proxy = Proxy(public_url=f"{ORIGIN}/core")
    for script in ("", "/core"):
        answer = proxy.ask(uri, SCRIPT_NAME=script, **PERSON)
        assert answer.status == status
        if status == 401:
            assert (answer.header("Location") or "").startswith(f"{ORIGIN}/core/auth/oauth2/login/")


@given(
    uri=st.text(st.characters(max_codepoint=255), max_size=60).map("/".__add__),
    method=st.text(st.characters(max_codepoint=255), max_size=8),
    host=st.sampled_from(["app.example", "evil.example", ""]),
    query=st.sampled_from(["", "redirect"]),
)
def test_whatever_is_asked_about_the_answer_is_one_that_proxies_know(
    uri: str, method: str, host: str, query: str
) -> None:
    answer = PROXY.ask(uri, method, query=query, HTTP_X_FORWARDED_HOST=host, **PERSON)
    if answer.status == 200:
        path = unquote_to_bytes(uri.partition("?")[0].encode("latin-1")).decode("latin-1")
        assert host == "app.example"
        assert path.startswith("/static/")


PROXY = Proxy()


# The setting


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "write two or three"),
        ("X-Forwarded-Uri", "write two or three"),
        ("X-A X-B X-C X-D", "write two or three"),
        ("X-A X-a", "different headers"),
        ("X-Forwarded-Method Host", "is not the name of a header that proxies add"),
        ("X-Forwarded-Method X_Forwarded_Uri", "is not the name"),
        ("X-Forwarded-Method, X-Forwarded-Uri", "not by commas"),
        ("none", "is not the name"),
    ],
)
def test_names_of_headers_that_cannot_be_used_are_explained(text: str, part: str) -> None:
    found = only_problem(service(**oidc(), trusted_peers="10.0.0.1", forward_auth_headers=text))
    assert found.startswith("[oauth2_mw] forward_auth_headers: ")
    assert part in found


def test_headers_without_somebody_who_is_trusted_are_a_mistake() -> None:
    found = only_problem(service(**oidc(), forward_auth_headers=NGINX))
    assert found.startswith("[oauth2_mw] forward_auth_headers: means nothing without trusted_peers")
    assert make_settings(**oidc()).forward_auth_headers.host == "X-Forwarded-Host"


def test_the_address_has_no_slash_and_no_other_address_asks() -> None:
    proxy = Proxy(JANE)
    told = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_METHOD": "GET", "HTTP_X_FORWARDED_URI": "/"}
    for path in (f"{AUTH}/", f"{AUTH}x", "/auth"):
        environ = environ_for(path, **told, HTTP_X_FORWARDED_HOST="app.example", HTTP_COOKIE=None)
        assert call(proxy.middleware, environ).status in (404, 401)
    assert quote(AUTH) == AUTH


# Programs


@pytest.mark.parametrize("header", [basic, bearer])
def test_a_personal_token_serves_where_it_serves_without_a_proxy(tmp_path: Path, header: Any) -> None:
    site = TokenSite(tmp_path, trusted_peers="127.0.0.1")
    token = site.make(read_only=True)

    def ask(uri: str, authorization: str | None, method: str = "GET") -> WsgiResponse:
        told = {"HTTP_X_FORWARDED_METHOD": method, "HTTP_X_FORWARDED_URI": uri}
        host = {"HTTP_X_FORWARDED_HOST": "app.example", "REMOTE_ADDR": "127.0.0.1"}
        return site.get(AUTH, authorization, **told, **host)

    answer = ask("/dav/x", header(token))
    assert (answer.status, answer.header("X-Auth-Request-User"), answer.cookies) == (200, "jane", {})
    assert ask("/dav/x", header(token), "PUT").status == 403
    assert ask("/other", header(token)).status == 401
    assert ask("/dav/x", header(token)[:-3] + "AAA").status == 401
    answer = ask("/dav/x", None)
    assert (answer.status, answer.all_headers("WWW-Authenticate")) == (
        401,
        [f'Basic realm="{ORIGIN}", charset="UTF-8"'],
    )
    assert site.app.calls == 0
