"""Logout tokens (OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6).

Anybody can send us a token, and every application of the provider has ID tokens: neither kind of token may pass for the
other, and a copy must be worthless after minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.jose.jws import TokenKind, VerifiedToken
from oauth2_mw.provider.quirks import LogoutQuirk, logout_quirk
from oauth2_mw.provider.tokens.claim_checks import (
    MAX_ID,
    check_subject,
    check_times,
    is_identifier,
    read_date,
    read_subject,
)
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.text import shown

#: A plain JWT is accepted as well: section 2.4 only recommends the type, and many providers do not set it.
LOGOUT_TOKEN = TokenKind("logout token", frozenset({"logout+jwt", "application/logout+jwt", "jwt"}))
EVENT = "http://schemas.openid.net/event/backchannel-logout"
#: seconds; providers send a logout token at once, and should have it expire within two minutes (section 4)
MAX_AGE = 600


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A logout at the provider: of one session there (``sid``), or of all sessions of a person (``subject``)."""

    issuer: str
    #: as in :attr:`Authentication.subject <oauth2_mw.provider.client.Authentication.subject>`
    subject: str | None
    sid: str | None
    #: identifies the token; a second one with the same ``jti`` must have no effect
    jti: str
    #: seconds since the epoch
    issued_at: int
    #: when the token stops being accepted, in seconds since the epoch
    expires_at: int


def validate_logout_token(token: str, validator: TokenValidator, *, now: float) -> LogoutToken:
    """Validate a logout token (section 2.6). The caller checks that its ``jti`` is new (step 8).

    ``exp`` is required, as in the final specification. Implementations of a draft leave it out: where a quirk says so,
    the age of ``iat`` alone bounds the token.

    :param now: seconds since the epoch.
    :raises TokenError: with a code ``token_...`` or ``logout_...`` that names the failed check.
    :raises ProviderUnavailableError, ProviderError: if the provider's keys cannot be fetched.
    """
    provider = validator.provider
    verified = _with_exp(validator.verify(token, LOGOUT_TOKEN), logout_quirk(provider.quirk))
    claims = verified.claims
    _check_events(claims)
    _check_no_nonce(claims)
    check_times(verified, now=now, leeway=provider.leeway, max_age=MAX_AGE)
    jti = _check_identifier(claims, "jti", code="logout_jti")
    subject, sid = _read_subject_and_sid(claims, provider.subject)
    issued_at = read_date(verified, "iat")
    return LogoutToken(
        issuer=claims["iss"],
        subject=subject,
        sid=sid,
        jti=jti,
        issued_at=int(issued_at),
        expires_at=int(min(read_date(verified, "exp"), issued_at + MAX_AGE)) + provider.leeway + 1,
    )


def _with_exp(token: VerifiedToken, quirk: LogoutQuirk) -> VerifiedToken:
    """Return the token, with the end of its greatest age in place of an ``exp`` that may be absent, and is.

    :raises TokenError: ``token_time`` if it must be there.
    """
    if token.claims.get("exp") is not None:
        return token
    if not quirk.tokens_without_exp:
        raise TokenError(
            f"the logout token has no exp: if the provider follows a draft, take a preset with quirk = lemonldap, "
            f"which accepts such a token for {MAX_AGE // 60} minutes",
            code="token_time",
        )
    return replace(token, claims={**token.claims, "exp": read_date(token, "iat") + MAX_AGE})


def _check_events(claims: Mapping[str, Any]) -> None:
    """Check ``events``, which makes a token a logout token (step 6). No ID token has it."""
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise TokenError(
            f"the logout token does not hold the event of a logout: events is {shown(events)}",
            code="logout_event",
        )


def _check_no_nonce(claims: Mapping[str, Any]) -> None:
    """Check that there is no ``nonce`` (step 7), so that the token cannot pass for an ID token."""
    if "nonce" in claims:
        raise TokenError("the logout token has a nonce, which it must not have", code="logout_nonce")


def _check_identifier(claims: Mapping[str, Any], name: str, *, code: str) -> str:
    value = claims.get(name)
    if not is_identifier(value):
        raise TokenError(
            f"{name} in the logout token is not a printable string of 1 to {MAX_ID} characters",
            code=code,
        )
    return value


def _read_subject_and_sid(claims: Mapping[str, Any], path: AttributePath) -> tuple[str | None, str | None]:
    """Return the subject and the session, at least one of which must be there (step 5).

    A malformed one is refused rather than ignored: too many sessions would end, or too few.

    :param path: where the subject stands. Unless that is ``sub``, the value of ``sub`` identifies nobody: it might be
        the subject of another person.
    """
    sid = _check_identifier(claims, "sid", code="logout_sid") if "sid" in claims else None
    if "sub" in claims:
        check_subject(claims["sub"])
    subject = read_subject(path, claims) if path.get(claims) is not None else None
    if subject is None and sid is None:
        raise TokenError(
            f"the logout token names no session (sid) and no subject ({path.text})", code="logout_subject"
        )
    return subject, sid
