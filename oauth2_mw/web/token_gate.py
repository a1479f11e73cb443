"""Requests that bring a token in the place of a session cookie: refused, or made ready for the application.

A token is a credential of its own and nobody's session: no answer to it carries a cookie of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication, WSGIEnvironment

from oauth2_mw.access.rules import Rule
from oauth2_mw.credentials.fetch_metadata import is_foreign_upgrade
from oauth2_mw.credentials.token_requests import TokenOwner, TokenRequests
from oauth2_mw.errors import CredentialError, OAuth2Error, StoreUnavailableError
from oauth2_mw.identity.authorization import cut_authorization
from oauth2_mw.identity.person import person_of
from oauth2_mw.session.cookies import replace_cookies
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.web.site import Site


class TokenGate:
    """What the requests with a token to one application have in common.

    :param site: returns the site of this process.
    """

    def __init__(
        self, settings: Settings, sessions: SessionManager, tokens: TokenRequests, site: Callable[[], Site]
    ) -> None:
        self._providers = settings.providers
        self._hide_cookies = settings.hide_cookies
        self._origins = frozenset({settings.origin, *settings.cors_origins})
        self._resolve = sessions.resolve
        self._tokens = tokens
        self._site = site

    def refusal(self, environ: WSGIEnvironment, authorization: str, rule: Rule) -> WSGIApplication | None:
        """Return what is answered in the application's place, or ``None`` once the environ says who the request is.

        :param authorization: the header that carries the token, which is then cut from the environ.
        :param rule: what the path needs.
        """
        cookie_header = environ.get("HTTP_COOKIE")
        try:
            # A path that can be read in several ways is below none of those where tokens serve.
            path = None if rule.is_odd else environ.get("PATH_INFO", "")
            owner = self._tokens.accept(authorization, environ, path)
            # Not refreshed: no response to a token brings the new ones home.
            current = self._resolve(cookie_header) if cookie_header else None
            if current is not None and current.session is not None:
                _check_one_person(owner, current.session)
        except StoreUnavailableError as error:
            return self._site().service_unavailable(error, environ, is_own=False)
        except OAuth2Error as error:
            return self._site().refuse_token(environ, error, authorization)
        identity = owner.identity
        person = person_of(identity, self._providers.get(identity.provider), via="token")
        if rule.has_conditions and not rule.lets_pass(person):
            return self._site().refuse(environ, None, rule, identity=identity)
        if is_foreign_upgrade(environ, self._origins):
            return self._site().refuse_foreign_upgrade(environ)
        self._tokens.note_use(owner)
        cut_authorization(environ)
        if current is not None and self._hide_cookies:
            replace_cookies(environ, current.remaining_cookies)
        environ.update(owner.environ)
        environ["oauth2_mw.identity"] = identity
        return None


def _check_one_person(owner: TokenOwner, session: Session) -> None:
    if session.identity.id == owner.identity.id:
        return
    error = CredentialError(
        f"it belongs to {owner.identity.username!a}, and the session cookie to {session.identity.username!a}",
        code="two_people",
        message="The token and the session of this request belong to different people.",
    )
    error.token, error.user, error.username = owner.token.id, owner.identity.id, owner.identity.username
    raise error
