"""Feishu and Lark: the words of the specification in JSON, userinfo in an envelope, and errors with numbers.

Described at https://open.feishu.cn/document/uAjLw4CM/ukTMukTMukTM/authentication-management/access-token/get-user-access-token
(the tokens) and https://open.feishu.cn/document/uAjLw4CM/ukTMukTMukTM/reference/authen-v1/user_info/get (who signs in).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.dialects.dialect import CodeGrant, Dialect, UserinfoRequest
from oauth2_mw.provider.dialects.vocabulary import Vocabulary, client_secret
from oauth2_mw.provider.endpoints.client_request import LATER, AuthenticatedClient
from oauth2_mw.provider.endpoints.token import CODE, REFRESH_TOKEN, TOKEN_LIMIT, GrantType, TokenResponse
from oauth2_mw.provider.endpoints.userinfo import USERINFO_LIMIT, as_claims, check_length

#: members of a token request that no log may show, beside the client's secret
_SECRETS = ("code", "code_verifier", "refresh_token")
VOCABULARY = Vocabulary(
    error="code",
    description="msg",
    meanings=MappingProxyType(
        {
            **dict.fromkeys(("20002", "20048"), "invalid_client"),
            # A code is unknown, has expired or been used, or is another client's, redirect URI's or verifier's.
            **dict.fromkeys(("20003", "20004", "20065", "20024", "20071", "20049"), "invalid_grant"),
            # A refresh token is unknown, has expired, been revoked or used.
            **dict.fromkeys(("20026", "20037", "20064", "20073"), "invalid_grant"),
            **dict.fromkeys(("20050", "20072"), LATER),
        }
    ),
)


class Feishu(Dialect):
    """The authorization request is that of the specification, PKCE included."""

    def redeem_code(self, client: AuthenticatedClient, grant: CodeGrant) -> TokenResponse:
        """Exchange a code for tokens.

        :raises ProviderUnavailableError, ProviderError: as :func:`~oauth2_mw.provider.endpoints.token.redeem_code`.
        """
        verifier = {"code_verifier": grant.code_verifier} if grant.code_verifier is not None else {}
        members = {"code": grant.code, "redirect_uri": grant.redirect_uri, **verifier}
        return _request_tokens(client, CODE, {"grant_type": "authorization_code", **members})

    def redeem_refresh_token(self, client: AuthenticatedClient, refresh_token: str) -> TokenResponse:
        """Exchange *refresh_token* for new tokens.

        :raises ProviderUnavailableError, ProviderError: as :meth:`redeem_code`.
        """
        members = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return _request_tokens(client, REFRESH_TOKEN, members)

    def fetch_userinfo(self, userinfo: UserinfoRequest) -> dict[str, Any]:
        """Return the claims in ``{"code": 0, "msg": ..., "data": {...}}``.

        :raises ProviderUnavailableError, ProviderError: as :meth:`Vocabulary.read_userinfo`.
        """
        url, token = userinfo.url, userinfo.tokens.access_token
        check_length(token, url=url)
        headers = {"Authorization": f"Bearer {token}"}
        response = userinfo.transport.get_json(url, limit=USERINFO_LIMIT, headers=headers)
        envelope = VOCABULARY.read_userinfo(response, secrets=(token,))
        if "data" not in envelope:
            raise ProviderError(f"the answer of {url} has no data object", code="userinfo")
        return as_claims(envelope["data"], url=url)


def _request_tokens(
    client: AuthenticatedClient, grant_type: GrantType, members: dict[str, str]
) -> TokenResponse:
    url = client.metadata.endpoint("token_endpoint")
    secret = client_secret(client, url)
    response = client.transport.post_json(
        url,
        members={"client_id": client.provider.client_id, "client_secret": secret, **members},
        limit=TOKEN_LIMIT,
    )
    hidden = (members[name] for name in _SECRETS if name in members)
    return VOCABULARY.read_tokens(response, client, grant_type, secrets=(secret, *hidden))
