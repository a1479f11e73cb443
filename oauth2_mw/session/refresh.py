"""Refreshing tokens before they end, and what is known of the person with them (RFC 6749, section 6).

A provider that rotates refresh tokens takes the second use of one for a theft and ends everything (RFC 9700, section
4.14). So one request refreshes, whoever else comes: in a process the first one, and between processes the one that
gets the lease in the session's record. Everybody else goes on with the access token that is still good, or waits for
the result. A lease that its holder did not give back ends by itself; what a late holder brings is thrown away,
because another version of the record stands there by then. For the same reason nothing revives a session that ended
meanwhile.

Where sessions live in cookies there is no record to bring the result to the others. A worker keeps it for requests
that were on their way with the old cookie; between workers only the use of the refresh token itself is noticed, and
only with a directory.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from oauth2_mw.audit import audit
from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.errors import (
    AccessDeniedError,
    LoginError,
    OAuth2Error,
    ProviderError,
    ProviderUnavailableError,
    StoreUnavailableError,
    TokenError,
)
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import Identity
from oauth2_mw.provider.client import ProviderClient, RefreshResult
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import RefreshSchedule, Session
from oauth2_mw.settings.model import ProviderSettings, Settings

#: Seconds for which one worker may refresh a session: longer than all calls to the provider may take together.
LEASE = 60
#: Seconds for which a request waits for another that is refreshing, once the access token has ended: less than the 30
#: after which gunicorn ends a worker.
WAIT = 20
#: Seconds between two looks at the store while another host is refreshing.
POLL = 0.2
#: Seconds until a provider that could not be reached is tried again.
RETRY = 30
#: Seconds for which a worker hands a refreshed session to requests that come with the cookie of before.
GRACE = 60
#: Seconds for which a request tries to write new tokens down while their store is away, and for which the worker keeps
#: them after that, for the next request with that session.
WRITING = 10
UNWRITTEN = 3600
#: The most results that a worker keeps for either.
MAX_RESULTS = 1000


@dataclass(slots=True)
class _RefreshInProgress:
    """One refresh under way in this process."""

    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _Recent:
    """What became of a refresh token; ``None``: the session ended."""

    session: Session | None
    until: float


class Refresher:
    """Keeps the tokens of one application's sessions fresh.

    :param clients: finds the client of a provider by its NAME.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        clients: Callable[[str], ProviderClient],
        admission: Admission,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = settings.providers
        self._sessions = sessions
        self._clients = clients
        self._admission = admission
        self._monotonic = monotonic
        self._boarding = threading.Lock()
        #: use of a refresh token -> who is about it
        self._flights: dict[str, _RefreshInProgress] = {}
        #: use of a refresh token -> what came of it
        self._recent: BoundedCache[str, _Recent] = BoundedCache(max_entries=MAX_RESULTS)
        #: use of a refresh token by another worker -> until when its result is waited for
        self._missed: BoundedCache[str, float] = BoundedCache(max_entries=MAX_RESULTS)

    def refreshed(self, known: RequestSession) -> RequestSession:
        """The session with tokens that are good, as far as they can be had; without one when it has ended.

        :param known: its session is due to be refreshed.
        :raises StoreUnavailable: when the session's store cannot be used.
        """
        # Another request may have refreshed it since this one's cookie was looked at first.
        known = self._sessions.current(known)
        session = known.session
        if session is None or not session.is_refresh_due(self._sessions.now()):
            return known
        name = _name(session)
        deadline = self._monotonic() + WAIT
        while True:
            with self._boarding:
                flight = self._flights.get(name)
                leads = flight is None
                if flight is None:
                    flight = self._flights[name] = _RefreshInProgress()
            if leads:
                try:
                    return self._lead(known, session, name, deadline)
                finally:
                    with self._boarding:
                        del self._flights[name]
                    flight.done.set()
            if not session.is_access_token_over(self._sessions.now()):
                # The access token is good for a while yet: nobody waits.
                return known
            if not flight.done.wait(max(deadline - self._monotonic(), 0)):
                return known
            known = self._sessions.current(known)
            session = known.session
            if session is None or not session.is_refresh_due(self._sessions.now()):
                return known

    def _lead(self, known: RequestSession, session: Session, name: str, deadline: float) -> RequestSession:
        if known.cached is None:
            return self._in_cookie(known, session, name)
        return self._in_store(known, deadline)

    # Sessions in a store

    def _in_store(self, known: RequestSession, deadline: float) -> RequestSession:
        asked = False
        while True:
            session, held = known.session, known.cached
            now = self._sessions.now()
            if session is None or held is None or not session.is_refresh_due(now):
                # Ended, or refreshed by somebody else.
                return known
            unwritten = self._recently(_name(session))
            if unwritten is not None and unwritten.session is not None:
                stored = self._sessions.replace(known, unwritten.session)
                if stored is not None:
                    return stored
            elif held.lease_expires <= now:
                # What is held may be out of date by now: the store decides, whose version is another then.
                leased = self._sessions.replace(known, session.touched(now), lease=int(now) + LEASE)
                if leased is not None:
                    return self._take(leased, session)
            elif not session.is_access_token_over(now) or self._monotonic() >= deadline:
                return known
            elif asked:
                time.sleep(POLL)
            known, asked = self._sessions.fresh(known), True

    def _take(self, leased: RequestSession, session: Session) -> RequestSession:
        """Refresh with the lease in hand, and give it back."""
        fresh = self._ask(session)
        if fresh is None:
            self._end(session)
            return replace(leased, session=None, invalid=True)
        until = self._monotonic() + WRITING
        while True:
            try:
                return self._write(leased, fresh)
            except StoreUnavailableError:
                # The old refresh token is spent: without what came of it nobody could refresh any more.
                self._remember(_name(session), fresh, seconds=UNWRITTEN)
                if self._monotonic() >= until:
                    raise
                time.sleep(POLL)

    def _write(self, leased: RequestSession, fresh: Session) -> RequestSession:
        stored = self._sessions.replace(leased, fresh)
        if stored is not None:
            return stored
        # Somebody else wrote after this lease had run out, or the session was ended: that counts, and not this.
        stored = self._sessions.fresh(leased)
        if stored.session is None:
            self.revoke(fresh)
        return stored

    # Sessions in cookies

    def _in_cookie(self, known: RequestSession, session: Session, name: str) -> RequestSession:
        recent = self._recently(name)
        if recent is not None:
            return self._carry(known, recent.session)
        if not self._is_first(session, name):
            # Another worker refreshes it, and the browser is about to bring what came of that.
            awaited = self._awaited(name)
            if awaited or (not session.is_access_token_over(self._sessions.now() - GRACE)):
                return known
            fresh = self._refused(session, "its refresh token was used, and what came of it never arrived")
        else:
            fresh = self._ask(session)
        if fresh is None:
            self._end(session)
        elif self._sessions.has_ended(session):
            self.revoke(fresh)
            fresh = None
        self._remember(name, fresh)
        return self._carry(known, fresh)

    def _is_first(self, session: Session, name: str) -> bool:
        ledger = self._sessions.ledger
        return ledger is None or ledger.consume_once(f"refresh:{name}", expires=session.expires_at)

    def _awaited(self, name: str) -> bool:
        """Whether what another worker's refresh brought may still arrive with the browser's next cookie.

        It counts from when this worker first missed it. Who comes back after hours does so with several requests at
        once, so that the end of the access token says nothing of when the others were sent.
        """
        now = self._monotonic()
        self._missed.add(name, now + GRACE)
        return now < self._missed.get(name, now + GRACE)

    def _carry(self, known: RequestSession, session: Session | None) -> RequestSession:
        carried = self._sessions.replace(known, session) if session is not None else None
        return carried if carried is not None else replace(known, session=None, invalid=True)

    # What became of refresh tokens

    def _recently(self, name: str) -> _Recent | None:
        recent = self._recent.get(name)
        return recent if recent is not None and self._monotonic() < recent.until else None

    def _remember(self, name: str, session: Session | None, *, seconds: int = GRACE) -> None:
        self._recent.put(name, _Recent(session, self._monotonic() + seconds))

    # At the provider

    def _ask(self, session: Session) -> Session | None:
        """The session refreshed, or as it was if that could not be tried; ``None``: it is to end."""
        provider = self._providers[session.identity.provider]
        try:
            answer = self._clients(provider.name).refresh(
                session.tokens["refresh_token"],
                subject=session.identity.subject,
                auth_time=session.identity.auth_time,
                id_token=session.tokens.get("id_token"),
            )
        except ProviderUnavailableError as error:
            audit("refresh_postponed", identity=session.identity, detail=error.detail)
            return self._later(session)
        except TokenError as error:
            # The provider says something that cannot be true of this session, such as another subject.
            self._tell_refused(session, error)
            return None
        except ProviderError as error:
            return self._refused(session, error.detail, code=error.code)
        try:
            return self._sessions.fitted(self._renewed(session, provider, answer))
        except LoginError as error:
            audit("access_withdrawn", code=error.code, identity=session.identity, detail=error.detail)
            return None

    def _renewed(self, session: Session, provider: ProviderSettings, answer: RefreshResult) -> Session:
        now = self._sessions.now()
        tokens = {
            **session.tokens,
            **self._sessions.kept(
                {
                    "access_token": answer.tokens.access_token,
                    "id_token": answer.tokens.id_token,
                    "refresh_token": answer.tokens.refresh_token,
                }
            ),
        }
        identity = self._identity(session, provider, answer, now=int(now))
        due = RefreshSchedule.of(answer.tokens.expires_at, now=now)
        return replace(
            session.touched(now), identity=identity, tokens=MappingProxyType(tokens), refresh_schedule=due
        )

    def _identity(
        self, session: Session, provider: ProviderSettings, answer: RefreshResult, *, now: int
    ) -> Identity:
        before = session.identity
        if answer.claims is None:
            return before
        try:
            identity = self._admission.admit_again(
                provider, issuer=before.issuer, subject=before.subject, claims=answer.claims, now=now
            )
        except StoreUnavailableError as error:
            # The tokens must not be lost for that: the old refresh token is spent.
            audit("refresh_without_directory", identity=before, detail=error.detail)
            return before
        if identity.id != before.id:
            raise AccessDeniedError(
                f"({before.issuer}, {before.subject}) is user {identity.id} by now and was {before.id}",
                code="user_changed",
            )
        # How and when the person proved who they are is a matter of the sign-in.
        return replace(
            identity,
            acr=identity.acr if identity.acr is not None else before.acr,
            auth_time=identity.auth_time if identity.auth_time is not None else before.auth_time,
        )

    def _later(self, session: Session) -> Session:
        due = session.refresh_schedule
        return (
            session
            if due is None
            else replace(
                session,
                refresh_schedule=RefreshSchedule(int(self._sessions.now()) + RETRY, due.token_expires_at),
            )
        )

    def _refused(self, session: Session, detail: str, *, code: str = "refresh_lost") -> Session | None:
        """What becomes of a session that cannot be refreshed any more."""
        self._tell_refused(session, ProviderError(detail, code=code))
        if self._providers[session.identity.provider].refresh_failure == "end":
            return None
        tokens = {kind: text for kind, text in session.tokens.items() if kind != "refresh_token"}
        return replace(session, tokens=MappingProxyType(tokens), refresh_schedule=None)

    def _tell_refused(self, session: Session, error: OAuth2Error) -> None:
        who = session.identity
        audit("refresh_refused", code=error.code, identity=who, detail=error.detail)

    def _end(self, session: Session) -> None:
        audit("session_ended", identity=session.identity)
        self._sessions.end(session)

    def revoke(self, session: Session) -> None:
        """Take a session's tokens back at the provider (RFC 7009), as far as that can be done. It never raises."""
        for kind in ("refresh_token", "access_token"):
            token = session.tokens.get(kind)
            if token is None:
                continue
            try:
                self._clients(session.identity.provider).revoke(token, kind=kind)
            except OAuth2Error as error:
                audit("revocation_failed", code=error.code, identity=session.identity, detail=error.detail)
            # With the refresh token go the access tokens that came of it (section 2.1).
            return


def _name(session: Session) -> str:
    """What stands for one session's use of a refresh token. One that was put off is another use of the same token.

    Some providers hand out one token for several sign-ins of a person, whose sessions must not be taken for each other.
    """
    schedule = session.refresh_schedule
    use = f"{session.id} {schedule and schedule.refresh_at} {session.tokens.get('refresh_token')}"
    return hashlib.sha256(use.encode()).hexdigest()
