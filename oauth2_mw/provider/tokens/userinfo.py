"""Signed responses of the userinfo endpoint (OpenID Connect Core, section 5.3.2)."""

from __future__ import annotations

from typing import Any

from oauth2_mw.provider.jose.jws import TokenKind
from oauth2_mw.provider.tokens.claim_checks import check_subject
from oauth2_mw.provider.tokens.validator import TokenValidator

USERINFO = TokenKind("userinfo response", frozenset({"jwt"}))


def validate_userinfo(token: str, validator: TokenValidator) -> dict[str, Any]:
    """Return the claims of a signed userinfo response. The caller compares ``sub`` with that of the ID token.

    ``iss`` and ``aud`` are required: without them it could be a response to another client.

    :raises TokenError: with a code ``token_...`` that names the failed check.
    :raises ProviderUnavailableError, ProviderError: if the provider's keys cannot be fetched.
    """
    claims = validator.verify(token, USERINFO).claims
    check_subject(claims.get("sub"))
    return claims
