"""Checks of claims that several kinds of tokens share: from whom, for whom, when (RFC 7519, section 4.1).

All claims are checked here and not in the JWT library, whose defaults are looser than a sign-in may be: it accepts
missing times, further audiences, and texts for numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.jose.jws import Signed
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

#: characters, of ``sub``, ``sid`` and ``jti``
MAX_ID = 255
# The end of the year 9999: beyond it, databases and datetime fail.
_LAST_SECOND = 253402300799


def check_parties(signed: Signed, provider: ProviderSettings) -> None:
    """:raises TokenError: unless it comes from the provider's issuer and is for us alone."""
    kind, claims = signed.kind.name, signed.claims
    if claims.get("iss") != provider.issuer:
        raise TokenError(
            f"the {kind} comes from issuer {shown(claims.get('iss'))} instead of {shown(provider.issuer)}",
            code="token_issuer",
        )
    audience = claims.get("aud")
    # Another audience could use the token against us; no configuration makes one trusted so far.
    if audience not in (provider.client_id, [provider.client_id]):
        raise TokenError(
            f"the {kind} is for {shown(audience)} instead of {shown(provider.client_id)} alone",
            code="token_audience",
        )
    if claims.get("azp", provider.client_id) != provider.client_id:
        raise TokenError(f"the {kind} was issued to {shown(claims['azp'])}", code="token_azp")


def check_subject(subject: Any) -> str:
    """A subject as OpenID Connect Core, section 2, has it: 1 to 255 characters, none of them a control.

    :raises TokenError: ``token_subject``.
    """
    if not is_id(subject):
        raise TokenError(f"sub must be a printable text of 1 to {MAX_ID} characters", code="token_subject")
    return subject


def subject_at(path: AttributePath, claims: Mapping[str, Any]) -> str:
    """Who it is for us: the setting ``subject`` may name another claim than ``sub``, and a number becomes a text.

    :raises TokenError: ``token_subject``.
    """
    subject = path.get(claims)
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    return check_subject(subject)


def is_id(value: Any) -> TypeGuard[str]:
    """Whether *value* can name something: a text of 1 to 255 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable()


def check_times(signed: Signed, *, now: float, leeway: int, oldest: int) -> None:
    """``exp``, ``iat`` and, where it is there, ``nbf``.

    :param now: seconds since the epoch.
    :param leeway: seconds of clock difference that are forgiven.
    :param oldest: seconds since it was issued; an older one is somebody's copy.
    :raises TokenError: ``token_time``, ``token_expired``, ``token_issued`` or ``token_not_yet``.
    """
    kind, hint = signed.kind.name, "compare the clocks of both machines"
    expires, issued = seconds(signed, "exp"), seconds(signed, "iat")
    if now >= expires + leeway:
        raise TokenError(f"the {kind} expired {now - expires:.0f} seconds ago: {hint}", code="token_expired")
    if issued > now + leeway:
        raise TokenError(
            f"the {kind} was issued {issued - now:.0f} seconds in the future: {hint}", code="token_issued"
        )
    if now - issued > oldest + leeway:
        raise TokenError(f"the {kind} was issued {now - issued:.0f} seconds ago: {hint}", code="token_issued")
    if "nbf" in signed.claims and seconds(signed, "nbf") > now + leeway:
        raise TokenError(f"the {kind} is not valid yet: {hint}", code="token_not_yet")


def seconds(signed: Signed, name: str) -> float:
    """A NumericDate (RFC 7519, section 2), in seconds since the epoch.

    :raises TokenError: ``token_time`` for what is none, or missing.
    """
    value = signed.claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TokenError(f"{name} in the {signed.kind.name} is no number of seconds", code="token_time")
    if not 0 < value <= _LAST_SECOND:
        raise TokenError(f"{name} in the {signed.kind.name} is no date of this age", code="token_time")
    return value
