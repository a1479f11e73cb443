"""The introspection endpoint (RFC 7662): what the provider says of a token that it has issued."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.settings.text import shown

#: Short, because a program waits for it with every token that is new.
INTROSPECTION_TIMEOUTS = Timeouts(connect=2.0, read=3.0, total=5.0)
#: bytes
RESPONSE_LIMIT = 64 * 1024


def introspect(client: AuthenticatedClient, token: str) -> dict[str, Any] | None:
    """Ask what *token* is worth (section 2.1): one POST, never retried.

    :returns: the members of the answer (section 2.2), or ``None`` if the token is not active.
    :raises ProviderUnavailableError: if no response comes, or 429 or 5xx.
    :raises ProviderError: ``invalid_client``, ``introspection``, and what :meth:`AuthenticatedClient.post` raises.
    """
    response = client.post(
        "introspection_endpoint",
        body=urlencode({"token": token, "token_type_hint": "access_token"}, errors="replace"),
        limit=RESPONSE_LIMIT,
        secrets=(token,),
    )
    document, problem = response.document()
    if document.get("error") == "unsupported_token_type":
        # oidc-provider's answer to a JWT, which it does not look up.
        return None
    if response.http.status != 200:
        response.check_client(document)
        response.check_available(document)
        reason = response.error_text(document) if document.get("error") else f"HTTP {response.http.status}"
        raise ProviderError(
            f"{response.http.url} does not say what an access token is worth: {reason}; check introspection_endpoint",
            code="introspection",
        )
    active = document.pop("active", None)
    if active is False:
        return None
    if active is not True:
        reason = problem or f"active is {shown(active)} instead of true or false"
        raise ProviderError(
            f"the answer of {response.http.url} about an access token cannot be used: {reason}",
            code="introspection",
        )
    return document
