"""What passes between a command and the person who typed it: plain lines, moments, time spans, refusals."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from oauth2_mw.errors import OAuth2Error
from oauth2_mw.observe import has_hidden
from oauth2_mw.settings.text import parse_duration

#: The last second that a date of four digits can name.
_LAST_MOMENT = 253402300799
#: The longest span that an option takes: beyond a year it is a slip of the keyboard.
_LONGEST_SPAN = 366 * 86400


class CommandError(OAuth2Error):
    """A command that was not carried out. The text says why, and what to do instead; nothing was changed."""


def plain(text: str) -> str:
    """*text* as it may be printed: what could steer a terminal, hide or break a line is escaped as in Python.

    So is what the terminal's encoding does not have. A backslash is doubled, so that no name looks like an escape.
    """
    shown = "".join(
        "\\\\" if char == "\\" else char if not has_hidden(char) else _escape(char) for char in text
    )
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def word(value: object) -> str:
    """A path or an id as it can be typed."""
    return shlex.quote(str(value))


def row(*cells: str) -> str:
    """A line of a table: cells with tabs between them, none of which holds one itself."""
    return "\t".join(map(plain, cells))


def print_json(items: Iterable[Mapping[str, Any]]) -> None:
    """Print a JSON list, an object a line, as the objects come."""
    before = "[\n"
    for item in items:
        print(before, json.dumps(item), sep="", end="")
        before = ",\n"
    print("[]" if before == "[\n" else "\n]")


def moment(seconds: int) -> str:
    """Seconds since the epoch as key files write them: ``2026-11-23T18:00:00Z``."""
    shown = datetime.fromtimestamp(min(seconds, _LAST_MOMENT), tz=UTC).replace(tzinfo=None)
    return f"{shown.isoformat()}Z"


def span(seconds: int) -> str:
    """Seconds as settings write them: ``8h``."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def read_span(text: str) -> int:
    """The inverse of :func:`span`, for an option.

    :raises argparse.ArgumentTypeError: when *text* is none, or is longer than a year.
    """
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds > _LONGEST_SPAN:
        raise argparse.ArgumentTypeError("that is more than a year")
    return seconds
