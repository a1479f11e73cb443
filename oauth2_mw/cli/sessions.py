"""List the sessions of everybody who is signed in, and end some or all of them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.cli.directory import WHO, find_user, issuer_of, named, open_directory
from oauth2_mw.cli.registry import counted, end_user, open_ledger, told
from oauth2_mw.cli.terminal import CommandError, moment, plain, print_json, row, span
from oauth2_mw.identity.model import user_key
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the sessions are that a command is about."""

    settings: Settings
    ledger: SessionRegistry
    directory: Directory | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw sessions`` takes."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, action, words, summary in (
        ("list", _list, "[--user USER] [--json]", "all sessions, or those of a user, a line each"),
        (
            "revoke",
            _revoke,
            "(--session ID ... | --user USER | --all)",
            "end sessions: whoever had them signs in again",
        ),
    ):
        # Behind an option with several words the file would be taken for one more of them.
        usage = f"%(prog)s [-h] INI {words}"
        command = actions.add_parser(name, help=summary, description=summary, usage=usage)
        command.add_argument(
            "ini",
            type=Path,
            metavar="INI",
            help="the file with the section [oauth2_mw] that names a directory or a session store",
        )
        command.set_defaults(action=action, parser=command)
        meant = command.add_mutually_exclusive_group(required=True) if name == "revoke" else command
        meant.add_argument(
            "--user",
            nargs="+",
            metavar="USER",
            help=f"the sessions of this user: {WHO}; one that begins with a dash as --user=USER",
        )
        if name == "list":
            command.add_argument("--json", action="store_true", help="as JSON, for programs")
        else:
            meant.add_argument(
                "--session",
                nargs="+",
                action="extend",
                metavar="ID",
                help="these sessions, by the ids that the list shows",
            )
            meant.add_argument("--all", action="store_true", help="the sessions of everybody")


def run(options: argparse.Namespace) -> int:
    """Do what the ACTION says.

    :returns: 1 when a session that was named is not there.
    :raises Refusal: when nothing lists the sessions, or there is no such user.
    :raises ConfigError: when the INI file cannot be used.
    :raises StoreUnavailable: when the store or the directory cannot be used.
    """
    settings = Settings.from_ini(options.ini)
    directory = open_directory(options.ini, settings) if settings.directory is not None else None
    place = _Place(settings, open_ledger(options.ini, settings, directory), directory)
    code: int = options.action(options, place)
    return code


# Which user is meant


def _find(options: argparse.Namespace, place: _Place) -> tuple[str, str]:
    """The id of the user whom an operator means, and how messages call them."""
    words: Sequence[str] = options.user
    if place.directory is not None:
        user = find_user(place.directory, place.settings, words, options.parser)
        return user.id, named(user)
    if len(words) > 2:
        options.parser.error(f"a user is {WHO}")
    if len(words) == 2:
        return user_key(issuer_of(place.settings, words[0]), words[1]), " ".join(map(plain, words))
    # Nobody but the sessions themselves knows names, and two users may have one.
    [word] = words
    found = {
        entry.user_id: entry.username
        for entry in place.ledger.all()
        if word in (entry.user_id, entry.username, plain(entry.username))
    }
    people = [_named(*one) for one in found.items()]
    if len(people) > 1:
        raise CommandError(f"{plain(word)} could be any of {', '.join(sorted(people))}; write the id of one")
    if not people:
        raise CommandError(f"nobody is signed in as {plain(word)}; oauth2-mw sessions list shows all who are")
    return next(iter(found)), people[0]


def _named(user_id: str, username: str) -> str:
    return f"{plain(username)} ({plain(user_id)})"


# What is printed


def _list(options: argparse.Namespace, place: _Place) -> int:
    entries: Iterable[SessionInfo] = place.ledger.all()
    if options.user is not None:
        entries = place.ledger.entries(_find(options, place)[0])
    if options.json:
        print_json(
            {
                "id": entry.id,
                "user_id": entry.user_id,
                "username": entry.username,
                "provider": entry.provider,
                "device": entry.device,
                "address": entry.remote_addr,
                "created": entry.created_at,
                "seen": entry.last_used_at,
                "expires": entry.expires_at,
            }
            for entry in entries
        )
        return 0
    print(row("id", "user", "username", "provider", "device", "address", "since", "last seen", "ends"))
    for entry in entries:
        who = entry.user_id, entry.username, entry.provider
        times = moment(entry.created_at), moment(entry.last_used_at), moment(entry.expires_at)
        print(row(entry.id, *who, entry.device or "", entry.remote_addr or "", *times))
    return 0


# What is ended


def _revoke(options: argparse.Namespace, place: _Place) -> int:
    ended, code = 0, 0
    if options.all:
        ended = _end_all(place.ledger)
    elif options.user is not None:
        user_id, name = _find(options, place)
        ended = len(end_user(place.ledger, user_id))
        print(f"ended {counted(ended)} of {name}")
    else:
        wanted = dict.fromkeys(options.session)
        ended = _end_each(place.ledger, wanted)
        code = 0 if ended == len(wanted) else 1
    if ended:
        print(f"Every worker notices within {span(place.settings.revocation_sync)}.")
    return code


def _end_all(ledger: SessionRegistry) -> int:
    with told() as ended:
        for entry in ledger.all():
            if ledger.end(entry.id, expires=entry.expires_at):
                ended.append(entry)
    people = len({entry.user_id for entry in ended})
    print(f"ended {counted(len(ended))} of {people} {'user' if people == 1 else 'users'}")
    return len(ended)


def _end_each(ledger: SessionRegistry, wanted: Iterable[str]) -> int:
    with told() as ended:
        for word in wanted:
            entry = ledger.entry(word) if _ID.fullmatch(word) else None
            if entry is None or not ledger.end(entry.id, expires=entry.expires_at):
                print(f"there is no session {plain(word)}; it may have ended", file=sys.stderr)
                continue
            ended.append(entry)
            print(f"ended {entry.id} of {_named(entry.user_id, entry.username)}")
    return len(ended)
