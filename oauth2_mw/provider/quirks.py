"""What some providers do in their own way, which no data of a preset can describe: named strategies for any preset.

A strategy for userinfo makes claims of the response. A strategy for logouts, or for client assertions, says what the
provider leaves out, refuses or wants. What a provider says at further addresses is asked by ``further_claims``, and
Apple's form is read by :mod:`oauth2_mw.provider.endpoints.form_user`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from oauth2_mw.errors import ProviderError
from oauth2_mw.settings.presets import QuirkName
from oauth2_mw.settings.text import shown

Quirk = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def github(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say of the address in the profile that nothing proves it; ``further_claims`` asks which one is verified."""
    return claims if claims.get("email") is None else {**claims, "email_verified": False}


def ok_flag(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raise the error in ``{"ok": false, "error": ...}``, which Slack sends with HTTP 200."""
    if claims.get("ok") is not True:
        raise ProviderError(f"the userinfo endpoint answered {shown(claims.get('error'))}", code="userinfo")
    return claims


def unchanged(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the response as it is, where the quirk is about something else."""
    return claims


QUIRKS: Mapping[QuirkName, Quirk] = MappingProxyType(
    {
        "apple": unchanged,
        "github": github,
        "ok-flag": ok_flag,
        "adfs": unchanged,
        "hydra": unchanged,
        "lemonldap": unchanged,
        "okta": unchanged,
        "entra": unchanged,
        "discord": unchanged,
    }
)


@dataclass(frozen=True, slots=True)
class LogoutQuirk:
    """How a provider departs from the specifications of logouts."""

    #: whether its logout tokens have no ``exp``, which is required (Back-Channel Logout 1.0, section 2.4)
    tokens_without_exp: bool = False
    #: what its logout endpoint takes without ``id_token_hint``, which is only recommended (RP-Initiated Logout 1.0,
    #: section 2): the other parameters, nothing else either, or no request at all
    without_hint: Literal["parameters", "bare", "never"] = "parameters"


_LOGOUT_QUIRKS: Mapping[QuirkName, LogoutQuirk] = MappingProxyType(
    {
        "hydra": LogoutQuirk(tokens_without_exp=True, without_hint="bare"),
        "lemonldap": LogoutQuirk(tokens_without_exp=True),
        "okta": LogoutQuirk(without_hint="never"),
    }
)
_AS_SPECIFIED = LogoutQuirk()


def logout_quirk(name: QuirkName | None) -> LogoutQuirk:
    """Return the strategy for logouts of that name; one that is about something else departs from nothing."""
    return _AS_SPECIFIED if name is None else _LOGOUT_QUIRKS.get(name, _AS_SPECIFIED)


@dataclass(frozen=True, slots=True)
class AssertionQuirk:
    """What a provider wants of client assertions beside what the specifications say."""

    #: the hashes of the certificate that name the key
    thumbprints: tuple[Literal["sha256", "sha1"], ...] = ("sha256",)
    #: whether ``token_endpoint`` as the audience means whichever endpoint is asked, such as that of revocation
    audience_is_asked_endpoint: bool = False


_ASSERTION_QUIRKS: Mapping[QuirkName, AssertionQuirk] = MappingProxyType(
    {
        "adfs": AssertionQuirk(thumbprints=("sha256", "sha1")),
        "okta": AssertionQuirk(audience_is_asked_endpoint=True),
    }
)
_PLAIN_ASSERTIONS = AssertionQuirk()


def assertion_quirk(name: QuirkName | None) -> AssertionQuirk:
    """Return the strategy for client assertions of that name; one that is about something else wants nothing."""
    return _PLAIN_ASSERTIONS if name is None else _ASSERTION_QUIRKS.get(name, _PLAIN_ASSERTIONS)
