"""What a thread does while it waits for an answer, at a real server that takes its time."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.http.waiting import SLICE, meanwhile, while_waiting
from tests.support.hosts.certificates import self_signed

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def slow_server(
    answer: Callable[[socket.socket], object], *, context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that reads one request, and then answers as *answer* says. Gives its origin."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                request = b""
                while not request.endswith(b"a=b"):
                    request += connection.recv(65536)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(30)


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SLICE == 3
    monkeypatch.setattr("oauth2_mw.provider.http.waiting.SLICE", 0.02)


class Work:
    """What there is to do meanwhile: the answer comes when it has been done three times."""

    def __init__(self, *, fails: bool = False) -> None:
        self.done: list[int] = []
        self.fails = fails
        self.enough = threading.Event()

    def __call__(self) -> None:
        self.done.append(threading.get_ident())
        if len(self.done) > 4:
            self.enough.set()
            if self.fails:
                raise ProviderUnavailableError("given up", code="lease_lost")

    def answers(self, *pieces: bytes) -> Callable[[socket.socket], object]:
        def answer(connection: socket.socket) -> None:
            for piece in pieces:
                assert self.enough.wait(30)
                connection.sendall(piece)

        return answer


@pytest.mark.requirement("R-refresh")
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_the_thread_that_waits_does_its_work_between_two_reads(tmp_path: Path, *, over_tls: bool) -> None:
    work = Work()
    bundle: Path | None = None
    context: ssl.SSLContext | None = None
    if over_tls:
        bundle = self_signed(tmp_path / "authority.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(bundle)
    with slow_server(work.answers(ANSWER[:20], ANSWER[20:]), context=context) as origin:
        with while_waiting(work):
            response = Transport(ca_bundle=bundle).post_form(f"{origin}/token", body="a=b", limit=10)
        assert meanwhile() is None
    assert response.body == b"ok"
    assert set(work.done) == {threading.get_ident()}


def test_what_the_work_raises_ends_the_request() -> None:
    work, gone = Work(fails=True), threading.Event()

    def answer(connection: socket.socket) -> None:
        # Nothing more comes from who has given up.
        assert connection.recv(1) == b""
        gone.set()

    with slow_server(answer) as origin:
        with while_waiting(work), pytest.raises(ProviderUnavailableError) as failure:
            Transport().post_form(f"{origin}/token", body="a=b", limit=10)
        assert gone.wait(30)
    assert failure.value.code == "lease_lost"


def test_nobody_is_called_when_the_work_fails_before() -> None:
    def fail() -> None:
        raise ProviderUnavailableError("too late")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with while_waiting(fail), pytest.raises(ProviderUnavailableError):
            Transport().post_form(f"{origin}/token", body="a=b", limit=10)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_nothing_is_sent_when_the_work_fails_once_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.provider.http.waiting.SLICE", 0)
    received, called = list[bytes](), list[int]()

    def fail() -> None:
        called.append(1)
        if len(called) == 2:
            raise ProviderUnavailableError("too late")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with while_waiting(fail), pytest.raises(ProviderUnavailableError):
            Transport().post_form(f"{origin}/token", body="a=b", limit=10)
        connection, _ = listener.accept()
        with connection:
            received.append(connection.recv(65536))
    assert received == [b""]


def test_a_silent_server_is_given_up_all_the_same() -> None:
    work = Work()
    timeouts = Timeouts(connect=2, read=0.1, total=30)
    over = threading.Event()
    with slow_server(lambda _: over.wait(30)) as origin:
        with while_waiting(work), pytest.raises(ProviderUnavailableError, match="fell silent"):
            Transport(timeouts=timeouts).post_form(f"{origin}/token", body="a=b", limit=10)
        over.set()
    assert work.done
