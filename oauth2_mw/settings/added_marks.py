"""Quotes and comments that other formats take off a value, and INI files do not: here they are a part of it.

No message repeats the value, which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from oauth2_mw.settings.document import Document

_COMMENT = re.compile(r"\s([#;])(?:\s|$)")
#: In their values quotes and marks are at home.
_OWN_NOTATION = ("attribute_map", "auth_params", "allow", "rules", "group_filter")


def added_marks(text: str) -> str:
    """Return what to take out of *text*, with ``; `` before it; empty if it has no such marks."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return "; the quotes around it are a part of the value: take them out"
    if found := _COMMENT.search(text):
        return f"; what stands behind {found[1]} is a part of the value: write a comment on a line of its own"
    return ""


def marked_values(document: Document) -> Iterator[str]:
    """Yield a sentence for each value with such marks."""
    for section, texts in document.sections.items():
        for key, value in texts.items():
            if key not in _OWN_NOTATION and (found := added_marks(value.text)):
                yield f"[{section}] {key}{value.origin and f' ({value.origin})'}: {found.removeprefix('; ')}"
