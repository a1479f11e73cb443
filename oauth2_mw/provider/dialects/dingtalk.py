"""DingTalk: JSON in camel case, and an access token in a header of its own.

Described at https://open-dingtalk.github.io/developerpedia/docs/develop/permission/token/browser/get_user_app_token_browser
(the login page), https://open.dingtalk.com/document/orgapp/obtain-user-token (the tokens) and
https://open.dingtalk.com/document/orgapp/dingtalk-retrieve-user-information (who signs in).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from oauth2_mw.provider.dialects.dialect import CodeGrant, Dialect, UserinfoRequest
from oauth2_mw.provider.dialects.vocabulary import Vocabulary, check_same_person, client_secret
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.token import CODE, REFRESH_TOKEN, TOKEN_LIMIT, GrantType, TokenResponse
from oauth2_mw.provider.endpoints.userinfo import USERINFO_LIMIT, check_length

VOCABULARY = Vocabulary(
    error="code",
    description="message",
    meanings=MappingProxyType(
        {"invalidClientIdOrSecret": "invalid_client", "invalidParameter.authCode.notFound": "invalid_grant"}
    ),
    names=MappingProxyType(
        {"accessToken": "access_token", "refreshToken": "refresh_token", "expireIn": "expires_in"}
    ),
    claims=("corpId",),
)


class DingTalk(Dialect):
    """The organization that somebody chose while signing in comes with the tokens, as ``corpId``."""

    def redeem_code(self, client: AuthenticatedClient, grant: CodeGrant) -> TokenResponse:
        """Exchange a code for tokens.

        :raises ProviderUnavailableError, ProviderError: as :func:`~oauth2_mw.provider.endpoints.token.redeem_code`.
        """
        members = {"grantType": "authorization_code", "code": grant.code}
        return _request_tokens(client, CODE, grant.code, members)

    def redeem_refresh_token(self, client: AuthenticatedClient, refresh_token: str) -> TokenResponse:
        """Exchange *refresh_token* for new tokens.

        :raises ProviderUnavailableError, ProviderError: as :meth:`redeem_code`.
        """
        members = {"grantType": "refresh_token", "refreshToken": refresh_token}
        return _request_tokens(client, REFRESH_TOKEN, refresh_token, members)

    def fetch_userinfo(self, userinfo: UserinfoRequest) -> dict[str, Any]:
        """Return the claims about the person, and their organization.

        :raises ProviderUnavailableError, ProviderError: as :meth:`Vocabulary.read_userinfo`.
        :raises TokenError: ``subject_changed`` if userinfo names another organization.
        """
        token = userinfo.tokens.access_token
        check_length(token, url=userinfo.url)
        headers = {"x-acs-dingtalk-access-token": token}
        response = userinfo.transport.get_json(userinfo.url, limit=USERINFO_LIMIT, headers=headers)
        return check_same_person(VOCABULARY.read_userinfo(response, secrets=(token,)), userinfo.tokens.claims)


def _request_tokens(
    client: AuthenticatedClient, grant_type: GrantType, grant: str, members: dict[str, str]
) -> TokenResponse:
    url = client.metadata.endpoint("token_endpoint")
    secret = client_secret(client, url)
    response = client.transport.post_json(
        url,
        members={"clientId": client.provider.client_id, "clientSecret": secret, **members},
        limit=TOKEN_LIMIT,
    )
    return VOCABULARY.read_tokens(response, client, grant_type, secrets=(secret, grant))
