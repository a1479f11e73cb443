"""Asking the token endpoint for tokens, with a code or a refresh token (RFC 6749, sections 4.1.3, 5 and 6).

oauthlib writes the request and reads the answer. Between the wire and oauthlib stands a reader of ours: alone,
oauthlib turns hostile answers into ``AttributeError``, ``RecursionError`` or ``OverflowError``, and takes a list
for an access token.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import Answer, post_as_client
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.model import ProviderSettings

#: bytes
TOKEN_LIMIT = 256 * 1024
MAX_SECRET_TEXT = 16 * 1024
# A century, in seconds: what lies beyond is no lifetime.
_MAX_EXPIRES_IN = 100 * 365 * 24 * 3600
# RFC 6749, appendix A: visible ASCII. Anything else could end the Authorization header.
_VISIBLE = re.compile(r"[\x21-\x7e]+")

#: the error code of the standard, and those of GitHub, for what cannot be redeemed any more
_SPENT = frozenset({"invalid_grant", "bad_verification_code", "bad_refresh_token"})


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token response, checked."""

    access_token: str = field(repr=False)
    #: after a refresh, ``None`` means that the one before still serves
    refresh_token: str | None = field(repr=False)
    #: always there when an OpenID provider redeemed a code; after a refresh it may be left out
    id_token: str | None = field(repr=False)
    #: seconds, or ``None`` when the provider does not say
    expires_in: int | None


@dataclass(frozen=True, slots=True)
class _GrantType:
    """What is given for tokens."""

    name: str
    #: why a provider may not take it, for the log
    spent: str
    #: the same for the person
    message: str
    #: whether an OpenID provider must answer with an ID token (OpenID Connect Core, 3.1.3.3 and 12.2)
    earns_id_token: bool


_CODE = _GrantType(
    "code",
    "It was used already, took too long, or belongs to another redirect URI or client",
    "This sign-in was used already or took too long. Please sign in again.",
    earns_id_token=True,
)
_REFRESH_TOKEN = _GrantType(
    "refresh token",
    "It was used already, has expired or was revoked, or belongs to another client",
    "Your sign-in has ended at the sign-in service. Please sign in again.",
    earns_id_token=False,
)


def redeem_code(
    transport: Transport,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    *,
    code: str,
    redirect_uri: str,
    code_verifier: str | None,
    authentication: ClientAuthentication | None = None,
) -> TokenResponse:
    """Exchange *code* for tokens: one POST, never repeated.

    :param authentication: how the client proves itself; one that is kept reads the key of the client once.
    :raises ProviderUnavailable: when no answer comes, or a 5xx.
    :raises ProviderError: ``invalid_client``, ``invalid_grant``, ``token_refused``, ``token_response``, and what
        :class:`ClientAuthentication` raises.
    """
    from oauthlib.oauth2 import WebApplicationClient

    body = WebApplicationClient(provider.client_id).prepare_request_body(
        code=code, redirect_uri=redirect_uri, code_verifier=code_verifier, include_client_id=False
    )
    return _exchange(
        transport,
        provider,
        metadata,
        given=_CODE,
        body=body,
        secrets=(code, code_verifier),
        authentication=authentication,
    )


def redeem_refresh_token(
    transport: Transport,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    *,
    refresh_token: str,
    authentication: ClientAuthentication | None = None,
) -> TokenResponse:
    """Exchange *refresh_token* for new tokens of the same scope (section 6): one POST, never repeated.

    It is not repeated because the provider may have replaced the refresh token although its answer got lost; using
    the old one again would look like a theft.

    :param authentication: as for :func:`redeem_code`.
    :raises ProviderUnavailable, ProviderError: as :func:`redeem_code`; ``invalid_grant``: it is spent for good.
    """
    from oauthlib.oauth2 import WebApplicationClient

    if not is_secret_text(refresh_token):
        raise ProviderError("what was kept as a refresh token is none", code="invalid_grant")
    return _exchange(
        transport,
        provider,
        metadata,
        given=_REFRESH_TOKEN,
        body=WebApplicationClient(provider.client_id).prepare_refresh_body(refresh_token=refresh_token),
        secrets=(refresh_token,),
        authentication=authentication,
    )


def is_secret_text(value: Any) -> bool:
    """Whether *value* is a token or the like as RFC 6749, appendix A, has it, and of a bearable length."""
    return isinstance(value, str) and len(value) <= MAX_SECRET_TEXT and _VISIBLE.fullmatch(value) is not None


def _exchange(
    transport: Transport,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    *,
    given: _GrantType,
    body: str,
    secrets: Iterable[str | None],
    authentication: ClientAuthentication | None,
) -> TokenResponse:
    from oauthlib.oauth2 import WebApplicationClient

    answer = post_as_client(
        transport,
        provider,
        metadata,
        endpoint="token_endpoint",
        body=body,
        limit=TOKEN_LIMIT,
        secrets=secrets,
        authentication=authentication,
    )
    members = json.dumps(_checked(answer, given))
    # scope=None: a provider may grant another scope than the one asked for (section 3.3), which is no error.
    token = WebApplicationClient(provider.client_id).parse_request_body_response(members, scope=None)
    return TokenResponse(
        access_token=token["access_token"],
        refresh_token=token.get("refresh_token"),
        id_token=token.get("id_token"),
        expires_in=token.get("expires_in"),
    )


def _checked(answer: Answer, given: _GrantType) -> dict[str, Any]:
    """The members of a token response that we know, each of its own kind; null means absent."""
    document, problem = answer.document()
    answer.check_client(document)
    # GitHub reports errors with HTTP 200.
    error = document.get("error")
    if isinstance(error, str) and error in _SPENT:
        raise ProviderError(
            f"{answer.response.url} refused the {given.name}: {answer.said(document)}. {given.spent}",
            code="invalid_grant",
            message=given.message,
        )
    answer.check_up()
    if error:
        raise ProviderError(
            f"{answer.response.url} refused the token request: {answer.said(document)}", code="token_refused"
        )
    if not 200 <= answer.response.status < 300:
        raise _unusable(answer, f"HTTP {answer.response.status}: check token_endpoint")
    if problem is not None:
        raise _unusable(answer, problem)
    _check_token_type(document.get("token_type"), answer)
    members: dict[str, Any] = {
        "token_type": "Bearer",
        "expires_in": _expires_in(document.get("expires_in"), answer),
    }
    for name in ("access_token", "refresh_token", "id_token"):
        if document.get(name) is not None:
            members[name] = _secret_text(document[name], name, answer)
    if "access_token" not in members:
        raise _unusable(answer, "it holds no access_token")
    if answer.provider.is_oidc and given.earns_id_token and "id_token" not in members:
        raise _unusable(answer, "it holds no id_token: does scope contain openid?")
    return members


def _secret_text(value: Any, name: str, answer: Answer) -> str:
    if not is_secret_text(value):
        raise _unusable(answer, f"its {name} is not a text of 1 to {MAX_SECRET_TEXT} visible characters")
    return str(value)


def _check_token_type(token_type: Any, answer: Answer) -> None:
    # Required by section 5.1; plain OAuth 2.0 providers that leave it out mean Bearer.
    if token_type is None and not answer.provider.is_oidc:
        return
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _unusable(answer, f"its token_type is {answer.quoted(token_type)} instead of Bearer")


def _expires_in(value: Any, answer: Answer) -> int | None:
    """Seconds; some providers send them as a text, and 0 for "does not say"."""
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
        raise _unusable(answer, "its expires_in is no number of seconds")
    return int(value)


def _unusable(answer: Answer, reason: str) -> ProviderError:
    return ProviderError(
        f"the answer of {answer.response.url} cannot be used: {reason}", code="token_response"
    )
