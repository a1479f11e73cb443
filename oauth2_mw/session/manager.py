"""The sessions of an application: from a ``Cookie`` header to a session, and from a sign-in to ``Set-Cookie``.

:meth:`SessionManager.resolve` runs on every request, and works on the header's text alone: one dictionary look-up when
it comes as it came before, one scan more when the application's cookies have changed beside ours, otherwise one
decryption and one JSON text to parse. Where the session itself lives, in the cookie or in a store, only its
:class:`~oauth2_mw.session.backend.SessionBackend` knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from oauth2_mw.errors import ProviderError
from oauth2_mw.identity.environ import EnvironWriter
from oauth2_mw.identity.model import Identity
from oauth2_mw.observe import new_id
from oauth2_mw.session.app_cookies import AppCookies
from oauth2_mw.session.backend import OpenedSession, SessionBackend
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.cookie_cache import (
    CountedSessionCache,
    KnownSession,
    RequestSession,
    SessionCache,
)
from oauth2_mw.session.cookie_sessions import CookieSessions
from oauth2_mw.session.cookies import MAX_COPIES, Cookies, RequestCookies, SealedText
from oauth2_mw.session.cut_offs import CutOffs
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.model import RefreshSchedule, Session, SessionRef, SignInDetails
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.renewal import CookieRenewal
from oauth2_mw.session.revocation import RevocationList, Revocations
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.signout_file import SignoutFile
from oauth2_mw.session.stored_sessions import StoredSessions
from oauth2_mw.session.stores import Store
from oauth2_mw.session.stores.record import EXPIRY_GRACE
from oauth2_mw.settings.model import ProviderSettings, Settings

log = logging.getLogger(__name__)  # type: logging.Logger


class SessionManager:
    """The sessions of one application, in sealed cookies or in a store.

    :param store: the session store; with ``session = cookie`` the list of sessions in the directory's database, or
        ``None`` without a directory.
    :param shared: with ``session = cookie``: the list of ended sessions that all workers share.
    :param disabled: returns the ids of the users whom the directory has disabled.
    :raises ValueError: at construction, when the keys cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store | None = None,
        shared: RevocationList | None = None,
        disabled: Callable[[], frozenset[str]] | None = None,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        self._settings = settings
        self.clocks = clocks
        self._wall = clocks.wall
        self._monotonic = clocks.monotonic
        #: whether cookies hold the sessions themselves, rather than handles of sessions in a store
        self.in_cookies = settings.session is None  # type: bool
        self.cookies = Cookies(
            settings.cookie_name,
            secure=settings.secure,
            app_cookies=settings.app_cookies,
            mount=settings.mount,
        )  # type: Cookies
        self._keyring = Keyring(settings.secret_keys, sync=settings.revocation_sync, clocks=clocks)
        self.sealer = Sealer(self._keyring, app_id=settings.public_url)  # type: Sealer
        #: the application's own cookies, which it sees in requests of the person for whom it set them
        self.app_cookies = AppCookies(settings.app_cookies, self.cookies, self.sealer)  # type: AppCookies
        #: by which all sessions end at once
        self.cut_offs = CutOffs(store, settings.providers, clocks=clocks)  # type: CutOffs
        self.revocations = Revocations(
            shared=shared,
            disabled=disabled,
            cut_offs=self.cut_offs if store is not None else None,
            sync=settings.revocation_sync,
            signout_file=SignoutFile(settings.signout_file) if settings.signout_file is not None else None,
            clocks=clocks,
        )  # type: Revocations
        #: what all workers know of sessions; ``None`` if they share nothing
        self.registry = self._open_registry(store) if store is not None else None  # type: SessionRegistry | None
        self._backend = self._open_backend()
        #: whether browsers get their cookies anew
        self.renewal = CookieRenewal(
            self._backend,
            self.cookies,
            self.revocations,
            self.cut_offs,
            in_cookies=self.in_cookies,
            shared=self.registry is not None,
            clocks=clocks,
        )  # type: CookieRenewal
        self._writer = EnvironWriter(settings.environ, settings.environ_forms)
        self._issuers = {name: provider.user_issuers for name, provider in settings.providers.items()}
        self._cookie_name = self.cookies.session
        self._make_cache = CountedSessionCache if settings.metrics == "prometheus" else SessionCache
        self._cache = self._make_cache(self.cookies)
        self._generation = self._keyring.generation

    def _open_registry(self, store: Store) -> SessionRegistry:
        return SessionRegistry(
            store,
            self.sealer,
            self.revocations,
            self.cut_offs,
            data_in_cookie=self.in_cookies,
            longest=max((p.session_lifetime for p in self._settings.providers.values()), default=0),
            clocks=self.clocks,
        )

    def _open_backend(self) -> SessionBackend[Any]:
        settings = self._settings
        if self.in_cookies or self.registry is None:
            return CookieSessions(
                self.sealer,
                self.cookies,
                self.registry,
                max_bytes=settings.session_max_bytes,
                claims=settings.kept_claims,
                clocks=self.clocks,
            )
        return StoredSessions(
            self.registry,
            self.sealer,
            cookie_name=self.cookies.session,
            sync=settings.revocation_sync,
            clocks=self.clocks,
        )

    def now(self) -> float:
        """Return the time by which sessions live, in seconds since the epoch."""
        return self._wall()

    # Reading

    def at_hand(self, cookie_header: str) -> RequestSession | None:
        """Return what :meth:`resolve` returns, if that is remembered and there is nothing to read, to do or to doubt.

        ``None`` in all other cases. It is never another answer, only a sooner one: most requests are answered by it.
        """
        keyring, revocations, cut_offs = self._keyring, self.revocations, self.cut_offs
        # Before the cache is read: from here on it is the one of these keys.
        if self._generation != keyring.generation:
            return None
        current = self._cache.find_header(cookie_header)
        if current is None or (session := current.session) is None:
            return None
        now = self._monotonic()
        if (
            now >= current.fresh_until
            or now >= keyring.next_look
            or now >= revocations.next_sync_at
            or self._wall() >= current.quiet_until
            or revocations.is_listed(session.id, session.identity.id, session.sign_in.issued_at)
            or (cut_offs.moments and cut_offs.covers(session.created_at, session.identity.provider))
        ):
            return None
        return current

    def resolve(self, cookie_header: str) -> RequestSession | None:
        """Return what a ``Cookie`` header stands for, or ``None`` if none of our cookies is in it.

        :raises StoreUnavailableError: if the store that knows whether the session has ended cannot be used.
        """
        keyring, now = self._keyring, self._monotonic()
        if now >= keyring.next_look:
            keyring.look()
        if self._generation != keyring.generation:
            # In this order: whoever sees the new generation sees the new cache.
            self._cache, self._generation = self._make_cache(self.cookies), keyring.generation
        cache = self._cache
        current = cache.find_header(cookie_header)
        if current is None:
            if self._cookie_name not in cookie_header:
                return None
            current = self._open(cookie_header, cache, now)
            if current.session is not None:
                cache.remember(current)
        elif now >= current.fresh_until:
            current = self.recall(current)
            if current.session is not None:
                cache.remember(current)
        session = current.session
        if session is None:
            return current
        wall = self._wall()
        if wall >= current.quiet_until:
            if not session.is_alive(wall) and self.in_cookies and self.registry is not None:
                # A program keeps its first cookie; the list of sessions knows of later use.
                current = self.recall(current)
                session = current.session
                if session is None:
                    return current
                cache.remember(current)
            if not session.is_alive(wall):
                return current.without_session()
            current = replace(current, is_due=True)
        if self.revocations.ended(session.id, session.identity.id, session.sign_in.issued_at):
            return current.without_session()
        cut_offs = self.cut_offs
        if cut_offs.moments and cut_offs.covers(session.created_at, session.identity.provider):
            return current.without_session()
        return current

    def remaining_cookies(self, cookie_header: str) -> str | None:
        """Return a ``Cookie`` header as the application may see it, or ``None`` if nothing is left of it."""
        current = self._cache.find_header(cookie_header)
        if current is not None:
            return current.remaining_cookies
        if not self.cookies.may_hold_any(cookie_header):
            return cookie_header
        return self.cookies.read(cookie_header).other_header

    def recall(self, current: RequestSession) -> RequestSession:
        """Return a session as this worker knows it; a store is asked once in ``revocation_sync`` seconds.

        :raises StoreUnavailableError: when the store gives no answer.
        """
        return self._update(current, self._backend.recall(current.cached)) or current.without_session()

    def reload(self, current: RequestSession) -> RequestSession:
        """Return a session as its store holds it at this moment.

        :raises StoreUnavailableError: when the store gives no answer.
        """
        return self._update(current, self._backend.reload(current.cached)) or current.without_session()

    def _update(self, current: RequestSession, opened: OpenedSession[Any] | None) -> RequestSession | None:
        if opened is None or current.known is None:
            return None
        opened.needs_new_cookie = opened.needs_new_cookie or current.needs_new_cookie
        known = self._know(opened, current.known.sealed)
        return known.with_cookies(current.header, current.remaining_cookies, current.given_cookies)

    def _open(self, cookie_header: str, cache: SessionCache, now: float) -> RequestSession:
        only = self.cookies.only(cookie_header)
        if only is not None:
            # The usual browser, whose session this worker does not know: one that it knows has been found.
            sealed, others = only
            opened = self._backend.open(1, sealed)
            if opened is not None:
                copy = self._know(opened, (1, sealed))
                usable = copy.with_cookies(cookie_header, others, self._cookie_name)
                if usable is not None:
                    return usable
            own = RequestCookies({self._cookie_name: [sealed]}, others)
            return RequestSession(None, {}, others, own, invalid=True)
        cookies = self.cookies.read(cookie_header)
        known = self._find(cookies, cache, now)
        current = (
            known.with_cookies(cookie_header, cookies.other_header, cookies) if known is not None else None
        )
        if current is not None:
            return current
        invalid = bool(self.cookies.session_names(cookies))
        return RequestSession(None, {}, cookies.other_header, cookies, invalid=invalid)

    def run_out(self, cookies: RequestCookies) -> Session | None:
        """Return the session that a request's cookies stood for until its time was over, at most an hour ago.

        ``None`` if they stand for one that lives, or stood for one that was ended before its time, or whose user is
        disabled.

        :raises StoreUnavailableError: if the store that knows it cannot be used.
        """
        values = islice(self.cookies.session_values(cookies), MAX_COPIES + 1)
        copies = (self._backend.open_run_out(*sealed) for sealed in values)
        sessions = {copy.session.id: copy.session for copy in copies if copy is not None}
        if len(sessions) != 1:
            return None
        session = next(iter(sessions.values()))
        if not session.ends_at <= self._wall() < session.ends_at + EXPIRY_GRACE:
            return None
        if not self._has_its_ground(session):
            return None
        if self.has_ended(session) or (self.registry is not None and self.registry.was_signed_out(session)):
            return None
        return session

    def _find(self, cookies: RequestCookies, cache: SessionCache, now: float) -> KnownSession | None:
        """Return the session that a request's cookies stand for, of which there may be several copies."""
        result: KnownSession | None = None
        for tries, sealed in enumerate(self.cookies.session_values(cookies)):
            if tries > MAX_COPIES:
                break
            copy = cache.find(sealed)
            if copy is None or now >= copy.opened.fresh_until:
                opened = self._backend.open(*sealed)
                if opened is None:
                    continue
                copy = self._know(opened, sealed)
            if result is not None and result.opened.session.id != copy.opened.session.id:
                # Somebody else's session was slipped in beside this one: nobody can tell which is meant.
                return None
            result = copy
        return result

    def _know(self, opened: OpenedSession[Any], sealed: SealedText) -> KnownSession:
        return KnownSession(opened, sealed, self._environ(opened.session))

    def _environ(self, session: Session) -> dict[str, Any] | None:
        if not self._has_its_ground(session):
            return None
        try:
            environ: dict[str, Any] = self._writer.plain(session.identity, session.tokens)
        except ProviderError as error:
            log.warning("a session was ignored: %s", error.detail)
            return None
        environ["oauth2_mw.identity"] = session.identity
        environ["oauth2_mw.session"] = session
        return environ

    def _has_its_ground(self, session: Session) -> bool:
        # A session does not outlive the provider that it came from (one removed, or one whose issuer or tenants are
        # others now), nor a key that was revoked.
        issuers = self._issuers.get(session.identity.provider, ())
        return session.created_at > self._keyring.ended and session.identity.issuer in issuers

    # Writing

    def create(
        self,
        provider: ProviderSettings,
        identity: Identity,
        tokens: Mapping[str, str | None],
        cookies: RequestCookies,
        *,
        sign_in: SignInDetails | None = None,
        began_at: float | None = None,
        expires_at: int | None = None,
        from_userinfo: frozenset[str] = frozenset(),
    ) -> list[str]:
        """Return the ``Set-Cookie`` values of a new session.

        :param tokens: those that ``keep_tokens`` names are kept, as far as the cookie can hold them.
        :param cookies: those that came with the request.
        :param began_at: when the sign-in came back from the provider, in seconds since the epoch, if it did.
        :param expires_at: when the access token expires, in seconds since the epoch, or ``None`` if that is unknown.
        :param from_userinfo: the names of the claims that userinfo gave.
        :raises LoginError: code ``session_too_big``, if it does not fit into a cookie even when reduced.
        :raises AccessDeniedError: code ``signed_out``, if a logout arrived while the session was being created.
        :raises StoreUnavailableError: if it cannot be written to the store.
        """
        now, session_id = int(self._wall()), new_id()
        kept_tokens = self.select_tokens(tokens)
        session = Session(
            id=session_id,
            identity=identity,
            tokens=kept_tokens,
            created_at=now,
            expires_at=now + provider.session_lifetime,
            last_used_at=now,
            idle_timeout=provider.session_idle,
            refresh_schedule=RefreshSchedule.of(expires_at, now=now, session_id=session_id)
            if "refresh_token" in kept_tokens
            else None,
            sign_in=sign_in or SignInDetails(now),
            from_userinfo=tuple(sorted(from_userinfo)) if "refresh_token" in kept_tokens else (),
        )
        sealed = self._backend.create(session, began_at=began_at)
        return self.cookies.set_session(sealed, cookies)

    def select_tokens(self, tokens: Mapping[str, str | None]) -> dict[str, str]:
        """Return those of *tokens* that the provider issued and ``keep_tokens`` names."""
        return {
            kind: text
            for kind, text in tokens.items()
            if text and kind.removesuffix("_token") in self._settings.keep_tokens
        }

    def shrink_to_fit(self, session: Session) -> Session:
        """Return a session that has grown, without the tokens and claims that its cookie cannot hold.

        :raises LoginError: code ``session_too_big``, if it does not fit into a cookie even when reduced.
        """
        return self._backend.shrink_to_fit(session)

    def replace(self, current: RequestSession, session: Session, *, lease: int = 0) -> RequestSession | None:
        """Replace the current session by *session*, or return ``None`` if another worker has replaced it first.

        :param lease: in a store: until when no other worker may refresh it, in seconds since the epoch.
        :raises StoreUnavailableError: if it cannot be written to the store.
        """
        return self._update(current, self._backend.replace(current.cached, session, lease=lease))

    def is_refresh_due(self, current: RequestSession) -> bool:
        """Return whether it is time to refresh the tokens of a session."""
        session = current.session
        if session is None or session.refresh_schedule is None:
            return False
        return session.is_refresh_due(self._wall())

    # Ending

    def has_ended(self, session: Session) -> bool:
        """Return whether a session was ended before its time.

        :raises StoreUnavailableError: if the store that knows it cannot be used.
        """
        return self.revocations.ended(
            session.id, session.identity.id, session.sign_in.issued_at
        ) or self.cut_offs.covers(session.created_at, session.identity.provider)

    def end(self, session: Session | SessionRef) -> None:
        """End a session everywhere, copies of its cookie included.

        :raises EndNotToldError: if other workers learn of it later.
        :raises StoreUnavailableError: if the store through which they learn of it cannot be used: nothing has ended.
        """
        if self.registry is not None:
            self.registry.end(session.id, expires=session.expires_at)
        else:
            self.revocations.revoke(session.id, expires=session.expires_at)
