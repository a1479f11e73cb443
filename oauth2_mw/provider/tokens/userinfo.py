"""Signed responses of the userinfo endpoint (OpenID Connect Core, section 5.3.2)."""

from __future__ import annotations

from typing import Any

from oauth2_mw.provider.jose.jws import TokenKind
from oauth2_mw.provider.tokens.claim_checks import (
    check_audience,
    check_authorized_party,
    check_issuer,
    check_subject,
)
from oauth2_mw.provider.tokens.validator import TokenValidator

USERINFO = TokenKind("userinfo response", frozenset({"jwt"}))


def validate_userinfo(token: str, validator: TokenValidator) -> dict[str, Any]:
    """Return the claims of a signed userinfo response. The caller compares ``sub`` with that of the ID token.

    Providers should put ``iss`` and ``aud`` into it, and need not: it came for our access token, and ``sub`` says about
    whom. Where they are, they must be right.

    :raises TokenError: with a code ``token_...`` that names the failed check.
    :raises ProviderUnavailableError, ProviderError: if the provider's keys cannot be fetched.
    """
    verified = validator.verify_signature(token, USERINFO)
    claims = verified.claims
    if "iss" in claims:
        check_issuer(verified, validator.provider)
    if "aud" in claims:
        check_audience(verified, validator.provider)
    check_authorized_party(verified, validator.provider)
    check_subject(claims.get("sub"))
    return claims
