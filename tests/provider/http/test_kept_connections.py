"""Connections to a provider that serve more than one request: which ones, for how long, and for whom."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
import time
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.provider.http import connection as connections_module
from oauth2_mw.provider.http import kept_connections
from oauth2_mw.provider.http.connection import Connection
from oauth2_mw.provider.http.deadline import Deadline
from oauth2_mw.provider.http.kept_connections import MAX_IDLE, MAX_OF_ALL, MAX_OF_ROUTE, KeptConnections
from oauth2_mw.provider.http.messages import Response, Timeouts
from oauth2_mw.provider.http.route import Proxy, Route
from oauth2_mw.provider.http.streams import SocketStream
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.http.waiting import while_waiting
from tests.support.hosts.certificates import self_signed
from tests.support.hosts.listening import listening
from tests.support.providers.raw_server import RawServer, Script, raw_server, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def keeping() -> Transport:
    return Transport(connections=KeptConnections())


def get(server: RawServer, transport: Transport) -> Response:
    return transport.get_json(server.origin, limit=1000)


def post(server: RawServer, transport: Transport) -> Response:
    return transport.post_form(server.origin, body="code=x", limit=1000)


def failed_post(server: RawServer, transport: Transport) -> ProviderUnavailableError:
    with pytest.raises(ProviderUnavailableError) as failure:
        post(server, transport)
    return failure.value


def answering(*answers: bytes, requests: list[bytes] | None = None) -> Script:
    """Give each request of a connection the next of these answers, the last one to all others; then none: close."""

    def script(connection: socket.socket, head: bytes) -> None:
        left = list(answers)
        while head:
            if requests is not None:
                requests.append(head)
            answer = left.pop(0) if len(left) > 1 else left[0]
            if not answer:
                return
            connection.sendall(answer)
            head = read_request(connection)

    return script


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time by which connections are idle; the test sets ``ahead``."""
    clock = SimpleNamespace(ahead=0.0)
    now = time.monotonic
    for module in (kept_connections, connections_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now() + clock.ahead))
    return clock


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "authority.pem")


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    return context


# Which requests share a connection


def test_requests_go_over_the_connection_that_the_last_one_left() -> None:
    transport, requests = keeping(), list[bytes]()
    with raw_server(answering(OK, requests=requests)) as server:
        assert [
            get(server, transport).status,
            post(server, transport).status,
            get(server, transport).status,
        ] == [200] * 3
    assert (len(server.requests), len(requests)) == (1, 3)
    assert not any(b"connection: close" in head.lower() for head in requests)


def test_over_tls_too_and_the_end_of_the_certificate_is_known_each_time(
    tls: ssl.SSLContext, authority: Path
) -> None:
    transport = Transport(connections=KeptConnections(), ca_bundle=authority)
    with raw_server(answering(OK), tls=tls) as server:
        first, second = get(server, transport), get(server, transport)
    assert first.certificate_ends == second.certificate_ends is not None
    assert len(server.requests) == 1


def test_without_a_place_for_them_each_request_has_a_connection_of_its_own() -> None:
    transport, requests = Transport(), list[bytes]()
    with raw_server(answering(OK, requests=requests)) as server:
        get(server, transport)
        get(server, transport)
    assert len(server.requests) == 2
    assert all(b"connection: close" in head.lower() for head in requests)


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize(("idle", "made"), [(0.8, 1), (1.2, 2)])
def test_what_serves_once_goes_over_a_connection_of_the_last_second(
    clock: SimpleNamespace, idle: float, made: int
) -> None:
    for ask in (
        post,
        lambda server, transport: transport.get_hiding_query(server.origin, query={"code": "x"}, limit=99),
    ):
        transport = keeping()
        with raw_server(answering(OK)) as server:
            get(server, transport)
            clock.ahead += idle
            ask(server, transport)
        assert len(server.requests) == made


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize(("idle", "made"), [(29, 1), (31, 2)])
def test_a_get_goes_over_a_connection_of_the_last_half_minute(
    clock: SimpleNamespace, idle: float, made: int
) -> None:
    transport = keeping()
    with raw_server(answering(OK)) as server:
        get(server, transport)
        clock.ahead += idle
        get(server, transport)
    assert len(server.requests) == made


def test_a_connection_serves_for_five_minutes_at_most(clock: SimpleNamespace) -> None:
    transport = keeping()
    with raw_server(answering(OK)) as server:
        for _ in range(14):
            get(server, transport)
            clock.ahead += 25
    assert len(server.requests) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_leaves_in_one_piece(
    scheme: str, tls: ssl.SSLContext, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Transport(connections=KeptConnections(), ca_bundle=authority)
    pieces, send = list[bytes](), SocketStream.sendall

    def note(stream: Any, data: bytes) -> None:
        pieces.append(bytes(data))
        send(stream, data)

    with raw_server(answering(OK), tls=tls if scheme == "https" else None) as server:
        get(server, transport)
        monkeypatch.setattr(SocketStream, "sendall", note)
        post(server, transport)
    assert len([piece for piece in pieces if piece]) == 1


def test_a_request_that_cannot_be_written_has_not_left() -> None:
    with raw_server(OK) as server:
        route = Route("", "http", server.origin, "127.0.0.1", server.port, context=None)
        connection = Connection(route, route.addresses())
        with pytest.raises(HTTPException):
            connection.exchange("GET", "/a b", body=None, headers={}, deadline=Deadline(Timeouts()))
        connection.discard()
    assert not any(server.requests)
    assert not connection.is_sent


# Connections that the other side ends


@pytest.mark.parametrize("ask", [get, post])
def test_a_connection_that_was_closed_at_once_is_noticed(ask: Callable[..., Response]) -> None:
    transport = keeping()
    ended = threading.Event()

    def answer_and_close(connection: socket.socket, _: bytes) -> None:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)
        ended.set()

    with raw_server(answer_and_close) as server:
        for _ in range(3):
            assert ask(server, transport).status == 200
            assert ended.wait(10)
            ended.clear()
    assert len(server.requests) == 3


def test_a_connection_that_was_reset_is_noticed() -> None:
    transport = keeping()
    ended = threading.Event()

    def answer_and_reset(connection: socket.socket, _: bytes) -> None:
        connection.sendall(OK)
        asked.wait(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        ended.set()

    asked = threading.Event()
    with raw_server(answer_and_reset) as server:
        assert get(server, transport).status == 200
        asked.set()
        assert ended.wait(10)
        assert get(server, transport).status == 200


LOST = [b"", OK[:-1], OK[:20]]


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize("second", LOST, ids=["nothing", "half a body", "half a head"])
def test_a_get_whose_answer_is_lost_on_a_kept_connection_is_repeated_once(second: bytes) -> None:
    transport, requests = keeping(), list[bytes]()

    def script(connection: socket.socket, head: bytes) -> None:
        requests.append(head)
        connection.sendall(OK)
        if read_request(connection):
            requests.append(b"again")
            connection.sendall(second)

    with raw_server(script) as server:
        get(server, transport)
        assert get(server, transport).status == 200
    assert (len(server.requests), len(requests)) == (2, 3)


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize("second", LOST, ids=["nothing", "half a body", "half a head"])
def test_what_serves_once_is_not_repeated_and_its_loss_is_told(second: bytes) -> None:
    transport, requests = keeping(), list[bytes]()

    def script(connection: socket.socket, head: bytes) -> None:
        requests.append(head)
        connection.sendall(OK)
        requests.append(read_request(connection))
        connection.sendall(second)

    with raw_server(script) as server:
        get(server, transport)
        failure = failed_post(server, transport)
    assert (failure.is_sent, failure.is_on_kept_connection) == (True, True)
    assert (len(server.requests), len(requests)) == (1, 2)


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize("ask", [get, post])
def test_silence_on_a_kept_connection_is_no_loss(ask: Callable[..., Response]) -> None:
    transport = Transport(connections=KeptConnections(), timeouts=Timeouts(read=0.1))
    requests, over = list[bytes](), threading.Event()

    def script(connection: socket.socket, head: bytes) -> None:
        requests.append(head)
        connection.sendall(OK)
        requests.append(read_request(connection))
        over.wait(10)

    with raw_server(script) as server:
        get(server, transport)
        with pytest.raises(ProviderUnavailableError, match="fell silent") as failure:
            ask(server, transport)
        over.set()
    assert (failure.value.is_sent, failure.value.is_on_kept_connection) == (True, False)
    assert len(requests) == 2


def test_a_get_is_sent_three_times_at_most_with_a_loss_among_them() -> None:
    transport, requests = keeping(), list[bytes]()

    def script(connection: socket.socket, head: bytes) -> None:
        requests.append(head)
        if len(requests) > 1:
            connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(OK)
        requests.append(read_request(connection))

    with raw_server(script) as server:
        get(server, transport)
        assert get(server, transport).status == 503
    assert len(requests) == 1 + 3


def test_a_loss_on_a_new_connection_is_no_loss_on_a_kept_one() -> None:
    with raw_server(b"") as server:
        failure = failed_post(server, keeping())
    assert (failure.is_sent, failure.is_on_kept_connection) == (True, False)


def test_a_kept_connection_has_the_deadline_of_its_request() -> None:
    connections = KeptConnections[Any]()
    patient = Transport(connections=connections)
    hasty = Transport(connections=connections, timeouts=Timeouts(connect=2, read=2, total=0.2))

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(OK)
        read_request(connection)
        for octet in OK * 9:
            connection.sendall(bytes([octet]))
            time.sleep(0.02)

    with raw_server(drip) as server:
        get(server, patient)
        began = time.monotonic()
        failure = failed_post(server, hasty)
    assert not failure.is_on_kept_connection
    assert "within 0.2 seconds" in failure.detail
    assert time.monotonic() - began < 1.5


# Answers that leave a connection in doubt


HEAD = b"HTTP/1.1 200 OK\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize(
    "answer",
    [
        OK + EVIL,
        OK + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + EVIL,
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
        b"HTTP/1.1 204 Empty\r\n\r\n" + EVIL,
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_whose_answer_leaves_a_doubt_serves_no_more(
    answer: bytes, scheme: str, tls: ssl.SSLContext, authority: Path
) -> None:
    transport = Transport(connections=KeptConnections(), ca_bundle=authority)
    with raw_server(answering(answer), tls=tls if scheme == "https" else None) as server:
        for ask in (get, post, get):
            assert ask(server, transport).body in (b"{}", b"")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early\r\nLink: x\r\nContent-Length: 9\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n" * 2 + b"HTTP/1.1 102 Wait\r\n\r\n" + OK,
        b"HTTP/1.1 199 Wait\r\n\r\n" * 10 + OK,
        HEAD + b"Transfer-Encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0002 ; a=b\r\n{}\r\n0\r\n\r\n",
        HEAD + b"X: a\r\n folded\r\nContent-Length:  2 \r\n\r\n{}",
        b"HTTP/1.1 204 Empty\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
        b"HTTP/1.1 404 Gone\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_connection_whose_answer_is_whole_serves_again(answer: bytes) -> None:
    transport = keeping()
    with raw_server(answering(answer)) as server:
        get(server, transport)
        get(server, transport)
    assert len(server.requests) == 1


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switch\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switch\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early\r\n\r\n" * 11 + OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 11 + OK,
        HEAD + b"Content-Length: 2\r\nno header\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        HEAD + b"no header\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nContent-Length : 50\r\n\r\n{}",
        HEAD + b" folded: x\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"From Content-Length: 50\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nFrom Content-Length: 50\r\n\r\n{}",
        HEAD + b": 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nX: y\r\r\n\r\n{}",
        *(
            HEAD + b"Transfer-Encoding: " + coding + b"\r\nContent-Length: 2\r\n\r\n{}"
            for coding in (b"identity", b"gzip, chunked", b"chunked ", b"chunked, chunked", b"xchunked", b"")
        ),
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        *(
            HEAD + b"Content-Length: " + length + b"\r\n\r\n{}"
            for length in (b"0_2", b"+2", b"-2", b"two", b"0x2", b"", b"2, 3", b"9" * 40, b"9" * 5000)
        ),
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        *(
            CHUNKED + size + b"\r\n{}\r\n0\r\n\r\n"
            for size in (b"-1", b"-9" + b"9" * 30, b"f" * 30, b"0x2", b"+2", b"0_2", b" 2", b"2 2", b";", b"")
        ),
        CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_no_answer(answer: bytes) -> None:
    transport, requests = keeping(), list[bytes]()

    def script(connection: socket.socket, head: bytes) -> None:
        while head:
            requests.append(head)
            connection.sendall(answer)
            head = read_request(connection)

    with raw_server(script) as server:
        for _ in range(2):
            failure = failed_post(server, transport)
            assert failure.is_sent
            assert "cannot be read" in failure.detail
    assert len(server.requests) == len(requests) == 2


def test_no_chunk_leads_beyond_the_limit() -> None:
    def flood(connection: socket.socket, _: bytes) -> None:
        connection.sendall(CHUNKED + b"-1\r\n")
        with suppress(OSError):
            while True:
                sent.append(connection.send(b"x" * 65536))

    sent = list[int]()
    with raw_server(flood) as server:
        assert "cannot be read" in failed_post(server, keeping()).detail
    assert sum(sent) < 50_000_000


@pytest.mark.parametrize("kind", [b"103 Early", b"100 Continue"])
def test_a_proxy_may_say_that_it_is_at_it(kind: bytes, tls: ssl.SSLContext, authority: Path) -> None:
    before = b"HTTP/1.1 " + kind + b"\r\nX: y\r\n\r\n"
    with raw_server(answering(OK), tls=tls) as server, tunnel(before=before) as proxy:
        assert get(server, Transport(ca_bundle=authority, proxy=proxy.origin)).body == b"{}"


@pytest.mark.parametrize("surplus", [b"x", EVIL])
def test_what_a_proxy_adds_to_its_answer_is_not_the_providers(surplus: bytes) -> None:
    with (
        raw_server(b"HTTP/1.1 200 Connected\r\n\r\n" + surplus) as proxy,
        pytest.raises(ProviderUnavailableError, match="proxy for 127"),
    ):
        Transport(proxy=proxy.origin).post_form("https://127.0.0.1:9/", body="a=b", limit=9)


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_comes_unasked_is_no_answer(scheme: str, tls: ssl.SSLContext, authority: Path) -> None:
    transport = Transport(connections=KeptConnections(), ca_bundle=authority)
    kept, said = threading.Event(), threading.Event()

    def unasked(connection: socket.socket, _: bytes) -> None:
        connection.sendall(OK)
        assert kept.wait(10)
        connection.sendall(EVIL)
        said.set()
        connection.recv(1)

    with raw_server(unasked, tls=tls if scheme == "https" else None) as server:
        get(server, transport)
        kept.set()
        assert said.wait(10)
        assert post(server, transport).body == b"{}"
    assert len(server.requests) == 2


@pytest.mark.parametrize("farewell", [True, False])
def test_an_answer_over_tls_may_last_as_long_as_its_connection(
    tls: ssl.SSLContext, authority: Path, *, farewell: bool
) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(HEAD + b"\r\n{}")
        if farewell and isinstance(connection, ssl.SSLSocket):
            connection.unwrap()

    with raw_server(script, tls=tls) as server:
        assert get(server, Transport(ca_bundle=authority)).body == b"{}"


RECORD = b"\x17\x03\x03\x00\x50abc"


@pytest.mark.requirement("R-connections")
@pytest.mark.parametrize("cut", [RECORD[:1], RECORD[:4], RECORD[:5], RECORD])
@pytest.mark.parametrize(
    "answer", [HEAD + b"\r\n{}", HEAD + b"X: y\r\n", OK[:-1]], ids=["until the end", "headers", "length"]
)
def test_an_answer_that_is_cut_within_a_record_is_none(
    cut: bytes, answer: bytes, tls: ssl.SSLContext, authority: Path
) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        os.write(connection.fileno(), cut)

    with raw_server(script, tls=tls) as server:
        failure = failed_post(server, Transport(ca_bundle=authority))
    assert failure.is_sent
    assert "broke off" in failure.detail
    assert "ca_bundle" not in failure.detail


def test_a_connection_with_half_a_record_serves_no_more(tls: ssl.SSLContext, authority: Path) -> None:
    transport = Transport(connections=KeptConnections(), ca_bundle=authority)

    def script(connection: socket.socket, head: bytes) -> None:
        while head:
            # Small records, each of which is read for itself.
            connection.sendall(OK[:9])
            connection.sendall(OK[9:])
            os.write(connection.fileno(), RECORD[:3])
            head = read_request(connection)

    with raw_server(script, tls=tls) as server:
        get(server, transport)
        assert get(server, transport).body == b"{}"
    assert len(server.requests) == 2


def test_what_is_no_tls_after_the_request_is_no_matter_of_trust(tls: ssl.SSLContext, authority: Path) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + b"a" * 32)

    with raw_server(script, tls=tls) as server:
        failure = failed_post(server, Transport(ca_bundle=authority))
    assert failure.is_sent
    assert "broke off" in failure.detail
    assert "ca_bundle" not in failure.detail


def test_a_body_that_is_too_large_ends_its_connection() -> None:
    transport = keeping()
    with raw_server(answering(OK)) as server:
        with suppress(Exception):
            transport.get_json(server.origin, limit=1)
        get(server, transport)
    assert len(server.requests) == 2


# Changes of address and trust


@pytest.mark.requirement("R-connections")
def test_a_provider_that_moves_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Transport(connections=KeptConnections(), insecure_http=True)
    ports = list[int]()
    resolve = socket.getaddrinfo

    def move(host: str, *given: Any, **options: Any) -> list[Any]:
        if host != "op.example":
            return resolve(host, *given, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", move)
    with raw_server(answering(OK)) as old, raw_server(answering(OK)) as new:
        for now in ([old.port], [old.port], [9, old.port], [new.port], [new.port]):
            ports[:] = now
            assert transport.get_json("http://op.example/", limit=99).status == 200
    assert (len(old.requests), len(new.requests)) == (1, 1)


@pytest.mark.requirement("R-connections")
def test_when_the_authorities_change_no_connection_outlives_them(
    tls: ssl.SSLContext, authority: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    shutil.copy(authority, bundle)
    transport = Transport(connections=KeptConnections(), ca_bundle=bundle)
    with raw_server(answering(OK), tls=tls) as server:
        get(server, transport)
        get(server, transport)
        assert len(server.requests) == 1
        self_signed(tmp_path / "other.pem").rename(bundle)
        failure = failed_post(server, transport)
        assert "TLS" in failure.detail
        assert not failure.is_sent
        shutil.copy(authority, bundle)
        assert get(server, transport).status == 200
    assert len(server.requests) == 2


#: By this name OpenSSL looks in a folder for whoever is called CN=127.0.0.1.
IN_A_FOLDER = "88d0bdcb.0"


@pytest.mark.requirement("R-connections")
def test_when_a_file_changes_in_the_folder_of_authorities_no_connection_outlives_it(
    tls: ssl.SSLContext, authority: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "dangling.0").symlink_to(tmp_path / "nowhere")
    bundle = folder / IN_A_FOLDER
    bundle.symlink_to(shutil.copy(authority, tmp_path / "ca.pem"))
    transport = Transport(connections=KeptConnections(), ca_bundle=folder)
    with raw_server(answering(OK), tls=tls) as server:
        get(server, transport)
        get(server, transport)
        other = self_signed(tmp_path / "other.pem")
        (tmp_path / "ca.pem").write_bytes(other.read_bytes())
        assert "TLS" in failed_post(server, transport).detail
    assert len(server.requests) == 1


def test_providers_do_not_share_a_connection() -> None:
    connections = KeptConnections[Any]()
    with raw_server(answering(OK)) as server:
        for name in ("a", "b"):
            get(server, Transport(name=name, connections=connections))
    assert len(server.requests) == 2


def test_when_the_proxy_changes_no_connection_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Transport(connections=KeptConnections(), trust_env=True)
    with raw_server(answering(OK)) as server, raw_server(answering(OK)) as proxy:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        get(server, transport)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", proxy.origin)
        get(server, transport)
        get(server, transport)
    assert (len(server.requests), len(proxy.requests)) == (1, 1)


# Proxies that hand on what they cannot read


@contextmanager
def tunnel(
    *, tls: ssl.SSLContext | None = None, refusal: bytes = b"", before: bytes = b""
) -> Iterator[RawServer]:
    """A proxy that connects to where it is told."""

    def script(connection: socket.socket, head: bytes) -> None:
        if refusal:
            connection.sendall(refusal)
            return
        host, _, port = head.split()[1].decode().partition(":")
        with socket.create_connection((host, int(port))) as target:
            connection.sendall(before + b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=pump, args=(target, connection), daemon=True)
            back.start()
            pump(connection, target)
            back.join(10)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(9999):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    with raw_server(script, tls=tls) as proxy:
        yield proxy


def test_what_went_through_a_tunnel_goes_through_it_again(tls: ssl.SSLContext, authority: Path) -> None:
    with raw_server(answering(OK), tls=tls) as server, tunnel() as proxy:
        transport = Transport(
            connections=KeptConnections(),
            ca_bundle=authority,
            proxy=proxy.origin.replace("//", "//jane:canary@"),
        )
        get(server, transport)
        assert get(server, transport).certificate_ends
    (head,) = proxy.requests
    assert head.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.".encode())
    assert b"proxy-authorization: basic amfuztpjyw5hcnk=" in head.lower()
    assert len(server.requests) == 1
    assert b"canary" not in server.requests[0]
    assert b"roxy-" not in server.requests[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("jane:p%40s%3As", "jane:p@s:s"),
        ("jane%40acme:", "jane@acme:"),
        ("jane", "jane:"),
        ("j%C3%A4ne:100%", "jäne:100%"),
    ],
)
def test_a_proxy_is_told_what_its_percent_signs_mean(written: str, meant: str) -> None:
    expected = b"proxy-authorization: basic " + b64encode(meant.encode()).lower()
    with raw_server(OK) as proxy:
        transport = Transport(proxy=proxy.origin.replace("//", f"//{written}@"))
        transport.get_json("http://127.0.0.1:9/", limit=9)
        with suppress(ProviderUnavailableError):
            transport.post_form("https://127.0.0.1:9/", body="", limit=9)
    assert [expected in head.lower() for head in proxy.requests] == [True, True]


@pytest.mark.parametrize(
    ("host", "named"),
    [("[::1]:9", b"[::1]:9"), ("127.0.0.1", b"127.0.0.1:443"), ("OP.example", b"op.example:443")],
)
def test_a_tunnel_names_its_end_with_port_and_brackets(host: str, named: bytes) -> None:
    with tunnel(refusal=b"HTTP/1.1 407 Who\r\n\r\n") as proxy, suppress(ProviderUnavailableError):
        Transport(proxy=proxy.origin).post_form(f"https://{host}/", body="a=b", limit=9)
    (head,) = proxy.requests
    assert head.startswith(b"CONNECT " + named + b" HTTP/1.")
    assert [line for line in head.split(b"\r\n") if line.startswith(b"Host:")] == [b"Host: " + named]


def test_the_environments_proxy_may_come_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(OK) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.origin.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "")
        assert Transport(trust_env=True).get_json("http://127.0.0.1:9/", limit=9).body == b"{}"


def test_why_a_proxy_cannot_be_used_is_told(tls: ssl.SSLContext) -> None:
    with raw_server(OK, tls=tls) as proxy:
        for url in ("http://127.0.0.1:9/", "https://127.0.0.1:9/"):
            with pytest.raises(ProviderUnavailableError, match=r"proxy for 127.*self-signed.*ca_bundle"):
                Transport(proxy=proxy.origin).post_form(url, body="a=b", limit=9)
    with tunnel(refusal=b"HTTP/1.1 407 Who\r\n\r\n") as proxy:
        pass
    with pytest.raises(ProviderUnavailableError, match=r"proxy for 127.*Connection refused"):
        Transport(proxy=proxy.origin.replace("//", "//jane:canary@")).post_form(
            "https://127.0.0.1:9/", body="a=b", limit=9
        )


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (b"HTTP/1.1 407 Who, jane:canary\r\n\r\n", "it answered CONNECT with HTTP 407"),
        (b"HTTP/1.1 503 Tunnel connection failed: 200\r\n\r\n", "it answered CONNECT with HTTP 503"),
        (b"HTTP/1.1 101 \r\n\r\n", "it answered CONNECT with HTTP 101"),
        (b"\r\n", "its first line is not that of HTTP/1"),
    ],
)
def test_a_tunnel_that_is_refused_is_the_proxys_fault(refusal: bytes, reason: str) -> None:
    with (
        tunnel(refusal=refusal) as proxy,
        pytest.raises(
            ProviderUnavailableError, match=rf"proxy for 127\S* cannot be used \({reason}\)"
        ) as failure,
    ):
        Transport(proxy=proxy.origin).post_form("https://127.0.0.1:9/", body="a=b", limit=9)
    assert not failure.value.is_sent


def test_a_proxy_that_hangs_up_is_the_proxys_fault() -> None:
    with (
        raw_server(lambda _connection, _head: None) as proxy,
        pytest.raises(ProviderUnavailableError, match=r"proxy for 127.*RemoteDisconnected"),
    ):
        Transport(proxy=proxy.origin).post_form("https://127.0.0.1:9/", body="a=b", limit=9)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "127.0.0.1:9", "http://127.0.0.1:x/", "http://"])
def test_what_is_no_proxy_says_so(proxy: str) -> None:
    with pytest.raises(ProviderUnavailableError, match="proxy for op"):
        Transport(proxy=proxy).post_form("https://op.example/", body="a=b", limit=9)


def test_a_proxy_may_speak_tls_itself(tls: ssl.SSLContext, authority: Path) -> None:
    with raw_server(answering(OK), tls=tls) as server, raw_server(answering(OK), tls=tls) as proxy:
        transport = Transport(connections=KeptConnections(), ca_bundle=authority, proxy=proxy.origin)
        plain = server.origin.replace("https:", "http:")
        transport.get_json(plain, limit=9)
        transport.get_json(plain, limit=9)
        (head,) = proxy.requests
        assert head.startswith(f"GET {plain} HTTP/1.1".encode())
        with pytest.raises(ProviderUnavailableError, match="proxy for 127"):
            Transport(proxy=proxy.origin).get_json(plain, limit=9)


def test_tls_goes_through_a_proxy_that_speaks_tls(tls: ssl.SSLContext, authority: Path) -> None:
    with raw_server(answering(OK), tls=tls) as server, tunnel(tls=tls) as proxy:
        transport = Transport(connections=KeptConnections(), ca_bundle=authority, proxy=proxy.origin)
        assert get(server, transport).body == b"{}"
        assert post(server, transport).body == b"{}"
    assert len(server.requests) == 1


# What is written as https goes over TLS


@pytest.mark.requirement("N2.1.16")
@pytest.mark.parametrize("scheme", ["HTTPS", "Https", "hTTPS"])
def test_a_scheme_means_tls_in_every_spelling(scheme: str, tls: ssl.SSLContext, authority: Path) -> None:
    with raw_server(answering(OK), tls=tls) as server, raw_server(OK) as plain, tunnel(tls=tls) as proxy:
        for through in (None, proxy.origin, proxy.origin.replace("https", scheme)):
            transport = Transport(ca_bundle=authority, proxy=through)
            url = server.origin.replace("https", scheme)
            assert transport.post_form(url, body="code=canary", limit=9).certificate_ends
        assert [head[:8] for head in proxy.requests] == [b"CONNECT "] * 2
        hasty = Timeouts(read=0.1)
        with pytest.raises(ProviderUnavailableError) as failure:
            Transport(timeouts=hasty).post_form(plain.origin.replace("http", scheme), body="canary", limit=9)
        assert not failure.value.is_sent
        with pytest.raises(ProviderUnavailableError, match="proxy for 127"):
            Transport(
                proxy=plain.origin.replace("http://", f"{scheme}://jane:canary@"), timeouts=hasty
            ).post_form("http://127.0.0.1:9/", body="canary", limit=9)
    assert not any(b"canary" in received or b"POST" in received for received in plain.requests)


@pytest.mark.requirement("N2.1.16")
@pytest.mark.parametrize("proxied", [False, True])
def test_https_without_anybody_to_trust_says_nothing(*, proxied: bool) -> None:
    with raw_server(OK) as server:
        proxy = Proxy("https", "127.0.0.1", server.port) if proxied else None
        scheme = "http" if proxied else "https"
        route = Route("", scheme, server.origin, "127.0.0.1", server.port, context=None, proxy=proxy)
        connection = Connection(route, route.addresses())
        with pytest.raises(ssl.SSLError):
            connection.exchange("GET", "/", body=None, headers={}, deadline=Deadline(Timeouts()))
        connection.discard()
    assert not any(server.requests)
    assert not connection.is_sent


def test_https_without_anybody_to_trust_is_not_read_by_a_proxy() -> None:
    route = Route("", "https", "", "op.example", 443, context=None, proxy=Proxy("http", "127.0.0.1", 9))
    assert not route.forwards


@pytest.mark.requirement("N2.1.16")
def test_a_certificate_names_its_hosts_where_they_belong(tmp_path: Path) -> None:
    by_common_name = self_signed(tmp_path / "ca.pem", common_name="localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(by_common_name)
    transport = Transport(ca_bundle=by_common_name)
    with raw_server(OK, tls=context) as server:
        with pytest.raises(ProviderUnavailableError, match="name that its certificate is for"):
            transport.post_form(server.origin.replace("127.0.0.1", "localhost"), body="a=b", limit=9)
        assert post(server, transport).status == 200


def test_the_secrets_of_tls_are_noted_for_a_trusted_environment_alone(
    tls: ssl.SSLContext, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    monkeypatch.setenv("SSLKEYLOGFILE", str(secrets))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with raw_server(OK, tls=tls) as server:
        post(server, Transport(ca_bundle=authority))
        assert not secrets.exists()
        post(server, Transport(ca_bundle=authority, trust_env=True))
    assert b"TRAFFIC_SECRET" in secrets.read_bytes()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "nowhere" / "secrets"))
    with pytest.raises(ProviderUnavailableError, match="check SSLKEYLOGFILE"):
        Transport(trust_env=True).post_form("https://127.0.0.1:9/", body="a=b", limit=9)


def test_where_the_authorities_were_named_they_are_to_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere"))
    with pytest.raises(ProviderUnavailableError, match=r"nowhere cannot be read .*check REQUESTS_CA_BUNDLE"):
        Transport(trust_env=True).post_form("https://127.0.0.1:9/", body="a=b", limit=9)


def test_who_hangs_up_in_a_handshake_is_no_matter_of_trust() -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.recv(9999)
        connection.close()

    with listening() as (port, accept):
        accept(hang_up)
        with pytest.raises(ProviderUnavailableError) as failure:
            Transport().post_form(f"https://127.0.0.1:{port}/", body="a=b", limit=9)
    assert "check the port" in failure.value.detail
    assert "ca_bundle" not in failure.value.detail


# Several addresses


def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(OK) as gone:
        pass
    with raw_server(OK) as server:
        found = [(2, 1, 6, "", ("127.0.0.1", port)) for port in (gone.port, server.port)]
        resolve = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *a, **k: found if host == "localhost" else resolve(host, *a, **k),
        )
        assert Transport().get_json("http://localhost:9/", limit=9).status == 200


# Processes and threads


def test_a_forked_process_leaves_the_connections_of_its_parent_alone() -> None:
    transport, requests = keeping(), list[bytes]()
    with raw_server(answering(OK, requests=requests)) as server:
        get(server, transport)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of the server's threads
            child = os.fork()
        if child == 0:
            status = 1
            try:
                status = get(server, transport).status
            finally:
                os._exit(0 if status == 200 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(server.requests) == 2
        assert get(server, transport).status == 200
    assert (len(server.requests), len(requests)) == (2, 3)


def test_no_two_threads_use_a_connection_at_a_time() -> None:
    transport = keeping()

    def echo(connection: socket.socket, head: bytes) -> None:
        while head:
            path = head.split()[1]
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(path))
            connection.sendall(path)
            head = read_request(connection)

    def ask(number: int) -> bool:
        body = transport.get_json(f"{server.origin}/{number}", limit=99).body
        return body == b"/%d" % number

    with raw_server(echo) as server, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(64)))
    assert len(server.requests) < 64


# The table


@dataclass
class Door:
    """Something to keep."""

    name: str = ""
    closed: list[str] = field(default_factory=list)

    def discard(self) -> None:
        self.closed.append(self.name)


def test_a_route_has_so_many_connections_and_all_together_so_many() -> None:
    kept, closed = KeptConnections[Door](), list[str]()
    for number in range(MAX_OF_ROUTE + 2):
        kept.keep("a", Door(f"a{number}", closed))
    assert closed == ["a0", "a1"]
    for number in range(MAX_OF_ALL):
        kept.keep(number, Door(f"{number}", closed))
    assert len(closed) == 2 + MAX_OF_ROUTE
    assert closed[2:] == ["a2", "a3", "a4", "a5"]


def test_the_connection_used_last_is_taken_first_and_once() -> None:
    kept = KeptConnections[Door]()
    first, second = Door(), Door()
    kept.keep("a", first)
    kept.keep("a", second)
    kept.keep("b", Door())
    assert [kept.take("a", max_idle=9) for _ in range(3)] == [second, first, None]
    assert kept.take("c", max_idle=9) is None


def test_what_is_idle_too_long_is_closed_when_anybody_comes_by(clock: SimpleNamespace) -> None:
    kept, closed = KeptConnections[Door](), list[str]()
    kept.keep("a", Door("a", closed))
    clock.ahead = MAX_IDLE - 1
    kept.keep("b", Door("b", closed))
    clock.ahead = MAX_IDLE + 1
    assert kept.take("c", max_idle=9) is None
    assert closed == ["a"]
    assert kept.take("b", max_idle=1) is None
    assert kept.take("b", max_idle=3) is not None


# The deadline


def test_the_work_of_a_waiting_thread_is_done_while_an_answer_trickles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oauth2_mw.provider.http.waiting.SLICE", 0.02)
    done = list[int]()

    def trickle(connection: socket.socket, _: bytes) -> None:
        connection.sendall(HEAD)
        while len(done) < 4:
            connection.sendall(b"X: y\r\n")
            time.sleep(0.001)
        connection.sendall(b"Content-Length: 2\r\n\r\n{}")

    monkeypatch.setattr("http.client._MAXHEADERS", 10_000)
    with raw_server(trickle) as server, while_waiting(lambda: done.append(threading.get_ident())):
        assert post(server, keeping()).status == 200
    assert set(done) == {threading.get_ident()}


def test_the_work_of_a_waiting_thread_is_done_before_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.provider.http.waiting.SLICE", 0)
    done = list[int]()
    with raw_server(OK) as gone:
        pass
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", gone.port))] * 5)
    with while_waiting(lambda: done.append(1)), pytest.raises(ProviderUnavailableError):
        Transport().post_form("http://localhost:9/", body="a=b", limit=9)
    assert len(done) == 5


@pytest.mark.parametrize(("lost_at", "is_sent"), [(1, False), (2, False), (3, True)])
def test_work_that_ends_a_request_leaves_what_is_known_of_it(
    lost_at: int, *, is_sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth2_mw.provider.http.waiting.SLICE", 0)
    done = list[int]()

    def work() -> None:
        done.append(1)
        # Before it connects, before it sends, and while it waits.
        if len(done) == lost_at:
            lost = ProviderUnavailableError("taken over", code="lease_lost")
            lost.is_sent = True
            raise lost

    with raw_server(b"") as server, while_waiting(work):
        failure = failed_post(server, Transport())
    assert (failure.code, failure.is_sent) == ("lease_lost", is_sent)


def test_nothing_is_asked_when_the_time_is_over() -> None:
    def never(_: int) -> int:
        raise AssertionError

    with pytest.raises(TimeoutError):
        Deadline(Timeouts(total=0)).run(never, 1, set_timeout=lambda _: None, seconds=9)
