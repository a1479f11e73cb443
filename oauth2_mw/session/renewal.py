"""Renewing the cookie of a session: when the browser holds one that has fallen behind, and whether it gets another.

This is decided when the response begins, which may be long after the request: a person who has signed out meanwhile, in
another tab, is not to be signed in again by a late cookie.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Any

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.backend import SessionBackend
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.cookies import Cookies
from oauth2_mw.session.cut_offs import CutOffs
from oauth2_mw.session.model import Session
from oauth2_mw.session.revocation import Revocations

log = logging.getLogger(__name__)  # type: logging.Logger

#: Seconds within which a response follows so soon that nobody can have signed out meanwhile.
PROMPT = 2


class CookieRenewal:
    """The renewal of the session cookies of one application.

    :param in_cookies: whether cookies hold the sessions themselves.
    :param shared: whether all workers learn at once which sessions have ended.
    """

    def __init__(
        self,
        backend: SessionBackend[Any],
        cookies: Cookies,
        revocations: Revocations,
        cut_offs: CutOffs,
        *,
        in_cookies: bool,
        shared: bool,
        clocks: Clocks,
    ) -> None:
        self._backend = backend
        self._cookies = cookies
        self._revocations = revocations
        self._cut_offs = cut_offs
        self._in_cookies = in_cookies
        self._shared = shared
        self._wall = clocks.wall
        self._monotonic = clocks.monotonic

    def is_due(self, current: RequestSession) -> bool:
        """Return whether a browser's cookie has fallen behind."""
        return current.needs_new_cookie or self._wall() >= current.renew_at

    def set_cookies(self, current: RequestSession, *, requested_at: float = inf) -> list[str]:
        """Return the ``Set-Cookie`` values that renew the browser's cookie, mostly an empty list.

        :param requested_at: the monotonic time of the request.
        """
        if current.session is None or not self.is_due(current):
            return []
        has_new_tokens = current.needs_new_cookie and self._in_cookies
        try:
            opened = self._backend.reload(current.cached)
            if opened is None or self._is_over(opened.session, has_new_tokens=has_new_tokens):
                return []
            if not current.needs_new_cookie and self._can_wait(opened.session, requested_at):
                return []
            sealed = self._backend.renew(opened.cached)
        except StoreUnavailableError as error:
            log.info("a session's cookie was not renewed: %s", error.detail)
            return []
        return self._cookies.set_session(sealed, current.cookies) if sealed is not None else []

    def _is_over(self, session: Session, *, has_new_tokens: bool) -> bool:
        """Return whether a session has ended by this moment, whatever was known of it a moment ago.

        :param has_new_tokens: whether this response alone holds them. Without it the session is lost, so what this
            worker knows decides if the list cannot be read.
        """
        if not session.is_alive(self._wall()):
            return True
        key = session.id, session.identity.id, session.sign_in.issued_at
        try:
            has_ended = self._revocations.ended_by_now(*key)
        except StoreUnavailableError:
            if not has_new_tokens:
                raise
            has_ended = self._revocations.is_listed(*key)
        return has_ended or self._cut_offs.covers(session.created_at, session.identity.provider)

    def _can_wait(self, session: Session, requested_at: float) -> bool:
        """Return whether another worker may have ended a session meanwhile, and its cookie can wait for a renewal."""
        if self._shared or self._monotonic() - requested_at <= PROMPT:
            return False
        left = session.last_used_at + session.idle_timeout - self._wall()
        return left >= session.idle_timeout / 4
