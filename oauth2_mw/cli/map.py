"""Show the identity that a set of claims gives, and what it may do.

It asks no provider and no directory: the person is one who signs in for the first time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from oauth2_mw.cli.arrival import print_arrival
from oauth2_mw.cli.claims import CLAIMS_HELP, find_provider, read_claims
from oauth2_mw.cli.terminal import INI_HELP
from oauth2_mw.settings.model import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw map``."""
    parser.add_argument("ini", type=Path, metavar="INI", help=INI_HELP)
    parser.add_argument("--claims", type=Path, metavar="FILE", required=True, help=CLAIMS_HELP)
    parser.add_argument(
        "--provider", metavar="NAME", help="where they come from (default: the first provider)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the identity, where each part of it comes from, and what ``allow`` and the rules say.

    :returns: 1 if a sign-in with these claims is refused.
    :raises ConfigError: if the file cannot be used.
    :raises CommandError: if there are no such claims, or no such provider.
    """
    settings = Settings.from_ini(options.ini)
    provider = find_provider(options.provider, settings)
    return 0 if print_arrival(read_claims(options.claims), provider, settings, ini=options.ini) else 1
