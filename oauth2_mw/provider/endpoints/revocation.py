"""The revocation endpoint (RFC 7009)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.http.messages import Timeouts

#: Short, because somebody who is signing out waits for it.
REVOCATION_TIMEOUTS = Timeouts(connect=2.0, read=3.0, total=4.0)
#: bytes; the body of a successful response has no meaning (section 2.2)
RESPONSE_LIMIT = 64 * 1024

RevocableKind = Literal["refresh_token", "access_token"]


def revoke_token(client: AuthenticatedClient, token: str, *, kind: RevocableKind) -> bool:
    """Revoke *token* (section 2.1): one POST, never retried.

    :returns: True if the provider does not accept the token any more, even if it never did; False if it revokes no
        tokens, or none of this kind.
    :raises ProviderUnavailableError: if no response comes, or 429 or 5xx: the token may still be valid (section 2.2.1).
    :raises ProviderError: ``invalid_client``, ``revocation_refused``, and what :meth:`AuthenticatedClient.post` raises.
    """
    if client.metadata.optional_endpoint("revocation_endpoint") is None:
        return False
    response = client.post(
        "revocation_endpoint",
        body=urlencode({"token": token, "token_type_hint": kind}, errors="replace"),
        limit=RESPONSE_LIMIT,
        secrets=(token,),
    )
    if 200 <= response.http.status < 300:
        return True
    document, _ = response.document()
    error = document.get("error")
    if error == "unsupported_token_type":
        return False
    if error == "invalid_token":
        # Google's response, against the standard, for a token that was revoked before or has expired.
        return True
    response.check_client(document)
    response.check_available(document)
    reason = response.error_text(document) if error else f"HTTP {response.http.status}"
    raise ProviderError(
        f"{response.http.url} refused to revoke the {kind.replace('_', ' ')}: {reason}",
        code="revocation_refused",
    )
