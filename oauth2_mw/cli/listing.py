"""What lists of users and sessions have in common: which part of a long one is shown, and how far it is."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from oauth2_mw.cli.actions import Takes
from oauth2_mw.cli.terminal import CommandError, is_text, shell_word
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.text import did_you_mean, parse_duration

Item = TypeVar("Item")

#: Items between two lines that say how far a command is.
SAID_EVERY = 1000


def add_list_arguments(command: Takes, *, since: str) -> None:
    """Declare what narrows a list down.

    :param since: what ``--since`` looks at.
    """
    command.add_argument(
        "--since",
        type=_read_since,
        metavar="TIME",
        help=f"{since} since then: 7d ago, or 2026-11-23, or 2026-11-23T18:00:00Z",
    )
    command.add_argument("--provider", metavar="NAME", help="of one provider")
    command.add_argument(
        "--organization", type=_read_text, metavar="NAME", help="of the members of an organization"
    )
    command.add_argument("--group", type=_read_text, metavar="NAME", help="of those who are in a group")
    command.add_argument("--limit", type=_read_limit, metavar="NUMBER", help="no more than so many")
    command.add_argument(
        "--after", type=_read_text, metavar="ID", help="those behind that id, in the order of ids"
    )


def check_provider(settings: Settings, name: str | None) -> None:
    """Refuse a NAME that no enabled provider has.

    :raises CommandError: with the NAMEs that there are.
    """
    if name is not None and name not in settings.providers:
        hint = (
            did_you_mean(name, settings.providers)
            or f"; there are: {', '.join(settings.providers) or 'none'}"
        )
        raise CommandError(f"there is no enabled provider {shell_word(name)}{hint}")


def limited(items: Iterable[Item], limit: int | None, *, key: Callable[[Item], str]) -> Iterator[Item]:
    """Yield no more items than an operator wants to see, and then tell on stderr how to see the rest."""
    last = ""
    for number, item in enumerate(items):
        if number == limit:
            print(f"There are more: --after={shell_word(last)}", file=sys.stderr)
            return
        last = key(item)
        yield item


def with_progress(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Yield all items, and tell a terminal how many there were so far, unless it shows them itself.

    :param what: what they are, in the plural.
    """
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield from items
        return
    number = 0
    for number, item in enumerate(items, start=1):
        yield item
        if number % SAID_EVERY == 0:
            print(f"\r{number} {what}", end="", file=sys.stderr, flush=True)
    if number >= SAID_EVERY:
        print(f"\r{number} {what}", file=sys.stderr)


def _read_text(text: str) -> str:
    if not is_text(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not valid in the terminal's encoding")
    return text


def _read_since(text: str) -> int:
    """Return the seconds since the epoch of a time, or of so long ago."""
    try:
        return int(time.time()) - parse_duration(text)
    except ValueError:
        pass
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write it like 7d, 2026-11-23 or 2026-11-23T18:00:00Z"
        ) from None
    return int((given if given.tzinfo is not None else given.replace(tzinfo=UTC)).timestamp())


def _read_limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:12]) < 10**9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)
