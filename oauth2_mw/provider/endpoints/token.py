"""The token endpoint: redeeming a code or a refresh token (RFC 6749, sections 4.1.3, 5 and 6).

oauthlib writes the request and reads the response, but only after this module has checked it: alone, oauthlib raises
``AttributeError``, ``RecursionError`` or ``OverflowError`` for hostile responses, and takes a list for an access token.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient, EndpointResponse
from oauth2_mw.sentences import sentence

#: bytes
TOKEN_LIMIT = 256 * 1024
# A century, in seconds: anything longer is a mistake.
_MAX_EXPIRES_IN = 100 * 365 * 24 * 3600
# RFC 6749, appendix A: visible ASCII. Anything else could end the Authorization header.
_VISIBLE = re.compile(r"[\x21-\x7e]+")

#: ``invalid_grant`` and the codes of GitHub that mean the same
_INVALID_GRANT_CODES = frozenset({"invalid_grant", "bad_verification_code", "bad_refresh_token"})


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token response whose members have been checked (RFC 6749, section 5.1)."""

    #: empty from a provider that gives none to a person, which is so in a dialect alone
    access_token: str = field(repr=False)
    #: ``None`` after a refresh means that the previous one stays valid
    refresh_token: str | None = field(repr=False)
    #: never ``None`` if an OpenID provider redeemed a code; may be ``None`` after a refresh
    id_token: str | None = field(repr=False)
    #: seconds, or ``None`` if the provider does not say
    expires_in: int | None
    #: what it says about the person beside the tokens, which the specifications do in the ID token alone
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class GrantType:
    """A grant type, and what is said if the provider refuses the grant."""

    name: str
    #: for the log
    reasons: str
    #: for the person
    message: str
    #: whether an OpenID provider must issue an ID token (OpenID Connect Core, sections 3.1.3.3 and 12.2)
    requires_id_token: bool


CODE = GrantType(
    "code",
    "It was used already, took too long, or belongs to another redirect URI or client",
    sentence("This sign-in was used already or took too long. Please sign in again."),
    requires_id_token=True,
)
REFRESH_TOKEN = GrantType(
    "refresh token",
    "It was used already, has expired or was revoked, or belongs to another client",
    sentence("Your sign-in has ended at the sign-in service. Please sign in again."),
    requires_id_token=False,
)


def redeem_code(
    client: AuthenticatedClient, *, code: str, redirect_uri: str, code_verifier: str | None
) -> TokenResponse:
    """Exchange an authorization code for tokens (section 4.1.3): one POST, never retried.

    :param redirect_uri: the one in the authorization request.
    :param code_verifier: the PKCE secret (RFC 7636, section 4.5), or ``None`` without PKCE.
    :raises ProviderUnavailableError: if no response comes, or 429 or 5xx.
    :raises ProviderError: ``invalid_client``, ``invalid_grant``, ``token_refused``, ``token_response``, and what
        :meth:`AuthenticatedClient.post` raises.
    """
    from oauthlib.oauth2 import WebApplicationClient

    body = WebApplicationClient(client.provider.client_id).prepare_request_body(
        code=code, redirect_uri=redirect_uri, code_verifier=code_verifier, include_client_id=False
    )
    return _request_tokens(client, CODE, body=body, secrets=(code, code_verifier))


def redeem_refresh_token(client: AuthenticatedClient, refresh_token: str) -> TokenResponse:
    """Exchange *refresh_token* for new tokens of the same scope (section 6): one POST, never retried.

    The provider may have replaced the refresh token although its response was lost; a second use of the old one would
    look like a theft.

    :raises ProviderUnavailableError, ProviderError: as :func:`redeem_code`.
    """
    from oauthlib.oauth2 import WebApplicationClient

    if not _is_token_text(refresh_token):
        raise ProviderError("the stored refresh token is malformed", code="invalid_grant")
    body = WebApplicationClient(client.provider.client_id).prepare_refresh_body(refresh_token=refresh_token)
    return _request_tokens(client, REFRESH_TOKEN, body=body, secrets=(refresh_token,))


def _request_tokens(
    client: AuthenticatedClient, grant_type: GrantType, *, body: str, secrets: Iterable[str | None]
) -> TokenResponse:
    response = client.post("token_endpoint", body=body, limit=TOKEN_LIMIT, secrets=secrets)
    return read_token_response(response, grant_type)


def read_token_response(response: EndpointResponse, grant_type: GrantType) -> TokenResponse:
    """Check what a provider answered to a grant.

    :raises ProviderUnavailableError: for 429 or 5xx.
    :raises ProviderError: ``invalid_client``, ``invalid_grant``, ``token_refused``, ``token_response``.
    """
    from oauthlib.oauth2 import WebApplicationClient

    client = response.client
    members = json.dumps(_read_members(response, grant_type))
    # scope=None: a provider may grant another scope than the requested one (section 3.3).
    token = WebApplicationClient(client.provider.client_id).parse_request_body_response(members, scope=None)
    return TokenResponse(
        access_token=token["access_token"],
        refresh_token=token.get("refresh_token"),
        id_token=token.get("id_token"),
        expires_in=token.get("expires_in"),
    )


def read_granted(response: EndpointResponse, grant_type: GrantType) -> dict[str, Any]:
    """Return the members of the response to a grant that was not refused.

    :raises ProviderUnavailableError, ProviderError: as :func:`read_token_response`.
    """
    document, problem = response.document()
    response.check_client(document)
    # GitHub reports errors with HTTP 200.
    error = document.get("error")
    if isinstance(error, str) and error in _INVALID_GRANT_CODES:
        raise ProviderError(
            f"{response.http.url} refused the {grant_type.name}: {response.error_text(document)}. "
            f"{grant_type.reasons}",
            code="invalid_grant",
            message=grant_type.message,
        )
    response.check_available(document)
    if error:
        raise ProviderError(
            f"{response.http.url} refused the token request: {response.error_text(document)}",
            code="token_refused",
        )
    if not 200 <= response.http.status < 300:
        raise _unusable(response, f"HTTP {response.http.status}: check {response.endpoint}")
    if problem is not None:
        raise _unusable(response, problem)
    return document


def _read_members(response: EndpointResponse, grant_type: GrantType) -> dict[str, Any]:
    """Return the known members of a token response, each checked."""
    document = read_granted(response, grant_type)
    _check_token_type(document.get("token_type"), response)
    members: dict[str, Any] = {
        "token_type": "Bearer",
        "expires_in": _expires_in(document.get("expires_in"), response),
    }
    for name in ("access_token", "refresh_token", "id_token"):
        if name in document:
            members[name] = _token_text(document[name], name, response)
    if "access_token" not in members:
        raise _unusable(response, "it holds no access_token")
    if response.client.provider.is_oidc and grant_type.requires_id_token and "id_token" not in members:
        raise _unusable(response, "it holds no id_token: does scope contain openid?")
    return members


def _is_token_text(value: Any) -> bool:
    """Return whether *value* is a token in the characters of RFC 6749, appendix A.

    It may be as long as a text in a document: whoever uses a token has a limit for it, and many are never used.
    """
    return isinstance(value, str) and _VISIBLE.fullmatch(value) is not None


def _token_text(value: Any, name: str, response: EndpointResponse) -> str:
    if not _is_token_text(value):
        raise _unusable(response, f"its {name} is not a string of visible characters")
    return str(value)


def _check_token_type(token_type: Any, response: EndpointResponse) -> None:
    # Required by section 5.1; plain OAuth 2.0 providers that leave it out mean Bearer.
    if token_type is None and not response.client.provider.is_oidc:
        return
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _unusable(response, f"its token_type is {response.quote(token_type)} instead of Bearer")


def _expires_in(value: Any, response: EndpointResponse) -> int | None:
    """Return the seconds. Some providers send a text, and 0 if the token does not expire."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,12}", value):
        value = int(value)
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not 1 <= value <= _MAX_EXPIRES_IN
    ):
        raise _unusable(response, "its expires_in is not a number of seconds")
    return int(value)


def _unusable(response: EndpointResponse, reason: str) -> ProviderError:
    return ProviderError(f"the answer of {response.http.url} cannot be used: {reason}", code="token_response")
