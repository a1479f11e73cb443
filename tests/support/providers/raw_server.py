"""A server that sends exactly the bytes it is told to, at the pace it is told to: for answers no WSGI server makes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.hosts.listening import listening

#: is given the connection after the request's head was read, and the head
Script = Callable[[socket.socket, bytes], None]


@dataclass
class RawServer:
    """What the server knows about itself."""

    origin: str
    requests: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])


@contextmanager
def raw_server(script: Script | bytes, *, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Serve every connection, one request each, with *script* (or the same bytes) until the block ends."""
    with listening() as (port, accept):
        server = RawServer(f"{'https' if tls else 'http'}://127.0.0.1:{port}")

        def serve_one(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                with connection:
                    head = read_request(connection)
                    server.requests.append(head)
                    if isinstance(script, bytes):
                        connection.sendall(script)
                    else:
                        script(connection, head)

        accept(serve_one)
        yield server


def silence(connection: socket.socket, _head: bytes) -> None:
    """Answer nothing until the other side gives up."""
    connection.recv(1)


def read_request(connection: socket.socket) -> bytes:
    """Return the request up to the end of its head, and as much of the body as its length says."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4096)
        if not piece:
            return received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(4096)
    return head + b"\r\n\r\n" + body
