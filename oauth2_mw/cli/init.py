"""Ask what has to be known, and write a configuration that works.

Nothing is written before the last answer is there, and no file is ever overwritten.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any, Never

from oauth2_mw.cli.answers import OF_PRESETS, from_options, option_name
from oauth2_mw.cli.interview import ask_plan, print_registration
from oauth2_mw.cli.plan import Plan, all_files, key_file, secret_file
from oauth2_mw.cli.prompts import confirm
from oauth2_mw.cli.start import APP_HELP
from oauth2_mw.cli.terminal import CommandError, printable, shell_word

_INI = Path("oauth2.ini")


class _RefusedAction(argparse.Action):
    """An option that only says which other one to use."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: Any, **_keys: Any) -> Never:
        parser.error(
            "every user of this machine can read a secret on a command line: write --client-secret-file FILE, or "
            "--client-secret-file - for stdin"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw init``."""
    # A secret must not be taken for the name of its file.
    parser.allow_abbrev = False
    add = parser.add_argument
    add("ini", nargs="?", type=Path, default=_INI, metavar="INI", help=f"the file to write (default: {_INI})")
    add("--provider", metavar="PRESET", help="which provider; oauth2-mw settings preset lists them")
    add("--public-url", metavar="URL", help="under which browsers reach the application, mount included")
    add("--client-id", metavar="ID", help="as the provider gave it")
    add("--client-secret", action=_RefusedAction, help=argparse.SUPPRESS)
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument(
        "--client-secret-file", type=Path, metavar="FILE", help="where the client secret stands; - is stdin"
    )
    secret.add_argument("--public-client", action="store_true", help="a client that has no secret")
    add(
        "--allow",
        metavar="TERMS",
        help='who may enter, like "email_domain:example.com user:jane"; * is everybody',
    )
    add("--app", metavar="APP", help=f"the application to wrap: {APP_HELP}")
    for key, what in OF_PRESETS.items():
        add(
            option_name(key),
            metavar=key.upper(),
            help=f"{what[0].lower()}{what[1:]}; where the preset needs it",
        )
    add(
        "--directory",
        metavar="URL",
        help="the database of users, like sqlite:///users.db; some presets need one",
    )
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one more setting; may be repeated")
    add("--yes", action="store_true", help="ask nothing; so it is too where stdin is no terminal")
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Ask, and write the files.

    :raises CommandError: if a file is there already, or there is nobody to ask.
    :raises ConfigError: if the settings could not be used together.
    """
    folder = options.ini.absolute().parent
    if not folder.is_dir():
        raise CommandError(f"there is no folder {printable(str(folder))}: make it first")
    if options.ini in (key_file(options.ini), secret_file(options.ini)):
        raise CommandError("that is the name of one of the files beside it: name it like sso.ini")
    taken = [printable(str(path)) for path in all_files(options.ini) if path.exists() or path.is_symlink()]
    if taken:
        raise CommandError(
            f"{' and '.join(taken)} {'is' if len(taken) == 1 else 'are'} there already, and nothing is overwritten: "
            "name another file, like oauth2-mw init sso.ini, or move what is there away"
        )
    asks = sys.stdin.isatty() and not options.yes
    plan = ask_plan(options) if asks else from_options(options)
    plan.write()
    _tell(plan)
    if asks:
        _offer(plan)
    else:
        print_registration(plan)
    return 0


def _tell(plan: Plan) -> None:
    """Print what was written, and what comes next."""
    for path in plan.files():
        is_secret = path in (key_file(plan.ini), secret_file(plan.ini)) or (
            path == plan.ini and plan.holds_secret
        )
        remark = " (0600: let the workers run as the same user)" if is_secret else ""
        print(f"wrote {printable(str(path))}{remark}")
    ini = shell_word(plan.ini)
    print("What now:")
    print(f"  oauth2-mw check --online {ini}")
    print(f"  oauth2-mw login {ini}")
    if plan.application is None:
        print(f"  in the application's code: app = OAuth2Middleware(app, {str(plan.ini)!a})")
        return
    print(f"  {plan.application.command(plan.ini, plan.values['public_url'])}")
    if remark := plan.application.remark():
        print(f"  note: {printable(remark)}")


def _offer(plan: Plan) -> None:
    """Offer the next two steps."""
    for question, words, default in (
        ("Ask the provider now whether all of this fits?", ("check", "--online"), True),
        ("Sign in now, to see which claims come?", ("login",), False),
    ):
        if confirm(question, default=default):
            command = [sys.executable, "-m", "oauth2_mw.cli", *words, str(plan.ini)]
            subprocess.run(command, check=False)
