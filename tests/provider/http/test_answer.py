"""Which bytes are an answer, and where it ends."""

from __future__ import annotations

import socket

import pytest

from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.provider.http.kept_connections import KeptConnections
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.provider.http.transport import Transport
from tests.support.providers.raw_server import RawServer, Script, raw_server, read_request

REST = b"\r\nContent-Length: 2\r\n\r\n{}"


def again_and_again(answer: bytes) -> Script:
    def script(connection: socket.socket, head: bytes) -> None:
        while head:
            connection.sendall(answer)
            head = read_request(connection)

    return script


def keeping() -> Transport:
    return Transport(connections=KeptConnections(), timeouts=Timeouts(read=5))


def failure_of(server: RawServer) -> str:
    with pytest.raises(ProviderUnavailableError) as failure:
        keeping().post_form(server.origin, body="code=x", limit=1000)
    assert failure.value.is_sent
    return failure.value.detail


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200 OK", 200),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.1 200", 200),
        (b"HTTP/1.2 200 OK", 200),
        (b"HTTP/1.9 200 OK", 200),
        (b"HTTP/1.1 400 Ung\xc3\xbcltig\t(\xfc)", 400),
        (b"HTTP/1.1 999 200 HTTP/1.1", 999),
    ],
)
def test_a_first_line_is_read_as_the_standard_has_it(line: bytes, status: int) -> None:
    transport = keeping()
    with raw_server(again_and_again(line + REST)) as server:
        for _ in range(2):
            assert transport.post_form(server.origin, body="code=x", limit=1000).status == status
    assert len(server.requests) == 1


def test_a_line_may_end_without_a_carriage_return() -> None:
    with raw_server(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}") as server:
        assert keeping().post_form(server.origin, body="code=x", limit=1000).body == b"{}"


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize(
    "line",
    [
        *(
            version + b" 200 OK"
            for version in (
                b"HTTP/1.",
                b"HTTP/1.1x",
                b"HTTP/1.11",
                b"HTTP/1.-1",
                b"HTTP/1,1",
                b"HTTP/1",
                b"HTTP/2",
                b"HTTP/2.0",
                b"HTTP/0.9",
                b"http/1.1",
                b"HTTPS/1.1",
                b" HTTP/1.1",
                b"\r\nHTTP/1.1",
                b"\0HTTP/1.1",
                b"ICY",
                b"",
            )
        ),
        *(
            b"HTTP/1.1 " + status + b" OK"
            for status in (
                b"+200",
                b"-200",
                b"2_00",
                b"0200",
                b"020",
                b"20",
                b"2000",
                b"2e2",
                b"0xc8",
                b"\xb2\xb2\xb2",
                b" 200",
                b"\t200",
                b"",
                b"OK",
            )
        ),
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1\x0b200 OK",
        b"HTTP/1.1\xa0200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200\xa0OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\x7fK",
        b"HTTP/1.1 200 OK\r",
        b"HTTP/1.1 200 " + b"OK" * 9999,
    ],
)
def test_a_first_line_in_another_spelling_is_none(line: bytes) -> None:
    with raw_server(line + REST) as server:
        assert "cannot be read" in failure_of(server)


@pytest.mark.parametrize("cut", [b"H", b"HTTP/1.1", b"HTTP/1.1 200", b"HTTP/1.1 200 OK"])
def test_a_first_line_that_is_cut_broke_off(cut: bytes) -> None:
    with raw_server(cut) as server:
        assert "broke off" in failure_of(server)


@pytest.mark.parametrize("chunk", [b"", b"2", b"2;a=b"])
def test_a_chunk_that_is_cut_broke_off(chunk: bytes) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk) as server:
        assert "broke off" in failure_of(server)


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize("headers", [b"", b"X: y\r\n", b"Content-Length: 0\r\n"])
def test_headers_that_end_with_the_connection_are_cut(headers: bytes) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n" + headers) as server:
        assert "broke off" in failure_of(server)


BODILESS = [b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 Not Modified\r\n"]


@pytest.mark.parametrize("head", BODILESS)
@pytest.mark.parametrize("said", [b"", b"Content-Length: 0\r\n"])
def test_an_answer_without_a_body_leaves_its_connection(head: bytes, said: bytes) -> None:
    transport = keeping()
    with raw_server(again_and_again(head + said + b"\r\n")) as server:
        for _ in range(2):
            assert transport.get_json(server.origin, limit=99).body == b""
    assert len(server.requests) == 1


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize("head", BODILESS)
@pytest.mark.parametrize("body", [b"", b"2\r\n{}\r\n0\r\n\r\n", b"{}"])
@pytest.mark.parametrize(
    "said",
    [
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Content-Length: 2\r\n",
        b"Content-Length: 00\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\r\n",
    ],
)
def test_an_answer_that_has_no_body_and_says_how_long_it_is_ends_its_connection(
    head: bytes, said: bytes, body: bytes
) -> None:
    transport = keeping()
    with raw_server(again_and_again(head + said + b"\r\n" + body)) as server:
        for _ in range(2):
            assert transport.get_json(server.origin, limit=99).body == b""
    assert len(server.requests) == 2


def test_where_there_is_no_body_none_is_waited_for() -> None:
    """The server keeps the connection open and says nothing more."""
    hasty = Transport(connections=KeptConnections(), timeouts=Timeouts(read=0.5))
    for head in BODILESS:
        with raw_server(again_and_again(head + b"Transfer-Encoding: chunked\r\n\r\n")) as server:
            assert hasty.get_json(server.origin, limit=99).body == b""


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (b"X: y\r\n" * 101, "got more than 100 headers"),
        (b"X: " + b"y" * 70_000 + b"\r\n", "got more than 65536 bytes when reading header line"),
    ],
)
def test_headers_without_end_are_said_to_be_that(headers: bytes, reason: str) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n") as server:
        assert f"cannot be read ({reason})" in failure_of(server)
