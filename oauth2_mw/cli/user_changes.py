"""Add users by hand, rename them, put them into groups, hand out all that is kept of one, and delete them."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oauth2_mw.audit import audit
from oauth2_mw.cli.directory import (
    USER_HELP,
    NoDatabaseError,
    find_user,
    name_and_id,
    refuse_while_compatible,
)
from oauth2_mw.cli.registry import end_user, format_count, open_registry, session_as_json
from oauth2_mw.cli.terminal import INI_HELP, CommandError, format_duration, printable, shell_word
from oauth2_mw.errors import AccessDeniedError, ProviderError, StoreUnavailableError
from oauth2_mw.identity.verification import address_key, counts_addresses
from oauth2_mw.settings.attribute_path import alternatives
from oauth2_mw.settings.claim_names import EMAIL_CLAIM
from oauth2_mw.settings.model import ProviderSettings, Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.administration import Administration
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.identity.model import User

_SERVICE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_GROUPS, _ORGANIZATIONS = "groups", "organizations"
#: Characters of a group's name and an organization's, and what they are called in messages.
_ONE = {_GROUPS: "group", _ORGANIZATIONS: "organization"}

_Action = Callable[[argparse.Namespace, Settings, "Directory"], None]


def add_user_action(actions: Any, name: str, action: _Action, summary: str) -> argparse.ArgumentParser:
    """Declare an ACTION of ``oauth2-mw users``, which takes an INI file first, and return its parser."""
    command: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    command.add_argument("ini", type=Path, metavar="INI", help=f"{INI_HELP}, which names a directory")
    command.set_defaults(action=action, parser=command, creates=False)
    return command


def add_changes(actions: Any) -> None:
    """Declare the ACTIONs of this module."""
    command = add_user_action(
        actions, "add", _add, "wait for somebody's first sign-in; or a program, for which tokens are made"
    )
    command.add_argument(
        "words",
        nargs="*",
        metavar="PROVIDER SUBJECT",
        help="the provider's NAME or issuer, and the subject that it will sign in; with --email the PROVIDER alone",
    )
    # Where create_users is off, somebody has to be there before anybody can sign in.
    command.set_defaults(creates=True)
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--email", metavar="ADDRESS", help="whoever first signs in with it, verified")
    kind.add_argument("--service", metavar="ID", help="a program's username, like backup or ci-runner")
    command = add_user_action(
        actions, "rename", _rename, "give a user another name; the old one stays theirs"
    )
    command.add_argument("words", nargs="+", metavar="USER NAME", help=f"USER is {USER_HELP}")
    for kind_name in (_GROUPS, _ORGANIZATIONS):
        summary = f"set, add to or take from the {kind_name} of a user"
        changes = actions.add_parser(kind_name, help=summary, description=summary)
        changes = changes.add_subparsers(metavar="CHANGE")
        for change, text, number in (
            ("set", f"these {kind_name} and no others; none: no {_ONE[kind_name]} at all", "*"),
            ("add", f"these {kind_name} as well", "+"),
            ("remove", f"these {kind_name} no more", "+"),
        ):
            command = add_user_action(changes, change, _change, text)
            command.add_argument("user", metavar="USER", help="a username, an id, or a provider's NAME")
            command.add_argument(
                "names",
                nargs=number,
                metavar=_ONE[kind_name].upper(),
                help="behind a provider's NAME or an issuer the subject comes first",
            )
            command.set_defaults(kind=kind_name, change=change)
    command = add_user_action(actions, "export", _export, "all that is kept of a user, as JSON")
    command.add_argument("words", nargs="+", metavar="USER", help=USER_HELP)
    command = add_user_action(
        actions,
        "delete",
        _delete,
        "forget a user: their rows, sessions and tokens; nobody else gets their name",
    )
    command.add_argument("words", nargs="+", metavar="USER", help=USER_HELP)


def _administration(directory: Directory) -> Administration:
    # SQLAlchemy is imported only where there is a directory.
    from oauth2_mw.identity.administration import Administration

    return Administration(directory)


# Adding


def _add(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    refuse_while_compatible(settings, "know no user who has not signed in yet")
    words: Sequence[str] = options.words
    if options.service is not None:
        if words:
            options.parser.error("a program has no PROVIDER: write --service ID alone")
        _add_service(options, settings, directory)
    elif options.email is not None:
        if len(words) > 1:
            options.parser.error("write PROVIDER SUBJECT, or --email ADDRESS and at most a PROVIDER")
        _add_address(options.email, _provider(settings, words), directory)
    elif len(words) == 2:
        _add_pair(words[1], _provider(settings, words[:1]), words[0], directory)
    else:
        options.parser.error("write PROVIDER SUBJECT, --email ADDRESS, or --service ID")


def _provider(settings: Settings, words: Sequence[str]) -> ProviderSettings:
    """Return the provider of that NAME or issuer, or the only one if none is named."""
    known = ", ".join(settings.providers) or "none"
    if not words:
        if len(settings.providers) != 1:
            raise CommandError(
                f"say at which provider the address is verified: write its NAME, one of {known}"
            )
        return next(iter(settings.providers.values()))
    [word] = words
    if word in settings.providers:
        return settings.providers[word]
    for provider in settings.providers.values():
        if word in provider.user_issuers:
            return provider
    raise CommandError(f"no enabled provider has the NAME or issuer {printable(word)}; there are: {known}")


def _add_pair(subject: str, provider: ProviderSettings, word: str, directory: Directory) -> None:
    issuer, *others = provider.user_issuers
    if word in provider.user_issuers:
        issuer = word
    elif others:
        raise CommandError(
            f"provider {provider.name} has an issuer for each tenant: write the one that is meant of "
            f"{' '.join(provider.user_issuers)}"
        )
    try:
        user, is_new = _administration(directory).add_pair(
            issuer, subject, organizations=provider.organization, now=int(time.time())
        )
    except ProviderError as error:
        raise CommandError(error.detail) from None
    pair = f"{printable(issuer)} {printable(subject)}"
    if not is_new:
        raise CommandError(f"{pair} signs in {name_and_id(user)} already")
    _say_added(user, provider, f"the first sign-in of {pair}")


def _add_address(email: str, provider: ProviderSettings, directory: Directory) -> None:
    address = address_key(email)
    if address is None:
        raise CommandError(f"{printable(email)} is not an e-mail address")
    source = provider.attribute_map.get("email")
    if not counts_addresses(provider):
        why = (
            f"email_verified = {provider.email_verified}"
            if provider.email_verified in ("always", "never")
            else "there are several tenants, which each give out their own addresses"
        )
        raise CommandError(
            f"provider {provider.name}: {why}, so that no sign-in there proves whose an address is; write the SUBJECT: "
            f"oauth2-mw users add INI {provider.name} SUBJECT"
        )
    if source is None or all(path.segments != EMAIL_CLAIM for path in alternatives(source)):
        raise CommandError(
            f"provider {provider.name}: the address is not read from the claim email, which alone can be verified; "
            f"write the SUBJECT: oauth2-mw users add INI {provider.name} SUBJECT"
        )
    user, is_new = _administration(directory).add_address(
        provider.user_issuers[0], address, organizations=provider.organization, now=int(time.time())
    )
    if not is_new:
        raise CommandError(f"{name_and_id(user)} has the address {printable(address)} already")
    _say_added(user, provider, f"the first sign-in at {provider.name} that proves the address {address}")


def _say_added(user: User, provider: ProviderSettings, who: str) -> None:
    audit("user_added", provider=provider.name, user=user.id, detail=f"waits for {who}")
    print(f"added {user.id}: {printable(who)} is this user's, and gives the name")


def _add_service(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    if _SERVICE.fullmatch(options.service) is None:
        raise CommandError(
            f"{printable(options.service)} is not a name for a service: write small letters, digits, dots, hyphens "
            "and underscores, 64 at most, the first a letter or a digit"
        )
    try:
        user = directory.add_service(settings.public_url, options.service, now=int(time.time()))
    except AccessDeniedError as error:
        raise CommandError(error.detail) from None
    if user is None:
        raise CommandError(
            f"there is a service {printable(options.service)} already; oauth2-mw users list shows all"
        )
    audit("user_added", user=user.id, username=user.username, detail="a program")
    print(f"added {name_and_id(user)}")
    if settings.allow is not None:
        print(f"allow decides about it too: user:{options.service} lets it in")
    print(
        f"Make it a token: oauth2-mw tokens create {shell_word(options.ini)} --user {options.service} --name NAME"
    )


# Changing


def _rename(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    if len(options.words) not in (2, 3):
        options.parser.error(f"write USER NAME; USER is {USER_HELP}")
    *words, username = options.words
    user = find_user(directory, settings, words, options.parser)
    if not user.username:
        raise CommandError(
            f"{name_and_id(user)}: the first sign-in gives the name; rename the user afterwards"
        )
    try:
        is_done = _administration(directory).rename(user.id, username, now=int(time.time()))
    except AccessDeniedError as error:
        raise CommandError(f"{printable(username)}: {error.detail}") from None
    if not is_done:
        raise _gone(user)
    audit("user_changed", user=user.id, username=username, detail=f"was {user.username}")
    print(f"renamed {name_and_id(user)}: {printable(username)}")
    for name in _providers_of(settings, directory, user):
        if settings.providers[name].always_update:
            print(f"Provider {name} has always_update on: the next sign-in there brings its own name back.")
    _say_sessions(options, user)


def _change(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user, names = _user_and_names(options, settings, directory)
    from oauth2_mw.identity.enrolment import MAX_GROUP, is_group

    kind, change = options.kind, options.change
    for name in names:
        if not is_group(name) or name != name.strip():
            raise CommandError(
                f"{printable(name) or 'an empty text'} is not the name of a {_ONE[kind]}: write 1 to {MAX_GROUP} "
                "characters without a blank around them"
            )
    administration = _administration(directory)
    write = administration.change_groups if kind == _GROUPS else administration.change_organizations
    changes: dict[str, Callable[[set[str]], set[str]]] = {
        "set": lambda _now: names,
        "add": lambda now: now | names,
        "remove": lambda now: now - names,
    }
    left = write(user.id, changes[change], now=int(time.time()))
    if left is None:
        raise _gone(user)
    shown = f"{kind}: {', '.join(left) or 'none'}"
    audit("user_changed", user=user.id, username=user.username or None, detail=shown)
    print(f"{name_and_id(user)} {printable(shown)}")
    for name in _providers_of(settings, directory, user) if kind == _GROUPS else ():
        if settings.providers[name].group_sync == "always":
            print(f"Provider {name} has group_sync = always: the next sign-in there replaces these groups.")
    _say_sessions(options, user)


def _user_and_names(
    options: argparse.Namespace, settings: Settings, directory: Directory
) -> tuple[User, set[str]]:
    """Return the user of the first word, or of the first two if that is a provider, and the words behind."""
    word, names = options.user, list(options.names)
    issuers = (issuer for provider in settings.providers.values() for issuer in provider.user_issuers)
    if word not in settings.providers and word not in (*issuers, settings.public_url):
        return find_user(directory, settings, [word], options.parser), set(names)
    named = directory.find_by_name(word)
    if named is not None:
        raise CommandError(
            f"{printable(word)} is a provider and a name of a user; write the id of the user: {name_and_id(named)}"
        )
    if not names or (options.change != "set" and len(names) < 2):
        options.parser.error(f"behind a provider write the subject, then each {_ONE[options.kind]}")
    return find_user(directory, settings, [word, names[0]], options.parser), set(names[1:])


def _providers_of(settings: Settings, directory: Directory, user: User) -> list[str]:
    """Return the NAMEs of the providers at which a user signs in."""
    issuers = {user.issuer, *(link.issuer for link in directory.links(user.id))}
    return [name for name, provider in settings.providers.items() if issuers & set(provider.user_issuers)]


def _say_sessions(options: argparse.Namespace, user: User) -> None:
    if user.has_signed_in:
        print(
            "Sessions that are open keep what they have until they refresh. To end them: oauth2-mw sessions revoke "
            f"{shell_word(options.ini)} --user={shell_word(user.id)}"
        )


def _gone(user: User) -> CommandError:
    return CommandError(f"{name_and_id(user)} was deleted meanwhile")


# Handing out, and forgetting


def _export(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user = find_user(directory, settings, options.words, options.parser, exact=True)
    kept = _administration(directory).kept(user.id)
    if kept is None:
        raise _gone(user)
    try:
        sessions = open_registry(options.ini, settings, directory).find_by_user(user.id)
    except NoDatabaseError:
        sessions = []
    audit("user_exported", user=user.id, username=user.username or None)
    print(json.dumps({**kept, "sessions": list(map(session_as_json, sessions))}, indent=2))


def _delete(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    refuse_while_compatible(settings, "could give the name to somebody else")
    user = find_user(directory, settings, options.words, options.parser, exact=True)
    now = int(time.time())
    # Out first, so that nobody signs in while the sessions end; and whatever fails, the command can be repeated.
    if user.disabled_since is None:
        directory.set_disabled(user.id, disabled=True, now=now)
    registry, ended = None, 0
    try:
        registry = open_registry(options.ini, settings, directory)
        ended = len(end_user(registry, user.id))
    except NoDatabaseError:
        # Nobody has signed in since sessions were to be there.
        pass
    except StoreUnavailableError as error:
        raise StoreUnavailableError(
            f"{name_and_id(user)} is disabled, and not deleted: the sessions could not be ended: {error.detail}; run "
            "the command again"
        ) from None
    if not _administration(directory).delete(user.id, now=now):
        raise _gone(user)
    audit("user_deleted", user=user.id)
    print(f"deleted {name_and_id(user)}")
    if ended:
        print(f"ended {format_count(ended)}")
    if registry is not None:
        # One that is being created just now, whatever its provider's clock says: the id is never given again.
        registry.end_user(user.id, moment=now + registry.longest)
    print(f"Every worker notices within {format_duration(settings.revocation_sync)}.")
    print("The name stays taken: the same person is given it again, and nobody else.")
    if settings.create_users and user.issuer != settings.public_url:
        print("Whoever may enter can sign in again, as a new user (create_users).")
