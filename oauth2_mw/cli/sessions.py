"""List the sessions of everybody who is signed in, and end some or all of them."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from oauth2_mw.audit import audit
from oauth2_mw.cli.actions import add_actions
from oauth2_mw.cli.directory import USER_HELP, find_user, issuer_of, name_and_id, open_directory
from oauth2_mw.cli.listing import add_list_arguments, check_provider, limited, with_progress
from oauth2_mw.cli.registry import audited, end_user, format_count, open_registry, session_as_json
from oauth2_mw.cli.terminal import (
    CommandError,
    format_duration,
    format_time,
    print_json,
    print_table,
    printable,
)
from oauth2_mw.identity.model import user_key
from oauth2_mw.identity.user_filter import EVERYBODY, UserFilter
from oauth2_mw.session.cut_offs import EVERY
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
#: The sessions for whose users the directory is asked at once.
_PAGE = 200


@dataclass(frozen=True, slots=True)
class _Context:
    """What every action works with."""

    settings: Settings
    registry: SessionRegistry
    directory: Directory | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw sessions`` takes."""
    actions = (
        ("list", _list, "[OPTIONS]", "all sessions, or those of a user, a line each"),
        (
            "revoke",
            _revoke,
            "(--session ID ... | --user USER | --provider NAME | --all)",
            "end sessions: the people who had them sign in again",
        ),
    )
    added = add_actions(parser, actions, thing="session", found_by="names a directory or a session store")
    add_list_arguments(added["list"], since="that began")
    added["revoke"].add_argument("--provider", metavar="NAME", help="all that began at one provider, at once")
    added["revoke"].add_argument("--all", action="store_true", help="the sessions of everybody, at once")


def run(options: argparse.Namespace) -> int:
    """Carry out the ACTION.

    :returns: 1 if a session that was named does not exist.
    :raises CommandError: if nothing lists the sessions, or there is no such user.
    :raises ConfigError: if the INI file cannot be used.
    :raises StoreUnavailableError: if the store or the directory cannot be used.
    """
    settings = Settings.from_ini(options.ini)
    directory = open_directory(options.ini, settings) if settings.directory is not None else None
    context = _Context(settings, open_registry(options.ini, settings, directory), directory)
    code: int = options.action(options, context)
    return code


# The user who is named


def _find(options: argparse.Namespace, context: _Context) -> tuple[str, str]:
    """Return the id of the user whom an operator names, and the name that messages use."""
    words: Sequence[str] = options.user
    if context.directory is not None:
        user = find_user(context.directory, context.settings, words, options.parser)
        return user.id, name_and_id(user)
    if len(words) > 2:
        options.parser.error(f"a user is {USER_HELP}")
    if len(words) == 2:
        return user_key(issuer_of(context.settings, words[0]), words[1]), " ".join(map(printable, words))
    # Without a directory only sessions know usernames, and two users may have the same one.
    [word] = words
    usernames = {
        session.user_id: session.username
        for session in context.registry.all()
        if word in (session.user_id, session.username, printable(session.username))
    }
    users = [_name_and_id(*each) for each in usernames.items()]
    if len(users) > 1:
        raise CommandError(
            f"{printable(word)} could be any of {', '.join(sorted(users))}; write the id of one"
        )
    if not users:
        raise CommandError(
            f"nobody is signed in as {printable(word)}; oauth2-mw sessions list shows everybody who is"
        )
    return next(iter(usernames)), users[0]


def _name_and_id(user_id: str, username: str) -> str:
    return f"{printable(username)} ({printable(user_id)})"


# What is printed


def _list(options: argparse.Namespace, context: _Context) -> int:
    sessions = with_progress(limited(_listed(options, context), options.limit, key=_id_of), "sessions")
    if options.json:
        print_json(map(session_as_json, sessions))
        return 0
    headings = ("id", "user", "username", "provider", "device", "address", "since", "last seen", "ends")
    print_table(headings, map(_cells, sessions))
    return 0


def _listed(options: argparse.Namespace, context: _Context) -> Iterator[SessionInfo]:
    """Return the sessions that a list shows, in the order of their ids where only a part of them is."""
    check_provider(context.settings, options.provider)
    # With a limit as well, so that the next part is behind this one.
    after = (options.after or "") if options.after is not None or options.limit is not None else None
    if options.user is None:
        sessions: Iterable[SessionInfo] = context.registry.all(after=after)
    else:
        sessions = context.registry.find_by_user(_find(options, context)[0])
        if after is not None:
            sessions = sorted((each for each in sessions if each.id > after), key=_id_of)
    begun = (
        session
        for session in sessions
        if options.provider in (None, session.provider)
        and (options.since is None or session.created_at >= options.since)
    )
    matching = UserFilter(organization=options.organization, group=options.group)
    if matching == EVERYBODY:
        return begun
    if context.directory is None:
        raise CommandError("groups and organizations are in a directory, and none is configured")
    return _of_users(begun, matching, context.directory)


def _of_users(
    sessions: Iterator[SessionInfo], matching: UserFilter, directory: Directory
) -> Iterator[SessionInfo]:
    """Yield the sessions of users who match, of whom the directory is asked a page at a time."""
    while page := list(islice(sessions, _PAGE)):
        found = directory.which({session.user_id for session in page}, matching)
        yield from (session for session in page if session.user_id in found)


def _id_of(session: SessionInfo) -> str:
    return session.id


def _cells(session: SessionInfo) -> tuple[str, ...]:
    names = session.id, session.user_id, session.username, session.provider
    client = session.device or "", session.remote_addr or ""
    times = map(format_time, (session.created_at, session.last_used_at, session.expires_at))
    return (*names, *client, *times)


# What is ended


def _revoke(options: argparse.Namespace, context: _Context) -> int:
    ended, code = 0, 0
    if options.all or options.provider is not None:
        return _cut_off(options, context)
    if options.user is not None:
        user_id, name = _find(options, context)
        ended = len(end_user(context.registry, user_id))
        print(f"ended {format_count(ended)} of {name}")
    else:
        session_ids = dict.fromkeys(options.session)
        ended = _end_each(context.registry, session_ids)
        code = 0 if ended == len(session_ids) else 1
    if ended:
        print(f"Every worker notices within {format_duration(context.settings.revocation_sync)}.")
    return code


def _cut_off(options: argparse.Namespace, context: _Context) -> int:
    """End all sessions that have begun, or those of a provider, by one write."""
    providers, provider = context.settings.providers, options.provider
    if provider is not None and provider not in providers:
        raise CommandError(
            f"there is no enabled provider {printable(provider)}, and no session of such a one counts; there are: "
            f"{', '.join(providers) or 'none'}"
        )
    if context.settings.compatible != "none":
        _end_listed(context.registry, provider)
    moment = context.registry.cut_offs.end(provider or EVERY)
    which = f"all sessions of provider {provider}" if provider is not None else "all sessions"
    shown = f"{which} that began up to {format_time(moment)}"
    audit("sessions_cut_off", provider=provider, detail=shown)
    # One that begins in this second ends as well: whoever goes on from here is not surprised.
    time.sleep(max(moment + 1 - time.time(), 0))
    print(f"ended {shown}")
    print(f"Every worker notices within {format_duration(context.settings.revocation_sync)}.")
    return 0


def _end_listed(registry: SessionRegistry, provider: str | None) -> None:
    """End the sessions one by one, because workers of 0.1.0 know no cut-offs."""
    with audited() as ended:
        ended += (
            session
            for session in registry.all()
            if provider in (None, session.provider) and registry.end(session.id, expires=session.expires_at)
        )


def _end_each(registry: SessionRegistry, session_ids: Iterable[str]) -> int:
    with audited() as ended:
        for session_id in session_ids:
            session = registry.find(session_id) if _ID.fullmatch(session_id) else None
            if session is None or not registry.end(session.id, expires=session.expires_at):
                print(f"there is no session {printable(session_id)}; it may have ended", file=sys.stderr)
                continue
            ended.append(session)
            print(f"ended {session.id} of {_name_and_id(session.user_id, session.username)}")
    return len(ended)
