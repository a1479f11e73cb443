"""A way to a provider on which connections behave as badly as a test wants, and on which they are counted."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.support.hosts.listening import listening
from tests.support.providers.raw_server import read_request

#: Headers of an answer that say how it travels.
_OF_ONE_WAY = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
#: Closes a socket with a reset (``SO_LINGER`` of no seconds).
_AT_ONCE = b"\1\0\0\0\0\0\0\0"


@dataclass
class Passage:
    """One connection to the relay."""

    connection: socket.socket
    #: the port from which it comes
    port: int
    #: the first line of each request
    requests: list[str] = field(default_factory=list)


#: Given a passage and an answer, sends it or not, and returns whether the connection stays.
Mood = Callable[[Passage, bytes], bool]


@dataclass
class Relay:
    """What the relay knows about itself."""

    origin: str
    mood: Mood
    passages: list[Passage] = field(default_factory=list)

    def requests(self) -> list[str]:
        return [request for passage in self.passages for request in passage.requests]

    def settings(self) -> dict[str, str]:
        """The keys of the INI by which every sign-in comes this way."""
        return {"token_endpoint": f"{self.origin}/token", "userinfo_endpoint": f"{self.origin}/me"}


def calm(passage: Passage, answer: bytes) -> bool:
    """Answer, and keep the connection."""
    passage.connection.sendall(answer)
    return True


def slow(passage: Passage, answer: bytes) -> bool:
    """Answer in pieces."""
    for start in range(0, len(answer), 100):
        time.sleep(0.01)
        passage.connection.sendall(answer[start : start + 100])
    return True


def trickle(passage: Passage, answer: bytes) -> bool:
    """Answer too slowly for anybody, and never fall silent."""
    for octet in answer:
        passage.connection.sendall(bytes([octet]))
        time.sleep(0.5)
    return True


class Fickle:
    """Closes connections at any moment: after an answer, a little later, or in place of one.

    A request on a connection that was kept may be lost, as with a server that is about to close it; not two of them on
    end.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.lost = 0
        self._has_lost = False

    def __call__(self, passage: Passage, answer: bytes) -> bool:
        chance = self._random.random()
        is_kept = len(passage.requests) > 1
        if is_kept and chance < 0.5 and not self._has_lost:
            self._has_lost = True
            self.lost += 1
            passage.connection.sendall(answer[: self._random.choice((0, 10, len(answer) - 1))])
            return False
        self._has_lost = False
        passage.connection.sendall(answer)
        if chance > 0.9:
            return False
        if chance > 0.8:
            time.sleep(self._random.random() / 50)
            passage.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            return False
        return True


@contextmanager
def relay(issuer: str, mood: Mood) -> Iterator[Relay]:
    """Hand on to the provider at *issuer* what comes over plain http, until the block ends."""
    with listening() as (port, accept):
        running = Relay(f"http://127.0.0.1:{port}", mood)

        def serve(connection: socket.socket) -> None:
            passage = Passage(connection, connection.getpeername()[1])
            running.passages.append(passage)
            with suppress(OSError), connection:
                while request := read_request(connection):
                    passage.requests.append(request.partition(b"\r\n")[0].decode())
                    if not running.mood(passage, _answer(issuer, request)):
                        return

        accept(serve)
        yield running


def _answer(issuer: str, request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, path, _ = line.split(" ")
    headers = {name: value for name, _, value in (field.partition(": ") for field in fields)}
    del headers["Host"]
    upstream = HTTPConnection("127.0.0.1", urlsplit(issuer).port, timeout=30)
    try:
        upstream.request(method, path, body or None, headers)
        response = upstream.getresponse()
        content = response.read()
    finally:
        upstream.close()
    kept = [(name, value) for name, value in response.getheaders() if name.lower() not in _OF_ONE_WAY]
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{name}: {value}" for name, value in kept)]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode("latin-1") + content
