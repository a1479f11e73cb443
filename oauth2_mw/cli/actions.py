"""What the commands about users' sessions and tokens have in common on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from oauth2_mw.cli.directory import USER_HELP
from oauth2_mw.cli.terminal import INI_HELP


class Takes(Protocol):
    """What takes further arguments: an ACTION, or those of its arguments of which exactly one is given."""

    def add_argument(self, *names: str, **keys: Any) -> argparse.Action:
        """Declare one more."""


def add_actions(
    parser: argparse.ArgumentParser,
    actions: Iterable[tuple[str, Callable[..., int], str, str]],
    *,
    thing: str,
    found_by: str,
) -> dict[str, Takes]:
    """Declare the ACTIONs of a command: each takes an INI file and a user, ``revoke`` instead ids, ``list`` ``--json``.

    :param actions: the name of each, what carries it out, its words for the usage line, and what it does.
    :param thing: what is listed and revoked, like ``session``.
    :param found_by: what the file must have, like ``names a directory``.
    :returns: by the name of an ACTION, what takes more arguments; for ``revoke`` each is another instead.
    """
    added: dict[str, Takes] = {}
    subparsers = parser.add_subparsers(metavar="ACTION")
    for name, action, words, summary in actions:
        # After an option with several words, the file would be read as one more of them.
        usage = f"%(prog)s [-h] INI {words}"
        command = subparsers.add_parser(name, help=summary, description=summary, usage=usage)
        command.add_argument("ini", type=Path, metavar="INI", help=f"{INI_HELP}, which {found_by}")
        command.set_defaults(action=action, parser=command)
        meant = command.add_mutually_exclusive_group(required=True) if name == "revoke" else command
        meant.add_argument(
            "--user",
            nargs="+",
            metavar="USER",
            required=name == "create",
            help=f"whose {thing}s: {USER_HELP}; one that begins with a dash as --user=USER",
        )
        if name == "list":
            command.add_argument("--json", action="store_true", help="as JSON, for programs")
        elif name == "revoke":
            meant.add_argument(
                f"--{thing}", nargs="+", action="extend", metavar="ID", help="by the ids that the list shows"
            )
        added[name] = meant
    return added
