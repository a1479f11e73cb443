"""What passes between a command and a terminal: printable text, times, durations, refusals."""

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

#: What a command line names its settings by.
INI_HELP = "the file with the section [oauth2_mw], or app.ini#NAME for a filter of a PasteDeploy file"
#: The last second of the year 9999.
_LAST_TIME = 253402300799
#: The longest duration that an option takes: one of more than a year is a typing error.
_LONGEST_DURATION = 366 * 86400


class CommandError(OAuth2Error):
    """A command that was not carried out, and changed nothing. The text says why, and what to do instead."""


def printable(text: str) -> str:
    """Return *text* with everything that could steer a terminal, hide or break a line escaped as in Python.

    So is what the terminal's encoding does not have. A backslash is doubled, so that no name looks like an escape.
    """
    shown = "".join(
        "\\\\" if char == "\\" else char if not has_hidden(char) else _escape(char) for char in text
    )
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def shell_word(value: object) -> str:
    """Return a path or an id quoted for a shell."""
    return shlex.quote(str(value))


def row(*cells: str) -> str:
    """Return a line of a table: printable cells, separated by tabs."""
    return "\t".join(map(printable, cells))


def print_json(items: Iterable[Mapping[str, Any]]) -> None:
    """Print a JSON list, one object a line, as the objects come."""
    before = "[\n"
    for item in items:
        print(before, json.dumps(item), sep="", end="")
        before = ",\n"
    print("[]" if before == "[\n" else "\n]")


def format_time(seconds: int) -> str:
    """Return seconds since the epoch as key files write them: ``2026-11-23T18:00:00Z``."""
    shown = datetime.fromtimestamp(min(seconds, _LAST_TIME), tz=UTC).replace(tzinfo=None)
    return f"{shown.isoformat()}Z"


def format_duration(seconds: int) -> str:
    """Return seconds as settings write them: ``8h``."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def read_duration(text: str) -> int:
    """Return the seconds of an option's value, such as ``8h``.

    :raises argparse.ArgumentTypeError: if *text* is not a valid duration, or is longer than a year.
    """
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds > _LONGEST_DURATION:
        raise argparse.ArgumentTypeError("that is more than a year")
    return seconds
