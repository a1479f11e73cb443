"""A server that sends exactly the bytes it is told to, at the pace it is told to: for answers no WSGI server makes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

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
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}")
    ended = threading.Event()

    def serve_one(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection:
                head = _head(connection)
                server.requests.append(head)
                if isinstance(script, bytes):
                    connection.sendall(script)
                else:
                    script(connection, head)

    def accept() -> None:
        while not ended.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _head(connection: socket.socket) -> bytes:
    """The request up to the end of its head, and as much of the body as its length says."""
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
