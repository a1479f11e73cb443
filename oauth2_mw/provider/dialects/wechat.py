"""WeChat's login for websites: ``appid`` and ``secret`` in the address, errors with HTTP 200.

Described at https://developers.weixin.qq.com/doc/oplatform/Website_App/WeChat_Login/Wechat_Login.html and, for what
follows the code, https://developers.weixin.qq.com/doc/oplatform/Website_App/WeChat_Login/Authorized_Interface_Calling_UnionID.html
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.dialects.dialect import CodeGrant, Dialect, UserinfoRequest
from oauth2_mw.provider.dialects.vocabulary import (
    Vocabulary,
    check_same_person,
    client_secret,
    rename_parameters,
)
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.authorization import AuthorizationRequest
from oauth2_mw.provider.endpoints.client_request import LATER, AuthenticatedClient
from oauth2_mw.provider.endpoints.token import CODE, REFRESH_TOKEN, TOKEN_LIMIT, GrantType, TokenResponse
from oauth2_mw.provider.endpoints.userinfo import USERINFO_LIMIT, check_length
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.settings.model import ProviderSettings

#: https://developers.weixin.qq.com/doc/oplatform/Return_codes/Return_code_descriptions_new.html
VOCABULARY = Vocabulary(
    error="errcode",
    description="errmsg",
    meanings=MappingProxyType(
        {
            "-1": LATER,
            "40001": "invalid_client",
            "40013": "invalid_client",
            "40125": "invalid_client",
            "40029": "invalid_grant",
            "40030": "invalid_grant",
            "40163": "invalid_grant",
            "42002": "invalid_grant",
            "42003": "invalid_grant",
        }
    ),
    claims=("openid", "unionid"),
)


class WeChat(Dialect):
    """The client secret stands in the address of the token request, which is sent once and shown nowhere."""

    def authorization_url(
        self, provider: ProviderSettings, metadata: ProviderMetadata, request: AuthorizationRequest
    ) -> str:
        """Return the URL to send the browser to."""
        url = super().authorization_url(provider, metadata, request)
        return f"{rename_parameters(url, {'client_id': 'appid'})}#wechat_redirect"

    def redeem_code(self, client: AuthenticatedClient, grant: CodeGrant) -> TokenResponse:
        """Exchange a code for tokens, and for ``openid`` and ``unionid`` of the person.

        :raises ProviderUnavailableError, ProviderError: as :func:`~oauth2_mw.provider.endpoints.token.redeem_code`.
        """
        url = client.metadata.endpoint("token_endpoint")
        secret = client_secret(client, url)
        query = {
            "appid": client.provider.client_id,
            "secret": secret,
            "code": grant.code,
            "grant_type": "authorization_code",
        }
        response = client.transport.get_hiding_query(url, query=query, limit=TOKEN_LIMIT)
        return _read_tokens(response, client, CODE, secrets=(secret, grant.code))

    def redeem_refresh_token(self, client: AuthenticatedClient, refresh_token: str) -> TokenResponse:
        """Exchange *refresh_token* at an address beside the token endpoint, without the client's secret.

        :raises ProviderUnavailableError, ProviderError: as :meth:`redeem_code`.
        """
        url = urljoin(client.metadata.endpoint("token_endpoint"), "refresh_token")
        query = {
            "appid": client.provider.client_id,
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        response = client.transport.get_hiding_query(url, query=query, limit=TOKEN_LIMIT)
        return _read_tokens(response, client, REFRESH_TOKEN, secrets=(refresh_token,))

    def fetch_userinfo(self, userinfo: UserinfoRequest) -> dict[str, Any]:
        """Return the claims about the person whose ``openid`` came with the access token.

        :raises ProviderUnavailableError, ProviderError: as :meth:`Vocabulary.read_userinfo`.
        :raises TokenError: ``subject_changed`` if userinfo is about another person.
        """
        token, known = userinfo.tokens.access_token, userinfo.tokens.claims
        check_length(token, url=userinfo.url)
        query = {"access_token": token, "openid": known["openid"]}
        response = userinfo.transport.get_hiding_query(userinfo.url, query=query, limit=USERINFO_LIMIT)
        claims = VOCABULARY.read_userinfo(response, secrets=(token,))
        if "openid" not in claims:
            raise ProviderError(
                "userinfo names no openid, and is not used: it may be about anybody", code="userinfo"
            )
        return check_same_person(claims, known)


def _read_tokens(
    response: Response, client: AuthenticatedClient, grant_type: GrantType, *, secrets: tuple[str, ...]
) -> TokenResponse:
    tokens = VOCABULARY.read_tokens(response, client, grant_type, secrets=secrets)
    if not isinstance(tokens.claims.get("openid"), str):
        raise ProviderError(
            f"the answer of {response.url} cannot be used: its openid is missing or not a text",
            code="token_response",
        )
    return tokens
