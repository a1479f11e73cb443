"""Remembering who is signed in: from a ``Cookie`` header to a session, and from a sign-in to ``Set-Cookie``.

:meth:`SessionManager.resolve` runs on every request. It works on the header's text alone: one dictionary look-up when
the same header was seen before, otherwise a split, one opening and one ``json.loads``. With a session store the cookie
holds a handle in place of the session, and what it stands for is asked for once in ``revocation_sync``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic

from oauth2_mw.errors import ProviderError, StoreUnavailableError
from oauth2_mw.identity.environ import EnvironWriter
from oauth2_mw.identity.model import Identity
from oauth2_mw.observe import new_id
from oauth2_mw.session.cookie_cache import CookieHeaderCache, RequestSession
from oauth2_mw.session.cookie_sessions import CookieSessions
from oauth2_mw.session.cookies import MAX_COPIES, Cookies, RequestCookies
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.model import RefreshSchedule, Session, SessionRef, SignInDetails
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.revocation import RevocationList, Revocations
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stored_sessions import CachedSession, Handle, StoredSessions
from oauth2_mw.session.stores import Store
from oauth2_mw.settings.model import ProviderSettings, Settings

log = logging.getLogger(__name__)

_HANDLE = "session-handle"


#: A session as a cookie gave it, what stands in the store for it, and whether the cookie is to be sealed anew. A plain
#: tuple: one is made at every opening.
_Found = tuple[Session | None, CachedSession | None, bool]
_NONE: _Found = (None, None, False)


class SessionManager:
    """The sessions of one application, kept in sealed cookies or in a store.

    :param store: where sessions are written down; ``None``: nowhere. With ``session = cookie`` it belongs to the
        directory, and the sessions themselves stay in the cookies.
    :param shared: with ``session = cookie``: where all workers write down which sessions have ended.
    :param disabled: the ids of the users whom the directory has disabled.
    :raises ValueError: at construction, when the keys cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store | None = None,
        shared: RevocationList | None = None,
        disabled: Callable[[], frozenset[str]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self.cookies = Cookies(settings.cookie_name, secure=settings.secure)
        self._keyring = Keyring(settings.secret_keys, sync=settings.revocation_sync, clock=clock)
        self.sealer = Sealer(self._keyring, app_id=settings.public_url)
        in_cookie = settings.session is None
        self.revocations = Revocations(shared=shared, disabled=disabled, sync=settings.revocation_sync)
        #: what all workers know of sessions; ``None``: each worker knows its own
        self.ledger: SessionRegistry | None = None
        self._carried = CookieSessions(
            self.sealer,
            self.cookies,
            most=settings.session_max_bytes,
            claims=frozenset(path.root for path in settings.environ_claims),
        )
        self._stored: StoredSessions | None = None
        if store is not None:
            self.ledger = SessionRegistry(
                store,
                self.sealer,
                self.revocations,
                data_in_cookie=in_cookie,
                longest=max((p.session_lifetime for p in settings.providers.values()), default=0),
                clock=clock,
            )
            if not in_cookie:
                self._stored = StoredSessions(
                    self.ledger, self.sealer, sync=settings.revocation_sync, clock=clock
                )
        self._writer = EnvironWriter(settings.environ)
        self._issuers = {name: provider.user_issuer for name, provider in settings.providers.items()}
        self._mark = self.cookies.session
        self._opened = CookieHeaderCache()
        self._generation = self._keyring.generation

    def now(self) -> float:
        """The clock by which sessions live, in seconds since the epoch."""
        return self._clock()

    # Reading

    def resolve(self, header: str) -> RequestSession | None:
        """What a ``Cookie`` header says; ``None`` when none of our cookies is in it.

        :raises StoreUnavailable: when it cannot be known whether the session was ended elsewhere.
        """
        self._keyring.refresh()
        if self._generation != self._keyring.generation:
            self._generation, self._opened = self._keyring.generation, CookieHeaderCache()
        opened = self._opened
        known = opened.get(header)
        if known is None:
            if self._mark not in header:
                return None
            known = self._work_out(header)
            if known.session is not None:
                opened.put_unless_busy(header, known)
        elif known.cached is not None and monotonic() >= known.cached.fresh_until:
            known = self._look_again(header, known, known.cached)
        session = known.session
        if session is None:
            return known
        if not session.is_alive(self._clock()) or self.revocations.ended(
            session.id, session.identity.id, session.sign_in.issued_at
        ):
            return replace(known, session=None, invalid=True)
        return known

    def without_ours(self, header: str) -> str | None:
        """A ``Cookie`` header as the application may see it; ``None``: nothing is left of it."""
        if self._mark not in header:
            return header
        known = self._opened.get(header)
        return known.remaining_cookies if known is not None else self.cookies.read(header).other_header

    def _work_out(self, header: str) -> RequestSession:
        sent = self.cookies.read(header)
        session, held, stale = self._find(sent)
        if session is not None:
            known = self._described(session, sent, held=held, stale=stale)
            if known is not None:
                return known
        return RequestSession(
            None, {}, sent.other_header, sent, invalid=bool(self.cookies.session_names(sent))
        )

    def _described(
        self, session: Session, sent: RequestCookies, *, held: CachedSession | None, stale: bool
    ) -> RequestSession | None:
        # A provider that was taken away, or now points elsewhere, signs nobody in any more.
        if self._issuers.get(session.identity.provider) != session.identity.issuer:
            return None
        try:
            plain = self._writer.plain(session.identity, session.tokens)
        except ProviderError as error:
            log.warning("a session was left aside: %s", error.detail)
            return None
        return RequestSession(
            session, plain, sent.other_header, sent, invalid=False, cached=held, needs_new_cookie=stale
        )

    def _find(self, sent: RequestCookies) -> _Found:
        """The one session that a request's cookies mean."""
        found = _NONE
        for tries, (count, text) in enumerate(self.cookies.session_values(sent)):
            if tries > MAX_COPIES:
                break
            one = self._open(count, text)
            session = one[0]
            if session is None:
                continue
            if found[0] is not None and found[0].id != session.id:
                # Somebody else's session was slipped in beside this one: nobody can tell which is meant.
                return _NONE
            found = one
        return found

    def _open(self, count: int, text: str) -> _Found:
        if self._stored is None:
            return self._carried.open(count, text), None, False
        payload = self.sealer.open(_HANDLE, self.cookies.session, text) if count == 1 else None
        try:
            held = self._stored.find(Handle.from_payload(payload)) if payload is not None else None
        except ValueError:
            return _NONE
        if held is None:
            return _NONE
        return held.session, held, not self.sealer.is_current(text)

    def _look_again(self, header: str, known: RequestSession, held: CachedSession) -> RequestSession:
        """What the store says by now of a session that was asked for before."""
        again = self._again(known, self._stored.find(held.handle) if self._stored is not None else None)
        if again.session is not None:
            self._opened.put_unless_busy(header, again)
        return again

    def _again(self, known: RequestSession, held: CachedSession | None) -> RequestSession:
        if held is not None:
            stale = known.needs_new_cookie or not held.sealed_with_current_key
            described = self._described(held.session, known.cookies, held=held, stale=stale)
            if described is not None:
                return described
        return replace(known, session=None, invalid=True)

    # Writing

    def create(
        self,
        provider: ProviderSettings,
        identity: Identity,
        tokens: Mapping[str, str | None],
        sent: RequestCookies,
        *,
        origin: SignInDetails | None = None,
        expires_at: int | None = None,
    ) -> list[str]:
        """The ``Set-Cookie`` values that carry a fresh session.

        :param tokens: those that ``keep_tokens`` names are kept, as far as there is room.
        :param expires_at: the end of the access token, if that is known.
        :raises LoginError: code ``session_too_big``, when even the least does not fit into a cookie.
        :raises AccessDenied: code ``signed_out``, when a logout came for it meanwhile.
        :raises StoreUnavailable: when it could not be written down.
        """
        now = int(self._clock())
        kept = self.kept(tokens)
        session = Session(
            id=new_id(),
            identity=identity,
            tokens=kept,
            created_at=now,
            expires_at=now + provider.session_lifetime,
            last_used_at=now,
            idle_timeout=provider.session_idle,
            refresh_schedule=RefreshSchedule.of(expires_at, now=now) if "refresh_token" in kept else None,
            sign_in=origin or SignInDetails(now),
        )
        if self._stored is not None:
            return self._hand_out(self._stored.add(session), sent)
        session = self._carried.cut_down(session)
        if self.ledger is not None:
            self.ledger.write(session)
        return self.cookies.set_session(self._carried.seal(session), sent)

    def fitted(self, session: Session) -> Session:
        """A session that has grown, cut down to what has room.

        :raises LoginError: code ``session_too_big``, when even the least does not fit into a cookie.
        """
        return session if self._stored is not None else self._carried.cut_down(session)

    def kept(self, tokens: Mapping[str, str | None]) -> dict[str, str]:
        """Those of *tokens* that are there and that ``keep_tokens`` names."""
        return {
            kind: text
            for kind, text in tokens.items()
            if text is not None and kind.removesuffix("_token") in self._settings.keep_tokens
        }

    def _hand_out(self, handle: Handle, sent: RequestCookies) -> list[str]:
        # The number of cookies that it comes in has no place inside: it always fits into one.
        text = self.sealer.seal(_HANDLE, self.cookies.session, handle.to_payload())
        return self.cookies.set_session(text, sent)

    def renewal(self, known: RequestSession) -> list[str]:
        """``Set-Cookie`` values for a browser whose cookie has fallen behind; mostly none.

        In a cookie the last use is written down when that was not done lately.
        """
        session = known.session
        if session is None:
            return []
        if known.cached is not None:
            # Once the old key is gone, nobody would find a record that only it can name: no list, and no logout.
            if (
                not known.needs_new_cookie
                or self._stored is None
                or not self._stored.sealed_anew(known.cached)
            ):
                return []
            return self._hand_out(known.cached.handle, known.cookies)
        now = self._clock()
        if not known.needs_new_cookie and now < session.renew_at():
            return []
        session = session.touched(now)
        self._write_down(session)
        return self.cookies.set_session(self._carried.seal(session), known.cookies)

    def _write_down(self, session: Session) -> None:
        """Tell the ledger of the use of a session that its browser carries."""
        if self.ledger is None:
            return
        try:
            record = self.ledger.touch(session.id, seen=session.last_used_at, expires=session.expires_at)
            if record is not None and not self.ledger.is_current(record):
                # By a key that is about to be retired nobody would find it any more, a logout of the provider neither.
                self.ledger.touch(
                    session.id, seen=session.last_used_at, expires=session.expires_at, reseal=session
                )
        except StoreUnavailableError as error:
            # The cookie is what counts; the list of sessions shows an earlier moment for a while.
            log.info("the use of a session was not written down: %s", error.detail)

    def replace(self, known: RequestSession, session: Session, *, lease: int = 0) -> RequestSession | None:
        """What is known once *session* has taken the place of the one before; ``None``: somebody was faster.

        :param lease: in a store: until when nobody else is to refresh it, in seconds since the epoch.
        :raises StoreUnavailable: when it could not be written down.
        """
        if self._stored is None or known.cached is None:
            return self._described(session, known.cookies, held=None, stale=True)
        held = self._stored.replace(known.cached, session, lease=lease)
        if held is None:
            return None
        return self._described(held.session, known.cookies, held=held, stale=known.needs_new_cookie)

    def fresh(self, known: RequestSession) -> RequestSession:
        """What a store says of a session at this moment.

        :raises StoreUnavailable: when it says nothing.
        """
        if self._stored is None or known.cached is None:
            return known
        return self._again(known, self._stored.fresh(known.cached.handle))

    def current(self, known: RequestSession) -> RequestSession:
        """What this worker has heard of a session since; asks the store only when that is due."""
        if self._stored is None or known.cached is None:
            return known
        return self._again(known, self._stored.find(known.cached.handle))

    def is_due(self, known: RequestSession) -> bool:
        """Whether the tokens of a session are to be refreshed by now."""
        session = known.session
        return session is not None and session.is_refresh_due(self._clock())

    def has_ended(self, session: Session) -> bool:
        """Whether a session was ended before its time.

        :raises StoreUnavailable: when that cannot be known.
        """
        return self.revocations.ended(session.id, session.identity.id, session.sign_in.issued_at)

    def end(self, session: Session | SessionRef) -> None:
        """Make a session count no more, also where its cookie was copied.

        :raises StoreUnavailable: when other hosts could not be told.
        """
        if self.ledger is not None:
            self.ledger.end(session.id, expires=session.expires_at)
        else:
            self.revocations.revoke(session.id, expires=session.expires_at)
