"""The settings that are JSON objects, of texts alone: ``attribute_map`` and ``auth_params``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.text import did_you_mean, has_control, shown

#: What an ``attribute_map`` may fill; the same as the fields of an identity.
LOCAL_FIELDS = ("username", "name", "email", "phone", "comment", "groups")
#: Parameters of the authorization request that are ours to set, and the setting that says how.
_OWN_PARAMS: Mapping[str, str | None] = MappingProxyType(
    {
        "client_id": "client_id",
        "client_secret": "client_secret",
        "redirect_uri": "public_url",
        "response_type": None,
        "response_mode": "response_mode",
        "scope": "scope",
        "state": None,
        "nonce": None,
        "code_challenge": "pkce",
        "code_challenge_method": "pkce",
        "prompt": "prompt",
        "max_age": "max_age",
        "acr_values": "acr_values",
        "ui_locales": "ui_locales",
        "login_hint": None,
        "request": None,
        "request_uri": None,
    }
)
_JSON_TYPES = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def attribute_map(text: str, _base: Path) -> Mapping[str, AttributePath]:
    """JSON, local field -> path into the provider's claims."""
    written = _string_object(text, example='{"username": "login", "email": "email"}')
    unknown = [name for name in written if name not in LOCAL_FIELDS]
    if unknown and any(value in LOCAL_FIELDS for name, value in written.items() if name in unknown):
        swapped = {value: name for name, value in written.items()}
        turned = json.dumps(swapped, ensure_ascii=has_control("".join(written)))
        raise ValueError(
            "the map is written the wrong way round: each entry is local field, then provider's field; "
            f"write {turned}"
        )
    if unknown:
        hints = ", ".join(shown(name) + did_you_mean(name, LOCAL_FIELDS) for name in unknown)
        raise ValueError(f"no local field: {hints}; the local fields are {', '.join(LOCAL_FIELDS)}")
    if "username" not in written:
        raise ValueError("\"username\" is missing: say which of the provider's fields is the user's name")
    return MappingProxyType({name: AttributePath.parse(path) for name, path in written.items()})


def auth_params(text: str, _base: Path) -> Mapping[str, str]:
    """JSON, further parameters of the authorization request."""
    if not text:
        return MappingProxyType({})
    written = _string_object(text, example='{"hd": "example.com"}')
    for name, value in written.items():
        if name in _OWN_PARAMS:
            setting = _OWN_PARAMS[name]
            advice = f"the setting {setting} decides it" if setting else "it is made anew for each sign-in"
            raise ValueError(f"{name} cannot be set here: {advice}")
        if not name or has_control(name) or has_control(value):
            raise ValueError("a name is empty, or control characters stand in it or in its value")
    return MappingProxyType(written)


def _string_object(text: str, *, example: str) -> dict[str, str]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise _Twice(f"{shown(twice)} stands there twice: keep one")
        return dict(items)

    if not text:
        raise ValueError(
            f"nothing is written here: leave the line out, or write a JSON object like {example}"
        )
    try:
        found = json.loads(text, object_pairs_hook=pairs)
    except _Twice:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"it is no JSON ({error.msg}, {where}): write an object like {example}") from None
    except RecursionError:
        raise ValueError(f"it is nested too deeply: write an object like {example}") from None
    if not isinstance(found, dict):
        raise ValueError(
            f"it is {_JSON_TYPES.get(type(found), 'null')}, not an object: write it like {example}"
        )
    for name, value in found.items():
        if not isinstance(value, str):
            raise ValueError(
                f"the value of {shown(name)} is not a text: write it in double quotes, like {example}"
            )
    return found


class _Twice(ValueError):
    """A name stands twice in a JSON object; ``json`` would keep the last and say nothing."""
