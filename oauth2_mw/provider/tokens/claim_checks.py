"""Checks of claims that several kinds of tokens have (RFC 7519, section 4.1; OpenID Connect Core, section 3.1.3.7).

PyJWT could check claims as well, but it accepts what a sign-in may not: missing times, further audiences, and texts in
place of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from oauth2_mw.boundary import numeric_date
from oauth2_mw.errors import TokenError
from oauth2_mw.provider.jose.jws import VerifiedToken
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ANY_AUDIENCE, ProviderSettings
from oauth2_mw.settings.tenants import filled, is_tenant
from oauth2_mw.settings.text import shown

#: characters, of ``sub``, ``sid`` and ``jti``
MAX_ID = 255


def check_issuer(token: VerifiedToken, provider: ProviderSettings) -> None:
    """Check ``iss`` (step 2), and ``tid`` where there are several tenants.

    :raises TokenError: ``token_issuer``.
    """
    if provider.tenants:
        _check_tenant(token, provider)
        return
    iss = token.claims.get("iss")
    if iss != provider.issuer:
        raise TokenError(
            f"the {token.kind.name} comes from issuer {shown(iss)} instead of {shown(provider.issuer)}",
            code="token_issuer",
        )


def _check_tenant(token: VerifiedToken, provider: ProviderSettings) -> None:
    """Check that one of the tenants issued the token, and that ``iss`` and ``tid`` name the same one."""
    kind, iss, tid = token.kind.name, token.claims.get("iss"), token.claims.get("tid")
    if iss not in provider.issuers:
        raise TokenError(
            f"the {kind} comes from issuer {shown(iss)}, which is that of no tenant that is let in: add its ID to "
            "tenants if it is to be",
            code="token_issuer",
        )
    if not is_tenant(tid) or filled(provider.issuer or "", tid) != iss:
        raise TokenError(
            f"the {kind} comes from issuer {shown(iss)}, and tid is {shown(tid)}, which is another tenant or none",
            code="token_issuer",
        )


def check_audience(token: VerifiedToken, provider: ProviderSettings) -> None:
    """Check ``aud`` (step 3): this client, and beside it only audiences that ``trusted_audiences`` names.

    Any other audience could use the token against this client. ``*`` trusts all of them where ``azp`` says that the
    token was issued to this client: whoever else received it cannot have asked for it.

    :raises TokenError: ``token_audience``.
    """
    kind, claim, client_id = token.kind.name, token.claims.get("aud"), provider.client_id
    audiences = [claim] if isinstance(claim, str) else claim
    if not _is_list_of_texts(audiences) or client_id not in audiences:
        raise TokenError(
            f"the {kind} is for {shown(claim)} instead of {shown(client_id)}: compare client_id",
            code="token_audience",
        )
    others = set(audiences) - {client_id}
    if provider.trusted_audiences == ANY_AUDIENCE:
        if others and token.claims.get("azp") != client_id:
            raise TokenError(
                f"the {kind} is for {shown(claim)}, which trusted_audiences = * accepts only where azp is "
                f"{shown(client_id)}: name the further audiences in trusted_audiences",
                code="token_audience",
            )
    elif not others <= set(provider.trusted_audiences):
        raise TokenError(
            f"the {kind} is for {shown(claim)} instead of {shown(client_id)} alone: take further audiences away at "
            "the provider, or name those that you trust in trusted_audiences",
            code="token_audience",
        )


def check_authorized_party(token: VerifiedToken, provider: ProviderSettings) -> None:
    """Check ``azp``, if the token has it (steps 4 and 5).

    :raises TokenError: ``token_azp``.
    """
    azp = token.claims.get("azp", provider.client_id)
    if azp != provider.client_id:
        raise TokenError(f"the {token.kind.name} was issued to {shown(azp)}", code="token_azp")


def _is_list_of_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def check_times(token: VerifiedToken, *, now: float, leeway: int, max_age: float) -> None:
    """Check ``exp`` and ``iat`` (steps 9 and 10) and, if the token has it, ``nbf`` (RFC 7519, section 4.1.5).

    :param now: seconds since the epoch.
    :param leeway: by how many seconds the clocks may differ.
    :param max_age: how many seconds ago the token may have been issued; an older one is likely to be stolen.
    :raises TokenError: ``token_time``, ``token_expired``, ``token_issued`` or ``token_not_yet``.
    """
    kind, hint = token.kind.name, "compare the clocks of both machines"
    expires_at, issued_at = read_date(token, "exp"), read_date(token, "iat")
    if now >= expires_at + leeway:
        raise TokenError(
            f"the {kind} expired {now - expires_at:.0f} seconds ago: {hint}", code="token_expired"
        )
    if issued_at > now + leeway:
        raise TokenError(
            f"the {kind} was issued {issued_at - now:.0f} seconds in the future: {hint}", code="token_issued"
        )
    if now - issued_at > max_age + leeway:
        raise TokenError(
            f"the {kind} was issued {now - issued_at:.0f} seconds ago: {hint}", code="token_issued"
        )
    if "nbf" in token.claims and read_date(token, "nbf") > now + leeway:
        raise TokenError(f"the {kind} is not valid yet: {hint}", code="token_not_yet")


def read_date(token: VerifiedToken, name: str) -> float:
    """Return the NumericDate in the claim *name*, in seconds since the epoch.

    :raises TokenError: ``token_time`` if it is missing or not a date before the year 10000.
    """
    value = numeric_date(token.claims.get(name))
    if value is None:
        raise TokenError(
            f"{name} in the {token.kind.name} is missing, or not a number of seconds before the year 10000",
            code="token_time",
        )
    return value


def check_subject(subject: Any) -> str:
    """Return *subject* if it is an identifier (OpenID Connect Core, section 2).

    :raises TokenError: ``token_subject``.
    """
    if not is_identifier(subject):
        raise TokenError(f"sub must be a printable string of 1 to {MAX_ID} characters", code="token_subject")
    return subject


def read_subject(path: AttributePath, claims: Mapping[str, Any]) -> str:
    """Return the subject at *path*, which need not be ``sub``. A whole number is returned as a text.

    :raises TokenError: ``token_subject``.
    """
    subject = path.get(claims)
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    return check_subject(subject)


def is_identifier(value: Any) -> TypeGuard[str]:
    """Return whether *value* is a string of 1 to 255 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable()
