"""Sessions that browsers carry themselves, sealed: nothing is kept here, so what fits into a cookie is all there is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from oauth2_mw.audit import audit
from oauth2_mw.errors import LoginError
from oauth2_mw.identity.model import freeze
from oauth2_mw.session.cookies import Cookies
from oauth2_mw.session.model import Session
from oauth2_mw.session.sealing import Sealer, sealed_length

log = logging.getLogger(__name__)

_PURPOSE = "session"


class CookieSessions:
    """The sessions of one application in its cookies.

    :param most: the setting ``session_max_bytes``.
    :param claims: the names of the claims that settings refer to; a session keeps them whatever it gives up.
    """

    def __init__(self, sealer: Sealer, cookies: Cookies, *, most: int, claims: frozenset[str]) -> None:
        self._sealer = sealer
        self._cookies = cookies
        self._most = most
        self._claims = claims

    def open(self, count: int, text: str) -> Session | None:
        """The session that a cookie's text holds; ``None``: it is none of ours.

        :param count: the number of chunks that the text came in.
        """
        payload = self._sealer.open(_PURPOSE, self._cookies.session, text)
        # The number of chunks stands inside: a text cannot be cut short or carried on.
        if not payload or payload[0] != count:
            return None
        try:
            return Session.from_payload(payload[1:])
        except (ValueError, KeyError, TypeError):
            log.info("a session cookie of another version was left aside")
            return None

    def seal(self, session: Session) -> str:
        """The text that a cookie holds."""
        payload = session.to_payload()
        count = self._cookies.chunk_count(sealed_length(1 + len(payload)))
        return self._sealer.seal(_PURPOSE, self._cookies.session, bytes([count]) + payload)

    def cut_down(self, session: Session) -> Session:
        """The session without what it can do without, as far as that is needed for it to fit.

        :raises LoginError: code ``session_too_big``, when even the least does not fit.
        """
        dropped = []
        for what, cut in (
            ("access_token", _without_token("access_token")),
            ("id_token", _without_token("id_token")),
            ("unmapped claims", _without_claims(self._claims)),
        ):
            if self._fits(session):
                break
            smaller = cut(session)
            if smaller != session:
                dropped.append(what)
            session = smaller
        who = session.identity
        if dropped:
            audit("session_reduced", identity=who, dropped=", ".join(dropped))
        if not self._fits(session):
            raise LoginError(
                f"the session of user {who.id} exceeds session_max_bytes = {self._most}: configure a session store, or "
                "have the provider send fewer claims",
                code="session_too_big",
                message="Your sign-in carries more information than this application can keep.",
            )
        return session

    def _fits(self, session: Session) -> bool:
        return sealed_length(1 + len(session.to_payload())) <= self._most


def _without_token(kind: str) -> Callable[[Session], Session]:
    return lambda session: replace(session, tokens={k: v for k, v in session.tokens.items() if k != kind})


def _without_claims(kept: frozenset[str]) -> Callable[[Session], Session]:
    def cut(session: Session) -> Session:
        claims = {name: value for name, value in session.identity.claims.items() if name in kept}
        return replace(session, identity=replace(session.identity, claims=freeze(claims)))

    return cut
