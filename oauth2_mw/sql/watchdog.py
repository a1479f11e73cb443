"""A deadline on our side for everything that PostgreSQL is asked: the server's own end with the server that hangs.

No driver has one. A thread shuts the socket down, through a duplicate of its descriptor, and the driver then finds the
connection broken. It neither closes it, which would free the descriptor under the driver, nor asks the server to
cancel, which would wait for that very server.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Protocol

from oauth2_mw.process_local import ProcessLock

log: logging.Logger = logging.getLogger(__name__)

#: Seconds between two looks at what has passed its deadline.
TICK = 0.2


class HasSocket(Protocol):
    """A connection of psycopg or psycopg2."""

    def fileno(self) -> int:
        """Return the descriptor of its socket."""


class Watchdog:
    """Watches the connections of one engine while they wait for the server."""

    def __init__(self) -> None:
        self._changing = ProcessLock()
        #: held by the thread that watches
        self._watching = ProcessLock()
        #: id of a connection -> monotonic deadline, and a duplicate of its descriptor
        self._armed: dict[int, tuple[float, int]] = {}

    def arm(self, connection: HasSocket, seconds: float) -> None:
        """Have the connection shut down unless it is disarmed in time. A deadline that it has already starts anew."""
        try:
            descriptor = os.dup(connection.fileno())
        except Exception:  # noqa: BLE001  each driver has an error of its own for a connection that is closed
            return
        self._put(connection, (time.monotonic() + seconds, descriptor))
        if self._watching.acquire(blocking=False):
            try:
                threading.Thread(target=self._watch, daemon=True).start()
            except RuntimeError:
                self._watching.release()

    def disarm(self, connection: HasSocket) -> None:
        """The server has answered."""
        self._put(connection, None)

    def _put(self, connection: HasSocket, entry: tuple[float, int] | None) -> None:
        with self._changing:
            previous = self._armed.pop(id(connection), None)
            if entry is not None:
                self._armed[id(connection)] = entry
        if previous is not None:
            os.close(previous[1])

    def _watch(self) -> None:
        while True:
            try:
                while self._armed:
                    time.sleep(TICK)
                    self._shut_down_late()
            finally:
                self._watching.release()
            # One may have come just before the lock was free again.
            if not self._armed or not self._watching.acquire(blocking=False):
                return

    def _shut_down_late(self) -> None:
        now = time.monotonic()
        with self._changing:
            late = [key for key, (until, _) in self._armed.items() if until <= now]
            descriptors = [self._armed.pop(key)[1] for key in late]
        for descriptor in descriptors:
            log.warning("the database gave no answer in time; its connection is given up")
            # Takes the duplicate over, and closes it.
            with socket.socket(fileno=descriptor) as sock, suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
