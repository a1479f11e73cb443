"""Sessions that the browsers keep themselves, sealed in their cookies: a few kilobytes each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from oauth2_mw.audit import audit
from oauth2_mw.errors import LoginError, StoreUnavailableError
from oauth2_mw.identity.model import freeze
from oauth2_mw.session.backend import OpenedSession
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.cookies import Cookies
from oauth2_mw.session.foreign_cookies import ForeignCookies
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.sealing import Sealer, sealed_length

log: logging.Logger = logging.getLogger(__name__)

_PURPOSE = "session"
#: Octets of a session's cookies, beyond which an operator should look at the servers' limits: the narrowest are 4096
#: for all headers of a response (nginx) or of a request (uWSGI), and a few hundred belong to others.
LARGE = 3500


class CookieSessions:
    """The sessions of one application in its cookies.

    :param registry: lists the sessions beside a directory; ``None`` if there is none.
    :param max_bytes: the setting ``session_max_bytes``.
    :param claims: the names of the claims that settings refer to; a session always keeps them.
    """

    def __init__(
        self,
        sealer: Sealer,
        cookies: Cookies,
        registry: SessionRegistry | None,
        *,
        max_bytes: int,
        claims: frozenset[str],
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        self._sealer = sealer
        self._cookies = cookies
        self._registry = registry
        self._max_bytes = max_bytes
        self._claims = claims
        self._has_warned = False
        self._foreign = ForeignCookies(cookies.session, clocks)
        self._wall = clocks.wall

    def open(self, chunk_count: int, sealed: str) -> OpenedSession[Session] | None:
        """Return the session that a cookie holds, or ``None`` if it was not sealed here."""
        payload = self._sealer.open(_PURPOSE, self._cookies.session, sealed)
        if payload is None:
            self._foreign.note(chunk_count, sealed)
        # The number of chunks stands inside: a value can be neither cut short nor continued.
        if not payload or payload[0] != chunk_count:
            return None
        try:
            session = Session.from_payload(payload[1:])
        except (ValueError, KeyError, TypeError):
            log.info("a session cookie of another version was ignored")
            return None
        latest = min(self._wall(), self._sealer.sealed_until(sealed))
        if session.created_at > latest:
            # Whoever has a key can date a session as they like, and must not save it from the end of that key.
            session = replace(session, created_at=int(latest))
        return OpenedSession(session, session, session.renew_at())

    #: A cookie opens as before when the time of its session is over.
    open_run_out = open

    def create(self, session: Session, *, began_at: float | None = None) -> str:
        """List a new session, and return the value of its cookie."""
        session = self.shrink_to_fit(session)
        if self._registry is not None:
            self._registry.write(session, began_at=began_at)
        return self._seal(session)

    def renew(self, session: Session) -> str:
        """Return the value of a cookie that notes the session's use."""
        session = session.touched(self._wall())
        if self._registry is not None:
            self._note_use(self._registry, session)
        return self._seal(session)

    def replace(
        self,
        cached: Session,  # noqa: ARG002 (nobody else can have replaced it)
        session: Session,
        *,
        lease: int = 0,  # noqa: ARG002 (a cookie has none)
    ) -> OpenedSession[Session]:
        """Return *session*, which exists from now on in the response alone: its cookie must be set."""
        return OpenedSession(session, session, session.renew_at(), needs_new_cookie=True)

    def recall(self, session: Session) -> OpenedSession[Session]:
        """Return the session as its cookie has it, or as it was last used if that is longer ago than it may be idle."""
        session = self._with_listed_use(session)
        return OpenedSession(session, session, session.renew_at())

    reload = recall

    def _with_listed_use(self, session: Session) -> Session:
        """Return a session with the latest use that the list of sessions knows, if it would have ended without one.

        A program keeps the cookie that somebody copied into it, and takes no newer one.
        """
        now = self._wall()
        if self._registry is None or session.is_alive(now) or now >= session.expires_at:
            return session
        try:
            record = self._registry.read(session.id)
        except StoreUnavailableError as error:
            log.info("the latest use of a session could not be looked up: %s", error.detail)
            return session
        if record is None or record.seen <= session.last_used_at:
            return session
        return replace(session, last_used_at=record.seen)

    def shrink_to_fit(self, session: Session) -> Session:
        """Return the session without its access token, ID token and unmapped claims, as far as it is too large.

        :raises LoginError: code ``session_too_big``, if it does not fit even when reduced.
        """
        dropped = []
        for name, shrink in (
            ("access_token", _without_token("access_token")),
            ("id_token", _without_token("id_token")),
            ("unmapped claims", _without_claims(self._claims)),
        ):
            if fits := self._fits(session):
                break
            smaller = shrink(session)
            if smaller != session:
                dropped.append(name)
            session = smaller
        else:
            fits = self._fits(session)
        identity = session.identity
        if dropped:
            audit("session_reduced", identity=identity, dropped=", ".join(dropped))
        if not fits:
            raise LoginError(
                f"the session of user {identity.id} exceeds session_max_bytes = {self._max_bytes}: configure a session "
                "store, or have the provider send fewer claims",
                code="session_too_big",
                message="Your sign-in carries more information than this application can keep.",
            )
        return session

    def _seal(self, session: Session) -> str:
        payload = session.to_payload()
        chunk_count = self._cookies.chunk_count(sealed_length(1 + len(payload)))
        sealed = self._sealer.seal(_PURPOSE, self._cookies.session, bytes([chunk_count]) + payload)
        if len(sealed) > LARGE and not self._has_warned:
            self._has_warned = True
            detail = (
                f"its cookies take {len(sealed)} octets, and some servers take 4096 of headers unless told otherwise "
                "(proxy_buffer_size of nginx, buffer-size of uWSGI), others 8190 of one (gunicorn, Apache): raise "
                "their limits, have fewer groups read (group_filter), or keep sessions in a store"
            )
            audit("session_large", identity=session.identity, detail=detail)
        return sealed

    def _note_use(self, registry: SessionRegistry, session: Session) -> None:
        try:
            record = registry.touch(session.id, seen=session.last_used_at, expires=session.expires_at)
            if record is not None and not registry.is_current(record):
                # Once the key that it is listed by is retired, neither its user nor a logout would find it.
                registry.touch(
                    session.id, seen=session.last_used_at, expires=session.expires_at, reseal=session
                )
        except StoreUnavailableError as error:
            # The cookie is what counts; the list of sessions shows an earlier moment for a while.
            log.info("the use of a session was not written down: %s", error.detail)

    def _fits(self, session: Session) -> bool:
        return sealed_length(1 + len(session.to_payload())) <= self._max_bytes


def _without_token(kind: str) -> Callable[[Session], Session]:
    return lambda session: replace(session, tokens={k: v for k, v in session.tokens.items() if k != kind})


def _without_claims(kept: frozenset[str]) -> Callable[[Session], Session]:
    def shrink(session: Session) -> Session:
        claims = {name: value for name, value in session.identity.claims.items() if name in kept}
        return replace(session, identity=replace(session.identity, claims=freeze(claims)))

    return shrink
