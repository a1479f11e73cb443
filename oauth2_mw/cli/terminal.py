"""What passes between a command and a terminal: printable text, times, durations, refusals."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
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
#: The rows by which the columns of a table are measured: the rest of a long one must not be waited for.
_MEASURED_ROWS = 200


class CommandError(OAuth2Error):
    """A command that was not carried out, and changed nothing. The text says why, and what to do instead."""


def is_text(word: str) -> bool:
    """Return whether a word of the command line was valid in its encoding."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


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


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as its rows come, and nothing before the first of them is there.

    A terminal gets columns that stand under their headings, as wide as the first rows want them; anything else gets
    tabs, for ``cut`` and its like. No cell can break a line or make another cell.
    """
    remaining = iter(rows)
    first = [headings, *islice(remaining, _MEASURED_ROWS)]
    lines = ([printable(cell) for cell in cells] for cells in chain(first, remaining))
    if not sys.stdout.isatty():
        for cells in lines:
            print(*cells, sep="\t")
        return
    widths = [max(map(_width, map(printable, column))) for column in zip(*first, strict=True)]
    for cells in lines:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
        print("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Return how many columns of a terminal *text* takes: Chinese characters and their like take two each."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


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
