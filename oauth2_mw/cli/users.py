"""List the users of the directory, keep one out or let them in again, and link and unlink sign-ins."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oauth2_mw.cli.directory import WHO, NoDatabaseError, find_user, issuer_of, named, open_directory
from oauth2_mw.cli.registry import counted, end_user, open_ledger
from oauth2_mw.cli.terminal import CommandError, moment, plain, print_json, row, span, word
from oauth2_mw.errors import ProviderError, StoreUnavailableError
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.identity.model import User


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw users`` takes."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, action, summary in (
        ("list", _list, "all users, a line each"),
        ("show", _show, "one user: groups, organizations, what signs them in, since when disabled"),
        ("disable", _disable, "keep a user out: their sessions end, and they cannot sign in"),
        ("enable", _enable, "let a disabled user in again"),
        ("link", _link, "take sign-ins of an issuer's subject for those of a user, from now on"),
        ("unlink", _unlink, "undo a link: such sign-ins are no longer those of the user"),
    ):
        command = actions.add_parser(name, help=summary, description=summary)
        command.add_argument(
            "ini",
            type=Path,
            metavar="INI",
            help="the file with the section [oauth2_mw] that names a directory",
        )
        command.set_defaults(action=action, parser=command)
        if name == "link":
            command.add_argument(
                "words",
                nargs="+",
                metavar="USER ISSUER SUBJECT",
                help=f"USER is {WHO}; then the issuer and the subject that are to sign this user in",
            )
        elif name == "unlink":
            command.add_argument("issuer", metavar="ISSUER", help="as it was linked, or a provider's NAME")
            command.add_argument("subject", metavar="SUBJECT", help="as it was linked")
        elif name != "list":
            command.add_argument("words", nargs="+", metavar="USER", help=WHO)
        if name in ("list", "show"):
            command.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """Do what the ACTION says.

    :raises Refusal: when there is no directory, no such user, or it cannot be done.
    :raises ConfigError: when the INI file cannot be used.
    :raises StoreUnavailable: when the directory or the session store cannot be used.
    """
    settings = Settings.from_ini(options.ini)
    options.action(options, settings, open_directory(options.ini, settings))
    return 0


# What is printed


def _list(options: argparse.Namespace, _settings: Settings, directory: Directory) -> None:
    if options.json:
        print_json(map(_as_json, directory.users()))
        return
    print(row("id", "username", "name", "email", "groups", "organizations", "disabled since"))
    for user in directory.users():
        since = user.disabled_since
        texts = user.id, user.username, user.name or "", user.email or ""
        lists = ",".join(user.groups), ",".join(user.organizations)
        print(row(*texts, *lists, moment(since) if since is not None else ""))


def _show(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user = find_user(directory, settings, options.words, options.parser)
    links = directory.links(user.id)
    if options.json:
        linked = [
            {"issuer": link.issuer, "subject": link.subject, "linked_at": link.linked_at} for link in links
        ]
        print(json.dumps({**_as_json(user), "links": linked}, indent=2))
        return
    since = user.disabled_since
    lines = [
        ("id", user.id),
        ("username", user.username),
        ("name", user.name),
        ("email", user.email),
        ("phone", user.phone),
        ("comment", user.comment),
        *(("group", group) for group in user.groups),
        *(("organization", organization) for organization in user.organizations),
        ("identity", f"{user.issuer} {user.subject}"),
        *(("identity", f"{link.issuer} {link.subject} (linked {moment(link.linked_at)})") for link in links),
        ("disabled since", moment(since) if since is not None else None),
    ]
    for what, value in lines:
        if value is not None:
            print(f"{what + ':':<16}{plain(value)}")


def _as_json(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "issuer": user.issuer,
        "subject": user.subject,
        "username": user.username,
        "name": user.name,
        "email": user.email,
        "phone": user.phone,
        "comment": user.comment,
        "groups": user.groups,
        "organizations": user.organizations,
        "disabled_since": user.disabled_since,
    }


# What is changed


def _disable(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user = find_user(directory, settings, options.words, options.parser)
    before = user.disabled_since
    # First the user, then the sessions: nobody makes a new one in between.
    if before is None:
        directory.set_disabled(user.id, disabled=True, now=int(time.time()))
        print(f"disabled {named(user)}")
    else:
        print(f"{named(user)} is disabled already, since {moment(before)}")
    ended = _end_sessions(options, settings, directory, user)
    if ended:
        print(f"ended {counted(ended)}")
    if before is None:
        print(
            f"Nobody can sign in as this user from now on. Sessions end within {span(settings.revocation_sync)}, on "
            "every host that reaches the directory."
        )


def _end_sessions(options: argparse.Namespace, settings: Settings, directory: Directory, user: User) -> int:
    """End what would go on when the user is enabled again; how many that were."""
    try:
        return len(end_user(open_ledger(options.ini, settings, directory), user.id))
    except NoDatabaseError:
        return 0
    except StoreUnavailableError as error:
        raise StoreUnavailableError(
            f"the sessions of {named(user)} could not be ended: {error.detail}. None of them counts while the user is "
            f"disabled; before you enable the user again: oauth2-mw sessions revoke {word(options.ini)} "
            f"--user={word(user.id)}"
        ) from None


def _enable(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user = find_user(directory, settings, options.words, options.parser)
    if user.disabled_since is None:
        print(f"{named(user)} is not disabled")
        return
    directory.set_disabled(user.id, disabled=False, now=int(time.time()))
    print(f"enabled {named(user)}")
    print(
        f"They can sign in from now on, and use the application within {span(settings.revocation_sync)}. The sessions "
        "that they had have ended."
    )


def _link(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    if len(options.words) not in (3, 4):
        options.parser.error(f"write USER ISSUER SUBJECT; USER is {WHO}")
    *words, issuer, subject = options.words
    user = find_user(directory, settings, words, options.parser)
    issuer = issuer_of(settings, issuer)
    provider = next((other for other in settings.providers.values() if other.user_issuer == issuer), None)
    if provider is None:
        known = ", ".join(f"{name} ({other.user_issuer})" for name, other in settings.providers.items())
        raise CommandError(
            f"no enabled provider signs people in for the issuer {plain(issuer)}; there is {known or 'none'}. It "
            "must be the same to the letter"
        )
    before = directory.find(issuer, subject)
    try:
        owner = directory.link(user.id, issuer, subject, now=int(time.time()))
    except ProviderError as error:
        raise CommandError(error.detail) from None
    pair = f"{plain(issuer)} {plain(subject)}"
    if owner is None or owner.id != user.id:
        raise CommandError(_taken(pair, owner, issuer, subject))
    if before is not None:
        print(f"{pair} signs in {named(user)} already")
        return
    print(f"linked {pair}: it signs in {named(user)} from now on")
    if provider.always_update:
        print(
            f"Provider {provider.name} has always_update on: such a sign-in replaces username, name and address of "
            "this user."
        )


def _unlink(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    issuer, subject = issuer_of(settings, options.issuer), options.subject
    pair = f"{plain(issuer)} {plain(subject)}"
    try:
        user_id = directory.unlink(issuer, subject)
    except ProviderError as error:
        raise CommandError(error.detail) from None
    if user_id is None:
        owner = directory.find(issuer, subject)
        if owner is not None:
            raise CommandError(f"{pair} is the user {named(owner)} itself, and no link; nothing was changed")
        raise CommandError(
            f"{pair} is not linked to anybody; oauth2-mw users show tells what is linked to a user"
        )
    owner = directory.get(user_id)
    print(f"unlinked {pair}: it signs in {named(owner) if owner is not None else plain(user_id)} no more")
    if owner is not None:
        print(
            "Who signed in that way goes on until the session ends. To end all sessions of the user: oauth2-mw "
            f"sessions revoke {word(options.ini)} --user={word(user_id)}"
        )


def _taken(pair: str, owner: User | None, issuer: str, subject: str) -> str:
    if owner is None:
        return "the user was removed from the directory meanwhile"
    if (owner.issuer, owner.subject) != (issuer, subject):
        return f"{pair} is linked to {named(owner)}, and signs in one user only"
    return (
        f"{pair} is a user of its own: {named(owner)}. Two users cannot be made one. You can disable that one "
        f"(oauth2-mw users disable), so that this person goes on as the other alone; the name {plain(owner.username)} "
        "stays with it all the same, because a name once given is never given to another"
    )
