"""Print an INI file of ours for one of oauth2-proxy or mod_auth_openidc.

It contacts nobody and changes no file. What has no counterpart is a comment, and what is missing as well.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from oauth2_mw.cli.draft import Draft
from oauth2_mw.cli.foreign_files import read_foreign
from oauth2_mw.cli.from_mod_auth_openidc import convert_mod_auth_openidc
from oauth2_mw.cli.from_oauth2_proxy import convert_oauth2_proxy
from oauth2_mw.cli.terminal import CommandError, printable
from oauth2_mw.encoding import base64url
from oauth2_mw.errors import ConfigError
from oauth2_mw.observe import has_hidden
from oauth2_mw.settings.model import Settings

_CONVERTERS = {"oauth2-proxy": convert_oauth2_proxy, "mod_auth_openidc": convert_mod_auth_openidc}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw convert``."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="oauth2-proxy's configuration file, a file of its OAUTH2_PROXY_... variables, or mod_auth_openidc's",
    )


def run(options: argparse.Namespace) -> int:
    """Print the INI file.

    :returns: 1 if something is missing without which it does not start, or lets too many in.
    :raises CommandError: if the file is of neither product, or cannot be read.
    """
    read = read_foreign(options.file)
    draft = _CONVERTERS[read.product](read.entries)
    _check_lines(draft)
    draft.main = {"secret_keys": "file:keys", **draft.main}
    missing = [*_problems(draft), *(f"{name}: {advice}" for name, advice in draft.lost.items())]
    print(f"# Made of {printable(options.file.name)}, a file of {read.product}.")
    print("# The keys are new: oauth2-mw keygen keys")
    if not draft.main.get("client_secret", "file:").startswith(("file:", "env:")):
        print(
            "# Better: move the secret into a file with the mode 0600, and write client_secret = file:PATH."
        )
    for text in missing:
        print(f"# MISSING: {printable(text)}")
    for name, advice in draft.notes.items():
        print(f"# {printable(name)}: {printable(advice)}")
    print()
    print("\n".join(draft.lines()).rstrip())
    for text in missing:
        print(f"missing: {printable(text)}", file=sys.stderr)
    return 1 if missing else 0


def _check_lines(draft: Draft) -> None:
    """Nothing that is read may become another line of the INI file."""
    named = [*draft.main.items(), *draft.attributes.items(), *(("rules", rule) for rule in draft.rules)]
    for key, value in named:
        if has_hidden(value):
            raise CommandError(f"what becomes {key} holds a control character or a line break: take it out")


def _problems(draft: Draft) -> list[str]:
    """What a start would complain about; files of secrets need not be there yet."""
    main, *others = draft.sections().items()
    keys = {**main[1], "secret_keys": base64url(secrets.token_bytes(32))}
    if keys.get("client_secret", "").startswith("file:"):
        keys["client_secret"] = "in a file"  # noqa: S105, stands for a file that is not there yet
    try:
        Settings.from_mapping({**keys, **{name: section for name, section in others if section}})
    except ConfigError as error:
        return [f"{problem.key}: {problem.text}" for problem in error.problems]
    return []
