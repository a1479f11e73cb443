"""The command ``oauth2-mw settings``: print every setting with its default and its meaning."""

from __future__ import annotations

import argparse
import textwrap

from oauth2_mw.settings.fields import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw settings``."""
    parser.add_argument("key", nargs="?", help="only this one")


def run(options: argparse.Namespace) -> int:
    """Print all settings, or one of them.

    :returns: 1 if there is no such setting.
    """
    rows = [row for row in describe() if options.key in (None, row.key)]
    for row in rows:
        print(f"{row.key} ({row.where}; default: {row.default})")
        print(textwrap.indent(textwrap.fill(row.meaning, 92), "    "))
    if not rows:
        print(f"there is no setting {options.key!r}; without a key, all of them are printed")
    return 0 if rows else 1
