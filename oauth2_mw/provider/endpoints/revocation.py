"""Telling the provider that a token is not needed any more (RFC 7009)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import post_as_client
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.model import ProviderSettings

#: Somebody who is signing out waits meanwhile.
REVOCATION_TIMEOUTS = Timeouts(connect=2.0, read=3.0, total=4.0)
#: bytes; what is in the body of a good answer means nothing (section 2.2)
ANSWER_LIMIT = 64 * 1024

RevocableKind = Literal["refresh_token", "access_token"]


def revoke_token(
    transport: Transport,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    *,
    token: str,
    kind: RevocableKind,
    authentication: ClientAuthentication | None = None,
) -> bool:
    """One POST, never repeated. True: the provider does not take *token* any more, which it may not have done before.

    :returns: False when it revokes none, or none of this kind.
    :raises ProviderUnavailable: when no answer comes, or a 5xx: the token must be taken for a good one (section 2.2.1).
    :raises ProviderError: ``invalid_client``, ``revocation_refused``, and what :class:`ClientAuthentication` raises.
    """
    if metadata.revocation_endpoint is None:
        return False
    answer = post_as_client(
        transport,
        provider,
        metadata,
        endpoint="revocation_endpoint",
        body=urlencode({"token": token, "token_type_hint": kind}, errors="replace"),
        limit=ANSWER_LIMIT,
        secrets=(token,),
        authentication=authentication,
    )
    if 200 <= answer.response.status < 300:
        return True
    document, _ = answer.document()
    error = document.get("error")
    if error == "unsupported_token_type":
        return False
    if error == "invalid_token":
        # Not what the standard says, but what Google does: it was revoked before, or has expired.
        return True
    answer.check_client(document)
    answer.check_up()
    said = answer.said(document) if error else f"HTTP {answer.response.status}"
    raise ProviderError(
        f"{answer.response.url} refused to revoke the {kind.replace('_', ' ')}: {said}",
        code="revocation_refused",
    )
