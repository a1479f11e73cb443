"""Make a key for secret_keys, and print it or write it into a new key file."""

from __future__ import annotations

import argparse
import os
import secrets
import time
from pathlib import Path

from oauth2_mw.cli.terminal import CommandError, printable, shell_word
from oauth2_mw.encoding import base64url
from oauth2_mw.settings.grammar import KeyEntry, format_key_line

_HEADER = """\
# Keys that seal the cookies of oauth2_mw, a line each: kid, not-before (UTC), key.
# Every key opens what it once sealed; the one with the latest not-before seals, a minute after that moment.
# Whoever reads this file can sign in as anybody: keep it as closely as a password.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw keygen`` takes."""
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        help="write a key file there, readable by its owner alone (secret_keys = file:PATH); without it, print a key "
        "for secret_keys itself",
    )


def run(options: argparse.Namespace) -> int:
    """Print a key, or write a key file. An existing file is never overwritten.

    :raises CommandError: if there is one.
    """
    if options.path is None:
        print(base64url(secrets.token_bytes(32)))
        return 0
    # O_EXCL: an existing file may hold the keys that everybody is signed in with.
    try:
        descriptor = os.open(options.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(
            f"{printable(str(options.path))} is there already, and is left as it is; for a new key in it: "
            f"oauth2-mw keys rotate {shell_word(options.path)}"
        ) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(new_key_file())
    print(f"wrote {options.path}; use it with: secret_keys = file:{options.path}")
    return 0


def new_key_file() -> str:
    """Return the text of a key file with one new key."""
    now = int(time.time())
    kid = time.strftime("k%Y%m%d", time.gmtime(now))
    entry = KeyEntry(kid=kid, not_before=now, key=secrets.token_bytes(32))
    return f"{_HEADER}{format_key_line(entry)}\n"
