"""An application cannot tell that the middleware is there: whatever it does with its server, the server does the same.

Applications are made up of all that PEP 3333 allows, and of mistakes: a response that begins late, twice or never,
``write()``, bodies that raise, ``close()``. Each runs alone and behind the middleware, under the handler of
``wsgiref``; what reaches the client, and when, is the same octet by octet.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.hosts.guarded import JANE, guard, sign_in
from tests.support.hosts.wsgi_call import call, environ_for

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

#: What happened, in its order: heads and octets that were sent, calls of ``close()``, exceptions that the server saw.
Log = list[tuple[Any, ...]]
Headers = list[tuple[str, str]]
#: The name of the session cookie.
COOKIE = "__Host-oauth2_mw"
#: Those that are added where somebody is signed in.
ADDED = frozenset({"cache-control", "vary"})


class BoomError(Exception):
    """An application's own."""


@dataclass(frozen=True)
class Step:
    """One thing that an application does: it begins its response, begins it anew with ``exc_info``, ..."""

    what: Literal["start", "restart", "write", "yield", "raise"]
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    data: bytes = b""


@dataclass(frozen=True)
class Script:
    """An application: what it does when it is called, and what when its body is read."""

    called: tuple[Step, ...]
    read: tuple[Step, ...]
    #: a list of the pieces, which servers may count; what is made while it is read; or a file
    kind: Literal["list", "iterator", "file"] = "iterator"
    close: Literal["none", "closes", "raises"] = "closes"

    def app(self, log: Log) -> WSGIApplication:
        """Return it; it notes in *log* when it is closed."""

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            run = _Run(start_response)
            for _ in run.through(self.called):
                raise AssertionError("nothing is yielded by a call")
            if self.kind == "list":
                return [step.data for step in self.read if step.what == "yield"]
            if self.kind == "file":
                return FileWrapper(io.BytesIO(b"".join(step.data for step in self.read)), 3)
            pieces = run.through(self.read)
            if self.close == "none":
                return pieces
            return _Closing(pieces, log, raises=self.close == "raises")

        return application


class _Run:
    """One call of an application."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self._write: Any = None

    def through(self, steps: Iterable[Step]) -> Iterator[bytes]:
        for step in steps:
            headers = list(step.headers)
            match step.what:
                case "start":
                    self._write = self._start_response(step.status, headers)
                case "restart":
                    try:
                        raise BoomError("handled")
                    except BoomError:
                        self._write = self._start_response(step.status, headers, sys.exc_info())
                case "write" if self._write is not None:
                    self._write(step.data)
                case "yield":
                    yield step.data
                case "raise":
                    raise BoomError("not handled")


class _Closing:
    """A body that notes when it is closed."""

    def __init__(self, pieces: Iterator[bytes], log: Log, *, raises: bool) -> None:
        self._pieces, self._log, self._raises = pieces, log, raises

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._log.append(("closed",))
        if self._raises:
            raise BoomError("in close()")


class _Server(SimpleHandler):
    """The handler of ``wsgiref``, which notes what it sends."""

    def __init__(self, environ: dict[str, Any], log: Log) -> None:
        super().__init__(io.BytesIO(), cast(Any, None), io.StringIO(), environ)
        self._log = log

    def send_headers(self) -> None:
        self.cleanup_headers()
        self.headers_sent = True
        # The types of these two are in no stub.
        told = cast(Any, self)
        self._log.append(("head", told.status, told.headers.items()))

    def _write(self, data: bytes) -> None:
        self._log.append(("sent", data))

    def _flush(self) -> None:
        self._log.append(("flushed",))

    def log_exception(self, exc_info: Any) -> None:
        self._log.append(("raised", exc_info[0], str(exc_info[1])))


def served(application: WSGIApplication, log: Log, environ: dict[str, Any]) -> Log:
    """Let a server call an application once."""
    _Server(environ, log).run(application)
    return log


#: Where an application is: the path that is asked for, further settings, whether Jane asks, the request's headers
PLACES = MappingProxyType(
    {
        "public": ("/public/x", {}, False, {}),
        "nobody": ("/x", {}, False, {}),
        "signed in": ("/x", {}, True, {}),
        "app_cookies": ("/x", {"app_cookies": "session", "app_logout_paths": "POST:/x"}, True, {}),
        "on-401": ("/other", {"protect": "on-401"}, False, {"HTTP_ACCEPT": "text/html"}),
    }
)
RULES = "public /public/\noptional /x"
STATUSES = ("200 OK", "204 No Content", "304 Not Modified", "403 Forbidden", "404 Not Found", "500 Oh")
HEADERS = (
    ("Content-Type", "text/plain"),
    ("Content-Length", "5"),
    ("X-Same", "1"),
    ("X-Same", "2"),
    ("x-lower", "caf\xe9"),
    ("Set-Cookie", "a=b; Path=/"),
    ("Set-Cookie", "c=d"),
    ("ETag", '"1"'),
)

data = st.sampled_from((b"", b"a", b"piece", b"\xff\x00\r\n\r\n"))
begun = st.builds(
    Step,
    st.sampled_from(("start", "restart")),
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from(HEADERS), max_size=4).map(tuple),
)
others = st.builds(Step, st.sampled_from(("write", "raise")), data=data)
piece = st.builds(Step, st.just("yield"), data=data)
scripts = st.builds(
    Script,
    st.lists(begun | others, max_size=4).map(tuple),
    st.lists(begun | others | piece | piece, max_size=6).map(tuple),
    st.sampled_from(("iterator", "iterator", "list", "file")),
    st.sampled_from(("none", "closes", "raises")),
)
START = Step("start", headers=(("Content-Type", "text/plain"),))
FIRST, LAST = Step("yield", data=b"first"), Step("yield", data=b"last")


@pytest.mark.parametrize("place", PLACES)
@given(script=scripts)
@example(Script((START,), (FIRST, LAST), "list"))
@example(Script((START, Step("write", data=b"a")), (FIRST,)))
@example(Script((), (START, FIRST, LAST)))
@example(Script((START,), (FIRST, Step("raise"))))
@example(Script((START,), (Step("restart", "500 Oh"), FIRST)))
@example(Script((START,), (FIRST, Step("restart", "500 Oh"), LAST)))
@example(Script((), (FIRST,)))
@example(Script((Step("raise"),), ()))
@example(Script((START, Step("raise")), ()))
@example(Script((), (Step("raise"),)))
def test_the_server_is_told_the_same_with_and_without_the_middleware(place: str, script: Script) -> None:
    path, settings, is_signed_in, keys = PLACES[place]
    alone, behind = Log(), Log()
    served(script.app(alone), alone, environ_for(path, **keys))
    middleware = guard(script.app(behind), access={"rules": RULES}, **settings)
    cookie = sign_in(middleware, JANE) if is_signed_in else None
    served(middleware, behind, environ_for(path, HTTP_COOKIE=cookie, **keys))
    if place == "on-401":
        # What begins late is read before it is handed on: it may be closed before its exception is seen.
        assert behind.count(("closed",)) == alone.count(("closed",))
        alone, behind = ([each for each in log if each != ("closed",)] for log in (alone, behind))
    assert [without_added(each) if is_signed_in else each for each in behind] == alone


def without_added(event: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a head without what is added for one person's page."""
    if event[0] != "head":
        return event
    return (*event[:2], [(name, value) for name, value in event[2] if name.lower() not in ADDED])


def test_what_is_added_is_that_the_page_is_one_persons() -> None:
    log = Log()
    middleware = guard(Script((START,), (FIRST,)).app(log))
    served(middleware, log, environ_for("/", HTTP_COOKIE=sign_in(middleware, JANE)))
    assert log[0] == (
        "head",
        "200 OK",
        [("Content-Type", "text/plain"), ("Cache-Control", "private"), ("Vary", "Cookie")],
    )


# Applications that do what they should not


@pytest.mark.parametrize("begins_late", [False, True])
def test_of_a_large_401_that_becomes_a_sign_in_no_more_is_read_than_it_takes(*, begins_late: bool) -> None:
    made: list[int] = []
    log = Log()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def pieces() -> Iterator[bytes]:
            for number in range(100):
                if begins_late and number == 0:
                    start_response("401 Unauthorized", [])
                made.append(number)
                yield b"x" * 1_000_000

        if not begins_late:
            start_response("401 Unauthorized", [])
        return _Closing(pieces(), log, raises=False)

    middleware = guard(application, protect="on-401")
    answer = call(middleware, environ_for("/", HTTP_ACCEPT="text/html"))
    assert "Continue with" in answer.text
    assert made == ([0] if begins_late else [])
    assert log == [("closed",)]


@pytest.mark.parametrize("suffix", ["", ".1", "-a-a"])
def test_an_application_that_sets_a_cookie_of_ours_lets_nobody_in(suffix: str) -> None:
    script = Script((Step("start", headers=(("Set-Cookie", f"{COOKIE}{suffix}=of-the-app; Path=/"),)),), ())
    middleware = guard(script.app(Log()))
    jane = sign_in(middleware, JANE)
    assert call(middleware, environ_for("/", HTTP_COOKIE=jane)).status == 200
    own = f"{COOKIE}{suffix}=of-the-app"
    assert call(middleware, environ_for("/", HTTP_COOKIE=own)).status == 401
    # Beside the session it takes nobody's place.
    cookies = f"{jane}; {own}" if suffix else own
    assert call(middleware, environ_for("/", HTTP_COOKIE=cookies)).status == (200 if suffix else 401)
