"""Programs, scripts of other origins and WebSockets in front of the application: what they are told."""

from __future__ import annotations

import io
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.middleware import OAuth2Middleware
from tests.support.hosts.guarded import App, guard, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.hosts.wsgi_thread import serve
from tests.support.settings.minimal import ORIGIN, oauth, oidc, problems, service

SPA = "https://spa.example"
PERSON = {"HTTP_ACCEPT": "text/html"}
PREFLIGHT = {
    "REQUEST_METHOD": "OPTIONS",
    "HTTP_ORIGIN": SPA,
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT",
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "x-a, content-type",
}


def cors_headers(answer: WsgiResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.lower().startswith("access-control-")}


# The challenge


@pytest.mark.requirement("R-basic")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PROPFIND", "POST"])
@pytest.mark.parametrize(
    "keys", [{}, {"HTTP_AUTHORIZATION": "Basic eDp5"}, {"HTTP_AUTHORIZATION": "Bearer x"}, PERSON]
)
def test_a_401_offers_no_scheme_that_does_not_serve(method: str, keys: dict[str, str]) -> None:
    answer = call(guard(), environ_for("/x", REQUEST_METHOD=method, **keys))
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") is None


def test_a_program_is_told_where_to_sign_in() -> None:
    answer = call(guard(), environ_for("/api", HTTP_ACCEPT="application/json", QUERY_STRING="a=1"))
    assert answer.header("Content-Type") == "application/problem+json"
    document = json.loads(answer.text)
    assert document["status"] == 401
    assert document["login_url"] == f"{ORIGIN}/auth/oauth2/login/?next=/api%3Fa%3D1"
    assert answer.cookies == {}


@pytest.fixture
def loopback() -> Iterator[str]:
    with serve(guard(public_url="http://localhost")) as origin:
        yield origin


def test_curl_and_git_say_what_it_is(loopback: str, tmp_path: Path) -> None:
    curl = subprocess.run(
        [
            "curl",
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--noproxy",
            "*",
            "--user",
            "a:b",
            f"{loopback}/x",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert curl.returncode == 22
    assert "Open login_url in a browser window" in curl.stdout
    git = subprocess.run(
        ["git", "-c", "http.proxy=", "-c", "credential.helper=", "ls-remote", f"{loopback}/repo.git"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={"GIT_TERMINAL_PROMPT": "0", "PATH": "/usr/bin:/bin", "no_proxy": "*", "LC_ALL": "C"},
    )
    assert git.returncode != 0
    assert (
        "401" in git.stderr
        or "Authentication failed" in git.stderr
        or "could not read Username" in git.stderr
    )


@pytest.mark.parametrize(
    "handler", [urllib.request.HTTPBasicAuthHandler, urllib.request.HTTPDigestAuthHandler]
)
def test_the_handlers_of_python_raise_an_http_error_and_nothing_else(loopback: str, handler: Any) -> None:
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, loopback, "jane", "secret")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler(passwords))
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(f"{loopback}/x", timeout=30)
    assert caught.value.code == 401
    assert "login_url" in caught.value.read().decode()


# Bodies


@pytest.mark.requirement("R-body")
@pytest.mark.parametrize(
    ("path", "identity", "rules"),
    [
        ("/x", None, ""),
        ("/x", None, "denied /x"),
        ("/x", "jane", "required /x if group:nobody"),
        ("/a//b", None, "denied /x"),
    ],
)
def test_the_body_of_a_refused_request_is_read(path: str, identity: str | None, rules: str) -> None:
    app = App()
    middleware = guard(app, access={"rules": rules})
    body = io.BytesIO(b"x" * 200_000)
    keys = {"HTTP_COOKIE": sign_in(middleware)} if identity else {}
    environ = environ_for(path, REQUEST_METHOD="PUT", CONTENT_LENGTH="200000", **{"wsgi.input": body, **keys})
    assert call(middleware, environ).status in (401, 403, 404)
    assert app.calls == 0
    assert body.tell() == 200_000


# Scripts of other origins


@pytest.mark.requirement("R-preflight")
@pytest.mark.parametrize(("path", "status"), [("/x", 401), ("/denied", 403), ("/x//", 404)])
def test_a_named_origin_reads_our_refusals_on_paths_of_the_application(path: str, status: int) -> None:
    middleware = guard(cors_origins=f"{SPA} http://localhost:3000", access={"rules": "denied /denied"})
    for origin in (SPA, "http://localhost:3000"):
        answer = call(middleware, environ_for(path, HTTP_ORIGIN=origin))
        assert answer.status == status
        assert cors_headers(answer) == {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
        }
        assert "Origin" in answer.all_headers("Vary")


@pytest.mark.requirement("R-preflight")
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{SPA}.evil.example", SPA.upper(), "", None]
)
def test_no_other_origin_reads_them(origin: str | None) -> None:
    middleware = guard(cors_origins=SPA)
    keys = {} if origin is None else {"HTTP_ORIGIN": origin}
    answer = call(middleware, environ_for("/x", **keys))
    assert cors_headers(answer) == {}
    # Also for who asks without an origin: a cache must not give that answer to a script.
    assert "Origin" in answer.all_headers("Vary")
    assert cors_headers(call(guard(), environ_for("/x", HTTP_ORIGIN=SPA))) == {}


def test_a_redirect_is_read_by_nobody() -> None:
    # A page of another origin navigates, and the answer is for no script.
    navigation = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}
    keys = {"HTTP_ORIGIN": SPA, **navigation, **PERSON}
    middleware = guard(cors_origins=SPA, login_page=False, **oauth(issuer=None))
    answer = call(middleware, environ_for("/x", **keys))
    assert answer.status == 303
    assert cors_headers(answer) == {}


@pytest.mark.requirement("R-preflight")
@pytest.mark.parametrize("path", ["login/", "sessions/", "logout/", "login/callback/", "nothing/"])
def test_our_own_urls_are_read_by_no_other_origin(path: str) -> None:
    middleware = guard(cors_origins=SPA)
    for keys in ({}, PREFLIGHT):
        answer = call(middleware, environ_for(f"/auth/oauth2/{path}", **{"HTTP_ORIGIN": SPA, **keys}))
        assert cors_headers(answer) == {}


def test_a_store_that_is_away_is_read_by_the_named_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    middleware = guard(cors_origins=SPA)

    def away(_: str) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(middleware, "_resolve", away)
    answer = call(middleware, environ_for("/x", HTTP_ORIGIN=SPA, HTTP_COOKIE="__Host-oauth2_mw=b"))
    assert answer.status == 503
    assert answer.header("Access-Control-Allow-Origin") == SPA
    answer = call(middleware, environ_for("/auth/oauth2/sessions/", HTTP_ORIGIN=SPA, HTTP_COOKIE="a=b"))
    assert answer.status == 503
    assert cors_headers(answer) == {}


@pytest.mark.requirement("R-preflight")
def test_a_preflight_of_a_named_origin_is_answered() -> None:
    app = App()
    answer = call(guard(app, cors_origins=SPA), environ_for("/x", **PREFLIGHT))
    assert answer.status == 204
    assert cors_headers(answer) == {
        "Access-Control-Allow-Origin": SPA,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "PUT",
        "Access-Control-Allow-Headers": "x-a, content-type",
        "Access-Control-Max-Age": "600",
    }
    assert app.calls == 0


@pytest.mark.requirement("R-preflight")
@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT\r\nX: y"},
        {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": ""},
        {"HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "x\r\nSet-Cookie: a=b"},
        {"HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "x" * 2000},
    ],
)
def test_any_other_preflight_is_refused_without_a_word(changes: dict[str, str]) -> None:
    app = App()
    for settings in ({"cors_origins": SPA}, {}):
        answer = call(guard(app, **settings), environ_for("/x", **{**PREFLIGHT, **changes}))
        assert answer.status == 403
        assert cors_headers(answer) == {}
    assert app.calls == 0


@pytest.mark.requirement("R-preflight")
def test_a_preflight_is_passed_on_without_anything_that_tells_of_a_person() -> None:
    app = App()
    middleware = guard(app, preflight="pass", strip_authorization="none")
    keys = {
        "HTTP_COOKIE": sign_in(middleware) + "; app=1",
        "HTTP_AUTHORIZATION": "Bearer x",
        "REDIRECT_HTTP_AUTHORIZATION": "Bearer x",
        "CONTENT_LENGTH": "3",
        "CONTENT_TYPE": "text/plain",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO(b"abc"),
    }
    assert call(middleware, environ_for("/x", **PREFLIGHT, **keys)).status == 200
    seen = app.seen[-1]
    assert seen["user"] is None
    assert seen["identity"] is None
    assert keys.keys().isdisjoint(seen["environ"])


@pytest.mark.requirement("R-preflight")
@pytest.mark.parametrize(
    "changes",
    [
        {"REQUEST_METHOD": "GET"},
        {"REQUEST_METHOD": "options"},
        {"HTTP_ORIGIN": None},
        {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": None},
        # No browser overrides the method of a preflight; the application would carry out another.
        {"HTTP_X_HTTP_METHOD_OVERRIDE": "POST"},
        {"HTTP_X_HTTP_METHOD": "DELETE"},
        {"HTTP_X_METHOD_OVERRIDE": ""},
        {"HTTP_UPGRADE": "websocket"},
    ],
)
def test_what_is_no_preflight_is_not_passed_on(changes: dict[str, str | None]) -> None:
    app = App()
    environ = environ_for("/x", **{**PREFLIGHT, **changes})
    assert call(guard(app, preflight="pass"), environ).status == 401
    assert app.calls == 0


@pytest.mark.requirement("R-preflight")
def test_a_preflight_opens_no_denied_path() -> None:
    app = App()
    for preflight in ("answer", "pass", "refuse"):
        middleware = guard(app, preflight=preflight, cors_origins=SPA, access={"rules": "denied /x"})
        answer = call(middleware, environ_for("/x", **PREFLIGHT))
        assert answer.status == 403
        assert answer.header("Access-Control-Allow-Methods") is None
    assert app.calls == 0


def test_preflights_may_be_refused_like_all_else() -> None:
    assert call(guard(preflight="refuse", cors_origins=SPA), environ_for("/x", **PREFLIGHT)).status == 401


def test_the_application_answers_preflights_of_its_public_and_optional_paths() -> None:
    app = App()
    middleware = guard(app, access={"rules": "public /a\noptional /b"})
    assert call(middleware, environ_for("/a", **PREFLIGHT)).status == 200
    assert call(middleware, environ_for("/b", **PREFLIGHT)).status == 200
    assert app.calls == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("*", "* stands for anybody"),
        ("null", "null stands for anybody"),
        ("https://spa.example/", "without a slash after it"),
        ("https://spa.example/app", "without a slash after it"),
        ("https://spa.example:443", "443 is the port of https anyway"),
        ("spa.example", ""),
        ("https://spa.example, https://b.example", "separated by spaces"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(text: str, says: str) -> None:
    (found,) = problems(service(**oidc(cors_origins=text)))
    assert found.startswith("[oauth2_mw] cors_origins: ")
    assert says in found


# WebSockets


UPGRADE = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade", "HTTP_SEC_WEBSOCKET_VERSION": "13"}


@pytest.mark.requirement("R-websocket")
@pytest.mark.parametrize("origin", [ORIGIN, None])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_a_websocket_without_a_session_is_a_401(accept: str, origin: str | None) -> None:
    app = App()
    answer = call(guard(app), environ_for("/ws", HTTP_ACCEPT=accept, HTTP_ORIGIN=origin, **UPGRADE))
    assert answer.status == 401
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.cookies == {}
    assert app.calls == 0


@pytest.mark.requirement("R-websocket")
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (ORIGIN, 200),
        (SPA, 200),
        (None, 200),
        ("https://neighbour.app.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        (f"{ORIGIN}:8443", 403),
        (ORIGIN.replace("https", "http"), 403),
    ],
)
def test_a_websocket_with_a_session_is_opened_by_pages_of_ours_alone(origin: str | None, status: int) -> None:
    app = App()
    middleware = guard(app, cors_origins=SPA)
    keys = {} if origin is None else {"HTTP_ORIGIN": origin}
    environ = environ_for("/ws", HTTP_COOKIE=sign_in(middleware), **UPGRADE, **keys)
    assert call(middleware, environ).status == status
    assert app.calls == (status == 200)


# protect = on-401


class Asking:
    """An application that wants somebody signed in on some paths, and says so by itself."""

    def __init__(self) -> None:
        self.seen: list[str | None] = []
        self.closed = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.seen.append(environ.get("REMOTE_USER"))
        status = {"/401": "401 Unauthorized", "/403": "403 Forbidden"}.get(environ["PATH_INFO"], "200 OK")
        # What a dispatcher would do.
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = environ["PATH_INFO"], ""
        start_response(status, [("Content-Type", "text/plain"), ("WWW-Authenticate", 'Basic realm="app"')])
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield b"the application's own"

    def close(self) -> None:
        self.closed += 1


def asking(**keys: Any) -> tuple[Asking, OAuth2Middleware]:
    app = Asking()
    return app, guard(app, protect="on-401", **keys)


def test_the_applications_own_401_becomes_a_sign_in_for_a_person() -> None:
    app, middleware = asking()
    answer = call(middleware, environ_for("/401", QUERY_STRING="a=1", **PERSON))
    assert answer.status == 401
    assert "next=/401%3Fa%3D1" in answer.text
    assert "own" not in answer.text
    assert answer.header("WWW-Authenticate") is None
    assert app.closed == 1


@pytest.mark.parametrize(("path", "status"), [("/403", 403), ("/", 200)])
def test_every_other_answer_of_the_application_stays(path: str, status: int) -> None:
    _, middleware = asking()
    answer = call(middleware, environ_for(path, **PERSON))
    assert answer.status == status
    assert answer.text == "the application's own"


def test_for_a_program_the_applications_own_401_stays() -> None:
    _, middleware = asking()
    for keys in (
        {"HTTP_AUTHORIZATION": "Basic eDp5"},
        {"HTTP_AUTHORIZATION": "Bearer x"},
        {"HTTP_ACCEPT": "*/*"},
    ):
        answer = call(middleware, environ_for("/401", **{**PERSON, **keys}))
        assert answer.status == 401
        assert answer.text == "the application's own"
        assert answer.header("WWW-Authenticate") == 'Basic realm="app"'


def test_who_is_signed_in_gets_the_applications_own_401() -> None:
    app, middleware = asking()
    answer = call(middleware, environ_for("/401", HTTP_COOKIE=sign_in(middleware), **PERSON))
    assert answer.text == "the application's own"
    assert app.seen == ["jane"]


class Failing:
    """A body that answers nothing and fails when it is read."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        raise OSError("the disk is full")

    def close(self) -> None:
        self.closed += 1


def test_a_body_that_fails_before_it_answers_is_closed() -> None:
    body = Failing()
    middleware = guard(lambda _environ, _start_response: body, protect="on-401")
    environ = environ_for("/", **PERSON)
    with pytest.raises(OSError, match="the disk is full"):
        middleware(environ, lambda *_: lambda _data: None)
    assert body.closed == 1


def test_a_rule_may_still_ask_for_a_sign_in() -> None:
    app, middleware = asking(access={"rules": "required /admin/"})
    assert call(middleware, environ_for("/admin/", **PERSON)).status == 401
    assert app.seen == []
