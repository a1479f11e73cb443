"""An answer of the application waits, and then goes its way as if it had not, or is given up."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from oauth2_mw.web.http.held import HeldAnswer
from tests.web.http.test_unauthorized import Body, Server, at_once, when_read


def test_nothing_is_sent_before_it_is_let_go() -> None:
    server, body = Server(), Body([b"a"])
    answer = HeldAnswer(at_once("200 OK", body), {})
    assert (answer.status, server.answers) == ("200 OK", [])
    assert answer.send(server) is body
    assert server.answers == ["200 OK"]


def test_an_answer_that_begins_when_it_is_read_is_known_and_whole() -> None:
    server = Server()
    answer = HeldAnswer(when_read("302 Found", [b"a", b"b"]), {})
    assert answer.status == "302 Found"
    assert list(answer.send(server)) == [b"a", b"b"]


def test_what_was_written_goes_before_the_rest() -> None:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"first")
        return [b"second"]

    server = Server()
    body = HeldAnswer(app, {}).send(server)
    assert [*server.written, *body] == [b"first", b"second"]


def test_an_error_replaces_what_came_before_and_says_so() -> None:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Error", [], sys.exc_info())
        return [b""]

    given: list[Any] = []

    def server(*args: Any) -> Any:
        given.append(args)
        return lambda _data: None

    HeldAnswer(app, {}).send(server)
    assert given[0][0] == "500 Error"
    assert given[0][2][0] is ValueError


def test_an_error_after_it_was_let_go_is_the_servers() -> None:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        start_response("500 Error", [], (ValueError, ValueError("late"), None))  # type: ignore[arg-type]

    def server(status: str, _headers: Any, exc_info: Any = None) -> Any:
        if exc_info is not None:
            raise exc_info[1]
        return lambda _data: None

    body = HeldAnswer(app, {}).send(server)
    with pytest.raises(ValueError, match="late"):
        list(body)


def test_an_application_that_answers_nothing_is_not_answered_for() -> None:
    server = Server()
    assert list(HeldAnswer(lambda _environ, _start: [], {}).send(server)) == []
    assert server.answers == []


@pytest.mark.parametrize("lazy", ["at once", "when read"])
def test_one_that_is_given_up_is_closed(lazy: str) -> None:
    body = Body([b"a"])

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if lazy == "at once":
            start_response("200 OK", [])
        return body

    HeldAnswer(app, {}).close()
    assert body.closed == 1
