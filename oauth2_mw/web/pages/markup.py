"""What may stand in a page: texts from outside, which are escaped, and the little HTML that we put around them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from html import escape

# Control characters and lone surrogates are not allowed in HTML; the bidirectional overrides would let a name
# rearrange the words around it (UAX #9, section 2).
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

# What href, src and action may hold: an http(s) address, or a path on our host, which "//x" and "/\x" leave.
_LINK = re.compile(r"(?:https?://[^\s/?#\\\"<>]|/(?![/\\]))[^\x00-\x20\x7f-\x9f\\\"<>\s]*")


class Markup(str):
    """HTML of ours, which templates do not escape."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def printable(value: object) -> object:
    """Replace what may not stand in a page. Jinja2 calls this on each value before escaping it; markup is ours."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _UNPRINTABLE.sub("\ufffd", value)
    return value


def escaped(value: object) -> Markup:
    """Return a value as it may stand between tags, and in an attribute's quotes."""
    return Markup(value) if hasattr(value, "__html__") else Markup(escape(str(printable(value))))


def filled(text: str, values: Mapping[str, object]) -> Markup:
    """Return a text with its placeholders filled in, everything escaped that is not markup."""
    return Markup(escaped(text).format(**{name: escaped(value) for name, value in values.items()}))


def isolated(text: object) -> Markup:
    """Return a name that cannot reorder the words around it, whatever script it is in."""
    return Markup(f"<bdi>{escaped(text)}</bdi>")


def strong(text: object) -> Markup:
    """Return a name that stands out."""
    return Markup(f"<strong>{isolated(text)}</strong>")


def code(text: object) -> Markup:
    """Return what is copied or typed as it stands."""
    return Markup(f'<code dir="ltr">{escaped(text)}</code>')


def utc(at: datetime) -> str:
    """Return a time as text."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def moment(at: datetime) -> Markup:
    """Return a time that ``local_time.js`` tells by the clock of the reader."""
    return _time(at, utc(at))


def clock(at: datetime) -> Markup:
    """Return the same for a time of today."""
    return _time(at, f"{at:%H:%M} UTC")


def _time(at: datetime, text: str) -> Markup:
    return Markup(f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}" dir="auto">{text}</time>')


def link(url: str) -> str:
    """Return an address that a page may hold.

    :raises ValueError: if it is neither http(s) nor a path of our own host.
    """
    if _LINK.fullmatch(url) is None:
        raise ValueError(
            f"a page may only link to http(s) addresses and to paths of our own host, not {url[:80]!r}"
        )
    return url


def optional_link(url: str | None) -> str | None:
    """Return the same, or ``None`` for ``None``."""
    return None if url is None else link(url)
