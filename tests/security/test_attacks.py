"""Attacks on the whole: odd environs, floods of cookies, races, clocks that jump, names that look alike.

Most call the middleware directly, for no server would build such requests. Nothing is asked of a provider but
where a stand-in is started.
"""

from __future__ import annotations

import json
import os
import threading
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import AccessDeniedError, StoreUnavailableError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.model import freeze
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.keyring import Key, Keyring
from oauth2_mw.session.revocation import Revocations, session_name
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql.revocations import Revocation
from tests.support.hosts.guarded import JANE, App, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import raw_key, text_key
from tests.support.settings.minimal import ORIGIN, make_settings

HTML = "text/html,*/*;q=0.8"
COOKIE = "__Host-oauth2_mw"
PREFIX = "/auth/oauth2"
#: octets that common servers take for one header line
MOST_COOKIES = 8190
PLAIN = {
    "authorization_endpoint": "https://id.example/authorize",
    "token_endpoint": "https://id.example/token",
    "userinfo_endpoint": "https://id.example/userinfo",
}
NAVIGATION = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document", "HTTP_ACCEPT": HTML}


def guard(app: Any = None, **keys: Any) -> OAuth2Middleware:
    return OAuth2Middleware(app or App(), make_settings(**{**PLAIN, **keys}))


def store(jar: dict[str, str], answer: WsgiResponse) -> None:
    """Do with ``Set-Cookie`` what a browser does."""
    for name, line in answer.cookies.items():
        if "Max-Age=0" in line:
            jar.pop(name, None)
        else:
            jar[name] = line.partition(";")[0]


def header(jar: dict[str, str]) -> str | None:
    return "; ".join(jar.values()) or None


def begin(
    middleware: OAuth2Middleware, jar: dict[str, str], path: str = "/", query: str = ""
) -> WsgiResponse:
    """A page that a person opens; what it sets is kept."""
    answer = call(middleware, environ_for(path, QUERY_STRING=query, HTTP_COOKIE=header(jar), **NAVIGATION))
    store(jar, answer)
    return answer


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What *act* returns in that many threads that start together."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def write_keys(file: Path, *numbers: int) -> None:
    """A key file of those test keys, all of them old; replaced at once, as ``keygen`` does."""
    lines = [f"k{number} 2020-01-0{number + 1}T00:00:00Z {text_key(number)}\n" for number in numbers]
    new = file.with_suffix(".new")
    new.write_text("".join(lines))
    new.chmod(0o600)
    new.replace(file)


# Environs that no good server builds


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("path", ["/", f"{PREFIX}/login/", f"{PREFIX}/logout/", f"{PREFIX}/login/callback/"])
@pytest.mark.parametrize(
    "missing", ["QUERY_STRING", "PATH_INFO", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "HTTP_HOST"]
)
def test_a_key_that_is_missing_opens_nothing(missing: str, path: str, method: str) -> None:
    app = App()
    environ = environ_for(path, REQUEST_METHOD=method, HTTP_ACCEPT=HTML)
    del environ[missing]
    assert call(guard(app), environ).status < 500
    assert app.calls == 0


def test_a_request_without_a_method_is_answered() -> None:
    environ = environ_for(f"{PREFIX}/login/")
    del environ["REQUEST_METHOD"]
    assert call(guard(), environ).status < 500


class Broken:
    """The body of a client that has gone."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("the client has gone")


class Short:
    """A body that ends early."""

    def read(self, size: int = -1) -> bytes:
        return b"csrf_tok"


@pytest.mark.parametrize("body", [Short(), Broken()])
def test_a_body_that_breaks_off_is_no_form(body: Any) -> None:
    middleware = guard()
    cookie = sign_in(middleware)
    environ = environ_for(
        f"{PREFIX}/logout/",
        REQUEST_METHOD="POST",
        CONTENT_LENGTH="40",
        CONTENT_TYPE="application/x-www-form-urlencoded",
        HTTP_COOKIE=cookie,
    )
    environ["wsgi.input"] = body
    assert call(middleware, environ).status == 400
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200


@pytest.mark.parametrize("length", ["9" * 4301, "0" * 5000 + "1", "\u0663", "1e3", " 1", "+1", "-1", "0x1"])
def test_a_length_that_is_no_length_is_400(length: str) -> None:
    environ = environ_for(f"{PREFIX}/logout/", REQUEST_METHOD="POST", CONTENT_LENGTH=length)
    assert call(guard(), environ).status == 400


NATIVE = st.text(st.characters(max_codepoint=255), max_size=40)
SECOND = st.sampled_from(["", "/", "/login/", "/login/default/", "/logout/", "/logout/done/", "/static/x"])


@pytest.mark.requirement("3a.11", "W4")
@given(
    path=st.one_of(NATIVE, st.tuples(SECOND, st.sampled_from(["", "/", "\r\n"])).map("".join)),
    own=st.booleans(),
    query=st.one_of(NATIVE, NATIVE.map(lambda text: "next=" + text)),
    cookie=st.one_of(st.none(), NATIVE, NATIVE.map(lambda text: f"{COOKIE}={text}")),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "get", ""]),
    script=st.sampled_from(["", "", "/core", "\xff"]),
    accept=st.sampled_from([HTML, "*/*", "\xff"]),
)
def test_whatever_comes_is_answered_in_clean_headers_and_kept_from_the_application(
    *, path: str, own: bool, query: str, cookie: str | None, method: str, script: str, accept: str
) -> None:
    calls = SHARED_APP.calls
    environ = environ_for(
        (PREFIX if own else "") + path,
        QUERY_STRING=query,
        HTTP_COOKIE=cookie,
        REQUEST_METHOD=method,
        SCRIPT_NAME=script,
        HTTP_ACCEPT=accept,
    )
    answer = call(SHARED, environ)
    # A mount that public_url does not name is the operator's mistake.
    assert answer.status < 500 or (script and answer.status == 503)
    assert SHARED_APP.calls == calls
    for name, value in answer.headers:
        assert f"{name}: {value}".isascii()
        assert f"{name}: {value}".isprintable()
        if name == "Location":
            assert value.startswith((ORIGIN + "/", PLAIN["authorization_endpoint"] + "?"))
    if method == "HEAD":
        assert answer.text == ""


SHARED_APP = App()
SHARED = guard(SHARED_APP)


# Cookies of every malformation


def malformed(sealed: str) -> Iterator[str]:
    """An attempt cookie's value and the ways in which it can be wrong."""
    yield from ("", "=", "A", "A" * 4000, "\x00", "\xff", sealed[:-1], sealed + "A", sealed[::-1], sealed * 2)
    for place in (0, 5, 12, 25, len(sealed) // 2):
        yield sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
    yield urlsafe_b64encode(b"\x01" + b"unknown!" + bytes(60)).decode().rstrip("=")


@pytest.mark.requirement("3c.1", "3a.1")
def test_a_malformed_attempt_cookie_is_no_attempt() -> None:
    middleware = guard()
    jar: dict[str, str] = {}
    state = parse_qs(urlsplit(begin(middleware, jar).header("Location") or "").query)["state"][0]
    ((name, pair),) = jar.items()
    query = urlencode({"state": state, "code": "c"})
    for value in malformed(pair.partition("=")[2]):
        environ = environ_for(
            f"{PREFIX}/login/callback/", QUERY_STRING=query, HTTP_COOKIE=f"{name}={value}", **NAVIGATION
        )
        answer = call(middleware, environ)
        assert answer.status == 303
        assert (answer.header("Location") or "").startswith(PLAIN["authorization_endpoint"])
        # Expired, or written over by the new attempt.
        cookie = answer.cookies[name]
        assert "Max-Age=0" in cookie or not cookie.startswith(f"{name}={value};")


@pytest.mark.requirement("3c.4")
def test_a_cookie_sealed_for_another_use_does_not_open() -> None:
    middleware = guard()
    session = sign_in(middleware).partition("=")[2]
    jar: dict[str, str] = {}
    state = parse_qs(urlsplit(begin(middleware, jar).header("Location") or "").query)["state"][0]
    (pair,) = jar.values()
    for value in (pair.partition("=")[2], state):
        assert call(middleware, environ_for("/", HTTP_COOKIE=f"{COOKIE}={value}")).status == 401
    query = urlencode({"state": session, "code": "c"})
    answer = call(middleware, environ_for(f"{PREFIX}/login/callback/", QUERY_STRING=query, **NAVIGATION))
    assert answer.status == 400


@pytest.mark.requirement("3c.12")
@pytest.mark.parametrize(
    "changes",
    [
        {"1": "never"},
        {"2": None},
        {"n": 5},
        {"s": ["x"]},
        {"p": ["default"]},
        {"w": ["never"]},
        {"w": [1, 2, 3, 4, 5]},
        {"w": 7},
        {"x": ["soon", 1]},
        {"x": [1]},
    ],
)
def test_a_session_of_another_shape_signs_nobody_in(changes: dict[str, Any]) -> None:
    middleware = guard()
    sessions = middleware._sessions
    current = sessions.resolve(sign_in(middleware))
    assert current is not None and current.session is not None
    record = {**json.loads(current.session.to_payload()), **changes}
    sealed = sessions.sealer.seal("session", COOKIE, b"\x01" + json.dumps(record).encode())
    answer = call(middleware, environ_for("/", HTTP_COOKIE=f"{COOKIE}={sealed}"))
    assert answer.status == 401


@pytest.mark.requirement("3a.8", "3c.8")
def test_the_answer_to_a_flood_of_cookies_is_no_flood_itself() -> None:
    cookies = "; ".join(f"{COOKIE}-a-{number:012d}=x" for number in range(3000))
    answer = call(guard(), environ_for("/", HTTP_COOKIE=cookies, **NAVIGATION))
    assert answer.status == 303
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers) < 16 * 1024


@pytest.mark.requirement("3c.8", "3a.8")
@pytest.mark.parametrize("length", [1, 80, 200, 380, 1000, 2000])
def test_the_largest_session_and_all_attempts_fit_into_one_header(length: int) -> None:
    middleware = guard(session_max_bytes=6000)
    sessions = middleware._sessions
    claims = freeze({"kept": "x" * 3960})
    session = sign_in(middleware, replace(JANE, claims=claims))
    assert sessions.resolve(session) is not None
    assert len(session) > 5500
    jar = {pair.partition("=")[0]: pair for pair in session.split("; ")}
    for number in range(10):
        query = urlencode({"next": "/" + "d" * length + str(number)})
        assert begin(middleware, jar, f"{PREFIX}/login/default/", query).status == 303
        assert len(header(jar) or "") < MOST_COOKIES


@pytest.mark.requirement("3a.8", "3a.19")
@pytest.mark.parametrize("purpose", [{"HTTP_SEC_PURPOSE": "prefetch"}, {}])
@pytest.mark.parametrize("path", [f"{PREFIX}/login/", f"{PREFIX}/login/default/"])
def test_what_nobody_looks_at_begins_no_attempt(path: str, purpose: dict[str, str]) -> None:
    # A page of the application with 60 such pictures: their cookies would shut the person out of the host.
    picture = {"HTTP_SEC_FETCH_MODE": "no-cors", "HTTP_SEC_FETCH_DEST": "image", "HTTP_ACCEPT": "image/*"}
    answer = call(guard(), environ_for(path, **(NAVIGATION | purpose if purpose else picture)))
    assert answer.cookies == {}


def test_cookies_of_the_application_arrive_as_they_were_sent() -> None:
    app = App()
    middleware = guard(app)
    theirs = "name=voilà".encode().decode("latin-1")
    call(middleware, environ_for("/", HTTP_COOKIE=f"{theirs}; {sign_in(middleware)}"))
    assert app.seen[0]["cookie"] == theirs


@pytest.mark.requirement("3c.17")
@pytest.mark.parametrize("setting", ["refuse", "respect"])
def test_a_response_that_anybody_may_cache_carries_no_session(setting: str) -> None:
    def picture(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "image/png"), ("Cache-Control", "public, max-age=86400")])
        return [b""]

    middleware = guard(picture, shared_caches=setting)
    with time_machine.travel(1_900_000_000, tick=False) as clock:
        cookie = sign_in(middleware)
        clock.shift(1800)
        answer = call(middleware, environ_for("/logo.png", HTTP_COOKIE=cookie))
    cacheable = "public" in (answer.header("Cache-Control") or "")
    assert cacheable == (setting == "respect")
    assert (COOKIE in answer.cookies) != cacheable


@pytest.mark.requirement("3c.6", "W8")
def test_two_different_sessions_in_one_request_sign_nobody_in() -> None:
    # Over http a neighbour on the same host can add a cookie of our name, with the session of somebody else.
    app = App()
    middleware = guard(app, public_url="http://127.0.0.1:8000")
    jane = sign_in(middleware)
    mallory = sign_in(middleware, replace(JANE, id="u2", subject="666", username="mallory"))
    assert call(middleware, environ_for("/", HTTP_COOKIE=f"{mallory}; {jane}")).status == 401


# Races


@pytest.mark.requirement("3a.5", "3l.4")
@pytest.mark.parametrize("directory", [False, True])
def test_of_fifty_requests_with_one_answer_one_signs_in(
    provider: StandIn, tmp_path: Path, *, directory: bool
) -> None:
    more = {"directory": f"sqlite:///{tmp_path / 'users.db'}"} if directory else {}
    middleware = OAuth2Middleware(App(), make_settings(issuer=provider.issuer, **more))
    jar: dict[str, str] = {}
    answer = urlencode(provider.follow(begin(middleware, jar).header("Location") or ""))
    environ = environ_for(
        f"{PREFIX}/login/callback/", QUERY_STRING=answer, HTTP_COOKIE=header(jar), **NAVIGATION
    )
    replies = at_once(50, lambda _: call(middleware, dict(environ)))
    assert Counter(COOKIE in reply.cookies for reply in replies) == {True: 1, False: 49}
    assert {reply.status for reply in replies} == {303}
    assert len(provider.asked("/token")) == 1


class SlowSecret:
    """A key file on a disk that takes its time."""

    def __init__(self, file: Path) -> None:
        self.path = file
        self._secret = Secret.file(file)

    def __getattr__(self, name: str) -> Any:
        if name.endswith("value"):
            time.sleep(0.05)
        return getattr(self._secret, name)


@pytest.mark.requirement("3c.3", "3l.8")
@pytest.mark.parametrize("due", [True, False])
def test_the_first_requests_after_a_rotation_log_nobody_out(tmp_path: Path, *, due: bool) -> None:
    file = tmp_path / "keys"
    write_keys(file, 0)
    idle = guard(secret_keys=f"file:{file}")
    write_keys(file, 0, 1)
    cookie = sign_in(guard(secret_keys=f"file:{file}"))
    idle._sessions._keyring._source = SlowSecret(file)  # type: ignore[assignment]  # a fake
    if due:
        idle._sessions._keyring.next_look = 0.0
    answers = at_once(10, lambda _: call(idle, environ_for("/", HTTP_COOKIE=cookie)))
    assert Counter(answer.status for answer in answers) == {200: 10}
    assert all(answer.cookies == {} for answer in answers)


@pytest.mark.requirement("3c.3")
def test_a_session_that_was_being_opened_while_its_key_was_retired_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    write_keys(file, 0)
    middleware = guard(secret_keys=f"file:{file}")
    sessions = middleware._sessions
    cookie = sign_in(middleware)
    plain = sessions._writer.plain

    def retire_meanwhile(*arguments: Any) -> dict[str, str]:
        sessions._writer = writer
        write_keys(file, 1)
        sessions._keyring.next_look = 0.0
        sessions.resolve(f"{COOKIE}=other")
        return plain(*arguments)

    writer = sessions._writer
    sessions._writer = SimpleNamespace(plain=retire_meanwhile)  # type: ignore[assignment]
    call(middleware, environ_for("/", HTTP_COOKIE=cookie))
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 401


class Away:
    """A directory that cannot be reached, and takes a while to say so."""

    tries = 0

    def revocations(self, since: int) -> Any:
        self.tries += 1
        time.sleep(0.1)
        raise StoreUnavailableError("away")

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        raise StoreUnavailableError("away")

    def delete(self, key: str) -> bool:
        raise StoreUnavailableError("away")


def test_requests_do_not_queue_up_behind_a_directory_that_is_away() -> None:
    source = Away()
    revocations = Revocations(shared=source, sync=5)

    def ask(_: int) -> None:
        with pytest.raises(StoreUnavailableError):
            revocations.ended("session", "user", 0)

    at_once(20, ask)
    assert source.tries <= 3


@pytest.mark.requirement("3c.5")
def test_logouts_of_fifty_threads_are_all_remembered() -> None:
    middleware = guard()
    cookies = [sign_in(middleware) for _ in range(50)]

    def leave(number: int) -> int:
        cookie = cookies[number]
        environ = environ_for(
            f"{PREFIX}/logout/", HTTP_COOKIE=cookie, HTTP_SEC_FETCH_SITE="same-origin", **NAVIGATION
        )
        call(middleware, environ)
        return call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status

    assert at_once(50, leave) == [401] * 50


@pytest.mark.requirement("3h")
def test_the_memory_of_opened_sessions_is_bounded() -> None:
    middleware = guard()
    cookie = sign_in(middleware, replace(JANE, claims=freeze({"kept": "x" * 2000})))
    for number in range(2500):
        environ = environ_for("/", HTTP_COOKIE=f"app={number}; {cookie}")
        environ[f"HTTP_X_{number}"] = "1"
        call(middleware, environ)
    opened = middleware._sessions._cache
    assert len(opened) <= 2000
    assert sum(map(len, opened._entries)) <= 8 * 1024 * 1024 / 4


@pytest.mark.requirement("3l.8")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_from_a_busy_one_answers() -> None:
    middleware = guard()
    cookie = sign_in(middleware)
    call(middleware, environ_for(f"{PREFIX}/login/"))
    # Its locks may be held by threads that are not there in the child.
    parents = middleware._site()
    child = os.fork()
    if child == 0:
        answers = [
            call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status,
            call(middleware, environ_for("/", **NAVIGATION)).status,
        ]
        os._exit(0 if answers == [200, 303] and middleware._site() is not parents else 1)
    assert os.waitpid(child, 0)[1] == 0


# Clocks that jump


@pytest.mark.requirement("3l.9")
def test_a_clock_that_was_ahead_for_a_moment_does_not_hide_a_new_key(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    write_keys(file, 0)
    wall, ticks = 1_900_086_400.0, 100.0
    ring = Keyring(Secret.file(file), sync=5, clocks=Clocks(lambda: wall, lambda: ticks))
    ring.look()
    ring.find(b"unknown!")
    wall, ticks = 1_900_000_000.0, 110.0
    write_keys(file, 0, 1)
    assert ring.find(Key(raw_key(1)).id) is not None


@pytest.mark.requirement("3l.9", "3c.14")
def test_a_clock_that_was_ahead_for_a_moment_revives_no_ended_session() -> None:
    middleware = guard()
    with time_machine.travel(1_900_000_000, tick=False) as clock:
        cookie = sign_in(middleware)
        current = middleware._sessions.resolve(cookie)
        assert current is not None
        assert current.session is not None
        middleware._sessions.end(current.session)
        clock.shift(10 * 3600)
        middleware._sessions.revocations.revoke("another", expires=2_000_000_000)
        clock.shift(-10 * 3600)
        assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 401


class Restored:
    """A directory whose database is put back to an earlier state while the workers go on."""

    def __init__(self) -> None:
        self.rows: list[Revocation] = []

    def revocations(self, since: int) -> Any:
        last = max((row.row for row in self.rows), default=0)
        return tuple(row for row in self.rows if row.row > (since if since <= last else 0))

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        raise NotImplementedError

    def delete(self, key: str) -> bool:
        raise NotImplementedError


def test_no_logout_is_missed_after_the_database_was_put_back() -> None:
    source, now, end = Restored(), 0.0, int(time.time()) + 3600
    revocations = Revocations(shared=source, sync=5, clocks=Clocks(monotonic=lambda: now))
    for name, rows in (("old", 100), ("new", 95), ("new", 105)):
        source.rows = [Revocation(row, session_name(f"{name}{row}"), 0, end) for row in range(1, rows + 1)]
        revocations.ended("", "", 0)
        now += 6.0
    assert [row for row in range(1, 106) if not revocations.ended(f"new{row}", "", 0)] == []


# Who somebody is, and who may enter


def received(provider: StandIn, **keys: Any) -> str | None:
    """The ``REMOTE_USER`` of a sign-in, ``None`` when it is refused."""
    app = App()
    middleware = OAuth2Middleware(app, make_settings(issuer=provider.issuer, **keys))
    jar: dict[str, str] = {}
    answer = urlencode(provider.follow(begin(middleware, jar).header("Location") or ""))
    begin(middleware, jar, f"{PREFIX}/login/callback/", answer)
    begin(middleware, jar)
    return app.seen[0]["user"] if app.seen else None


@pytest.mark.requirement("3k.6")
@pytest.mark.parametrize("transform", [None, "lower"])
@pytest.mark.parametrize("username", ["\u212aate", "\uff4bate", "\u24daate"])
def test_a_name_of_look_alike_letters_is_not_taken_for_another_persons(
    provider: StandIn, username: str, transform: str | None
) -> None:
    provider.userinfo["preferred_username"] = username
    assert received(provider, username_transform=transform) is None


@pytest.mark.requirement("3k.1")
def test_an_unverified_address_does_not_count_later_because_the_directory_remembers_it(
    tmp_path: Path,
) -> None:
    settings = make_settings(
        issuer="https://id.example",
        directory=f"sqlite:///{tmp_path / 'users.db'}",
        allow="group:contractors email_domain:corp.example",
        group_sync="always",
        attribute_map='{"username": "login", "email": "email", "groups": "groups"}',
    )
    assert settings.directory is not None
    admission = Admission(settings, Directory(settings.directory))

    def enter(**claims: Any) -> None:
        admission.admit(
            settings.providers["default"],
            issuer="https://id.example",
            subject="7",
            claims={"sub": "7", "login": "mallory", **claims},
            now=1,
        )

    boss = {"email": "boss@corp.example", "email_verified": False}
    with pytest.raises(AccessDeniedError):
        enter(**boss, groups=[])
    enter(**boss, groups=["contractors"])
    with pytest.raises(AccessDeniedError):
        enter(groups=["former"])


# Signing out


@pytest.mark.parametrize("purpose", ["HTTP_SEC_PURPOSE", "HTTP_PURPOSE"])
def test_a_page_that_is_fetched_ahead_signs_nobody_out(purpose: str) -> None:
    middleware = guard()
    cookie = sign_in(middleware)
    environ = environ_for(
        f"{PREFIX}/logout/",
        HTTP_COOKIE=cookie,
        HTTP_SEC_FETCH_SITE="same-origin",
        **NAVIGATION,
        **{purpose: "prefetch"},
    )
    call(middleware, environ)
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200


@pytest.mark.requirement("3c.5", "3c.16")
def test_a_response_that_was_on_its_way_at_the_logout_brings_no_session_back() -> None:
    middleware = guard()
    with time_machine.travel(1_900_000_000, tick=False) as clock:
        cookie = sign_in(middleware)
        clock.shift(1800)

        def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            call(
                middleware,
                environ_for(
                    f"{PREFIX}/logout/", HTTP_COOKIE=cookie, HTTP_SEC_FETCH_SITE="same-origin", **NAVIGATION
                ),
            )
            start_response("200 OK", [])
            return []

        middleware._app = slow
        assert COOKIE not in call(middleware, environ_for("/", HTTP_COOKIE=cookie)).cookies
        assert call(middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 401


@pytest.mark.requirement("3a.20")
@pytest.mark.parametrize("declined", [False, True])
def test_leaving_or_declining_three_times_in_a_minute_is_no_circle(
    provider: StandIn, *, declined: bool
) -> None:
    provider.denies = "access_denied" if declined else None
    middleware = OAuth2Middleware(App(), make_settings(issuer=provider.issuer))
    jar: dict[str, str] = {}
    for _ in range(4):
        away = begin(middleware, jar)
        assert away.status == 303
        answer = urlencode(provider.follow(away.header("Location") or ""))
        assert begin(middleware, jar, f"{PREFIX}/login/callback/", answer).status == (
            403 if declined else 303
        )
        environ = environ_for(
            f"{PREFIX}/logout/", HTTP_COOKIE=header(jar), HTTP_SEC_FETCH_SITE="same-origin", **NAVIGATION
        )
        store(jar, call(middleware, environ))
