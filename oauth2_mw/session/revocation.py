"""Which sessions have ended before their time: logged out, or their user disabled.

A sealed cookie cannot be taken back, so every worker keeps the list of what no longer counts in memory. Where
sessions live in cookies and there is a directory, the list is shared through it: the request that finds its worker's
copy older than ``revocation_sync`` reads what is new. When the directory cannot be reached, a copy up to a minute old
serves; after that requests are refused. Without a directory each worker knows only the logouts that it has seen
itself. Where sessions live in a store, what has ended is no longer there, and the list holds what this worker ended
since it last looked, and the users whom the directory has disabled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.stores.record import EXPIRY_GRACE

if TYPE_CHECKING:
    from oauth2_mw.sql.revocations import Revocation

#: Seconds for which a copy of the list serves while the directory is away.
GRACE = 60
#: Seconds between two tries while the directory is away.
RETRY = 1

_SESSION, _USER = "session:", "user:"


def session_name(session_id: str) -> str:
    """What a revocation of one session is called."""
    return _SESSION + session_id


def user_name(user_id: str) -> str:
    """What a revocation of all sessions of a user, up to a moment, is called."""
    return _USER + user_id


class RevocationList(Protocol):
    """The list that all workers share."""

    def revocations(self, since: int) -> Sequence[Revocation]:
        """The lines behind row *since*, in their order."""

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        """Add a line, to be kept until *expires*."""


class Revocations:
    """The list of one worker.

    :param shared: where all workers write down what has ended; ``None``: nowhere.
    :param disabled: the ids of all users whom the directory has disabled.
    :param sync: seconds after which both are read again.
    """

    def __init__(
        self,
        *,
        shared: RevocationList | None = None,
        disabled: Callable[[], frozenset[str]] | None = None,
        sync: int,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        self._shared = shared
        self._read_disabled = disabled
        self._sync = sync
        self._wall = clocks.wall
        self._monotonic = clocks.monotonic
        self._refreshing = threading.Lock()
        #: session id -> monotonic time until which it is remembered
        self._revoked: dict[str, float] = {}
        #: user id -> (moment up to which issued sessions have ended, monotonic time until which it is remembered)
        self._cut_off: dict[str, tuple[int, float]] = {}
        self._disabled: frozenset[str] = frozenset()
        self._last_row = 0
        self._retry_at = float("-inf")
        self._failure = ""
        self._read_at: float | None = None
        #: monotonic time from which :meth:`refresh` has something to do
        self.due = 0.0 if shared is not None or disabled is not None else float("inf")

    def ended(self, session_id: str, user_id: str, issued: int) -> bool:
        """Whether that session counts no more.

        :param issued: the moment of its sign-in, by the provider's clock where it told us.
        :raises StoreUnavailable: when the list cannot be read and the copy is too old to serve.
        """
        if self._monotonic() >= self.due:
            self._refresh()
        if session_id in self._revoked or user_id in self._disabled:
            return True
        # Looked up once: another thread may forget it meanwhile.
        cut_off = self._cut_off.get(user_id)
        return cut_off is not None and issued <= cut_off[0]

    def revoke(self, session_id: str, *, expires: int) -> None:
        """End a session everywhere.

        :param expires: the moment (seconds since the epoch) at which the session would have ended by itself.
        :raises StoreUnavailable: when the others could not be told; this worker ends the session all the same.
        """
        self._revoked[session_id] = self._until(expires)
        self._tell(session_name(session_id), 0, expires)

    def revoke_user(self, user_id: str, *, moment: int, expires: int) -> None:
        """End all sessions of a user that were issued up to *moment*.

        :param expires: when the last of them would have ended by itself.
        :raises StoreUnavailable: as above.
        """
        self._cut(user_id, moment, expires)
        self._tell(user_name(user_id), moment, expires)

    def _tell(self, name: str, moment: int, expires: int) -> None:
        if self._shared is not None:
            self._shared.revoke(name, moment=moment, expires=expires)
        else:
            self._forget_expired()

    def _refresh(self) -> None:
        # While a copy is there, one request reads and the others go on with what is known.
        if not self._refreshing.acquire(blocking=not self._serves()):
            return
        try:
            if self._monotonic() < self._retry_at:
                # Somebody has just tried, and all who waited for it share the answer.
                if not self._serves():
                    raise StoreUnavailableError(self._failure)
                return
            if self._monotonic() < self.due:
                return
            try:
                self._read()
            except StoreUnavailableError as error:
                self._retry_at, self._failure = self._monotonic() + RETRY, error.detail
                if not self._serves():
                    raise
                self.due = self._retry_at
                return
            self._forget_expired()
            self._read_at = self._monotonic()
            self.due = self._read_at + self._sync
        finally:
            self._refreshing.release()

    def _read(self) -> None:
        new = self._shared.revocations(self._last_row) if self._shared is not None else ()
        disabled = self._read_disabled() if self._read_disabled is not None else frozenset()
        for line in new:
            if line.name.startswith(_SESSION):
                self._revoked[line.name.removeprefix(_SESSION)] = self._until(line.expires)
            elif line.name.startswith(_USER):
                self._cut(line.name.removeprefix(_USER), line.moment, line.expires)
        if new:
            # Not the highest ever seen: a database that was put back counts from an earlier row again.
            self._last_row = max(line.row for line in new)
        self._disabled = disabled

    def _serves(self) -> bool:
        return self._read_at is not None and self._monotonic() < self._read_at + GRACE

    def _cut(self, user_id: str, moment: int, expires: int) -> None:
        before = self._cut_off.get(user_id, (moment, 0.0))
        self._cut_off[user_id] = max(before[0], moment), max(before[1], self._until(expires))

    def _until(self, expires: int) -> float:
        # Counted on a clock that nobody sets: one that was ahead for a moment must not revive what has ended.
        return self._monotonic() + max(expires - self._wall(), 0) + EXPIRY_GRACE

    def _forget_expired(self) -> None:
        now = self._monotonic()
        for session_id, until in list(self._revoked.items()):
            if until < now:
                self._revoked.pop(session_id, None)
        for user_id, (_, until) in list(self._cut_off.items()):
            if until < now:
                self._cut_off.pop(user_id, None)
