"""The lease by which one of all workers refreshes a session in a store.

It is short, so that one that a killed worker held soon ends, and its holder renews it while the provider is slow.
The clocks of hosts differ, so nobody takes a lease by the clock alone: a worker that finds one run out watches for a
while whether it is renewed after all, or the result written.
"""

from __future__ import annotations

from math import inf

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.errors import ProviderUnavailableError, StoreUnavailableError
from oauth2_mw.provider.http.waiting import SLICE
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session

#: Seconds for which a lease holds.
LEASE = 10
#: Seconds without a sign of its holder after which a lease that has run out is taken over: more than a slice.
SILENCE = 4
#: The most leases of others that a worker watches.
MAX_WATCHED = 1000


class Lease:
    """A lease of this worker.

    :param leased: the session as the store holds it with this lease.
    :param taken_at: the monotonic time at which it was asked for.
    """

    def __init__(
        self, sessions: SessionManager, leased: RequestSession, session: Session, *, taken_at: float
    ) -> None:
        self._sessions = sessions
        self._session = session
        self._monotonic = sessions.clocks.monotonic
        self._renewed_at = taken_at
        #: the session as the store holds it with this lease
        self.current: RequestSession = leased

    def keep(self) -> None:
        """Renew the lease if that is due.

        :raises ProviderUnavailableError: ``lease_lost`` when it could not be renewed, and another worker may be about
            to refresh the session.
        """
        now = self._monotonic()
        if now < self._renewed_at + SLICE:
            return
        try:
            renewed = _leased(self._sessions, self.current, self._session)
            if renewed is not None:
                self.current, self._renewed_at = renewed, now
            elif self._sessions.reload(self.current).session is None:
                # The session has ended, and nobody else refreshes it: tokens that still come are to be revoked.
                self._renewed_at = inf
            else:
                raise _lost("another worker has taken it over")
        except StoreUnavailableError as error:
            # The lease would run out before the next try.
            if self._monotonic() + SLICE >= self._renewed_at + LEASE:
                raise _lost(error.detail) from None


class Leases:
    """The leases on the sessions of a store, as one worker sees them."""

    def __init__(self, sessions: SessionManager) -> None:
        self._sessions = sessions
        self._monotonic = sessions.clocks.monotonic
        #: session id -> the end of its lease, and the monotonic time when that was first seen
        self._watched: BoundedCache[str, tuple[int, float]] = BoundedCache(max_entries=MAX_WATCHED)

    def is_held(self, current: RequestSession, session: Session) -> bool:
        """Return whether another worker refreshes a session, as far as can be seen."""
        ends, now = current.lease_expires, self._monotonic()
        if not ends:
            return False
        watched = self._watched.get(session.id)
        if watched is None or watched[0] != ends:
            watched = (ends, now)
            self._watched.put(session.id, watched)
        # A lease that is still to run may come from a clock that is far ahead.
        silence = SILENCE if ends <= self._sessions.now() else LEASE + SILENCE
        return now < watched[1] + silence

    def take(self, current: RequestSession, session: Session) -> Lease | None:
        """Take the lease on a session, or return ``None`` if this worker's copy of it is out of date.

        :raises StoreUnavailableError: when the store cannot be used.
        """
        now = self._monotonic()
        leased = _leased(self._sessions, current, session)
        return None if leased is None else Lease(self._sessions, leased, session, taken_at=now)


def _leased(sessions: SessionManager, current: RequestSession, session: Session) -> RequestSession | None:
    now = sessions.now()
    return sessions.replace(current, session.touched(now), lease=int(now) + LEASE)


def _lost(reason: str) -> ProviderUnavailableError:
    error = ProviderUnavailableError(
        f"the lease on the session could not be renewed, and the refresh was given up: {reason}",
        code="lease_lost",
    )
    error.is_sent = True
    return error
