"""ID tokens, of a sign-in and of a refresh (OpenID Connect Core, sections 3.1.3.7 and 12.2)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from oauth2_mw.boundary import numeric_date
from oauth2_mw.encoding import base64url
from oauth2_mw.errors import TokenError
from oauth2_mw.provider.jose.jws import TokenKind, VerifiedToken, read_jws
from oauth2_mw.provider.tokens.claim_checks import check_subject, check_times, is_identifier, read_date
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

ID_TOKEN = TokenKind("ID token", frozenset({"jwt"}))

#: seconds; an ID token comes straight from the provider, so an old one is likely to be stolen
MAX_AGE = 3600

# By the last three characters of ``alg``.
_HASHES: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        "256": hashlib.sha256,
        "384": hashlib.sha384,
        "512": hashlib.sha512,
        # EdDSA: Ed25519 uses SHA-512 itself (RFC 8032), and at_hash follows it.
        "DSA": hashlib.sha512,
    }
)


def validate_id_token(
    token: str, validator: TokenValidator, *, nonce: str, access_token: str | None, now: float
) -> dict[str, Any]:
    """Return the claims of the ID token of a sign-in (OpenID Connect Core, section 3.1.3.7).

    :param nonce: the one in the authorization request.
    :param access_token: the one that came with the token, for ``at_hash``.
    :param now: seconds since the epoch.
    :raises TokenError: with a code ``token_...`` that names the failed check.
    :raises ProviderUnavailableError, ProviderError: if the provider's keys are needed and cannot be fetched.
    """
    provider = validator.provider
    verified = _verify(token, validator)
    _check_nonce(verified, nonce)
    check_times(verified, now=now, leeway=provider.leeway, max_age=MAX_AGE)
    _check_auth_time(verified, provider, now=now)
    _check_acr(verified, provider)
    _check_at_hash(verified, access_token)
    return verified.claims


def validate_refreshed_id_token(
    token: str,
    validator: TokenValidator,
    *,
    nonce: str | None,
    auth_time: int | None,
    access_token: str,
    now: float,
) -> dict[str, Any]:
    """Return the claims of the ID token of a refresh (OpenID Connect Core, section 12.2).

    The checks are those of a sign-in, with two exceptions: ``max_age`` is not checked again, since nobody signed in
    anew, and the token need not have a nonce. The caller compares ``sub``.

    :param nonce: the one in the ID token of the sign-in, or ``None`` if it is unknown.
    :param auth_time: the one in the ID token of the sign-in, or ``None`` if it had none.
    :raises TokenError: with a code ``token_...`` that names the failed check; otherwise as :func:`validate_id_token`.
    """
    provider = validator.provider
    verified = _verify(token, validator)
    _check_no_events(verified)
    if nonce is not None and "nonce" in verified.claims:
        _check_nonce(verified, nonce)
    check_times(verified, now=now, leeway=provider.leeway, max_age=MAX_AGE)
    _check_same_auth_time(verified, provider, auth_time)
    _check_acr(verified, provider)
    _check_at_hash(verified, access_token)
    return verified.claims


def read_nonce(token: str) -> str | None:
    """Return the nonce of an ID token that was validated before, or ``None`` if it has none."""
    try:
        _, claims = read_jws(token, ID_TOKEN)
    except TokenError:
        return None
    nonce = claims.get("nonce")
    return nonce if isinstance(nonce, str) else None


def read_sid(claims: Mapping[str, Any]) -> str | None:
    """Return ``sid``, the session at the provider (OpenID Connect Front-Channel Logout 1.0, section 3), or ``None``.

    A malformed one is ignored, because no specification demands that the ID token be refused for it; a logout by
    ``sid`` then does not find this session.
    """
    sid = claims.get("sid")
    return sid if is_identifier(sid) else None


def _verify(token: str, validator: TokenValidator) -> VerifiedToken:
    verified = validator.verify(token, ID_TOKEN)
    check_subject(verified.claims.get("sub"))
    return verified


def _check_nonce(token: VerifiedToken, nonce: str) -> None:
    """Check ``nonce`` (step 11)."""
    claim = token.claims.get("nonce")
    if not isinstance(claim, str) or not hmac.compare_digest(claim.encode(), nonce.encode()):
        raise TokenError("the ID token does not carry the nonce of this sign-in", code="token_nonce")


def _check_no_events(token: VerifiedToken) -> None:
    """Refuse a logout token: without a nonce to check, nothing else tells it from an ID token."""
    if "events" in token.claims:
        raise TokenError("the ID token has events, like a logout token", code="token_type")


def _check_auth_time(token: VerifiedToken, provider: ProviderSettings, *, now: float) -> None:
    """Check ``auth_time``, which is required if the request had ``max_age`` (step 13), and else not looked at."""
    if provider.max_age is not None:
        age = now - read_date(token, "auth_time")
        if age > provider.max_age + provider.leeway or age < -provider.leeway:
            raise TokenError(
                f"the person signed in {age:.0f} seconds ago, and max_age is {provider.max_age}",
                code="token_auth_time",
            )


def _check_same_auth_time(token: VerifiedToken, provider: ProviderSettings, auth_time: int | None) -> None:
    """Check that ``auth_time``, if the token has it, is still that of the sign-in (section 12.2).

    What is no date says nothing of another sign-in, and is refused only where ``max_age`` asked for one.
    """
    if "auth_time" not in token.claims:
        return
    asked = provider.max_age is not None
    claim = read_date(token, "auth_time") if asked else numeric_date(token.claims["auth_time"])
    if claim is not None and auth_time is not None and int(claim) != auth_time:
        raise TokenError(
            "the ID token belongs to another sign-in at the provider: its auth_time differs",
            code="token_auth_time",
        )


def _check_acr(token: VerifiedToken, provider: ProviderSettings) -> None:
    """Check ``acr``, if the request asked for it (step 12)."""
    acr = token.claims.get("acr")
    if provider.acr_values and acr not in provider.acr_values:
        raise TokenError(
            f"acr is {shown(acr)}, and one of {' '.join(provider.acr_values)} was asked for", code="token_acr"
        )


def _check_at_hash(token: VerifiedToken, access_token: str | None) -> None:
    """Check ``at_hash``, if the token has it (sections 3.1.3.6 and 3.1.3.8)."""
    if access_token is None or "at_hash" not in token.claims:
        return
    claim = token.claims["at_hash"]
    digest = _HASHES[token.alg[-3:]](access_token.encode()).digest()
    expected = base64url(digest[: len(digest) // 2])
    if not isinstance(claim, str) or not hmac.compare_digest(claim.encode(), expected.encode()):
        raise TokenError("at_hash in the ID token does not belong to the access token", code="token_at_hash")
