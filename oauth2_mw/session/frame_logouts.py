"""Logouts that frames ask for, remembered for sign-ins that are under way (Front-Channel Logout 1.0, section 3).

A frame may name a session whose tokens are still on their way to us. No signature says that the provider has sent it:
anybody can ask, with any ``sid``. Therefore each worker remembers only so many of them, and one counts for those
sign-ins alone that were under way when it came; what came before a sign-in does not keep anybody out.
"""

from __future__ import annotations

from oauth2_mw.encoding import pair_hash
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.stores import Store

#: Seconds for which one is remembered: longer than all calls of a sign-in to its provider.
PENDING = 120
#: How many a worker remembers at once, and from then on in each second.
AT_ONCE = 100
PER_SECOND = 1


class FrameLogouts:
    """What one worker writes into the store that all workers read. Safe for threads."""

    def __init__(self, clocks: Clocks) -> None:
        self._wall = clocks.wall
        self._monotonic = clocks.monotonic
        self._lock = ProcessLock()
        self._left = float(AT_ONCE)
        self._counted_at = self._monotonic()

    def remember(self, store: Store, issuer: str, sid: str) -> bool:
        """Remember that a frame has just named the session. Return ``False`` if there were too many before.

        :raises StoreUnavailableError: when the store cannot be used.
        """
        if not self._take():
            return False
        now = self._wall()
        store.revoke(frame_name(issuer, sid), moment=milliseconds(now), expires=int(now) + PENDING)
        return True

    def _take(self) -> bool:
        with self._lock:
            now = self._monotonic()
            self._left = min(AT_ONCE, self._left + (now - self._counted_at) * PER_SECOND)
            self._counted_at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


def frame_name(issuer: str, sid: str) -> str:
    """Return the name under which the store knows that a frame has named a session."""
    return "frame:" + pair_hash(issuer, sid)


def milliseconds(seconds: float) -> int:
    """Return the moment of a frame's logout, or of what it is compared with."""
    # In whole seconds, a logout and the next sign-in would be at one moment.
    return int(seconds * 1000)
