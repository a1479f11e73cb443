"""The command line ``oauth2-mw``: find the module of a command and run it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from oauth2_mw import __version__
from oauth2_mw.cli import (
    access,
    check,
    convert,
    init,
    keygen,
    keys,
    login,
    map,
    migrate,
    sessions,
    settings,
    tokens,
    users,
)
from oauth2_mw.cli.parser import CommandParser
from oauth2_mw.errors import OAuth2Error

_COMMANDS = (
    access,
    check,
    convert,
    init,
    keygen,
    keys,
    login,
    map,
    migrate,
    sessions,
    settings,
    tokens,
    users,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :returns: the exit code: 0 if it is done, 1 if there was a problem, 130 if it was interrupted (128 and the number of
        SIGINT, as shells have it).
    :raises SystemExit: 2, if the command line was wrong.
    """
    parser = CommandParser(
        prog="oauth2-mw", description="Single sign-on for WSGI applications: the operator's commands."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2]
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    if "_ARGCOMPLETE" in os.environ:
        _complete(parser)
    options = parser.parse_args(arguments)
    if options.unfinished is not None:
        options.unfinished.print_help()
        return 0
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except OAuth2Error as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe. What is still buffered must not fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return 1
    return code


def _complete(parser: CommandParser) -> None:
    """Tell a shell that asks by argcomplete's variables what may come next, and exit, with the extra ``completion``."""
    with suppress(ImportError):
        from argcomplete import autocomplete

        autocomplete(parser)
