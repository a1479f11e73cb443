"""Print every setting: its key, its default, what it means."""

from __future__ import annotations

import argparse
import textwrap

from oauth2_mw.settings.fields import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw settings`` takes."""
    parser.add_argument("key", nargs="?", help="only this one")


def run(options: argparse.Namespace) -> int:
    """Print the declaration table, or one row of it.

    :returns: 1 when there is no such key.
    """
    found = [row for row in describe() if options.key in (None, row.key)]
    for row in found:
        print(f"{row.key} ({row.where}; default: {row.default})")
        print(textwrap.indent(textwrap.fill(row.meaning, 92), "    "))
    if not found:
        print(f"there is no setting {options.key!r}; without a key, all of them are printed")
    return 0 if found else 1
