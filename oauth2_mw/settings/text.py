"""Words of settings: yes and no, time spans, lists; and showing a value in a message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

TRUE_WORDS = ("true", "yes", "on", "y", "t", "1")
FALSE_WORDS = ("false", "no", "off", "n", "f", "0")

_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_WORD = re.compile(r'\s*((?:[^\s"]|"(?:[^"\\]|\\.)*")+)(?=\s|$)')


def shown(value: object) -> str:
    """Return *value* as a message may show it: quoted, in ASCII, at most 200 characters of it. Never for secrets."""
    text = value if isinstance(value, str) else repr(value)
    return ascii(text if len(text) <= 200 else text[:197] + "...")


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``; did you mean X?`` if one of the *candidates* looks like *word*, or an empty text."""
    by_lower = {name.lower(): name for name in candidates}
    similar = difflib.get_close_matches(word.lower().replace("-", "_"), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[similar[0]]}?" if similar else ""


def parse_bool(text: str) -> bool:
    """Parse one of the words that PasteDeploy's ``asbool`` takes, in any case.

    :raises ValueError: for any other word.
    """
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(f"{shown(text)} is neither true nor false: write true or false")


def parse_duration(text: str) -> int:
    """Parse a time span like ``90``, ``90s``, ``15m``, ``8h`` or ``7d``, and return seconds.

    :raises ValueError: if it is not valid.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{shown(text)} is not a valid duration: write it like 90, 90s, 15m, 8h or 7d")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def split_words(text: str) -> list[str]:
    """Return the words of a list, which white space separates.

    :raises ValueError: if a comma stands before or after a word, where it would become a part of it.
    """
    words = text.split()
    for word in words:
        if word.startswith(",") or word.endswith(","):
            raise ValueError(
                f"{shown(word)}: words are separated by spaces, not by commas: take the comma out"
            )
    return words


def split_terms(text: str) -> tuple[str, ...]:
    """Return the words of *text*; white space in double quotes does not separate.

    :raises ValueError: if a quote is not closed.
    """
    words: list[str] = []
    position = 0
    while match := _WORD.match(text, position):
        words.append(match[1])
        position = match.end()
    if text[position:].strip():
        raise ValueError("a double quote is opened and not closed")
    return tuple(words)
