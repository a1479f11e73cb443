"""What some providers do in their own way, which no data of a preset can describe: named strategies for any preset.

A strategy for userinfo takes the response and a function that fetches more with the same access token, and returns
claims. A strategy for logouts says what the provider leaves out, or refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from oauth2_mw.errors import ProviderError
from oauth2_mw.settings.presets import QuirkName
from oauth2_mw.settings.text import shown

#: Fetches a path below the userinfo endpoint; raises as :func:`fetch_userinfo` does.
Fetch = Callable[[str], Any]
Quirk = Callable[[Mapping[str, Any], Fetch], Mapping[str, Any]]


def github(claims: Mapping[str, Any], fetch: Fetch) -> Mapping[str, Any]:
    """Add a hidden e-mail address from ``/user/emails``.

    Only an address that is both primary and verified counts. Without the scope ``user:email`` there is none.
    """
    if claims.get("email") is not None:
        return claims
    try:
        emails = fetch("/emails")
    except ProviderError as error:
        if error.code != "userinfo_refused":
            raise
        return claims
    for entry in emails if isinstance(emails, list) else ():
        if isinstance(entry, dict) and entry.get("primary") is True and entry.get("verified") is True:
            return {**claims, "email": entry.get("email"), "email_verified": True}
    return claims


def unwrap_data(claims: Mapping[str, Any], _fetch: Fetch) -> Mapping[str, Any]:
    """Unwrap ``{"code": 0, "msg": ..., "data": {...}}``, the form of Feishu and Lark; any other code is an error."""
    if claims.get("code", 0) != 0:
        raise ProviderError(
            f"the userinfo endpoint answered code {shown(claims.get('code'))}: {shown(claims.get('msg'))}",
            code="userinfo",
        )
    data = claims.get("data")
    if not isinstance(data, dict):
        raise ProviderError("the userinfo answer has no data object", code="userinfo")
    return data


def ok_flag(claims: Mapping[str, Any], _fetch: Fetch) -> Mapping[str, Any]:
    """Raise the error in ``{"ok": false, "error": ...}``, which Slack sends with HTTP 200."""
    if claims.get("ok") is not True:
        raise ProviderError(f"the userinfo endpoint answered {shown(claims.get('error'))}", code="userinfo")
    return claims


def unchanged(claims: Mapping[str, Any], _fetch: Fetch) -> Mapping[str, Any]:
    """Take the response as it is, where the quirk is about something else."""
    return claims


QUIRKS: Mapping[QuirkName, Quirk] = MappingProxyType(
    {
        "github": github,
        "unwrap-data": unwrap_data,
        "ok-flag": ok_flag,
        "hydra": unchanged,
        "lemonldap": unchanged,
        "okta": unchanged,
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
