"""What an ID token must prove before it signs anybody in (OpenID Connect Core, sections 3.1.3.7 and 12.2).

Signed userinfo, which proves less, is checked here, too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from oauth2_mw.encoding import base64url
from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms
from oauth2_mw.provider.jose.jws import KeySource, Signed, TokenKind, read_jws, verify_jws
from oauth2_mw.provider.tokens.claim_checks import check_parties, check_subject, check_times, is_id, seconds
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

ID_TOKEN = TokenKind("ID token", frozenset({"jwt"}))
USERINFO = TokenKind("userinfo answer", frozenset({"jwt"}))

#: seconds; the token has just been issued to us, so an old one is somebody's copy
MAX_AGE = 3600

_HASHES: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        "256": hashlib.sha256,
        "384": hashlib.sha384,
        "512": hashlib.sha512,
        # Ed25519 hashes with SHA-512 inside (RFC 8032), and at_hash follows it.
        "DSA": hashlib.sha512,
    }
)


def validate_id_token(
    token: str,
    *,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    keys: KeySource,
    nonce: str,
    access_token: str | None,
    now: float,
) -> dict[str, Any]:
    """The claims of an ID token that answers one sign-in attempt of ours.

    :param keys: finds the issuer's keys for a ``kid`` (or ``None``) and an algorithm.
    :param nonce: the one sent with the authorization request.
    :param access_token: the one that came with the token, for ``at_hash``.
    :param now: seconds since the epoch.
    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    signed = _verified(token, ID_TOKEN, provider=provider, metadata=metadata, keys=keys)
    _check_nonce(signed.claims, nonce)
    check_times(signed, now=now, leeway=provider.leeway, oldest=MAX_AGE)
    _check_age(signed, provider, now=now)
    _check_acr(signed, provider)
    _check_at_hash(signed, access_token)
    return signed.claims


def validate_refreshed_id_token(
    token: str,
    *,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    keys: KeySource,
    nonce: str | None,
    auth_time: int | None,
    access_token: str,
    now: float,
) -> dict[str, Any]:
    """The claims of an ID token that came for a refresh token (OpenID Connect Core, section 12.2).

    It must prove what a first one must, but for two things. ``max_age`` is not checked again: the person did not
    sign in anew. A nonce binds a sign-in to a browser, and there is none here: it should be missing; if it is there it
    must be the first one, as far as that is still known. Whether ``sub`` is the same, the caller knows.

    :param nonce: the one in the ID token that this one replaces; ``None``: not known, and then not compared.
    :param auth_time: when the person signed in at the provider, if it was said.
    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    signed = _verified(token, ID_TOKEN, provider=provider, metadata=metadata, keys=keys)
    # What keeps a logout token from being a first ID token is the nonce that it must not have.
    if "events" in signed.claims:
        raise TokenError("a token that tells of an event is no ID token", code="token_type")
    if nonce is not None and "nonce" in signed.claims:
        _check_nonce(signed.claims, nonce)
    check_times(signed, now=now, leeway=provider.leeway, oldest=MAX_AGE)
    _check_same_sign_in(signed, auth_time)
    _check_acr(signed, provider)
    _check_at_hash(signed, access_token)
    return signed.claims


def nonce_of(token: str) -> str | None:
    """The nonce in an ID token of ours that was validated before; ``None`` when there is none."""
    try:
        _, claims = read_jws(token, ID_TOKEN)
    except TokenError:
        return None
    nonce = claims.get("nonce")
    return nonce if isinstance(nonce, str) else None


def session_id(claims: Mapping[str, Any]) -> str | None:
    """The session at the provider (OpenID Connect Front-Channel Logout 1.0, section 3), or ``None``.

    No rule makes a strange ``sid`` a fault of the ID token, so it is passed over: a logout that names it finds nothing.
    """
    sid = claims.get("sid")
    return sid if is_id(sid) else None


def validate_userinfo(
    token: str, *, provider: ProviderSettings, metadata: ProviderMetadata, keys: KeySource
) -> dict[str, Any]:
    """The claims of a signed userinfo answer (OpenID Connect Core, section 5.3.2).

    It says whose it is and for whom, or it could be an answer to somebody else. What ``sub`` must be, the caller knows.

    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    return _verified(token, USERINFO, provider=provider, metadata=metadata, keys=keys).claims


def _verified(
    token: str, kind: TokenKind, *, provider: ProviderSettings, metadata: ProviderMetadata, keys: KeySource
) -> Signed:
    """What the issuer has signed for us about somebody."""
    signed = verify_jws(token, kind, algorithms=allowed_algorithms(provider, metadata), keys=keys)
    check_parties(signed, provider)
    check_subject(signed.claims.get("sub"))
    return signed


def _check_nonce(claims: Mapping[str, Any], nonce: str) -> None:
    found = claims.get("nonce")
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), nonce.encode()):
        raise TokenError("the ID token does not carry the nonce of this sign-in", code="token_nonce")


def _check_age(signed: Signed, provider: ProviderSettings, *, now: float) -> None:
    """``auth_time``, which must be there when the request asked for it with ``max_age`` (step 13)."""
    if provider.max_age is not None:
        since = now - seconds(signed, "auth_time")
        if since > provider.max_age + provider.leeway or since < -provider.leeway:
            raise TokenError(
                f"the person signed in {since:.0f} seconds ago, and max_age is {provider.max_age}",
                code="token_auth_time",
            )
    elif "auth_time" in signed.claims:
        seconds(signed, "auth_time")


def _check_acr(signed: Signed, provider: ProviderSettings) -> None:
    """``acr``, when the request asked for it (step 12)."""
    acr = signed.claims.get("acr")
    if provider.acr_values and acr not in provider.acr_values:
        raise TokenError(
            f"acr is {shown(acr)}, and one of {' '.join(provider.acr_values)} was asked for", code="token_acr"
        )


def _check_same_sign_in(signed: Signed, auth_time: int | None) -> None:
    if "auth_time" not in signed.claims:
        return
    found = int(seconds(signed, "auth_time"))
    if auth_time is not None and found != auth_time:
        raise TokenError(
            "the ID token is about another sign-in at the provider than the one before: its auth_time differs",
            code="token_auth_time",
        )


def _check_at_hash(signed: Signed, access_token: str | None) -> None:
    """Section 3.1.3.6, where there is one."""
    if access_token is None or "at_hash" not in signed.claims:
        return
    found = signed.claims["at_hash"]
    digest = _HASHES[signed.alg[-3:]](access_token.encode()).digest()
    expected = base64url(digest[: len(digest) // 2])
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), expected.encode()):
        raise TokenError("at_hash in the ID token does not belong to the access token", code="token_at_hash")
