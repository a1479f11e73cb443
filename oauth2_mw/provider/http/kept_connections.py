"""Connections that wait for their next request, for a while and up to a number."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Generic, NamedTuple, Protocol, TypeVar

from oauth2_mw.process_local import ProcessLocal, ProcessLock

#: Seconds for which a connection is kept without a request. Servers keep theirs for 5 to 75 seconds.
MAX_IDLE = 30.0
#: Connections kept for one route, and for all of them together.
MAX_OF_ROUTE = 4
MAX_OF_ALL = 32


class Closable(Protocol):
    """What can be kept."""

    def discard(self) -> None:
        """Close it."""


Kept = TypeVar("Kept", bound=Closable)


class _Entry(NamedTuple, Generic[Kept]):
    route: Hashable
    connection: Kept
    #: monotonic time
    since: float


class KeptConnections(Generic[Kept]):
    """The idle connections of this process, whatever provider they lead to. Safe for threads and across forks.

    One that was taken belongs to its taker alone. What has been idle for too long is closed when somebody comes by.
    """

    def __init__(self) -> None:
        #: the longest idle first
        self._entries: ProcessLocal[list[_Entry[Kept]]] = ProcessLocal(list)
        self._lock = ProcessLock()

    def take(self, route: Hashable, *, max_idle: float) -> Kept | None:
        """Return the connection of that route that was used last, unless it has been idle for longer than that."""
        now = time.monotonic()
        with self._lock:
            entries = self._entries.get()
            expired = [entry for entry in entries if now - entry.since > MAX_IDLE]
            del entries[: len(expired)]
            found = next((entry for entry in reversed(entries) if entry.route == route), None)
            if found is not None and now - found.since <= max_idle:
                entries.remove(found)
            else:
                found = None
        for entry in expired:
            entry.connection.discard()
        return None if found is None else found.connection

    def keep(self, route: Hashable, connection: Kept) -> None:
        """Keep a connection whose last response is complete; the longest idle one makes room for it."""
        with self._lock:
            entries = self._entries.get()
            entries.append(_Entry(route, connection, time.monotonic()))
            of_route = [entry for entry in entries if entry.route == route]
            surplus = of_route[:-MAX_OF_ROUTE] or entries[:-MAX_OF_ALL]
            for entry in surplus:
                entries.remove(entry)
        for entry in surplus:
            entry.connection.discard()
