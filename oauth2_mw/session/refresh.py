r"""Which request refreshes a session's tokens before they expire, and what the others do meanwhile.

A provider that rotates refresh tokens takes the second use of one for a theft, and revokes all of them (RFC 9700,
section 4.14). So when several requests bring one session, one of them, the leader, refreshes it; the others follow:

=========  =====================================================  =================================================
\           session in a cookie                                    session in a store
=========  =====================================================  =================================================
leader     first in its worker, and with a directory the first    first in its worker, and holder of the lease that
           of all workers to use this refresh token; sets the     stands in the session's record; writes the result
           new cookie, and keeps the result for a minute for      there, unless another version has taken its place
           requests that were sent with the old one
follower   in the same worker: waits for the leader's result,     goes on while the access token is good, and then
           as long as it may; in another: goes on, because the    waits for the leader in the same worker, or for
           browser is about to bring the new cookie; if that      the record that another worker writes, as long as
           never arrives, the refresh token is lost               it may
=========  =====================================================  =================================================

A lease expires if its holder does not renew it, and a result that arrives after that is thrown away. So is the result
for a session that has ended meanwhile: a refresh never revives one.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from oauth2_mw.audit import audit
from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.errors import RefreshUnderWayError, StoreTakesNoWritesError, StoreUnavailableError
from oauth2_mw.provider.http.waiting import while_waiting
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.lease import Lease, Leases
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.session.token_refresh import TokenRefresher
from oauth2_mw.session.turns import Turns

#: Seconds for which a request waits for another worker once the access token has expired: nobody in this worker knows
#: how long that takes, or whether the other is still there.
WAIT_ELSEWHERE = 0.8
#: Seconds between two looks at the store while another worker refreshes.
POLL = 0.2
#: Seconds for which a worker keeps the result for requests with the previous cookie, and waits for another's result.
GRACE = 60
#: Seconds for which a request tries to write new tokens to a store that cannot be reached.
WRITE_TIMEOUT = 10
#: Seconds for which the worker keeps such tokens, so that the next request with that session can write them.
UNWRITTEN_LIFETIME = 3600
#: The most results that a worker remembers, and the most that it waits for.
MAX_RESULTS = 1000


@dataclass(frozen=True, slots=True)
class _Result:
    """The outcome of a refresh."""

    #: ``None`` if the session has ended
    session: Session | None
    #: monotonic time up to which the result counts
    expires: float


class Refresher:
    """Keeps the tokens of one application's sessions fresh.

    :param tokens: asks the providers for them.
    """

    def __init__(self, sessions: SessionManager, tokens: TokenRefresher) -> None:
        self._sessions = sessions
        self._tokens = tokens
        self._monotonic = sessions.clocks.monotonic
        self._turns = Turns(self._monotonic)
        self._leases = Leases(sessions)
        #: refresh key -> recent result
        self._recent: BoundedCache[str, _Result] = BoundedCache(max_entries=MAX_RESULTS)
        #: refresh key -> monotonic time up to which another worker's result is awaited
        self._awaited: BoundedCache[str, float] = BoundedCache(max_entries=MAX_RESULTS)

    def refresh(self, current: RequestSession) -> RequestSession:
        """Return the request with its session's tokens refreshed, if possible, or without a session if it has ended.

        :param current: a request whose session's tokens are due for a refresh.
        :raises RefreshUnderWayError: when the access token has ended, and another request is getting a new one.
        :raises StoreUnavailableError: when the session's store cannot be used.
        """
        # Another request may have refreshed it after this one looked its cookie up.
        current = self._sessions.recall(current)
        session = current.session
        if session is None or not session.is_refresh_due(self._sessions.now()):
            return current
        key = _refresh_key(session)
        while not self._turns.begin(key):
            if not session.has_access_token_expired(self._sessions.now()):
                return current
            if not self._turns.wait(key):
                return self._go_on(current, session)
            current = self._sessions.recall(current)
            session = current.session
            if session is None or not session.is_refresh_due(self._sessions.now()):
                return current
        try:
            if self._sessions.in_cookies:
                return self._refresh_in_cookie(current, session, key)
            return self._refresh_in_store(current, key)
        finally:
            self._turns.end(key)

    def _go_on(self, current: RequestSession, session: Session) -> RequestSession:
        """Return a request whose session others refresh, unless what it has is of no use any more."""
        if "access_token" not in session.tokens:
            return current
        raise RefreshUnderWayError(
            "another request is refreshing the tokens of its session, which takes long"
        )

    # Sessions in a store

    def _refresh_in_store(self, current: RequestSession, key: str) -> RequestSession:
        reloaded, deadline = False, self._monotonic() + WAIT_ELSEWHERE
        while True:
            session, now = current.session, self._sessions.now()
            if session is None or not session.is_refresh_due(now):
                # It has ended, or another worker has refreshed it.
                return current
            unwritten = self._recent_result(_refresh_key(session))
            if unwritten is not None and unwritten.session is not None:
                written = self._sessions.replace(current, unwritten.session)
                if written is not None:
                    return written
            elif not self._leases.is_held(current, session):
                # This worker's version may be out of date: the store gives the lease for the latest one alone.
                try:
                    lease = self._leases.take(current, session)
                except StoreTakesNoWritesError:
                    # Nothing was sent to the provider; the session goes on with what it has.
                    return current
                if lease is not None:
                    return self._refresh_with_lease(lease, session)
            elif not session.has_access_token_expired(now):
                return current
            elif reloaded:
                if not self._turns.may_wait(key):
                    return self._go_on(current, session)
                if self._monotonic() >= deadline:
                    self._turns.note_in_vain(key)
                    return self._go_on(current, session)
                time.sleep(POLL)
            current, reloaded = self._sessions.reload(current), True

    def _refresh_with_lease(self, lease: Lease, session: Session) -> RequestSession:
        with while_waiting(lease.keep):
            refreshed = self._tokens.refresh(session)
        if refreshed is None:
            self._end(session)
            return lease.current.without_session()
        give_up_at = self._monotonic() + WRITE_TIMEOUT
        while True:
            try:
                return self._write(lease.current, refreshed)
            except StoreUnavailableError:
                if refreshed.tokens == session.tokens:
                    raise
                # The old refresh token is used up: without the result nobody could refresh the session any more.
                self._remember(_refresh_key(session), refreshed, seconds=UNWRITTEN_LIFETIME)
                if self._monotonic() >= give_up_at:
                    raise
                time.sleep(POLL)

    def _write(self, leased: RequestSession, refreshed: Session) -> RequestSession:
        written = self._sessions.replace(leased, refreshed)
        if written is not None:
            return written
        # The session was ended, or another worker wrote it after this lease had expired: its result counts.
        latest = self._sessions.reload(leased)
        if latest.session is None:
            self._tokens.revoke(refreshed)
        return latest

    # Sessions in cookies

    def _refresh_in_cookie(self, current: RequestSession, session: Session, key: str) -> RequestSession:
        recent = self._recent_result(key)
        if recent is not None:
            return self._with_session(current, recent.session)
        try:
            is_first_use = self._is_first_use(session, key)
        except StoreTakesNoWritesError:
            return current
        if is_first_use:
            refreshed = self._tokens.refresh(session)
        elif self._is_result_awaited(key) or not session.has_access_token_expired(
            self._sessions.now() - GRACE
        ):
            return current
        else:
            refreshed = self._tokens.give_up(
                session, "its refresh token was used, and what came of it never arrived"
            )
        if refreshed is None:
            self._end(session)
        elif self._sessions.has_ended(session):
            self._tokens.revoke(refreshed)
            refreshed = None
        self._remember(key, refreshed)
        return self._with_session(current, refreshed)

    def _is_first_use(self, session: Session, key: str) -> bool:
        registry = self._sessions.registry
        return registry is None or registry.consume_once(f"refresh:{key}", expires=session.expires_at)

    def _is_result_awaited(self, key: str) -> bool:
        """Return whether the browser may still bring the cookie that another worker has set.

        The time counts from when this worker first missed it, not from when the access token expired: a browser that
        comes back after hours sends several requests at once.
        """
        now = self._monotonic()
        self._awaited.add(key, now + GRACE)
        return now < self._awaited.get(key, now + GRACE)

    def _with_session(self, current: RequestSession, session: Session | None) -> RequestSession:
        replaced = self._sessions.replace(current, session) if session is not None else None
        return replaced or current.without_session()

    # Results

    def _recent_result(self, key: str) -> _Result | None:
        recent = self._recent.get(key)
        return recent if recent is not None and self._monotonic() < recent.expires else None

    def _remember(self, key: str, session: Session | None, *, seconds: int = GRACE) -> None:
        self._recent.put(key, _Result(session, self._monotonic() + seconds))

    def _end(self, session: Session) -> None:
        audit("session_ended", identity=session.identity)
        self._sessions.end(session)


def _refresh_key(session: Session) -> str:
    """Return a key for one use of a session's refresh token. A refresh that was postponed gets another key.

    The session's id is part of it, because some providers give one refresh token to several sign-ins of a user.
    """
    schedule = session.refresh_schedule
    use = f"{session.id} {schedule and schedule.refresh_at} {session.tokens.get('refresh_token')}"
    return hashlib.sha256(use.encode()).hexdigest()
