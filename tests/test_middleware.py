"""The WSGI callable: who gets through, what the application sees, and that it is never asked when it must not be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from tests.support.clock import ShiftedClocks
from tests.support.hosts import guarded
from tests.support.hosts.guarded import guard
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.settings.minimal import ORIGIN

HTML = "text/html,*/*;q=0.8"
COOKIE = "__Host-oauth2_mw"
JANE = replace(guarded.JANE, username="jané", groups=("staff", "a,b"))


class App:
    """Counts its calls and keeps the last environ."""

    def __init__(self) -> None:
        self.calls = 0
        self.environ: dict[str, Any] = {}
        self.iterable: list[bytes] = [b"hello"]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls += 1
        self.environ = environ
        start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "app=1")])
        return self.iterable


@pytest.fixture
def app() -> App:
    return App()


def sign_in(middleware: OAuth2Middleware, identity: Identity = JANE, **tokens: str) -> str:
    """A ``Cookie`` header of a live session."""
    return guarded.sign_in(middleware, identity, **tokens)


# Nobody is signed in


@pytest.mark.requirement("3g.7")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "GETX"])
@pytest.mark.parametrize("accept", [HTML, "*/*", None])
@pytest.mark.parametrize("cookie", [None, f"{COOKIE}=rubbish", f"{COOKIE}={'A' * 200}", f"{COOKIE}.1=x"])
def test_the_application_is_not_asked_for_a_request_that_is_not_allowed(
    app: App, method: str, accept: str | None, cookie: str | None
) -> None:
    environ = environ_for(
        "/x", REQUEST_METHOD=method, HTTP_ACCEPT=accept, HTTP_COOKIE=cookie, HTTP_RANGE="bytes=0-1"
    )
    answer = call(guard(app), environ)
    assert app.calls == 0
    assert answer.status == 401


def test_a_program_gets_401_and_json_and_begins_no_attempt(app: App) -> None:
    answer = call(guard(app), environ_for("/api", HTTP_ACCEPT="application/json", QUERY_STRING="a=1"))
    assert answer.status == 401
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.header("WWW-Authenticate") is None
    assert "login_url" in answer.text
    assert answer.cookies == {}


def test_with_one_provider_a_person_goes_to_the_login_page_when_it_is_asked_for(app: App) -> None:
    answer = call(guard(app), environ_for("/deep", HTTP_ACCEPT=HTML, QUERY_STRING="a=1"))
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") is None
    assert f"{ORIGIN}/auth/oauth2/login/default/?next=/deep%3Fa%3D1" in answer.text


def test_the_login_page_at_its_own_address_is_a_200(app: App) -> None:
    answer = call(guard(app), environ_for("/auth/oauth2/login/", HTTP_ACCEPT=HTML))
    assert answer.status == 200
    assert answer.header("WWW-Authenticate") is None


@pytest.mark.requirement("W5", "V38")
def test_the_host_header_is_never_read(app: App) -> None:
    for host in ("evil.example", "app.example/x?y=", "a b", "\xff", None):
        answer = call(guard(app), environ_for("/deep", HTTP_ACCEPT=HTML, HTTP_HOST=host))
        assert "evil" not in answer.text
        assert answer.status == 401


@pytest.mark.requirement("3c.1")
def test_a_bad_session_cookie_is_expired(app: App) -> None:
    answer = call(
        guard(app), environ_for("/", HTTP_ACCEPT=HTML, HTTP_COOKIE=f"{COOKIE}=bad; {COOKIE}.1=bad; x=1")
    )
    assert set(answer.cookies) == {COOKIE, f"{COOKIE}.1"}
    assert all("Max-Age=0" in cookie for cookie in answer.cookies.values())


def test_with_no_provider_enabled_protected_paths_are_closed_and_public_ones_open(app: App) -> None:
    middleware = guard(app, enabled=False, public_paths="/static/")
    answer = call(middleware, environ_for("/", HTTP_ACCEPT=HTML))
    assert answer.status == 503
    assert app.calls == 0
    assert call(middleware, environ_for("/auth/oauth2/login/")).status == 503
    assert call(middleware, environ_for("/auth/oauth2/login/callback/")).status == 404
    assert call(middleware, environ_for("/static/x")).status == 200
    assert app.calls == 1


# Optional and public paths


def test_optional_hands_on_everybody_and_says_nothing_of_nobody(app: App) -> None:
    middleware = guard(app, protect="optional")
    assert call(middleware, environ_for("/")).status == 200
    assert "REMOTE_USER" not in app.environ
    assert "AUTH_TYPE" not in app.environ
    answer = call(middleware, environ_for("/", HTTP_COOKIE=f"{COOKIE}=bad"))
    assert answer.status == 200
    assert "Max-Age=0" in answer.cookies[COOKIE]
    assert answer.cookies["app"] == "app=1"
    assert call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware))).status == 200
    assert app.environ["REMOTE_USER"] == "jané".encode().decode("latin-1")


def test_a_public_path_needs_nobody_and_is_told_of_nobody(app: App) -> None:
    middleware = guard(app, public_paths="/static/ /robots.txt")
    cookie = sign_in(middleware)
    assert call(middleware, environ_for("/static/a.css", HTTP_COOKIE=f"a=1; {cookie}; b=2")).status == 200
    assert "REMOTE_USER" not in app.environ
    assert app.environ["HTTP_COOKIE"] == "a=1; b=2"
    call(middleware, environ_for("/robots.txt", HTTP_COOKIE=cookie))
    assert "HTTP_COOKIE" not in app.environ
    call(middleware, environ_for("/robots.txt", HTTP_COOKIE="theme=dark"))
    assert app.environ["HTTP_COOKIE"] == "theme=dark"


@pytest.mark.requirement("3g.5")
@pytest.mark.parametrize(
    "path",
    [
        "/static/../admin",
        "/static//x",
        "/static/%2e%2e/x",
        "/static/x;y",
        "/static/\\x",
        "/static/\x00",
        "/static/\xff",
    ],
)
def test_an_odd_path_is_never_public(app: App, path: str) -> None:
    assert call(guard(app, public_paths="/static/"), environ_for(path)).status == 401
    assert app.calls == 0


@pytest.mark.requirement("3g.2")
@pytest.mark.parametrize("script", ["/static", "/x", "/core/", "core"])
def test_a_foreign_script_name_is_never_public_and_never_ours(app: App, script: str) -> None:
    middleware = guard(app, public_url="https://app.example/core", public_paths="/static/")
    for path in ("/static/x", "/auth/oauth2/login/"):
        answer = call(middleware, environ_for(path, SCRIPT_NAME=script))
        assert answer.status == 401
        assert app.calls == 0
    assert call(middleware, environ_for("/static/x", SCRIPT_NAME="/core")).status == 200
    assert call(middleware, environ_for("/auth/oauth2/login/", SCRIPT_NAME="/core")).status == 200


@pytest.mark.parametrize("script", ["", "/core"])
def test_a_destination_is_the_path_that_the_browser_sees(app: App, script: str) -> None:
    middleware = guard(app, public_url="https://app.example/core")
    answer = call(middleware, environ_for("/deep", SCRIPT_NAME=script, HTTP_ACCEPT=HTML))
    assert "https://app.example/core/auth/oauth2/login/default/?next=/core/deep" in answer.text


@pytest.mark.requirement("3d.15")
@pytest.mark.parametrize(
    "path", ["//evil.example/x", "/\\evil.example", "http://evil.example/", "/a/../..//evil.example"]
)
def test_a_path_that_could_lead_away_is_forgotten(app: App, path: str) -> None:
    answer = call(guard(app), environ_for(path, HTTP_ACCEPT=HTML))
    assert answer.status == 401
    assert "evil" not in answer.text


# Somebody is signed in


def test_the_application_sees_who_is_signed_in(app: App) -> None:
    middleware = guard(app, environ={"REMOTE_EMAIL": "email", "HTTP_X_GROUPS": "groups"})
    answer = call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware)))
    assert answer.status == 200
    assert app.environ["REMOTE_USER"] == "jané".encode().decode("latin-1")
    assert app.environ["AUTH_TYPE"] == "OAuth2"
    assert app.environ["REMOTE_EMAIL"] == "jane@example.com"
    assert app.environ["HTTP_X_GROUPS"] == "staff,a%2Cb"
    assert app.environ["oauth2_mw.identity"] == JANE


def test_the_applications_own_iterable_comes_back(app: App) -> None:
    middleware = guard(app)
    assert call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware))).iterable is app.iterable


class CachingApp:
    """Says to caches what it is told to."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        self.headers = headers

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), *self.headers])
        return [b""]


@pytest.mark.requirement("3i.4", "V34", "R-shared-caches")
@pytest.mark.parametrize(
    ("own", "refused"),
    [
        ("public, max-age=60", "private, max-age=60"),
        ("s-maxage=60", "private"),
        ("max-age=60", "private, max-age=60"),
        ("no-store", "no-store"),
    ],
)
@pytest.mark.parametrize("protect", ["required", "optional"])
def test_a_persons_page_stays_out_of_shared_caches_unless_a_setting_says_otherwise(
    own: str, refused: str, protect: str
) -> None:
    app = CachingApp(("Cache-Control", own), ("CDN-Cache-Control", "max-age=9"), ("Vary", "Accept"))
    middleware = guard(app, protect=protect)
    answer = call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware)))
    assert answer.all_headers("Cache-Control") == [refused]
    assert answer.all_headers("CDN-Cache-Control") == []
    assert answer.all_headers("Vary") == ["Accept, Cookie"]
    middleware = guard(app, protect=protect, shared_caches="respect")
    answer = call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware)))
    assert answer.all_headers("Cache-Control") == ["private, max-age=60" if own == "max-age=60" else own]
    assert answer.all_headers("CDN-Cache-Control") == ["max-age=9"]
    assert answer.all_headers("Vary") == ["Accept, Cookie"]


def test_what_is_nobodys_page_says_to_caches_what_the_application_says() -> None:
    app = CachingApp(("Cache-Control", "public"))
    public = guard(app, public_paths="/$")
    answer = call(public, environ_for("/", HTTP_COOKIE=sign_in(public)))
    assert (answer.all_headers("Cache-Control"), answer.all_headers("Vary")) == (["public"], [])
    answer = call(guard(app, protect="optional"), environ_for("/"))
    assert (answer.all_headers("Cache-Control"), answer.all_headers("Vary")) == (["public"], [])


def test_our_cookies_are_hidden_unless_asked_otherwise(app: App) -> None:
    middleware = guard(app)
    cookie = sign_in(middleware)
    call(middleware, environ_for("/", HTTP_COOKIE=f"a=1; {cookie}; {COOKIE}-a-a=x; b"))
    assert app.environ["HTTP_COOKIE"] == "a=1; b"
    middleware = guard(app, hide_cookies=False)
    call(middleware, environ_for("/", HTTP_COOKIE=f"a=1; {cookie}"))
    assert app.environ["HTTP_COOKIE"] == f"a=1; {cookie}"


@pytest.mark.requirement("3e.1", "3e.2", "V36")
@pytest.mark.parametrize("path", ["/", "/static/x", "/auth/oauth2/nothing"])
@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        "REMOTE_USER",
        "AUTH_TYPE",
        "HTTP_REMOTE_USER",
        "HTTP_REMOTE.USER",
        "HTTP_X_REMOTE_USER",
        "HTTP_X_FORWARDED_USER",
        "HTTP_X_AUTH_REQUEST_EMAIL",
        "oauth2_mw.identity",
        "REMOTE_EMAIL",
        "HTTP_REMOTE_EMAIL",
    ],
)
def test_what_a_client_says_of_itself_never_arrives(
    app: App, key: str, path: str, *, signed_in: bool
) -> None:
    middleware = guard(app, protect="optional", public_paths="/static/", environ={"REMOTE_EMAIL": "email"})
    environ = environ_for(path, HTTP_COOKIE=sign_in(middleware) if signed_in else None, **{key: "mallory"})
    call(middleware, environ)
    assert "mallory" not in environ.values()
    assert "mallory" not in app.environ.values()


def test_basic_credentials_do_not_outlive_us(app: App) -> None:
    for setting, kept in (("basic", {"Bearer t"}), ("all", set()), ("none", {"Bearer t", "Basic eDp5"})):
        middleware = guard(app, strip_authorization=setting)
        for value in ("Bearer t", "Basic eDp5", "bAsIc eDp5"):
            call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware), HTTP_AUTHORIZATION=value))
            assert ("HTTP_AUTHORIZATION" in app.environ) == (value in kept or (setting == "none"))


@pytest.mark.requirement("3c.4")
def test_a_session_of_another_application_signs_nobody_in(app: App) -> None:
    elsewhere = guard(app, public_url="https://app.example/other")
    assert call(guard(app), environ_for("/", HTTP_COOKIE=sign_in(elsewhere))).status == 401


def test_a_session_ends_with_its_provider(app: App) -> None:
    cookie = sign_in(guard(app))
    assert (
        call(guard(app, issuer="https://other.example"), environ_for("/", HTTP_COOKIE=cookie)).status == 401
    )
    named = {"client_id": None, "client_secret": None, "issuer": None}
    other = {"provider:corp": {"issuer": "https://id.example", "client_id": "x", "client_secret": "y"}}
    assert call(guard(app, **named, **other), environ_for("/", HTTP_COOKIE=cookie)).status == 401


@pytest.mark.requirement("3c.14")
def test_a_session_ends_after_its_idle_time_and_after_its_lifetime(app: App) -> None:
    clock = ShiftedClocks()
    middleware = guard(app, clocks=clock.clocks, session_lifetime="2h", session_idle="30m")
    cookie = sign_in(middleware)
    clock.ahead += 29 * 60
    answer = call(middleware, environ_for("/", HTTP_COOKIE=cookie))
    assert answer.status == 200
    clock.ahead += 60
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 401
    # In use every ten minutes from here on, so that the lifetime alone can end it.
    cookie = cookie_of(answer)
    for _ in range(8):
        clock.ahead += 10 * 60
        answer = call(middleware, environ_for("/", HTTP_COOKIE=cookie))
        assert answer.status == 200
        cookie = cookie_of(answer, cookie)
    clock.ahead += 9 * 60
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200
    clock.ahead += 60
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 401


def test_use_is_written_down_now_and_then_and_not_with_every_response(app: App) -> None:
    clock = ShiftedClocks()
    middleware = guard(app, clocks=clock.clocks, session_idle="1h")
    cookie = sign_in(middleware)
    assert set(call(middleware, environ_for("/", HTTP_COOKIE=cookie)).cookies) == {"app"}
    clock.ahead += 8 * 60
    answer = call(middleware, environ_for("/", HTTP_COOKIE=cookie))
    assert set(answer.cookies) == {"app", COOKIE}


def test_a_renewed_session_of_an_exception_page_keeps_exc_info(app: App) -> None:
    clock = ShiftedClocks()
    middleware = guard(app, clocks=clock.clocks, session_idle="1h")
    cookie = sign_in(middleware)
    clock.ahead += 10 * 60
    calls: list[Any] = []

    def failing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("500 Oh", [("Content-Type", "text/plain")], (ValueError, ValueError("x"), None))
        return []

    middleware._app = failing

    def start_response(*arguments: Any) -> Callable[[bytes], object]:
        calls.append(arguments)
        return lambda _: None

    middleware(environ_for("/", HTTP_COOKIE=cookie), start_response)
    assert [len(arguments) for arguments in calls] == [2, 3]
    assert all(any(name == "Set-Cookie" for name, _ in arguments[1]) for arguments in calls)


def test_a_request_is_refused_when_nobody_can_say_whether_its_session_was_ended(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    middleware = guard(app)
    cookie = sign_in(middleware)

    def away(*_: object) -> bool:
        raise StoreUnavailableError("the directory is away")

    # It is time to read the list again, and the list is away.
    middleware._sessions.revocations.next_sync_at = 0.0
    monkeypatch.setattr(middleware._sessions.revocations, "_refresh", away)
    for path in ("/", "/auth/oauth2/logout/"):
        page = call(middleware, environ_for(path, HTTP_COOKIE=cookie, HTTP_ACCEPT=HTML))
        assert (page.status, page.header("Content-Type")) == (503, "text/html; charset=utf-8")
        assert page.header("Retry-After")
        program = call(middleware, environ_for(path, HTTP_COOKIE=cookie))
        assert (program.status, program.header("Content-Type")) == (503, "application/problem+json")
    assert app.calls == 0


# Our own URLs


@pytest.mark.parametrize("accept", [HTML, "*/*"])
def test_a_mount_that_was_not_stripped_is_told_instead_of_a_loop(
    app: App, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    middleware = guard(app, public_url="https://app.example/core")
    answer = call(middleware, environ_for("/core/auth/oauth2/login/callback/", HTTP_ACCEPT=accept))
    assert answer.status == 503
    assert "have the server set SCRIPT_NAME" in caplog.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 404),
        ("/", 404),
        ("/nothing", 404),
        ("/login/nobody/", 404),
        ("/login/callback/nobody/", 404),
        ("/login/callback/default/", 404),
        ("/login/../login/", 404),
        ("/login//", 404),
        ("/icon/default", 404),
        ("/icon/../../x", 404),
        ("/static/nothing.css", 404),
        ("/static/oauth2_mw.css", 200),
        ("/static/icons/key.svg", 200),
        ("/static/icons/../oauth2_mw.css", 404),
        ("/static/", 404),
        ("/login/", 200),
        ("/logout/done/", 200),
        ("/logout/", 303),
        ("/login/callback/", 400),
        ("/login/\xff/", 400),
        ("/\x00", 400),
        ("/login/\r\n", 400),
    ],
)
def test_our_own_urls_and_nothing_else_answer_under_the_prefix(app: App, path: str, status: int) -> None:
    answer = call(guard(app), environ_for("/auth/oauth2" + path))
    assert answer.status == status
    assert app.calls == 0


@pytest.mark.parametrize("path", ["/login", "/login/default", "/logout", "/logout/done", "/login/callback"])
def test_a_missing_slash_is_added(app: App, path: str) -> None:
    answer = call(guard(app), environ_for("/auth/oauth2" + path, QUERY_STRING="a=%41&b=\xff\r\nX: y"))
    assert answer.status == 303
    assert answer.header("Location") == f"{ORIGIN}/auth/oauth2{path}/?a=%41&b=%C3%BF%0D%0AX:%20y"
    assert call(guard(app), environ_for("/auth/oauth2" + path, REQUEST_METHOD="POST")).status == 404


@pytest.mark.parametrize(
    "path", ["/login/", "/login/default/", "/logout/done/", "/static/oauth2_mw.css", "/login/callback/"]
)
def test_other_methods_are_refused(app: App, path: str) -> None:
    answer = call(guard(app), environ_for("/auth/oauth2" + path, REQUEST_METHOD="DELETE"))
    assert answer.status == 405
    assert "GET" in (answer.header("Allow") or "")


def test_a_head_request_does_not_use_up_a_code(app: App) -> None:
    assert call(guard(app), environ_for("/auth/oauth2/login/callback/", REQUEST_METHOD="HEAD")).status == 405


@pytest.mark.requirement("W6", "W9")
@pytest.mark.parametrize("path", ["/login/", "/login/callback/", "/logout/", "/logout/done/"])
@pytest.mark.parametrize(
    "query", ["next=%ff&state=%ff", "next=%00&state=%00", "next=a&next=b&state=a&state=b", "%zz", "a" * 20000]
)
def test_a_query_that_cannot_be_read_is_400_on_our_urls(app: App, path: str, query: str) -> None:
    middleware = guard(app)
    cookie = sign_in(middleware)
    answer = call(middleware, environ_for("/auth/oauth2" + path, QUERY_STRING=query, HTTP_COOKIE=cookie))
    assert answer.status == 400


@pytest.mark.parametrize("query", ["next=%ff", "%zz", "a&a", "\x00"])
def test_a_query_on_the_applications_urls_is_passed_on_unread(app: App, query: str) -> None:
    middleware = guard(app)
    environ = environ_for("/", QUERY_STRING=query, HTTP_HOST="any thing", HTTP_COOKIE=sign_in(middleware))
    assert call(middleware, environ).status == 200
    assert app.environ["QUERY_STRING"] == query
    assert app.environ["HTTP_HOST"] == "any thing"


@pytest.mark.requirement("3i.2", "3i.3", "3j.4")
@pytest.mark.parametrize(
    "path", ["/", "/auth/oauth2/login/", "/auth/oauth2/nothing", "/auth/oauth2/static/oauth2_mw.css"]
)
@pytest.mark.parametrize("accept", [HTML, "*/*"])
def test_every_response_of_ours_carries_the_headers_that_keep_it_private(
    app: App, path: str, accept: str
) -> None:
    answer = call(guard(app), environ_for(path, HTTP_ACCEPT=accept))
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    policy = answer.header("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.requirement("W6")
@given(
    st.sampled_from(
        ["/auth/oauth2/", "/auth/oauth2/login/", "/auth/oauth2/login/callback/", "/auth/oauth2/logout/", "/"]
    ),
    st.text(st.characters(max_codepoint=255), max_size=30),
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.sampled_from(["GET", "POST", "HEAD"]),
)
def test_no_request_makes_an_error_of_ours(path: str, more: str, query: str, method: str) -> None:
    app = App()
    environ = environ_for(
        path + more, QUERY_STRING=query, REQUEST_METHOD=method, CONTENT_LENGTH=str(len(more))
    )
    assert call(SHARED, environ).status < 500
    assert app.calls == 0


SHARED = guard(App())


# Construction


def test_construction_opens_no_connection(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    guard(app, preload=True)


def test_a_client_key_that_cannot_sign_stops_the_start(app: App) -> None:
    with pytest.raises(ConfigError) as refusal:
        guard(app, client_secret=None, client_auth_method="private_key_jwt", client_key='{"d": "canary"}')
    (problem,) = refusal.value.problems
    assert str(problem).startswith("[oauth2_mw] client_key: cannot be used: it is damaged")
    assert "canary" not in str(refusal.value)


def cookie_of(answer: WsgiResponse, before: str = "") -> str:
    """The session cookie after an answer."""
    new = answer.cookies.get(COOKIE)
    return new.partition(";")[0] if new else before


# How it starts


def test_of_many_first_requests_one_builds_what_answers_them(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    middleware = guard(app)

    class Building:
        """A lock that nobody gets before all have come to it."""

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._all = threading.Barrier(4)

        def __enter__(self) -> None:
            self._all.wait(30)
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    monkeypatch.setattr(middleware, "_building", Building())
    with ThreadPoolExecutor(4) as pool:
        sites = set(pool.map(lambda _: middleware._site(), range(4)))
    assert len(sites) == 1
    assert sites == {middleware._site()}


# Two of them


class Wrapper:
    """Any middleware of somebody else."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


@pytest.mark.parametrize(
    ("keys", "key"),
    [({}, "cookie_name"), ({"prefix": "/sso"}, "cookie_name"), ({"cookie_name": "other"}, "prefix")],
)
@pytest.mark.parametrize("between", [lambda app: app, Wrapper, lambda app: Wrapper(Wrapper(app))])
def test_one_inside_another_does_not_start(app: App, between: Any, keys: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        guard(between(guard(app)), **keys)
    (problem,) = caught.value.problems
    assert (problem.section, problem.key) == ("oauth2_mw", key)
    assert "take one of them out" in problem.text


def test_one_inside_another_with_names_of_its_own_starts(app: App) -> None:
    guard(guard(app), cookie_name="other", prefix="/sso")


def test_one_behind_another_that_was_not_seen_at_the_start_is_told_once(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    inner = guard(app, public_url="https://app.example/core")
    outer = guard(lambda environ, start_response: inner(environ, start_response), protect="optional")
    for _ in range(2):
        call(outer, environ_for("/"))
    lines = [line for line in caplog.messages if "behind another OAuth2Middleware" in line]
    assert len(lines) == 1
    assert "https://app.example/core is behind" in lines[0]
