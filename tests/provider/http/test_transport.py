"""Requests to a provider: which addresses are called, how long they may take, how much is read."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.observe import quiet_libraries
from oauth2_mw.provider.http import http_client
from oauth2_mw.provider.http.messages import Request, Response, Timeouts
from oauth2_mw.provider.http.transport import Transport, endpoint_problem
from tests.support.hosts.certificates import self_signed
from tests.support.providers.raw_server import raw_server, silence
from tests.support.providers.standin import Answer, StandIn

QUICK = Timeouts(connect=2, read=2, total=0.3)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"


def get(url: str, *, limit: int = 1000, redirects: int = 0, transport: Transport | None = None) -> Response:
    return (transport or Transport()).get_json(url, limit=limit, redirects=redirects)


def ok(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"", body])


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://op.example/token",
        "https://op.example:8443/token?tenant=a%20b",
        "https://[2001:db8::1]/token",
        "http://127.0.0.1:8080/token",
        "http://[::1]:8080/token",
        "http://localhost/token",
    ],
)
def test_https_and_loopback_may_be_called(url: str) -> None:
    assert endpoint_problem(url, insecure_http=False) is None


@pytest.mark.requirement("3f.1", "3f.11", "V12")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "op.example/token",
        "ftp://op.example/token",
        "file:///etc/passwd",
        "gopher://op.example/",
        "javascript:alert(1)",
        "https://",
        "https:///token",
        "https://user@op.example/",
        "https://op.example:443@evil.example/",
        "https://op.example\\@evil.example/",
        "https://op.example/token#part",
        "https://op.example/to ken",
        "https://op.example/\r\nX: y",
        "https://op.example:0/",
        "https://op.example:99999/",
        "https://[::1/",
        "https://öp.example/",
        "http://op.example/token",
        "http://localhost.example/token",
        "http://127.0.0.1.example/token",
        "http://2130706433/token",
        "http://[::ffff:10.0.0.1]/token",
        "http://0.0.0.0/token",
    ],
)
def test_an_endpoint_that_may_not_be_called_is_refused_before_a_connection(url: str) -> None:
    assert endpoint_problem(url, insecure_http=False)
    with pytest.raises(ProviderError) as refusal:
        get(url)
    assert refusal.value.code == "endpoint"
    with pytest.raises(ProviderError):
        Transport().post_form(url, body="a=b", limit=10)


def test_plain_http_elsewhere_needs_the_setting() -> None:
    assert endpoint_problem("http://op.example/", insecure_http=True) is None


# Requests


def test_a_request_says_what_it_wants_and_nothing_more(provider: StandIn) -> None:
    get(provider.url + "/jwks", limit=10_000)
    (request,) = provider.requests
    assert request.headers == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Type": "text/plain",  # what wsgiref says when there is none
        "Host": provider.url.removeprefix("http://"),
        "User-Agent": "oauth2_mw",
    }


def test_a_form_is_posted(provider: StandIn) -> None:
    response = Transport().post_form(
        provider.url + "/token", body="a=b%20c", limit=1000, headers={"Authorization": "Basic x"}
    )
    assert response.status == 400
    (request,) = provider.requests
    assert (request.method, request.form) == ("POST", {"a": "b c"})
    assert request.headers["Authorization"] == "Basic x"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.requirement("3f.6", "V20")
def test_the_netrc_file_is_not_read(
    provider: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login jane password secret\ndefault login j password s\n")
    monkeypatch.setenv("NETRC", str(netrc))
    get(provider.url + "/jwks", limit=10_000, transport=Transport(trust_env=True))
    assert "Authorization" not in provider.requests[0].headers


@pytest.mark.requirement("3f.6")
def test_cookies_are_not_kept(provider: StandIn) -> None:
    provider.answers["jwks"] = Answer(b"{}", headers=(("Set-Cookie", "a=b"),))
    transport = Transport()
    get(provider.url + "/jwks", transport=transport)
    get(provider.url + "/jwks", transport=transport)
    assert "Cookie" not in provider.requests[1].headers


@pytest.mark.requirement("W4")
def test_a_header_cannot_be_split() -> None:
    with raw_server(OK) as server, pytest.raises(ProviderUnavailableError):
        Transport().get_json(server.origin, limit=10, headers={"Authorization": "Bearer a\r\nX: y"})
    assert not any(b"X: y" in head for head in server.requests)


# Responses


def test_an_answer_is_complete_and_its_type_without_parameters() -> None:
    with raw_server(OK) as server:
        response = get(server.origin + "/x")
    assert (response.status, response.content_type, response.body) == (200, "application/json", b"{}")
    assert response.headers["content-length"] == "2"
    assert "{}" not in repr(response)


@pytest.mark.requirement("3f.5")
@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_of_a_body_is_exact(extra: int) -> None:
    with raw_server(ok(b"x" * (1000 + extra))) as server:
        if not extra:
            assert len(get(server.origin, limit=1000).body) == 1000
            return
        with pytest.raises(ProviderError) as refusal:
            get(server.origin, limit=1000)
    assert refusal.value.code == "answer_too_large"


@pytest.mark.requirement("3f.12", "3f.5")
def test_an_endless_answer_is_cut_off() -> None:
    ended = threading.Event()

    def endless(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        finally:
            ended.set()

    with raw_server(endless) as server, pytest.raises(ProviderError) as refusal:
        get(server.origin, limit=100_000)
    assert refusal.value.code == "answer_too_large"
    assert ended.wait(5)


@pytest.mark.requirement("3f.12")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "no HTTP", "lying length", "two lengths", "bad chunk", "many headers", "long header"],
)
def test_a_broken_answer_is_no_answer(answer: bytes) -> None:
    reason = "broke off" if not answer or b": 100" in answer else "cannot be read"
    with raw_server(answer) as server, pytest.raises(ProviderUnavailableError, match=reason):
        get(server.origin)
    assert len(server.requests) == 1  # the answer may have been on its way: no second try


def test_gzip_that_nobody_asked_for_is_undone() -> None:
    for encoding, body in ((b"gzip", gzip.compress(b"[1]")), (b"deflate", zlib.compress(b"[1]"))):
        with raw_server(ok(body, b"Content-Encoding: " + encoding)) as server:
            assert get(server.origin).body == b"[1]"


@pytest.mark.requirement("3f.7", "V21")
def test_a_compressed_bomb_is_not_blown_up() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        with (
            raw_server(ok(bomb, b"Content-Encoding: gzip")) as server,
            pytest.raises(ProviderError) as refusal,
        ):
            get(server.origin, limit=200_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refusal.value.code == "answer_too_large"
    assert peak < 5_000_000


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_of_a_body_that_was_compressed_is_exact(extra: int) -> None:
    with raw_server(ok(gzip.compress(b"x" * (1000 + extra)), b"Content-Encoding: GZIP ")) as server:
        if not extra:
            assert len(get(server.origin, limit=1000).body) == 1000
            return
        with pytest.raises(ProviderError) as refusal:
            get(server.origin, limit=1000)
    assert refusal.value.code == "answer_too_large"


def test_an_encoding_is_shown_as_far_as_a_line_holds_it() -> None:
    encoding = "x" * 41
    with (
        raw_server(ok(b"", b"Content-Encoding: " + encoding.encode())) as server,
        pytest.raises(ProviderError, match=f"encoding '{encoding[:40]}', though"),
    ):
        get(server.origin)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"br", b"[1]"),
        (b"gzip, gzip", b"[1]"),
        (b"gzip", b"[1]"),
        (b"gzip", gzip.compress(b"[1]" * 99, mtime=0)[:-9]),
    ],
)
def test_an_encoding_that_cannot_be_undone_is_refused(encoding: bytes, body: bytes) -> None:
    with (
        raw_server(ok(body, b"Content-Encoding: " + encoding)) as server,
        pytest.raises(ProviderError) as refusal,
    ):
        get(server.origin)
    assert refusal.value.code == "encoding"


# Time


def drip(data: bytes, *, first: bytes = b"") -> Callable[[socket.socket, bytes], None]:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(first)
        for octet in data:
            connection.sendall(bytes([octet]))
            time.sleep(0.02)

    return script


@pytest.mark.requirement("3f.4", "3h.1", "3f.12")
@pytest.mark.parametrize(
    "script",
    [
        drip(b"x" * 1000, first=b"HTTP/1.1 200 OK\r\n\r\n"),
        drip(b"x" * 1000, first=b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        drip(b"1\r\nx\r\n" * 1000, first=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000),
    ],
    ids=["body", "body of known length", "chunks", "headers"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_trickle_ends_at_the_deadline(script: Callable[[socket.socket, bytes], None], method: str) -> None:
    transport = Transport(timeouts=QUICK)
    started = time.monotonic()
    with raw_server(script) as server, pytest.raises(ProviderUnavailableError, match=r"within 0\.3 seconds"):
        if method == "GET":
            get(server.origin, transport=transport, limit=10_000)
        else:
            transport.post_form(server.origin, body="a=b", limit=10_000)
    assert time.monotonic() - started < 1.5


@pytest.mark.requirement("O4", "V19")
def test_a_silent_provider_is_given_up() -> None:
    transport = Transport(timeouts=Timeouts(connect=2, read=0.2, total=5))
    with (
        raw_server(lambda *_: time.sleep(1)) as server,
        pytest.raises(ProviderUnavailableError, match="fell silent"),
    ):
        get(server.origin, transport=transport)


@contextmanager
def full_backlog() -> Iterator[str]:
    """A port whose connections are neither accepted nor refused."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}/"


def test_a_connection_that_is_never_accepted_is_given_up() -> None:
    transport = Transport(timeouts=Timeouts(connect=0.1, read=1, total=5))
    with (
        full_backlog() as url,
        pytest.raises(ProviderUnavailableError, match=r"no connection .* within 0\.1 s"),
    ):
        transport.post_form(url, body="a=b", limit=10)


def test_tries_to_connect_end_at_the_deadline() -> None:
    transport = Transport(timeouts=Timeouts(connect=0.2, read=1, total=0.3))
    started = time.monotonic()
    with full_backlog() as url, pytest.raises(ProviderUnavailableError, match="within"):
        get(url, transport=transport)
    assert time.monotonic() - started < 1.5


def test_a_request_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    here, start = threading.current_thread(), threading.Thread.start

    def start_elsewhere(thread: threading.Thread) -> None:
        if threading.current_thread() is here:
            raise RuntimeError("can't start new thread")
        start(thread)

    with raw_server(OK) as server:
        monkeypatch.setattr(threading.Thread, "start", start_elsewhere)
        assert Transport().post_form(server.origin, body="", limit=10).status == 200


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds within which each connection was to be made; all of them are refused."""
    seconds: list[float] = []

    def refuse(_: object, timeout: float) -> socket.socket:
        seconds.append(timeout)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return seconds


@pytest.mark.parametrize(
    ("connect", "total", "least", "most"), [(0.1, 9, 0.1, 0.1), (9, 3, 0, 3), (2, 9, 2, 2)]
)
def test_a_connection_is_made_within_its_own_time_and_the_whole(
    connects: list[float], connect: float, total: float, least: float, most: float
) -> None:
    transport = Transport(timeouts=Timeouts(connect=connect, read=1, total=total))
    with pytest.raises(ProviderUnavailableError):
        transport.post_form("http://127.0.0.1:9/", body="a=b", limit=10)
    (seconds,) = connects
    assert least <= seconds <= most


def test_when_the_time_is_over_no_connection_is_made(connects: list[float]) -> None:
    transport = Transport(timeouts=Timeouts(connect=1, read=1, total=0))
    with pytest.raises(ProviderUnavailableError, match="within 0 seconds"):
        transport.post_form("http://127.0.0.1:9/", body="a=b", limit=10)
    assert connects == []


def test_the_time_for_retries_is_shared() -> None:
    transport = Transport(timeouts=Timeouts(connect=2, read=2, total=0.05))

    def slow_503(connection: socket.socket, _: bytes) -> None:
        time.sleep(0.04)
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    with raw_server(slow_503) as server, pytest.raises(ProviderUnavailableError, match="within"):
        get(server.origin, transport=transport)
    assert len(server.requests) < 3


# Retries


def failing(times: int, status: bytes = b"503 Busy") -> Callable[[socket.socket, bytes], None]:
    left = [times]

    def script(connection: socket.socket, _: bytes) -> None:
        left[0] -= 1
        answer = b"HTTP/1.1 " + status + b"\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(answer if left[0] >= 0 else OK)

    return script


@pytest.mark.parametrize("status", [b"502 Bad", b"503 Busy", b"504 Late"])
def test_a_get_is_tried_three_times(status: bytes) -> None:
    with raw_server(failing(2, status)) as server:
        assert get(server.origin).status == 200
    assert len(server.requests) == 3


def test_the_third_failure_is_the_answer() -> None:
    with raw_server(failing(9)) as server:
        assert get(server.origin).status == 503
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [b"500 Fault", b"429 Slow", b"404 Gone"])
def test_answers_other_than_502_503_and_504_are_not_retried(status: bytes) -> None:
    with raw_server(failing(9, status)) as server:
        get(server.origin)
    assert len(server.requests) == 1


def test_a_post_is_sent_once() -> None:
    with raw_server(failing(9)) as server:
        assert Transport().post_form(server.origin, body="code=x", limit=10).status == 503
    assert len(server.requests) == 1
    with raw_server(b"") as server, pytest.raises(ProviderUnavailableError):
        Transport().post_form(server.origin, body="code=x", limit=10)
    assert len(server.requests) == 1


def test_a_connection_that_is_refused_is_tried_again_for_a_get_alone(
    connects: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(http_client, "time", SimpleNamespace(sleep=pauses.append))
    with pytest.raises(ProviderUnavailableError):
        Transport().post_form("http://127.0.0.1:9/", body="a=b", limit=10)
    assert (len(connects), pauses) == (1, [])
    with pytest.raises(ProviderUnavailableError):
        get("http://127.0.0.1:9/")
    assert (len(connects), pauses) == (4, [0, 0.2])


def test_a_retry_does_not_go_down_the_connection_that_failed() -> None:
    again: SimpleQueue[bytes] = SimpleQueue()

    def busy(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        again.put(connection.recv(1))

    with raw_server(busy) as server:
        assert get(server.origin).status == 503
    assert len(server.requests) == 3
    assert [again.get(timeout=10) for _ in range(3)] == [b""] * 3


def test_a_refused_connection_says_so() -> None:
    with raw_server(OK) as server:
        origin = server.origin
    with pytest.raises(ProviderUnavailableError, match=rf"{origin[7:]} \(Connection refused\)"):
        get(origin)


def test_a_host_name_that_does_not_resolve_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ProviderUnavailableError, match=r"op\.example cannot be looked up"):
        get("https://op.example/")


def failure_of(url: str, transport: Transport | None = None) -> ProviderUnavailableError:
    with pytest.raises(ProviderUnavailableError) as failure:
        (transport or Transport()).post_form(url, body="code=x", limit=10)
    return failure.value


def test_a_request_that_never_left_is_told_apart_from_an_answer_that_was_lost() -> None:
    with raw_server(b"") as server:
        assert failure_of(server.origin).is_sent
        assert failure_of(server.origin, Transport(proxy=server.origin)).is_sent
        # What went to the proxy was no request to the provider.
        assert not failure_of("https://127.0.0.1:9/", Transport(proxy=server.origin)).is_sent
        assert not failure_of(server.origin.replace("http:", "https:"), Transport(timeouts=QUICK)).is_sent
    assert not failure_of(server.origin).is_sent
    with raw_server(silence) as server:
        assert failure_of(server.origin, Transport(timeouts=QUICK)).is_sent


def test_no_detail_repeats_what_was_sent() -> None:
    # Not written into the call: a traceback shows the source of a statement, since Python 3.13 all its lines.
    path, body, headers = "/token?tenant=canary-1", "code=canary-2", {"Authorization": "Basic canary-3"}
    with raw_server(b"nonsense") as server, pytest.raises(ProviderUnavailableError) as failure:
        Transport().post_form(server.origin + path, body=body, limit=10, headers=headers)
    assert "canary" not in "".join(traceback.format_exception(failure.value))


# A query with secrets


# Not written into the call, for the traceback.
SECRETS = {"secret": "canary: %&ü", "code": "canary-2"}


def ask_secretly(url: str) -> Response:
    return Transport().get_hiding_query(url, query=SECRETS, limit=10)


def test_a_hidden_query_is_sent_beside_that_of_the_address() -> None:
    with raw_server(OK) as server:
        response = ask_secretly(f"{server.origin}/token?tenant=a")
        assert ask_secretly(f"{server.origin}/token").status == 200
    query = b"secret=canary%3A+%25%26%C3%BC&code=canary-2 HTTP/1.1"
    assert [head.splitlines()[0] for head in server.requests] == [
        b"GET /token?tenant=a&" + query,
        b"GET /token?" + query,
    ]
    assert "canary" not in repr(response)
    assert response.url.endswith("/token?tenant=a")


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Go\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 20,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_hidden_query_is_sent_once_and_told_nowhere(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    quiet_libraries()
    caplog.set_level(logging.DEBUG)
    told = ""
    with raw_server(answer) as server:
        try:
            ask_secretly(server.origin)
        except (ProviderError, ProviderUnavailableError) as error:
            told = "".join(traceback.format_exception(error))
    assert len(server.requests) == 1
    assert "canary" not in told + caplog.text


@pytest.mark.requirement("R-dialects")
def test_a_request_as_a_text_leaves_its_hidden_query_out() -> None:
    assert "canary" not in repr(Request("GET", "https://a.example", {}, None, 10, query="canary"))


@pytest.mark.requirement("R-dialects")
def test_an_address_that_may_not_be_called_gets_no_hidden_query() -> None:
    with pytest.raises(ProviderError, match="was not called") as refusal:
        ask_secretly("http://op.example/token")
    assert "canary" not in refusal.value.detail


def test_an_object_is_posted_once() -> None:
    with raw_server(failing(9)) as server:
        response = Transport().post_json(server.origin, members={"code": "ü"}, limit=10)
    assert response.status == 503
    (request,) = server.requests
    assert request.startswith(b"POST / HTTP/1.1")
    assert b"content-type: application/json; charset=utf-8" in request.lower()
    assert request.endswith(b'{"code": "\\u00fc"}')


# Redirects


def redirecting(target: str, times: int, status: int = 302) -> Callable[[socket.socket, bytes], None]:
    left = [times]

    def script(connection: socket.socket, _: bytes) -> None:
        left[0] -= 1
        answer = f"HTTP/1.1 {status} Go\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        connection.sendall(answer if left[0] >= 0 else OK)

    return script


@pytest.mark.requirement("3f.3")
def test_three_redirects_on_the_same_host_are_followed() -> None:
    with raw_server(redirecting("/next", 3)) as server:
        assert get(server.origin, redirects=3).status == 200
    assert [head.split(b" ")[1] for head in server.requests] == [b"/", b"/next", b"/next", b"/next"]
    with raw_server(redirecting("/next", 4)) as server:
        assert get(server.origin, redirects=3).status == 302


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed(status: int) -> None:
    with raw_server(redirecting("/next", 1, status)) as server:
        assert get(server.origin, redirects=1).status == 200
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [300, 304, 306, 309])
def test_what_is_no_redirect_is_an_answer(status: int) -> None:
    with raw_server(redirecting("/next", 9, status)) as server:
        assert get(server.origin, redirects=1).status == status
    assert len(server.requests) == 1


@pytest.mark.requirement("3f.2", "V21")
def test_no_redirect_is_followed_unless_asked() -> None:
    with raw_server(redirecting("/next", 9)) as server:
        assert Transport().get_json(server.origin, limit=10).status == 302
    assert len(server.requests) == 1


@pytest.mark.requirement("3f.2", "3f.10")
@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_post_is_never_redirected(status: int) -> None:
    with raw_server(OK) as elsewhere:
        answer = f"HTTP/1.1 {status} Go\r\nLocation: {elsewhere.origin}\r\nContent-Length: 0\r\n\r\n"
        with raw_server(answer.encode()) as server:
            response = Transport().post_form(server.origin, body="client_secret=x", limit=10)
    assert response.status == status
    assert not elsewhere.requests


@pytest.mark.requirement("3f.9", "3f.3", "3f")
@pytest.mark.parametrize(
    "target",
    [
        "{elsewhere}/jwks",
        "http://127.0.0.1:1/",
        "http://127.0.0.1:65535/",
        "https://127.0.0.1/",
        "file:///etc/passwd",
        "//evil.example/",
        "http://[::1]/",
    ],
)
def test_a_redirect_to_another_host_is_refused_and_not_called(target: str) -> None:
    with (
        raw_server(OK) as elsewhere,
        raw_server(redirecting(target.format(elsewhere=elsewhere.origin), 9)) as server,
        pytest.raises(ProviderError) as refusal,
    ):
        get(server.origin, redirects=3)
    assert refusal.value.code == "redirect"
    assert not elsewhere.requests


# Proxies and the environment


@pytest.mark.requirement("3f.6", "V20")
def test_the_environments_proxy_is_ignored(provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(OK) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        get(provider.url + "/jwks", limit=10_000)
    assert provider.requests
    assert not proxy.requests


def test_the_environments_proxy_is_used_when_trusted(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Transport(trust_env=True)
    with raw_server(OK) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.setenv("no_proxy", "")
        get(provider.url + "/jwks", transport=transport)
        assert proxy.requests[0].startswith(f"GET {provider.url}/jwks HTTP".encode())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        get(provider.url + "/jwks", limit=10_000, transport=transport)
    assert len(provider.requests) == len(proxy.requests) == 1


def test_a_written_proxy_is_used_with_its_credentials(provider: StandIn) -> None:
    with raw_server(OK) as proxy:
        transport = Transport(proxy=proxy.origin.replace("//", "//jane:canary@"))
        get(provider.url + "/jwks", transport=transport)
    assert b"proxy-authorization: basic amfuztpjyw5hcnk=" in proxy.requests[0].lower()
    assert not provider.requests


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_says_so_without_its_password(scheme: str) -> None:
    with raw_server(OK) as proxy:
        origin = proxy.origin
    transport = Transport(proxy=origin.replace("//", "//jane:canary@"))
    with pytest.raises(ProviderUnavailableError, match="proxy for 127") as failure:
        get(f"{scheme}://127.0.0.1:9/", transport=transport)
    assert "canary" not in "".join(traceback.format_exception(failure.value))


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    return self_signed(tmp_path_factory.mktemp("tls") / "authority.pem")


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    return context


@pytest.mark.requirement("N2.1.16")
def test_an_unknown_certificate_is_refused_in_words(tls: ssl.SSLContext) -> None:
    with (
        raw_server(OK, tls=tls) as server,
        pytest.raises(ProviderUnavailableError, match="ca_bundle") as failure,
    ):
        get(server.origin)
    assert "self-signed certificate" in failure.value.detail
    assert not server.requests


def test_an_authority_of_ones_own_is_accepted_when_named(tls: ssl.SSLContext, authority: Path) -> None:
    with raw_server(OK, tls=tls) as server:
        assert get(server.origin, transport=Transport(ca_bundle=authority)).status == 200


@pytest.mark.requirement("N2.1.16", "N2.3.7")
def test_a_certificate_for_another_host_is_refused(tls: ssl.SSLContext, authority: Path) -> None:
    with (
        raw_server(OK, tls=tls) as server,
        pytest.raises(ProviderUnavailableError, match="Hostname mismatch"),
    ):
        get(server.origin.replace("127.0.0.1", "localhost"), transport=Transport(ca_bundle=authority))
    assert not server.requests


def test_the_environments_authorities_count_only_when_trusted(
    tls: ssl.SSLContext, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    with raw_server(OK, tls=tls) as server:
        assert get(server.origin, transport=Transport(trust_env=True)).status == 200
        with pytest.raises(ProviderUnavailableError, match="TLS"):
            get(server.origin)


@contextmanager
def no_handshake(*pieces: bytes) -> Iterator[str]:
    """A server that answers a TLS hello with these bytes, one piece every 20 ms."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with suppress(OSError), connection:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.02)

        threading.Thread(target=accept, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def test_plain_http_behind_https_is_a_tls_error() -> None:
    with no_handshake(OK) as origin, pytest.raises(ProviderUnavailableError, match="TLS connection"):
        Transport().post_form(origin, body="a=b", limit=10)


def test_a_handshake_that_trickles_ends_at_the_deadline() -> None:
    # The head of a TLS record that announces 16 KB, and then an octet now and then.
    started = time.monotonic()
    with (
        no_handshake(b"\x16\x03\x03\x40\x00", *[b"x"] * 200) as origin,
        pytest.raises(ProviderUnavailableError, match="too slow"),
    ):
        Transport(timeouts=QUICK).post_form(origin, body="a=b", limit=10)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("content", [None, "not a certificate", ""])
def test_authorities_that_cannot_be_read_are_explained(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(ProviderUnavailableError, match=r"ca\.pem cannot be read .*check ca_bundle"):
        get("https://127.0.0.1:9/", transport=Transport(ca_bundle=bundle))


def test_a_folder_of_authorities_is_looked_at(tls: ssl.SSLContext, tmp_path: Path) -> None:
    with raw_server(OK, tls=tls) as server, pytest.raises(ProviderUnavailableError, match="TLS"):
        get(server.origin, transport=Transport(ca_bundle=tmp_path))


# Threads, processes, imports


def test_threads_do_not_get_in_each_others_way() -> None:
    transport = Transport()
    with raw_server(OK) as server, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: get(server.origin, transport=transport).status, range(48))
        assert set(answers) == {200}


@pytest.mark.requirement("3l.8")
def test_a_forked_worker_can_go_on(provider: StandIn) -> None:
    transport = Transport()
    get(provider.url + "/jwks", limit=10_000, transport=transport)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of the server's threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = get(provider.url + "/jwks", limit=10_000, transport=transport).status
        finally:
            os._exit(0 if status == 200 else 1)
    assert os.waitpid(child, 0)[1] == 0


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(provider: StandIn) -> None:
    transport = Transport()
    get(provider.url + "/jwks", limit=10_000, transport=transport)
    before = open_descriptors()
    for _ in range(20):
        get(provider.url + "/jwks", limit=10_000, transport=transport)
        with pytest.raises(ProviderError):
            get(provider.url + "/jwks", limit=10, transport=transport)
    # The server's ends of them are in this process, too, and close in threads of their own.
    patience = time.monotonic() + 10
    while open_descriptors() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert open_descriptors() <= before


def test_nothing_heavy_is_imported_before_the_first_request() -> None:
    program = (
        "import sys; from oauth2_mw.provider.client import ProviderClient;"
        "heavy = {'requests', 'urllib3', 'requests_oauthlib', 'oauthlib', 'jwt', 'cryptography', 'ssl'};"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
