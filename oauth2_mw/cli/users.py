"""List the users of the directory, keep one out or let them in again, and link sign-ins."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from oauth2_mw.cli.people import WHO, find_user, issuer_of, named, open_directory
from oauth2_mw.cli.terminal import Refusal, moment, plain, row, span
from oauth2_mw.errors import ProviderError
from oauth2_mw.identity.directory import Directory, User
from oauth2_mw.settings.ini import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw users`` takes."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, action, summary in (
        ("list", _list, "all users, a line each"),
        ("show", _show, "one user: groups, organizations, what signs them in, since when disabled"),
        ("disable", _disable, "keep a user out: their sessions end, and they cannot sign in"),
        ("enable", _enable, "let a disabled user in again"),
        ("link", _link, "take sign-ins of an issuer's subject for those of a user, from now on"),
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
        elif name != "list":
            command.add_argument("words", nargs="+", metavar="USER", help=WHO)
        if name in ("list", "show"):
            command.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """Do what the ACTION says.

    :raises Refusal: when there is no directory, no such user, or it cannot be done.
    :raises ConfigError: when the INI file cannot be used.
    :raises StoreUnavailable: when the directory cannot be used.
    """
    settings = Settings.from_ini(options.ini)
    options.action(options, settings, open_directory(options.ini, settings))
    return 0


# What is printed


def _list(options: argparse.Namespace, _settings: Settings, directory: Directory) -> None:
    if options.json:
        before = "[\n"
        for user in directory.users():
            print(before, json.dumps(_as_json(user)), sep="", end="")
            before = ",\n"
        print("[]" if before == "[\n" else "\n]")
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
    if user.disabled_since is not None:
        print(f"{named(user)} is disabled already, since {moment(user.disabled_since)}")
        return
    directory.set_disabled(user.id, disabled=True, now=int(time.time()))
    print(f"disabled {named(user)}")
    print(
        f"Nobody can sign in as this user from now on. Sessions end within {span(settings.revocation_sync)}, on every "
        "host that reaches the directory."
    )


def _enable(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user = find_user(directory, settings, options.words, options.parser)
    if user.disabled_since is None:
        print(f"{named(user)} is not disabled")
        return
    directory.set_disabled(user.id, disabled=False, now=int(time.time()))
    print(f"enabled {named(user)}")
    print(
        f"They can sign in from now on, and use the application within {span(settings.revocation_sync)}. A session "
        "from before that no browser has lost meanwhile goes on."
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
        raise Refusal(
            f"no enabled provider signs people in for the issuer {plain(issuer)}; there is {known or 'none'}. It "
            "must be the same to the letter"
        )
    before = directory.find(issuer, subject)
    try:
        owner = directory.link(user.id, issuer, subject, now=int(time.time()))
    except ProviderError as error:
        raise Refusal(error.detail) from None
    pair = f"{plain(issuer)} {plain(subject)}"
    if owner is None or owner.id != user.id:
        raise Refusal(_taken(pair, owner, issuer, subject))
    if before is not None:
        print(f"{pair} signs in {named(user)} already")
        return
    print(f"linked {pair}: it signs in {named(user)} from now on")
    if provider.always_update:
        print(
            f"Provider {provider.name} has always_update on: such a sign-in replaces username, name and address of "
            "this user."
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
