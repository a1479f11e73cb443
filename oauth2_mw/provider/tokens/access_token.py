"""Access tokens that programs send us: JWTs (RFC 9068; RFC 7519), and what introspection says of a token (RFC 7662).

Most providers sign access tokens that do not say what they are, with the keys of their ID tokens, and some answer
about refresh tokens as about any other. No other kind of token may pass for one that opens an application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from oauth2_mw.boundary import numeric_date
from oauth2_mw.errors import TokenError
from oauth2_mw.provider.claim_sources import with_verification, without_protocol_claims
from oauth2_mw.provider.jose.jws import TokenKind, VerifiedToken, read_jws
from oauth2_mw.provider.tokens.claim_checks import check_issuer, check_times, read_date, read_subject
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

_NAME = "access token"
#: A JWT that says that it is an access token (RFC 9068, section 2.1).
TYPED = TokenKind(_NAME, frozenset({"at+jwt", "application/at+jwt"}))
#: One that need not say so.
UNTYPED = TokenKind(_NAME, TYPED.types | {"jwt"})

#: The claims of ID tokens and logout tokens.
_OF_OTHERS = ("nonce", "at_hash", "c_hash", "events")
#: What gives the client, the first that is there.
_CLIENT = ("client_id", "azp", "appid", "cid")
#: Of an access token, in small letters: Cognito's word, and Hydra's.
_USES = ("access", "access_token")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a provider says of an access token that serves."""

    #: that of its user's sign-ins
    issuer: str
    subject: str
    #: those that are about its user, or the client
    claims: Mapping[str, Any] = field(repr=False)
    scopes: frozenset[str]
    client_id: str | None
    #: in seconds since the epoch; ``inf`` if introspection does not say
    expires_at: float


def kind_of(provider: ProviderSettings) -> TokenKind:
    """Return which JWTs of a provider are accepted."""
    return UNTYPED if "jwt-untyped" in provider.accept_tokens else TYPED


def validate_access_token(token: str, validator: TokenValidator, *, now: float) -> AccessToken:
    """Validate a JWT (RFC 9068, section 4).

    :param now: seconds since the epoch.
    :raises TokenError: with a code ``token_...`` that names the failed check.
    :raises ProviderUnavailableError, ProviderError: if the provider's keys cannot be fetched.
    """
    provider = validator.provider
    kind = kind_of(provider)
    verified = validator.verify_signature(token, kind)
    typ = read_jws(token, kind)[0].get("typ")
    if not isinstance(typ, str) or typ.lower() not in TYPED.types:
        _check_kind(verified.claims)
        _check_grants(verified.claims)
    verified = _with_own_issuer(verified, provider)
    check_issuer(verified, provider)
    _check_audience(verified.claims, provider)
    check_times(verified, now=now, leeway=provider.leeway, max_age=inf)
    return _accepted(verified, provider, expires_at=read_date(verified, "exp"))


def read_introspection(claims: Mapping[str, Any], provider: ProviderSettings, *, now: float) -> AccessToken:
    """Check what the provider says of a token that is active (RFC 7662, sections 2.2 and 4).

    :param now: seconds since the epoch.
    :raises TokenError: with a code ``token_...`` that names the failed check.
    """
    verified = VerifiedToken(TYPED, "", dict(claims))
    _check_kind(claims)
    issuers = provider.user_issuers
    if "iss" not in claims and len(issuers) == 1:
        # It is the provider that answers, and it has no other.
        verified = replace(verified, claims={**claims, "iss": issuers[0]})
    verified = _with_own_issuer(verified, provider)
    if provider.is_oidc:
        check_issuer(verified, provider)
    elif verified.claims["iss"] not in issuers:
        raise TokenError(
            f"the access token comes from issuer {shown(claims['iss'])} instead of {shown(issuers[0])}: if it is the "
            "same provider, name it in token_issuers",
            code="token_issuer",
        )
    if provider.token_audiences:
        _check_audience(claims, provider)
    elif _may_be_refresh_token(claims):
        raise TokenError(
            "the answer about the token says neither that it is an access token nor for whom, like those about refresh "
            "tokens: have the provider send token_type, or write token_audiences (token_audience_claim may be "
            "client_id)",
            code="token_type",
        )
    if provider.subject.get(claims) is None:
        raise TokenError(
            f"the answer about the token has no {provider.subject.text}, as of a client that acts for itself: have the "
            "provider say it, or issue signed tokens to such clients",
            code="token_subject",
        )
    if "exp" in claims and now >= read_date(verified, "exp") + provider.leeway:
        raise TokenError("the access token has expired", code="token_expired")
    if "nbf" in claims and read_date(verified, "nbf") > now + provider.leeway:
        raise TokenError("the access token is not valid yet", code="token_not_yet")
    expires_at = numeric_date(claims.get("exp"))
    return _accepted(verified, provider, expires_at=inf if expires_at is None else expires_at)


def read_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes of a token: ``scope``, else ``scp``, a text or a list."""
    value = claims.get("scope", claims.get("scp"))
    # No other blank parts them (RFC 6749, section 3.3).
    listed = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else ()
    return frozenset(each for each in listed if isinstance(each, str) and each)


def read_client(claims: Mapping[str, Any]) -> str | None:
    """Return the client to which a token was issued, as far as it says."""
    return next((claims[name] for name in _CLIENT if isinstance(claims.get(name), str)), None)


def _accepted(token: VerifiedToken, provider: ProviderSettings, *, expires_at: float) -> AccessToken:
    claims = token.claims
    if "cnf" in claims:
        raise TokenError(
            f"the access token is bound to a key ({shown(claims['cnf'])}), whose proof is not checked here: have the "
            "provider issue plain Bearer tokens for this audience",
            code="token_bound",
        )
    return AccessToken(
        issuer=claims["iss"],
        subject=read_subject(provider.subject, claims),
        claims=without_protocol_claims(with_verification(claims, provider.quirk)),
        scopes=read_scopes(claims),
        client_id=read_client(claims),
        expires_at=expires_at,
    )


def _check_kind(claims: Mapping[str, Any]) -> None:
    """Check that nothing says that this is another kind of token."""
    for name in _OF_OTHERS:
        if name in claims:
            raise TokenError(
                f"it has {name}, which no access token has: an ID token or a logout token", code="token_type"
            )
    token_type = claims.get("token_type", "Bearer")
    if isinstance(token_type, str) and token_type.lower() in ("dpop", "pop"):
        raise TokenError(
            f"the access token is bound to a key (token_type {shown(token_type)}), whose proof is not checked here",
            code="token_bound",
        )
    for name, good in (
        ("typ", ("bearer",)),
        ("token_use", _USES),
        ("token_type", ("bearer", "access_token", "access")),
    ):
        value = claims.get(name)
        if value is not None and not (isinstance(value, str) and value.lower() in good):
            raise TokenError(f"{name} is {shown(value)}, and {good[0]} of an access token", code="token_type")


def _check_grants(claims: Mapping[str, Any]) -> None:
    """Check that a JWT that does not say what it is grants something, as no ID token does."""
    if not any(name in claims for name in ("scope", "scp", "roles")):
        raise TokenError(
            "it has none of scope, scp and roles, one of which an access token has", code="token_type"
        )


def _may_be_refresh_token(claims: Mapping[str, Any]) -> bool:
    """Return whether an answer looks like those that some providers give about refresh tokens.

    The rest of it is complete, and what an access token alone has is left out.
    """
    # What the first three say otherwise has been refused.
    if any(name in claims for name in ("token_type", "token_use", "typ", "aud")):
        return False
    return "iss" in claims or "offline_access" in read_scopes(claims)


def _with_own_issuer(token: VerifiedToken, provider: ProviderSettings) -> VerifiedToken:
    """Return the token with the issuer of its user's sign-ins in the place of another that speaks for the same."""
    iss = token.claims.get("iss")
    own = provider.token_issuers.get(iss) if isinstance(iss, str) else None
    return token if own is None else replace(token, claims={**token.claims, "iss": own})


def _check_audience(claims: Mapping[str, Any], provider: ProviderSettings) -> None:
    """Check that one of the audiences is meant (RFC 9068, section 4)."""
    path = provider.token_audience_claim
    claim = path.get(claims)
    named = [claim] if isinstance(claim, str) else claim
    if isinstance(named, (list, tuple)) and not {each for each in named if isinstance(each, str)}.isdisjoint(
        provider.token_audiences
    ):
        return
    raise TokenError(
        f"the access token is for {shown(claim)} ({path.text}), and token_audiences is "
        f"{' '.join(provider.token_audiences)}",
        code="token_audience",
    )
