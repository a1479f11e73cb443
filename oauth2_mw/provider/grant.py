"""Redeeming a code at the token endpoint (RFC 6749, sections 4.1.3, 5.1 and 5.2).

oauthlib writes the request and reads the answer. Between the wire and oauthlib stands a reader of ours: alone,
oauthlib turns hostile answers into ``AttributeError``, ``RecursionError`` or ``OverflowError``, and takes a list
for an access token.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from oauth2_mw.errors import ProviderError, ProviderUnavailable
from oauth2_mw.provider.authentication import ClientAuthentication
from oauth2_mw.provider.documents import DocumentError, read_form, read_object, shown
from oauth2_mw.provider.exchange import Response
from oauth2_mw.provider.metadata import ProviderMetadata
from oauth2_mw.provider.transport import Transport
from oauth2_mw.settings.model import ProviderSettings

#: bytes
TOKEN_LIMIT = 256 * 1024
MAX_SECRET_TEXT = 16 * 1024
# A century, in seconds: what lies beyond is no lifetime.
_MAX_EXPIRES_IN = 100 * 365 * 24 * 3600
# RFC 6749, appendix A: visible ASCII. Anything else could end the Authorization header.
_VISIBLE = re.compile(r"[\x21-\x7e]+")

#: error codes of the standard, and those of GitHub, that mean the same to an operator
_CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})
_CODE_ERRORS = frozenset({"invalid_grant", "bad_verification_code"})


@dataclass(frozen=True, slots=True)
class Grant:
    """A token response, checked."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    id_token: str | None = field(repr=False)
    #: seconds, or ``None`` when the provider does not say
    expires_in: int | None


def redeem_code(
    transport: Transport,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    *,
    code: str,
    redirect_uri: str,
    code_verifier: str | None,
    authentication: ClientAuthentication | None = None,
) -> Grant:
    """Exchange *code* for tokens: one POST, never repeated.

    :param authentication: how the client proves itself; one that is kept reads the key of the client once.
    :raises ProviderUnavailable: when no answer comes, or a 5xx.
    :raises ProviderError: ``invalid_client``, ``invalid_grant``, ``token_refused``, ``token_response``, and what
        :class:`ClientAuthentication` raises.
    """
    from oauthlib.oauth2 import WebApplicationClient

    client = WebApplicationClient(provider.client_id)
    url = metadata.endpoint("token_endpoint")
    headers, fields = (authentication or ClientAuthentication(provider)).for_request(url)
    body = client.prepare_request_body(
        code=code,
        redirect_uri=redirect_uri,
        code_verifier=code_verifier,
        include_client_id=False,
        body=urlencode(fields),
    )
    response = transport.post_form(url, body=body, limit=TOKEN_LIMIT, headers=headers)
    try:
        members = _checked(response, provider, metadata)
    except ProviderError as error:
        # Some providers repeat what they were sent.
        proofs = (fields.get("client_secret"), fields.get("client_assertion"), headers.get("Authorization"))
        raise _without(error, (code, code_verifier, *proofs)) from None
    # scope=None: a provider may grant another scope than the one asked for (section 3.3), which is no error.
    token = client.parse_request_body_response(json.dumps(members), scope=None)
    return Grant(
        access_token=token["access_token"],
        refresh_token=token.get("refresh_token"),
        id_token=token.get("id_token"),
        expires_in=token.get("expires_in"),
    )


def _checked(response: Response, provider: ProviderSettings, metadata: ProviderMetadata) -> dict[str, Any]:
    """The members of a token response that we know, each of its own kind; null means absent."""
    document, problem = _document(response)
    # GitHub reports errors with HTTP 200.
    if document.get("error"):
        raise _refusal(document, response, provider, metadata)
    if response.status == 429 or response.status >= 500:
        raise ProviderUnavailable(
            f"{response.url} was answered with HTTP {response.status}: the provider has a fault of its own"
        )
    if response.status == 401:
        raise _client_refused("HTTP 401", response, provider, metadata)
    if not 200 <= response.status < 300:
        raise _unusable(response, f"HTTP {response.status}: check token_endpoint")
    if problem is not None:
        raise _unusable(response, problem)
    _check_token_type(document.get("token_type"), response, provider)
    members: dict[str, Any] = {
        "token_type": "Bearer",
        "expires_in": _expires_in(document.get("expires_in"), response),
    }
    for name in ("access_token", "refresh_token", "id_token"):
        if document.get(name) is not None:
            members[name] = _secret_text(document[name], name, response)
    if "access_token" not in members:
        raise _unusable(response, "it holds no access_token")
    if provider.is_oidc and "id_token" not in members:
        raise _unusable(response, "it holds no id_token: does scope contain openid?")
    return members


def _document(response: Response) -> tuple[dict[str, Any], str | None]:
    """The body as an object, from JSON or a form, and what is wrong with it if it is neither."""
    body = response.body.strip(b" \t\r\n")
    try:
        if body[:1] in (b"{", b"["):
            return read_object(body), None
    except DocumentError as error:
        return {}, str(error)
    try:
        return dict(read_form(body)), None
    except DocumentError:
        kind = "an HTML page" if "html" in response.content_type else "neither JSON nor a form"
        return {}, f"it is {kind}: check token_endpoint"


def _secret_text(value: Any, name: str, response: Response) -> str:
    if not isinstance(value, str) or len(value) > MAX_SECRET_TEXT or not _VISIBLE.fullmatch(value):
        raise _unusable(response, f"its {name} is not a text of 1 to {MAX_SECRET_TEXT} visible characters")
    return value


def _check_token_type(token_type: Any, response: Response, provider: ProviderSettings) -> None:
    # Required by section 5.1; plain OAuth 2.0 providers that leave it out mean Bearer.
    if token_type is None and not provider.is_oidc:
        return
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _unusable(response, f"its token_type is {shown(token_type)} instead of Bearer")


def _expires_in(value: Any, response: Response) -> int | None:
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
        raise _unusable(response, "its expires_in is no number of seconds")
    return int(value)


def _without(error: ProviderError, secrets: Iterable[str | None]) -> ProviderError:
    """The same error, with nothing in it of what the request proved us by."""
    detail = error.detail
    for secret in secrets:
        if secret:
            detail = detail.replace(secret, "[hidden]")
    return ProviderError(detail, code=error.code, message=error.message)


def _unusable(response: Response, reason: str) -> ProviderError:
    return ProviderError(f"the answer of {response.url} cannot be used: {reason}", code="token_response")


def _refusal(
    document: Mapping[str, Any], response: Response, provider: ProviderSettings, metadata: ProviderMetadata
) -> ProviderError:
    error, description = document["error"], document.get("error_description")
    said = shown(error) if description is None else f"{shown(error)}, {shown(description)}"
    if not isinstance(error, str):
        return ProviderError(f"{response.url} refused the token request: {said}", code="token_refused")
    if error in _CLIENT_ERRORS:
        return _client_refused(said, response, provider, metadata)
    if error in _CODE_ERRORS:
        return ProviderError(
            f"{response.url} refused the code: {said}. It was used already, took too long, or belongs to "
            "another redirect URI or client",
            code="invalid_grant",
            message="This sign-in was used already or took too long. Please sign in again.",
        )
    return ProviderError(f"{response.url} refused the token request: {said}", code="token_refused")


def _client_refused(
    said: str, response: Response, provider: ProviderSettings, metadata: ProviderMetadata
) -> ProviderError:
    proof = "client_secret"
    if provider.client_auth_method == "private_key_jwt":
        proof = "client_key (is its public half registered there?), this machine's clock"
    listed = metadata.token_endpoint_auth_methods_supported
    hint = f"; the provider offers {shown(' '.join(listed))}" if listed else ""
    return ProviderError(
        f"{response.url} refused this client: {said}. Check client_id, {proof} and client_auth_method "
        f"(now {provider.client_auth_method}{hint})",
        code="invalid_client",
        message="The sign-in service does not accept this application. Please tell its administrator.",
    )
