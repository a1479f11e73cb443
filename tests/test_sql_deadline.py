"""What takes a connection and answers no question: a pooler before a server that hangs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database, engine
from tests.support.hosts.processes import listening_socket

#: Seconds; far more than the deadlines of these tests, and less than those of a driver.
LONG = 30.0


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


#: The server trusts whoever it is, says what it is, and is ready (PostgreSQL documentation, 55.2.1).
WELCOME = b"".join(
    [
        message(b"R", bytes(4)),
        *(
            message(b"S", name + b"\0" + value + b"\0")
            for name, value in (
                (b"server_version", b"16.1"),
                (b"client_encoding", b"UTF8"),
                (b"standard_conforming_strings", b"on"),
                (b"DateStyle", b"ISO, MDY"),
            )
        ),
        message(b"Z", b"I"),
    ]
)
#: The requests for TLS and for GSSAPI (55.7): they are declined.
ENCRYPTION = {80877103, 80877104}


def welcome(client: socket.socket) -> None:
    """Take one connection, and answer nothing afterwards."""
    with client, suppress(OSError):
        while (start := client.recv(4096)) and int.from_bytes(start[4:8], "big") in ENCRYPTION:
            client.sendall(b"N")
        client.sendall(WELCOME)
        while client.recv(4096):
            pass


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a pooler that takes connections and answers no question."""
    listening = listening_socket()

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=welcome, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    # What libpq reads in whole seconds or milliseconds is not the deadline that is tried here.
    yield f"postgresql://user@127.0.0.1:{listening.getsockname()[1]}/db?tcp_user_timeout=5000"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.mark.requirement("R-deadline")
def test_the_first_questions_at_a_new_connection_have_a_deadline_too(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STATEMENT_WAIT", 0.3)
    monkeypatch.setattr(engine, "SLOW", 0.2)
    database = Database(Secret.literal(silent))
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="closed the connection"):
        database.check()
    taken = time.monotonic() - began
    assert 0.2 < taken < LONG
    # It counts as a server that hangs: the next one does not wait at all.
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="closed the connection"):
        database.check()
    assert time.monotonic() - began < 0.2
