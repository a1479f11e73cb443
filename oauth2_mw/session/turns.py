"""Whose turn it is to refresh a session, of the requests of one process, and how long the others wait for them.

Each that waits keeps a thread of the server from everybody else. So there are two of a session at most while its
provider is slow: the one that asks it, and one more. Others wait a moment, within which most providers have answered,
and not even that once somebody has waited in vain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.process_local import ProcessLock

#: Seconds for which the first one waits.
WAIT = 3.0
#: Seconds for which the others wait.
MOMENT = 0.3
#: Seconds after a wait in vain in which nobody waits.
IN_VAIN = 2.0
#: The most waits in vain that a worker remembers.
MAX_ENTRIES = 1000


@dataclass(slots=True)
class _Turn:
    done: threading.Event
    #: whether somebody waits, or has waited, as long as anybody may
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
