"""The provider tells us that somebody signed out there, without a browser (OpenID Connect Back-Channel Logout 1.0).

Nothing but the signed logout token counts: no cookie is read or set. Sessions end in the ledger, where all workers see
it. Their refresh tokens cannot be revoked from here, because only the browser's cookie holds them, or what opens them
in the store; nobody here uses them any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from webob import Request, Response

from oauth2_mw.encoding import pair_hash
from oauth2_mw.errors import (
    OAuth2Error,
    ProviderError,
    ProviderUnavailableError,
    RequestError,
    StoreUnavailableError,
    TokenError,
)
from oauth2_mw.identity.model import user_key
from oauth2_mw.observe import audit, new_reference
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.tokens.logout_token import LogoutToken
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.web.failures import RETRY_AFTER, only
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.forms import read_form

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory

_FORM = frozenset({"logout_token"})


class BackChannelLogout:
    """The back-channel logout URLs of one application.

    :param clients: the client of a provider, by its NAME.
    :param directory: where users have ids of their own; ``None``: they are known by issuer and subject.
    """

    def __init__(
        self,
        ledger: SessionRegistry,
        clients: Callable[[str], ProviderClient],
        directory: Directory | None,
    ) -> None:
        self._ledger = ledger
        self._clients = clients
        self._directory = directory

    def post(self, request: Request, _known: RequestSession, *, name: str) -> Response:
        """Answer a logout token (sections 2.5 to 2.8).

        200, also for who is signed out already; 400 for what is no logout token; 503 for what may be one, and cannot be
        acted upon right now.

        :param name: the provider's.
        :raises MethodNotAllowed: for anything but POST.
        """
        only(request, "POST")
        try:
            token = self._clients(name).read_logout_token(self._sent(request))
            how, ended = self._act(token)
        except (RequestError, TokenError) as error:
            reference = _refused(name, error)
            return responses.refused(
                400,
                error="invalid_request",
                description=f"This is no logout token for this client. Reference: {reference}",
            )
        except (ProviderError, ProviderUnavailableError, StoreUnavailableError) as error:
            reference = _refused(name, error)
            return responses.refused(
                503,
                error="temporarily_unavailable",
                description=f"Nobody can be signed out right now. Reference: {reference}",
                retry_after=RETRY_AFTER,
            )
        users = sorted({entry.user_id for entry in ended})
        audit("logout_by_provider", provider=name, how=how, count=len(ended), user=users or None)
        return responses.done()

    @staticmethod
    def _sent(request: Request) -> str:
        text = read_form(request, _FORM).get("logout_token", "")
        if not text:
            raise RequestError("the form carries no logout_token", code="logout_token_missing")
        return text

    def _act(self, token: LogoutToken) -> tuple[str, list[SessionInfo]]:
        """What a token did: by which claim it says whose sessions end, and those that have ended."""
        name = "jti:" + pair_hash(token.issuer, token.jti)
        # Noted when it is done and not before: a provider that was told to try again does so with the same token, as
        # often as it takes. Two that come at the same moment end the same sessions.
        if self._ledger.is_processed(name):
            return "repeated", []
        how, ended = self._end(token)
        self._ledger.mark_processed(name, expires=token.expires_at)
        return how, ended

    def _end(self, token: LogoutToken) -> tuple[str, list[SessionInfo]]:
        if token.sid is not None:
            # It names one session, whoever else is named beside it (section 2.4).
            return "sid", self._ledger.end_by_sid(token.issuer, token.sid, include_pending=True)
        user_id = self._user_id(token.issuer, token.subject or "")
        if user_id is None:
            return "sub", []
        return "sub", self._ledger.end_user(user_id, moment=token.issued_at)

    def _user_id(self, issuer: str, subject: str) -> str | None:
        if self._directory is None:
            return user_key(issuer, subject)
        user = self._directory.find(issuer, subject)
        return None if user is None else user.id


def _refused(name: str, error: OAuth2Error) -> str:
    reference = new_reference()
    audit("refused", ref=reference, provider=name, code=error.code, detail=error.detail)
    return reference
