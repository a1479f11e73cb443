"""How a provider is asked: as the specifications say, unless a dialect overrides a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.authorization import AuthorizationRequest, authorization_url
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.token import TokenResponse, redeem_code, redeem_refresh_token
from oauth2_mw.provider.endpoints.userinfo import ReadSigned, fetch_userinfo
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.presets import QuirkName


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """A code, and what was sent with the authorization request for it (RFC 6749, section 4.1.3)."""

    code: str = field(repr=False)
    redirect_uri: str
    #: RFC 7636, section 4.5; ``None`` without PKCE
    code_verifier: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserinfoRequest:
    """A question about the person to whom tokens were issued."""

    transport: Transport
    url: str
    tokens: TokenResponse
    quirk: QuirkName | None
    read_signed: ReadSigned | None


class Dialect:
    """OAuth 2.0 and OpenID Connect as they are specified. Safe for threads."""

    def authorization_url(
        self, provider: ProviderSettings, metadata: ProviderMetadata, request: AuthorizationRequest
    ) -> str:
        """See :func:`~oauth2_mw.provider.endpoints.authorization.authorization_url`."""
        return authorization_url(provider, metadata, request)

    def redeem_code(self, client: AuthenticatedClient, grant: CodeGrant) -> TokenResponse:
        """See :func:`~oauth2_mw.provider.endpoints.token.redeem_code`."""
        return redeem_code(
            client, code=grant.code, redirect_uri=grant.redirect_uri, code_verifier=grant.code_verifier
        )

    def redeem_refresh_token(self, client: AuthenticatedClient, refresh_token: str) -> TokenResponse:
        """See :func:`~oauth2_mw.provider.endpoints.token.redeem_refresh_token`."""
        return redeem_refresh_token(client, refresh_token)

    def fetch_userinfo(self, userinfo: UserinfoRequest) -> dict[str, Any]:
        """See :func:`~oauth2_mw.provider.endpoints.userinfo.fetch_userinfo`."""
        return fetch_userinfo(
            userinfo.transport,
            userinfo.url,
            userinfo.tokens.access_token,
            quirk=userinfo.quirk,
            read_signed=userinfo.read_signed,
        )
