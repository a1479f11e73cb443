"""Requests that bring a token in the place of a session cookie: refused, or made ready for the application.

A token is a credential of its own and nobody's session: no answer to it carries a cookie of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication, WSGIEnvironment

from oauth2_mw.access.path_set import PathSet
from oauth2_mw.access.rules import Rule
from oauth2_mw.credentials.fetch_metadata import is_foreign_upgrade
from oauth2_mw.credentials.token_requests import TokenOwner, TokenRequests
from oauth2_mw.errors import CredentialError, OAuth2Error, UnavailableError
from oauth2_mw.identity.authorization import carries_token, cut_authorization, is_bearer
from oauth2_mw.identity.model import Identity
from oauth2_mw.identity.person import person_of
from oauth2_mw.session.cookies import replace_cookies
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http.peers import Peers

if TYPE_CHECKING:
    from oauth2_mw.credentials.access_tokens import TokenUser
    from oauth2_mw.web.site import Site


class TokenGate:
    """What the requests with a token to one application have in common.

    :param tokens: judges personal tokens.
    :param site: returns the site of this process, which judges access tokens.
    :param bearer_paths: where access tokens serve.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        tokens: TokenRequests,
        site: Callable[[], Site],
        *,
        bearer_paths: PathSet,
    ) -> None:
        self._providers = settings.providers
        self._hide_cookies = settings.hide_cookies
        self._cuts = settings.strip_authorization != "none"
        self._origins = frozenset({settings.origin, *settings.cors_origins})
        self._peers = Peers(settings.trusted_peers)
        self._resolve = sessions.resolve
        self._remaining_cookies = sessions.remaining_cookies
        self._tokens = tokens
        self._site = site
        self._bearer_paths = bearer_paths

    def takes(self, authorization: str, path: str, rule: Rule) -> bool:
        """Return whether a request to *path* has a token that says who it is.

        :param authorization: its header.
        :param rule: what the path needs.
        """
        if carries_token(authorization):
            return True
        # A path that can be read in several ways is below none of those where tokens serve.
        return not rule.is_odd and is_bearer(authorization) and path in self._bearer_paths

    def hide(self, environ: WSGIEnvironment, authorization: str, path: str) -> None:
        """Keep an access token from an application that is told of nobody."""
        if self._cuts and is_bearer(authorization) and path in self._bearer_paths:
            cut_authorization(environ)

    def refusal(self, environ: WSGIEnvironment, authorization: str, rule: Rule) -> WSGIApplication | None:
        """Return what is answered in the application's place, or ``None`` once the environ says who the request is.

        :param authorization: the header that carries the token, which is then cut from the environ.
        :param rule: what the path needs.
        """
        cookie_header = environ.get("HTTP_COOKIE")
        is_personal = carries_token(authorization)
        try:
            caller = self._accept(environ, authorization, rule, is_personal=is_personal)
            # Not refreshed: no response to a token brings the new ones home.
            current = self._resolve(cookie_header) if cookie_header else None
            if current is not None and current.session is not None:
                _check_one_person(caller, current.session)
        except UnavailableError as error:
            return self._site().service_unavailable(error, environ, is_own=False)
        except OAuth2Error as error:
            return self._refuse(environ, error, authorization)
        identity = caller.identity
        provider = self._providers.get(identity.provider)
        person = person_of(identity, provider, via=caller.via, scopes=caller.scopes)
        if rule.has_conditions and not rule.lets_pass(person):
            if not is_personal and (lacking := rule.scopes_for(person)):
                return self._refuse(environ, _lacks_scopes(identity, rule, lacking), authorization)
            return self._site().refuse(environ, None, rule, identity=identity)
        if is_foreign_upgrade(environ, self._origins):
            return self._site().refuse_foreign_upgrade(environ)
        if isinstance(caller, TokenOwner):
            self._tokens.note_use(caller)
        if is_personal or self._cuts:
            cut_authorization(environ)
        if self._hide_cookies and "HTTP_COOKIE" in environ:
            replace_cookies(environ, self._remaining_cookies(environ["HTTP_COOKIE"]))
        environ.update(caller.environ)
        environ["oauth2_mw.identity"] = identity
        return None

    def _refuse(self, environ: WSGIEnvironment, error: OAuth2Error, authorization: str) -> WSGIApplication:
        if carries_token(authorization):
            return self._site().refuse_token(environ, error, authorization)
        return self._site().refuse_bearer(environ, error)

    def _accept(
        self, environ: WSGIEnvironment, authorization: str, rule: Rule, *, is_personal: bool
    ) -> TokenOwner | TokenUser:
        if is_personal:
            # A path that can be read in several ways is below none of those where tokens serve.
            path = None if rule.is_odd else environ.get("PATH_INFO", "")
            return self._tokens.accept(authorization, environ, path)
        return self._site().access_tokens.accept(authorization, address=self._peers.client(environ))


def _check_one_person(caller: TokenOwner | TokenUser, session: Session) -> None:
    identity = caller.identity
    if session.identity.id == identity.id:
        return
    error = CredentialError(
        f"it belongs to {identity.username!a}, and the session cookie to {session.identity.username!a}",
        code="two_people",
        message="The token and the session of this request belong to different people.",
    )
    error.provider, error.user, error.username = identity.provider, identity.id, identity.username
    if isinstance(caller, TokenOwner):
        error.token = caller.token.id
    raise error


def _lacks_scopes(identity: Identity, rule: Rule, lacking: tuple[str, ...]) -> CredentialError:
    error = CredentialError(
        f"the rule {rule.text} lets no token pass without {' '.join(lacking)}",
        code="token_scope",
        message="The access token does not allow this.",
    )
    error.status, error.scopes = 403, lacking
    error.provider, error.user, error.username = identity.provider, identity.id, identity.username
    return error
