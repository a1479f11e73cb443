"""An application's own 401 is taken back; everything else passes as it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from oauth2_mw.web.http.unauthorized import call_unless_401


class Body:
    """A body that says whether it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def close(self) -> None:
        self.closed += 1


class Server:
    """Notes what was answered."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.written: list[bytes] = []

    def __call__(self, status: str, _headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        self.answers.append(status)
        return self.written.append


def at_once(status: str, body: Body) -> Any:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [])
        return body

    return app


def when_read(status: str, pieces: Iterable[bytes]) -> Any:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [])
        yield from pieces

    return app


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "404 Not Found", "4010 Odd"[1:], "500 X"])
def test_any_other_answer_passes_with_its_iterable(status: str) -> None:
    server, body = Server(), Body([b"a", b"b"])
    assert call_unless_401(at_once(status, body), {}, server) is body
    assert server.answers == [status]
    assert body.closed == 0


def test_a_401_is_closed_and_not_sent() -> None:
    server, body = Server(), Body([b"a"])
    assert call_unless_401(at_once("401 Unauthorized", body), {}, server) is None
    assert server.answers == []
    assert body.closed == 1


def test_a_401_of_an_application_that_answers_when_it_is_read() -> None:
    server = Server()
    assert call_unless_401(when_read("401 Unauthorized", [b"a"]), {}, server) is None
    assert call_unless_401(when_read("401 Unauthorized", []), {}, server) is None
    assert server.answers == []


@pytest.mark.parametrize("pieces", [[], [b"a"], [b"a", b"b", b"c"], [b"", b"a"]])
def test_another_answer_when_it_is_read_is_whole(pieces: list[bytes]) -> None:
    server = Server()
    body = call_unless_401(when_read("200 OK", pieces), {}, server)
    assert body is not None
    assert list(body) == pieces
    assert server.answers == ["200 OK"]


def test_what_is_read_lazily_is_closed_through() -> None:
    closed = []

    class Lazy(Body):
        def __iter__(self) -> Iterator[bytes]:
            start("200 OK", [])
            yield b"a"

        def close(self) -> None:
            closed.append(1)

    start: Any = None

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal start
        start = start_response
        return Lazy([])

    body: Any = call_unless_401(app, {}, Server())
    assert list(body) == [b"a"]
    body.close()
    assert closed == [1]


def test_what_is_written_of_a_401_is_dropped() -> None:
    server = Server()

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("401 Unauthorized", [])(b"secret")
        return []

    assert call_unless_401(app, {}, server) is None
    assert server.written == []


def test_an_error_in_the_place_of_a_401_is_answered() -> None:
    server = Server()

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("401 Unauthorized", [])
        try:
            raise ValueError("later")
        except ValueError:
            start_response("500 Internal Server Error", [], sys.exc_info())
        return [b"error"]

    assert call_unless_401(app, {}, server) == [b"error"]
    assert server.answers == ["500 Internal Server Error"]


def test_an_answer_that_was_begun_is_not_taken_back() -> None:
    server = Server()

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])(b"begun")
        try:
            raise ValueError("later")
        except ValueError:
            start_response("401 Unauthorized", [], sys.exc_info())
        return []

    assert call_unless_401(app, {}, server) == []
    assert server.answers == ["200 OK", "401 Unauthorized"]
