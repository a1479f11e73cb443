"""Print every setting with its default and its meaning."""

from __future__ import annotations

import argparse
import re
import textwrap
from pathlib import Path

from oauth2_mw.cli.terminal import CommandError, printable
from oauth2_mw.settings import presets
from oauth2_mw.settings.fields import NOT_THERE, describe
from oauth2_mw.settings.text import did_you_mean

#: Where a meaning leads to a section of the documentation.
_REFERENCE = re.compile(r":ref:`([^`]*)`")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw settings``."""
    parser.add_argument("key", nargs="?", help="only this one")


def run(options: argparse.Namespace) -> int:
    """Print all settings, or one of them.

    :raises CommandError: if there is no such setting.
    """
    everything = [*describe()]
    rows = [row for row in everything if options.key in (None, row.key)]
    if not rows:
        hint = did_you_mean(options.key, {row.key for row in everything})
        raise CommandError(
            f"there is no setting {printable(options.key)}{hint or '; oauth2-mw settings prints all of them'}"
        )
    for row in rows:
        print(f"{row.key} ({row.where}; default: {row.default})")
        meaning = _REFERENCE.sub(r'"\1" in the documentation', row.meaning)
        print(textwrap.indent(textwrap.fill(meaning, 92), "    "))
        print(textwrap.indent(f"Example: {row.key} = {row.example}", "    "))
    if options.key == "preset":
        print()
        for name in presets.names():
            label = presets.read(name, Path()).values.get("provider", "")
            print(f"    {name:<20}{label}".rstrip())
    if options.key is None:
        print(f"\n{textwrap.fill(NOT_THERE, 96)}")
    return 0
