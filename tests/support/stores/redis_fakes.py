"""What no server does when it is asked to: answers of one in trouble, or of none at all; and TLS in front of one."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.hosts.listening import listening

Command = tuple[bytes, ...]
#: the octets of the answer; ``None``: the connection is closed instead
Answer = bytes | None


@dataclass
class Scripted:
    """A port, and all commands that arrived there but those that redis-py sends by itself."""

    port: int
    commands: list[Command] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


@contextmanager
def scripted_server(answer: Callable[[Command], Answer] | bytes | None) -> Iterator[Scripted]:
    """Answer every command, until the end of the ``with``; new connections are welcome, and nothing evicts."""
    with listening() as (own_port, accept):
        server = Scripted(own_port)

        def serve(connection: socket.socket) -> None:
            with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
                while command := _read(stream):
                    if command[0] in (b"CLIENT", b"SELECT", b"AUTH"):
                        reply: Answer = b"+OK\r\n"
                    elif command[0] == b"INFO":
                        reply = b"$0\r\n\r\n"
                    else:
                        server.commands.append(command)
                        reply = answer(command) if callable(answer) else answer
                    if reply is None:
                        return
                    connection.sendall(reply)

        accept(serve)
        yield server


@contextmanager
def tls_in_front(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """The port at which that server speaks TLS, until the end of the ``with``."""
    with listening() as (own_port, accept):

        def relay(plain: socket.socket) -> None:
            with (
                suppress(OSError),
                plain,
                socket.create_connection(("127.0.0.1", port)) as behind,
                context.wrap_socket(plain, server_side=True) as front,
            ):
                while True:
                    ready = [front] if front.pending() else select.select([front, behind], [], [])[0]
                    for side in ready:
                        octets = side.recv(65536)
                        if not octets:
                            return
                        (behind if side is front else front).sendall(octets)

        accept(relay)
        yield own_port


def _read(stream: object) -> Command:
    line = stream.readline()  # type: ignore[attr-defined]
    if not line.startswith(b"*"):
        return ()
    parts = []
    for _ in range(int(line[1:])):
        length = int(stream.readline()[1:])  # type: ignore[attr-defined]
        parts.append(stream.read(length + 2)[:-2])  # type: ignore[attr-defined]
    return tuple(parts)
