"""The languages that a person's browser asks for (RFC 9110, section 12.5.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII | re.IGNORECASE)


def accepted_languages(environ: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the language tags of a request's ``Accept-Language``, the most wanted first, each once.

    What is no tag (``*`` among others), not wanted (``q=0``) or malformed is left out; so is all of a header that is
    longer than any browser's.
    """
    header = environ.get("HTTP_ACCEPT_LANGUAGE", "")
    if len(header) > _MAX_HEADER:
        return ()
    found: dict[str, tuple[float, str]] = {}
    for element in header.split(","):
        tag, *parameters = (part.strip(" \t") for part in element.split(";"))
        weight = _weight(parameters)
        if weight and len(tag) <= _MAX_TAG and _TAG.fullmatch(tag):
            found.setdefault(tag.lower(), (weight, tag))
    # Those of one weight stay in their order.
    best = sorted(found.values(), key=lambda each: -each[0])
    return tuple(tag for _, tag in best[:MAX_LANGUAGES])


def _weight(parameters: list[str]) -> float:
    """Return the weight of an element, from 0 to 1; 0 if it cannot be read."""
    if not parameters:
        return 1.0
    match = _WEIGHT.fullmatch(parameters[0]) if len(parameters) == 1 else None
    return float(match[1]) if match else 0.0
