"""A provider tells of a sign-out there, without a browser (OpenID Connect Back-Channel Logout 1.0).

Only the signed logout token counts: no cookie is read or set. Sessions end in the registry, where all workers see it.
Their refresh tokens cannot be revoked from here, because only the browser's cookie holds them, or the key to them in
the store; nobody here uses them any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from webob import Request, Response

from oauth2_mw.audit import audit
from oauth2_mw.encoding import pair_hash
from oauth2_mw.errors import (
    RETRY_AFTER,
    BadRequestError,
    EndNotMarkedError,
    OAuth2Error,
    ProviderError,
    TokenError,
    UnavailableError,
)
from oauth2_mw.identity.model import user_key
from oauth2_mw.observe import new_reference
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.tokens.logout_token import LogoutToken
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import read_form, require_method
from oauth2_mw.web.signout.provider_logout import audit_logout

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory

_FORM = frozenset({"logout_token"})


class BackChannelLogout:
    """The back-channel logout URLs of one application.

    :param clients: returns the client of a provider, by its NAME.
    :param directory: gives users ids of their own; without it they are known by issuer and subject.
    """

    def __init__(
        self, registry: SessionRegistry, clients: Callable[[str], ProviderClient], directory: Directory | None
    ) -> None:
        self._registry = registry
        self._clients = clients
        self._directory = directory

    def post(self, request: Request, _current: RequestSession, *, name: str) -> Response:
        """``POST backchannel-logout/NAME/``: act upon a logout token (sections 2.5 to 2.8).

        200 even if nobody was signed in any more; 400 for anything but a valid logout token; 503 where a token cannot
        be checked or acted upon right now.

        :param name: the provider's.
        :raises MethodNotAllowedError: for anything but POST.
        """
        require_method(request, "POST")
        try:
            token = self._clients(name).read_logout_token(_logout_token(request))
            self._act(name, token)
        except (BadRequestError, TokenError) as error:
            reference = _audit_refusal(name, error)
            return responses.oauth_error(
                400,
                error="invalid_request",
                description=f"This is not a logout token for this client. Reference: {reference}",
            )
        except (ProviderError, UnavailableError) as error:
            reference = _audit_refusal(name, error)
            return responses.oauth_error(
                503,
                error="temporarily_unavailable",
                description=f"Nobody can be signed out right now. Reference: {reference}",
                retry_after=RETRY_AFTER,
            )
        return responses.empty_ok()

    def _act(self, provider: str, token: LogoutToken) -> None:
        """End the sessions that a token means, once, and write the audit line of those that have ended."""
        name = "jti:" + pair_hash(token.issuer, token.jti)
        # Marked afterwards: a provider that is told to try again does so with the same token, as often as it takes.
        # Two copies that come at the same moment end the same sessions.
        if self._registry.is_processed(name):
            audit_logout(provider, [], how="repeated")
            return
        # sid names one session, even where sub stands beside it (section 2.4).
        claim = "sub" if token.sid is None else "sid"
        try:
            ended = self._end(token)
        except EndNotMarkedError as error:
            audit_logout(provider, error.ended, how=claim)
            raise
        audit_logout(provider, ended, how=claim)
        self._registry.mark_processed(name, expires=token.expires_at)

    def _end(self, token: LogoutToken) -> list[SessionInfo]:
        if token.sid is not None:
            return self._registry.end_by_sid(token.issuer, token.sid, include_pending=True)
        user_id = self._user_id(token.issuer, token.subject or "")
        if user_id is None:
            return []
        return self._registry.end_user(user_id, moment=token.issued_at)

    def _user_id(self, issuer: str, subject: str) -> str | None:
        if self._directory is None:
            return user_key(issuer, subject)
        user = self._directory.find(issuer, subject)
        return None if user is None else user.id


def _logout_token(request: Request) -> str:
    text = read_form(request, _FORM).get("logout_token", "")
    if not text:
        raise BadRequestError("the form carries no logout_token", code="logout_token_missing")
    return text


def _audit_refusal(name: str, error: OAuth2Error) -> str:
    """Write the audit line of a refusal. Return its reference."""
    reference = new_reference()
    audit("refused", ref=reference, code=error.code, provider=name, detail=error.detail)
    return reference
