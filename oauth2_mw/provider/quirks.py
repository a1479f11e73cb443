"""What some providers do that the data of a preset cannot express: named strategies, used by any preset.

Each takes the userinfo answer, and a way to ask for more with the same access token, and gives back claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from oauth2_mw.errors import ProviderError
from oauth2_mw.settings.presets import QuirkName
from oauth2_mw.settings.text import shown

#: asks for a path below the userinfo endpoint; raises as ``userinfo.fetch`` does
Fetch = Callable[[str], Any]
Quirk = Callable[[Mapping[str, Any], Fetch], Mapping[str, Any]]


def github(claims: Mapping[str, Any], fetch: Fetch) -> Mapping[str, Any]:
    """A person who hides the e-mail address has ``"email": null``; the primary one is at ``/user/emails``.

    Only an address that is both primary and verified is taken. Without the scope ``user:email`` none is.
    """
    if claims.get("email") is not None:
        return claims
    try:
        listed = fetch("/emails")
    except ProviderError as error:
        if error.code != "userinfo_refused":
            raise
        return claims
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and entry.get("primary") is True and entry.get("verified") is True:
            return {**claims, "email": entry.get("email"), "email_verified": True}
    return claims


def unwrap_data(claims: Mapping[str, Any], _fetch: Fetch) -> Mapping[str, Any]:
    """``{"code": 0, "msg": ..., "data": {...}}``, as Feishu and Lark answer; any other code is an error."""
    if claims.get("code", 0) != 0:
        raise ProviderError(
            f"the userinfo endpoint answered code {shown(claims.get('code'))}: {shown(claims.get('msg'))}",
            code="userinfo",
        )
    data = claims.get("data")
    if not isinstance(data, dict):
        raise ProviderError("the userinfo answer has no object data", code="userinfo")
    return data


def ok_flag(claims: Mapping[str, Any], _fetch: Fetch) -> Mapping[str, Any]:
    """``{"ok": false, "error": ...}`` with HTTP 200, as Slack answers."""
    if claims.get("ok") is not True:
        raise ProviderError(f"the userinfo endpoint answered {shown(claims.get('error'))}", code="userinfo")
    return claims


QUIRKS: Mapping[QuirkName, Quirk] = MappingProxyType(
    {"github": github, "unwrap-data": unwrap_data, "ok-flag": ok_flag}
)
