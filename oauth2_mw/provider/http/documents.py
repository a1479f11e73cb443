"""Documents that a provider sends, as strict JSON or a form, in UTF-8, with limits on everything in them.

The standard library's reader accepts NaN, duplicate names (the last one wins), lone surrogates and numbers of any size,
and deep nesting ends it with a ``RecursionError``. A document that two readers understand differently lets a signed
claim mean two things, so ambiguous ones are refused (RFC 8259, section 4; RFC 8725, section 2.4).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from oauth2_mw.settings.text import shown

MAX_DEPTH = 20
MAX_MEMBERS = 5000
MAX_ITEMS = 5000
#: characters
MAX_TEXT = 64 * 1024
#: digits: enough for any numeric identifier, few enough to print
MAX_DIGITS = 40
MAX_FORM_FIELDS = 100

# An unclosed string extends to the end of the document, which keeps the scan linear whatever the bytes.
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class DocumentError(ValueError):
    """A document that is not accepted. The message says why, and quotes at most the name of a member."""


def read_json(body: bytes) -> Any:
    """Parse a JSON document.

    :raises DocumentError: unless it is strict UTF-8 and JSON within the limits of this module.
    """
    _check_depth(body)
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise DocumentError("it is not UTF-8") from None
    except DocumentError:
        raise
    except ValueError:
        raise DocumentError("it is not JSON") from None
    _check_sizes(value)
    return value


def read_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    :raises DocumentError: as :func:`read_json`, and for a value that is not an object.
    """
    value = read_json(body)
    if not isinstance(value, dict):
        raise DocumentError("it is JSON, but not an object")
    return value


def present_members(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that say something: one that is null or an empty text counts as missing, everywhere alike."""
    return {name: value for name, value in members.items() if value is not None and value != ""}


def read_form(body: bytes) -> dict[str, str]:
    """Parse ``application/x-www-form-urlencoded``, which some providers send in place of JSON.

    :raises DocumentError: unless it is a form in UTF-8 in which no name is repeated (RFC 6749, section 3.2).
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FORM_FIELDS,
        )
    except ValueError:
        raise DocumentError("it is not a form") from None
    if not pairs:
        raise DocumentError("it is empty")
    return _object(pairs)


def _check_depth(body: bytes) -> None:
    depth = 0
    for match in _STRUCTURE.finditer(body):
        mark = match[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise DocumentError(f"it is nested more than {MAX_DEPTH} levels deep")
        elif mark in (b"]", b"}"):
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise DocumentError(f"an object in it has more than {MAX_MEMBERS} members")
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise DocumentError(f"it holds {shown(name)} twice")
        members[name] = value
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise DocumentError(f"a number in it has more than {MAX_DIGITS} digits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DocumentError("a number in it is too large")
    return number


def _constant(text: str) -> NoReturn:
    raise DocumentError(f"{text} is not a JSON number")


def _check_sizes(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise DocumentError(f"a text in it is longer than {MAX_TEXT} characters")
        if _SURROGATE.search(value):
            raise DocumentError("a text in it holds half a character (a lone surrogate)")
    elif isinstance(value, list):
        if len(value) > MAX_ITEMS:
            raise DocumentError(f"a list in it has more than {MAX_ITEMS} items")
        for item in value:
            _check_sizes(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_sizes(name)
            _check_sizes(item)
