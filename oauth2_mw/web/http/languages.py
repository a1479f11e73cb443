"""The languages that a person's browser asks for (RFC 9110, section 12.5.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

#: Characters of the header that are read, and languages that are taken from it.
_MAX_HEADER = 1000
MAX_LANGUAGES = 10
#: What RFC 5646, section 4.4.1, has everybody make room for.
_MAX_TAG = 35
#: A language tag (RFC 5646, section 2.1): language, script, region, variants, extensions, private use.
_TAG = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?",
    re.ASCII | re.IGNORECASE,
)
#: What Chinese in traditional characters is known by, when its script is not named.
_TRADITIONAL = frozenset({"hant", "tw", "hk", "mo"})
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII | re.IGNORECASE)


def accepted_languages(environ: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the language tags of a request's ``Accept-Language``, the most wanted first, each once.

    What is no tag (``*`` among others), not wanted (``q=0``) or malformed is left out; so is all of a header that is
    longer than any browser's.
    """
    wanted = (tag for weight, tag in _ranges(environ) if weight and tag != "*")
    return tuple(islice(wanted, MAX_LANGUAGES))


def best_language(environ: Mapping[str, Any], available: Sequence[str]) -> str:
    """Return which of some languages a person reads best (RFC 4647, section 3.4).

    A range fits the language that is left when its last parts are taken away, and ``*`` any that is not refused by
    ``q=0``. Chinese fits if it is not written in traditional characters.

    :param available: language tags; the first serves who reads none of them.
    """
    ranges = _ranges(environ)
    refused = {tag.lower() for weight, tag in ranges if not weight}
    offered = [language for language in available if language.lower() not in refused]
    for weight, tag in ranges:
        if weight and offered:
            found = offered[0] if tag == "*" else _looked_up(tag, offered)
            if found is not None:
                return found
    return available[0]


def _looked_up(tag: str, offered: Iterable[str]) -> str | None:
    parts = tag.lower().split("-")
    if parts[0] == "zh":
        if "hans" not in parts and not _TRADITIONAL.isdisjoint(parts):
            return None
        parts = ["zh", "hans"]
    for length in range(len(parts), 0, -1):
        for language in offered:
            if language.lower() == "-".join(parts[:length]):
                return language
    return None


def _ranges(environ: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Return weights and language ranges as they are wanted; those of one weight stay in their order."""
    header = environ.get("HTTP_ACCEPT_LANGUAGE", "")
    if len(header) > _MAX_HEADER:
        return []
    found: dict[str, tuple[float, str]] = {}
    for element in header.split(","):
        tag, *parameters = (part.strip(" \t") for part in element.split(";"))
        weight = _weight(parameters)
        if weight is not None and len(tag) <= _MAX_TAG and (tag == "*" or _TAG.fullmatch(tag)):
            found.setdefault(tag.lower(), (weight, tag))
    return sorted(found.values(), key=lambda each: -each[0])


def _weight(parameters: list[str]) -> float | None:
    """Return the weight of an element, from 0 to 1; ``None`` if it cannot be read."""
    if not parameters:
        return 1.0
    match = _WEIGHT.fullmatch(parameters[0]) if len(parameters) == 1 else None
    return float(match[1]) if match else None
