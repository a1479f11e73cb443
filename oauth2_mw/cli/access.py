"""Say what happens to a request, and which line of the INI file decides.

It asks no provider, and looks a user up in the directory only when one is named.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

from oauth2_mw.cli.claims import CLAIMS_HELP, Visitor, find_provider, read_claims, visitor_of
from oauth2_mw.cli.decisions import compiled_rules, outcome, rule_lines
from oauth2_mw.cli.directory import find_user, open_directory
from oauth2_mw.cli.terminal import INI_HELP, CommandError, printable
from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.settings.access_rules import VIA
from oauth2_mw.settings.model import Settings

#: The fields of terms that read the claims of a sign-in.
_OF_CLAIMS = frozenset({"claim", "email", "email_domain", "acr"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw access``."""
    parser.add_argument("ini", type=Path, metavar="INI", help=INI_HELP)
    parser.add_argument(
        "path", metavar="PATH", help="as a browser requests it, below the mount: /admin/users"
    )
    parser.add_argument("--method", default="GET", metavar="M", help="of the request (default: GET)")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", metavar="NAME", help="somebody in the directory, by name or id")
    who.add_argument("--claims", type=Path, metavar="FILE", help=f"somebody: {CLAIMS_HELP}")
    who.add_argument("--anonymous", action="store_true", help="somebody who is not signed in (the default)")
    parser.add_argument(
        "--provider", metavar="NAME", help="where they signed in (default: the first provider)"
    )
    parser.add_argument(
        "--via", choices=VIA, default="session", help="what says who they are (default: session)"
    )
    parser.add_argument(
        "--scope", default="", metavar="SCOPES", help='those of an access token, like "read write"'
    )
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Print what happens.

    :raises ConfigError: if the file cannot be used.
    :raises CommandError: if the user or the claims cannot be read.
    """
    settings = Settings.from_ini(options.ini)
    visitor = _visitor(options, settings)
    path = options.path.partition("#")[0].partition("?")[0]
    native = unquote_to_bytes(os.fsencode(path)).decode("latin-1")
    print(f"{options.method} {printable(path)}")
    prefix = settings.prefix
    callbacks = {provider.callback_path for provider in settings.providers.values()}
    if native == prefix or native.startswith(prefix + "/") or native in callbacks:
        print(f"  This is our own URL: no rule is about prefix = {prefix}, or about callback_path.")
        return 0
    rule = compiled_rules(settings).find_all(native, [options.method])
    lines = rule_lines(options.ini, settings)
    for text in rule.written:
        where = f"line {lines[text]}: " if text in lines else ""
        print(f"  decided by {where}{text}")
    happens = outcome(rule, visitor, settings)
    if visitor is not None and rule.effect not in ("public", "denied"):
        happens = _serves_nowhere(visitor, None if rule.is_odd else native, settings) or happens
    print(f"  {happens}")
    unknown = sorted({term.field for term in rule.terms()} & visitor.unknown) if visitor is not None else ()
    if unknown:
        print(f"  A sign-in alone tells what {', '.join(unknown)} reads: write its claims into --claims FILE")
    return 0


def _serves_nowhere(visitor: Visitor, path: str | None, settings: Settings) -> str:
    """Return that no credential of that kind serves at a path, or an empty text.

    :param path: ``None`` for one that can be read in several ways.
    """
    serving = CredentialPaths.of(settings)
    match visitor.via:
        case "bearer" if path is None or path not in serving.access_tokens:
            return "no access token is looked at here: the path is below none of bearer_paths"
        case "token" if path is None or path not in serving.personal_tokens:
            return "refused with 401: the path is below none of personal_tokens"
    return ""


def _visitor(options: argparse.Namespace, settings: Settings) -> Visitor | None:
    if options.scope and options.via != "bearer":
        raise CommandError("--scope is of an access token: write --via bearer beside it")
    if options.user:
        visitor = _from_directory(options, settings)
    elif options.claims:
        visitor = visitor_of(read_claims(options.claims), find_provider(options.provider, settings), settings)
    elif options.via != "session":
        raise CommandError(
            f"--via {options.via} is of somebody: write --user NAME or --claims FILE beside it"
        )
    else:
        return None
    if options.via != "session":
        # How somebody signed in no token says.
        identity = replace(visitor.identity, acr=None)
        visitor = replace(visitor, identity=identity, unknown=visitor.unknown - {"acr"}, via=options.via)
    return replace(visitor, scopes=tuple(options.scope.split()))


def _from_directory(options: argparse.Namespace, settings: Settings) -> Visitor:
    directory = open_directory(options.ini, settings)
    user = find_user(directory, settings, [options.user], options.parser)
    with directory.database.reading() as connection:
        _, left = directory.user_and_last_sign_in(connection, settings.public_url, user.id)
    names = {issuer: name for name, each in settings.providers.items() for issuer in each.user_issuers}
    name = left.provider if left is not None else names.get(user.issuer, "")
    if options.provider or name not in settings.providers:
        name = find_provider(options.provider, settings).name
    identity = Identity(
        id=user.id,
        provider=name,
        issuer=user.issuer,
        subject=user.subject,
        username=user.username,
        email=user.email,
        groups=user.groups,
        organizations=user.organizations,
        claims=left.claims if left is not None else freeze({}),
    )
    barred = "being disabled" if user.disabled else ""
    return Visitor(identity, barred, unknown=_OF_CLAIMS if left is None else frozenset({"acr"}))
