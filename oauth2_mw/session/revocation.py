"""Which sessions have ended before their time: logged out, or their user disabled.

A sealed cookie cannot be taken back, so every worker keeps the list of what no longer counts in memory. With a
directory the list is shared: the request that finds its worker's copy older than ``revocation_sync`` reads what is
new. When the directory cannot be reached, a copy up to a minute old serves; after that requests are refused.
Without a directory each worker knows only the logouts that it has seen itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from oauth2_mw.errors import StoreUnavailable

#: Seconds for which a copy of the list serves while the directory is away.
GRACE = 60
#: Seconds for which an ended session is remembered beyond its own end.
KEPT_LONGER = 3600
#: Seconds between two tries while the directory is away.
RETRY = 1


class Snapshot(Protocol):
    """What a directory knows of ended sessions."""

    @property
    def disabled_ids(self) -> frozenset[str]:
        """The ids of all disabled users."""

    @property
    def revoked(self) -> tuple[tuple[int, str, int], ...]:
        """(row id, session id, end of the session) of revocations since the row asked for."""


class RevocationSource(Protocol):
    """The part of the directory that is used here."""

    def snapshot(self, since: int) -> Snapshot:
        """The disabled users, and the revocations after row *since*."""

    def revoke_session(self, session_id: str, *, expires: int) -> None:
        """Write a revocation down, to be kept until *expires*."""


class Revocations:
    """The list of one worker.

    :param source: the directory, or ``None``.
    :param sync: seconds after which the list is read again.
    """

    def __init__(
        self, source: RevocationSource | None, *, sync: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._sync = sync
        self._clock = clock
        self._refreshing = threading.Lock()
        #: session id -> ``clock()`` value until which it is remembered
        self._revoked: dict[str, float] = {}
        self._disabled: frozenset[str] = frozenset()
        self._last_row = 0
        self._retry_at = float("-inf")
        self._failure = ""
        self._read_at: float | None = None
        #: ``clock()`` value from which :meth:`refresh` has something to do
        self.due = 0.0 if source is not None else float("inf")

    def ended(self, session_id: str, user_id: str) -> bool:
        """Whether that session counts no more.

        :raises StoreUnavailable: when the list cannot be read and the copy is too old to serve.
        """
        if self._clock() >= self.due:
            self._refresh()
        return session_id in self._revoked or user_id in self._disabled

    def revoke(self, session_id: str, *, expires: int) -> None:
        """End a session everywhere.

        :param expires: the moment (seconds since the epoch) at which the session would have ended by itself.
        :raises StoreUnavailable: when the directory did not take it; this worker ends the session all the same.
        """
        self._remember(session_id, expires)
        if self._source is not None:
            self._source.revoke_session(session_id, expires=expires)
        else:
            self._forget_expired()

    def _refresh(self) -> None:
        # While a copy is there, one request reads and the others go on with what is known.
        if not self._refreshing.acquire(blocking=not self._serves()):
            return
        try:
            if self._clock() < self._retry_at:
                # Somebody has just tried, and all who waited for it share the answer.
                if not self._serves():
                    raise StoreUnavailable(self._failure)
                return
            if self._clock() < self.due or self._source is None:
                return
            try:
                snapshot = self._source.snapshot(self._last_row)
            except StoreUnavailable as error:
                self._retry_at, self._failure = self._clock() + RETRY, error.detail
                if not self._serves():
                    raise
                self.due = self._retry_at
                return
            for _, session_id, expires in snapshot.revoked:
                self._remember(session_id, expires)
            if snapshot.revoked:
                # Not the highest ever seen: a database that was put back counts from an earlier row again.
                self._last_row = max(row for row, _, _ in snapshot.revoked)
            self._disabled = snapshot.disabled_ids
            self._forget_expired()
            self._read_at = self._clock()
            self.due = self._read_at + self._sync
        finally:
            self._refreshing.release()

    def _serves(self) -> bool:
        return self._read_at is not None and self._clock() < self._read_at + GRACE

    def _remember(self, session_id: str, expires: int) -> None:
        # Counted on a clock that nobody sets: one that was ahead for a moment must not revive what has ended.
        self._revoked[session_id] = self._clock() + max(expires - time.time(), 0) + KEPT_LONGER

    def _forget_expired(self) -> None:
        now = self._clock()
        for session_id, until in list(self._revoked.items()):
            if until < now:
                self._revoked.pop(session_id, None)
