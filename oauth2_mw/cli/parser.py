"""How the command line is read: what was mistyped is recognised, and what is not finished says what there is."""

from __future__ import annotations

import argparse
from typing import Any

from oauth2_mw.settings.text import did_you_mean


class CommandParser(argparse.ArgumentParser):
    """A parser of commands.

    In what it has read, ``unfinished`` is the parser that waits for one more word, or ``None``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_defaults(unfinished=None)

    def add_subparsers(self, **kwargs: Any) -> Any:
        """Let a word choose among commands of their own; without it, this parser is ``unfinished``."""
        self.set_defaults(unfinished=self)
        return super().add_subparsers(**kwargs)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            hint = did_you_mean(str(value), choices) or f": there are {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"there is no {value!r}{hint}")
