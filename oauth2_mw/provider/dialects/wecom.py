"""WeCom (enterprise WeChat) for an app of a company's own: who signs in is asked with a token of the company.

Nobody gets tokens of their own, and a code is redeemed where others have userinfo. Described at
https://developer.work.weixin.qq.com/document/path/98171 (the login page), https://developer.work.weixin.qq.com/document/path/98177
(who signs in) and https://developer.work.weixin.qq.com/document/path/91039 (the company's token).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.provider.dialects.dialect import CodeGrant, Dialect, UserinfoRequest
from oauth2_mw.provider.dialects.vocabulary import Vocabulary, client_secret, rename_parameters
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.authorization import AuthorizationRequest
from oauth2_mw.provider.endpoints.client_request import LATER, AuthenticatedClient, EndpointResponse
from oauth2_mw.provider.endpoints.token import CODE, TOKEN_LIMIT, TokenResponse, read_granted
from oauth2_mw.provider.endpoints.userinfo import USERINFO_LIMIT
from oauth2_mw.settings.model import ProviderSettings

#: what is said of a company's token that has ended
_ENDED = "invalid_token"
#: https://developer.work.weixin.qq.com/document/path/90313
VOCABULARY = Vocabulary(
    error="errcode",
    description="errmsg",
    meanings=MappingProxyType(
        {
            "-1": LATER,
            "40001": "invalid_client",
            "40013": "invalid_client",
            "40091": "invalid_client",
            "40029": "invalid_grant",
            "40014": _ENDED,
            "42001": _ENDED,
        }
    ),
    claims=("userid",),
)


@dataclass(frozen=True, slots=True)
class _CompanyToken:
    text: str = field(repr=False)
    #: seconds since the epoch
    expires_at: float


class WeCom(Dialect):
    """The client secret stands in the address of the request for the company's token.

    That is kept in memory until it ends, for the requests of this module alone.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._company_token: _CompanyToken | None = None

    def authorization_url(
        self, provider: ProviderSettings, metadata: ProviderMetadata, request: AuthorizationRequest
    ) -> str:
        """Return the URL to send the browser to."""
        url = super().authorization_url(provider, metadata, request)
        return rename_parameters(url, {"client_id": "appid", "response_type": None})

    def redeem_code(self, client: AuthenticatedClient, grant: CodeGrant) -> TokenResponse:
        """Exchange a code for the ``userid`` of a member of the company. Somebody else has none.

        :raises ProviderUnavailableError, ProviderError: as :func:`~oauth2_mw.provider.endpoints.token.redeem_code`.
        """
        response = self._ask_who(client, grant.code)
        if response.document()[0].get("error") == _ENDED:
            # WeCom may end a token before its time, and has not looked at the code then.
            self._company_token = None
            response = self._ask_who(client, grant.code)
        claims = VOCABULARY.claims_in(read_granted(response, CODE))
        return TokenResponse("", refresh_token=None, id_token=None, expires_in=None, claims=claims)

    def fetch_userinfo(self, userinfo: UserinfoRequest) -> dict[str, Any]:
        """Return what came for the code."""
        return dict(userinfo.tokens.claims)

    def _ask_who(self, client: AuthenticatedClient, code: str) -> EndpointResponse:
        token = self._token(client)
        url = client.metadata.endpoint("userinfo_endpoint")
        response = client.transport.get_hiding_query(
            url, query={"access_token": token, "code": code}, limit=USERINFO_LIMIT
        )
        return VOCABULARY.response(response, client, "userinfo_endpoint", secrets=(token, code))

    def _token(self, client: AuthenticatedClient) -> str:
        known, now = self._company_token, self._clock()
        if known is not None and now < known.expires_at:
            return known.text
        url = client.metadata.endpoint("token_endpoint")
        secret = client_secret(client, url)
        query = {"corpid": client.provider.client_id, "corpsecret": secret}
        response = client.transport.get_hiding_query(url, query=query, limit=TOKEN_LIMIT)
        tokens = VOCABULARY.read_tokens(response, client, CODE, secrets=(secret,))
        self._company_token = _CompanyToken(tokens.access_token, now + (tokens.expires_in or 0))
        return tokens.access_token
