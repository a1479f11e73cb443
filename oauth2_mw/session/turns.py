"""Which request of a process refreshes a session, and how long the others wait for it.

A request that waits takes a thread of the server from everybody else. While a provider is slow, a session therefore has
two such requests at most: the one that asks the provider, and one that waits for it. All others wait a moment, within
which most providers have answered, and not even that once somebody has waited in vain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.process_local import ProcessLock

#: Seconds for which the first request waits.
WAIT = 3.0
#: Seconds for which each other request waits.
MOMENT = 0.3
#: Seconds for which nobody waits after a wait in vain.
IN_VAIN = 2.0
#: The most waits in vain that a worker remembers.
MAX_ENTRIES = 1000


@dataclass(slots=True)
class _Turn:
    done: threading.Event
    #: whether a request waits, or has waited, for WAIT seconds
    is_awaited: bool = False


class Turns:
    """The turns of one process. Safe for threads.

    :param monotonic: seconds, for intervals.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = ProcessLock()
        self._turns: dict[str, _Turn] = {}
        #: key -> monotonic time up to which nobody waits
        self._in_vain: BoundedCache[str, float] = BoundedCache(max_entries=MAX_ENTRIES)

    def begin(self, key: str) -> bool:
        """Take the turn, unless somebody has it. Return whether it was taken; then :meth:`end` must follow."""
        with self._lock:
            if key in self._turns:
                return False
            self._turns[key] = _Turn(threading.Event())
            return True

    def end(self, key: str) -> None:
        """Give the turn back."""
        with self._lock:
            turn = self._turns.pop(key)
        turn.done.set()

    def wait(self, key: str) -> bool:
        """Wait until the turn ends, for as long as this request may. Return whether it has ended."""
        with self._lock:
            turn = self._turns.get(key)
            if turn is None:
                return True
            seconds = MOMENT if turn.is_awaited else WAIT
            if not self.may_wait(key):
                return False
            turn.is_awaited = True
        if turn.done.wait(seconds):
            return True
        self.note_in_vain(key)
        return False

    def may_wait(self, key: str) -> bool:
        """Return whether nobody has waited in vain a short while ago."""
        return self._monotonic() >= self._in_vain.get(key, 0)

    def note_in_vain(self, key: str) -> None:
        """Note that a request has waited in vain: others need not try that for a while."""
        self._in_vain.put(key, self._monotonic() + IN_VAIN)
