"""The command ``oauth2-mw access``: say what happens to a request, and which line of the INI file decides.

It asks no provider, and looks a user up in the directory only when one is named.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from oauth2_mw.access.rules import AccessRules, Rule
from oauth2_mw.access.terms import Person, holds
from oauth2_mw.cli.directory import find_user, open_directory
from oauth2_mw.cli.terminal import INI_HELP, CommandError, printable
from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.identity.mapping import map_claims
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.identity.person import person_of, shown_person
from oauth2_mw.identity.verification import check_username_verified
from oauth2_mw.settings.access_rules import EFFECTS, VIA
from oauth2_mw.settings.deployment import split_name
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.web.signin.step_up import demand_of

#: The fields of terms that read the claims of a sign-in.
_OF_CLAIMS = frozenset({"claim", "email", "email_domain", "acr"})


@dataclass(frozen=True, slots=True)
class _Visitor:
    """Somebody who has signed in, or tries to."""

    identity: Identity
    #: why they cannot, or an empty text
    barred: str = ""
    #: the fields of terms that read what is not known of them
    unknown: frozenset[str] = frozenset()
    #: what says who they are, as the term ``via:`` has it, and the scopes of an access token
    via: str = "session"
    scopes: tuple[str, ...] = ()

    def person(self, provider: ProviderSettings | None) -> Person:
        """Return what the rules judge by."""
        return person_of(self.identity, provider, via=self.via, scopes=self.scopes)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw access``."""
    parser.add_argument("ini", type=Path, metavar="INI", help=INI_HELP)
    parser.add_argument(
        "path", metavar="PATH", help="as a browser requests it, below the mount: /admin/users"
    )
    parser.add_argument("--method", default="GET", metavar="M", help="of the request (default: GET)")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", metavar="NAME", help="somebody in the directory, by name or id")
    who.add_argument("--claims", type=Path, metavar="FILE", help="somebody with the claims of a JSON file")
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
    rules = AccessRules(
        settings.rules,
        public_paths=settings.public_paths,
        protect=settings.protect,
        odd_paths=settings.odd_paths,
    )
    rule = rules.find_all(native, [options.method])
    lines = _lines(options.ini, settings)
    for text in rule.written:
        where = f"line {lines[text]}: " if text in lines else ""
        print(f"  decided by {where}{text}")
    outcome = _outcome(rule, visitor, settings)
    if visitor is not None and rule.effect not in ("public", "denied"):
        outcome = _serves_nowhere(visitor, None if rule.is_odd else native, settings) or outcome
    print(f"  {outcome}")
    unknown = sorted({term.field for term in rule.terms()} & visitor.unknown) if visitor is not None else ()
    if unknown:
        print(f"  A sign-in alone tells what {', '.join(unknown)} reads: write its claims into --claims FILE")
    return 0


def _outcome(rule: Rule, visitor: _Visitor | None, settings: Settings) -> str:
    if rule.is_odd and rule.effect == "denied":
        return (
            "refused with 404: the rule is stricter than the last one or than a sign-in, and this path may lead to it; "
            "if the application has such paths, name their subtree in odd_paths"
        )
    match rule.effect:
        case "public":
            return "passes: nobody needs to be signed in, and the application is told of nobody"
        case "denied":
            return "refused with 403, whoever asks"
    delegated = (
        f"; with an Authorization of {' '.join(settings.app_schemes)} it passes as nobody"
        if rule.effect == "delegated"
        else ""
    )
    if visitor is None:
        if rule.effect == "optional":
            return "passes as nobody: the application decides"
        return f"is asked to sign in (a program gets 401){delegated}"
    identity = visitor.identity
    name = printable(identity.username)
    if visitor.barred:
        outcome = "passes as nobody" if rule.effect == "optional" else "does not pass"
        return f"{outcome}: {name} cannot sign in, {visitor.barred}{delegated}"
    provider = settings.providers.get(identity.provider)
    known = shown_person(identity, rule.terms())
    person = visitor.person(provider)
    if rule.has_conditions and not rule.lets_pass(person):
        if scopes := rule.scopes_for(person) if visitor.via == "bearer" else ():
            return f"the access token of {name} is refused with 403: it needs the scope {' '.join(scopes)}{delegated}"
        demand = None
        if provider is not None and visitor.via == "session":
            demand = demand_of(rule, identity, provider, now=time.time())
        if demand is not None:
            wanted = printable(" or ".join(demand.acr_values))
            return (
                f"{name} is sent to sign in once more for acr {wanted}, and refused with 403 without it, as programs "
                f"are ({known}){delegated}"
            )
        return f"{name} is refused with 403 ({known}){delegated}"
    return f"passes as {name}{f' ({known})' if known else ''}{delegated}"


def _serves_nowhere(visitor: _Visitor, path: str | None, settings: Settings) -> str:
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


def _visitor(options: argparse.Namespace, settings: Settings) -> _Visitor | None:
    if options.scope and options.via != "bearer":
        raise CommandError("--scope is of an access token: write --via bearer beside it")
    if options.user:
        visitor = _from_directory(options, settings)
    elif options.claims:
        visitor = _from_claims(options.claims, _provider(options, settings), settings)
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


def _provider(options: argparse.Namespace, settings: Settings) -> ProviderSettings:
    name = options.provider or next(iter(settings.providers), "")
    if name not in settings.providers:
        raise CommandError(f"{options.ini}: there is no enabled provider {printable(name)}")
    return settings.providers[name]


def _from_directory(options: argparse.Namespace, settings: Settings) -> _Visitor:
    directory = open_directory(options.ini, settings)
    user = find_user(directory, settings, [options.user], options.parser)
    with directory.database.reading() as connection:
        _, left = directory.user_and_last_sign_in(connection, settings.public_url, user.id)
    names = {issuer: name for name, each in settings.providers.items() for issuer in each.user_issuers}
    name = left.provider if left is not None else names.get(user.issuer, "")
    if options.provider or name not in settings.providers:
        name = _provider(options, settings).name
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
    return _Visitor(identity, barred, unknown=_OF_CLAIMS if left is None else frozenset({"acr"}))


def _from_claims(file: Path, provider: ProviderSettings, settings: Settings) -> _Visitor:
    claims = _read_claims(file)
    attributes = map_claims(provider, claims)
    check_username_verified(provider, claims)
    acr = claims.get("acr")
    identity = Identity(
        id="",
        provider=provider.name,
        issuer=provider.user_issuers[0],
        subject="",
        username=attributes.username,
        email=attributes.email,
        groups=attributes.groups,
        organizations=provider.organization if settings.directory is not None else (),
        acr=acr if isinstance(acr, str) else None,
        claims=freeze(claims),
    )
    allow = provider.allow
    may_enter = allow is None or holds(allow.alternatives(), person_of(identity, provider))
    return _Visitor(
        identity, "" if may_enter else f"because no term of allow applies ({printable(str(allow))})"
    )


def _read_claims(path: Path) -> dict[str, Any]:
    try:
        claims = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path}: is not JSON: {error}") from None
    if not isinstance(claims, Mapping):
        raise CommandError(f"{path}: claims are a JSON object")
    return dict(claims)


def _lines(ini: Path, settings: Settings) -> dict[str, int]:
    """Return the number of the line on which each text begins that a decision may name, as far as it is in the file."""
    lines = {}
    rules = [rule.text for rule in settings.rules]
    file, own = split_name(ini) or (ini, "")
    inline = own if ":" in own else f"filter:{own}"
    for section, key, number, written in _written(file):
        words = written.split()
        text = " ".join(words)
        if own and section == f"[{inline}]":
            section, key = ("[access]", "rules") if key == "access.rules" else ("[oauth2_mw]", key)
        match section, key:
            case "[access]", "rules" if words and words[0] in EFFECTS:
                if rules and f"{rules[0]} ".startswith(f"{text} "):
                    lines[rules.pop(0)] = number
            case "[oauth2_mw]", "public_paths":
                lines.update({f"public_paths = {word}": number for word in words})
            case "[oauth2_mw]", "protect":
                lines[f"protect = {text}"] = number
    return lines


def _written(ini: Path) -> Iterator[tuple[str, str, int, str]]:
    """Yield section, key, number and value of each line that is no comment."""
    section = key = ""
    lines = ini.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith(("#", ";")):
            continue
        if line.startswith("["):
            section, key = line.partition("]")[0] + "]", ""
        elif line[:1].strip():
            key, _, line = line.partition("=")
        yield section, key.strip(), number, line
