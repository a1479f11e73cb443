"""List the users of the directory, add and change them, keep one out or let them in again, link sign-ins."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from oauth2_mw.audit import audit
from oauth2_mw.cli.directory import (
    USER_HELP,
    NoDatabaseError,
    find_user,
    issuer_of,
    name_and_id,
    open_directory,
)
from oauth2_mw.cli.listing import add_list_arguments, check_provider, limited, with_progress
from oauth2_mw.cli.registry import end_user, format_count, open_registry
from oauth2_mw.cli.terminal import (
    CommandError,
    format_duration,
    format_time,
    print_json,
    print_table,
    printable,
    shell_word,
)
from oauth2_mw.cli.user_changes import add_changes, add_user_action
from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.errors import ProviderError, StoreUnavailableError
from oauth2_mw.identity.user_filter import UserFilter
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.identity.model import User


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw users`` takes."""
    actions = parser.add_subparsers(metavar="ACTION")
    for name, action, summary in (
        ("list", _list, "all users, a line each"),
        ("show", _show, "one user: groups, organizations, what signs them in, since when disabled"),
        ("disable", _disable, "keep a user out: their sessions end, and they cannot sign in"),
        ("enable", _enable, "let a disabled user in again"),
        ("link", _link, "take sign-ins of an issuer's subject for those of a user, from now on"),
        ("unlink", _unlink, "undo a link: such sign-ins are no longer those of the user"),
    ):
        command = add_user_action(actions, name, action, summary)
        if name == "link":
            command.add_argument(
                "words",
                nargs="+",
                metavar="USER ISSUER SUBJECT",
                help=f"USER is {USER_HELP}; then the issuer and the subject that are to sign this user in",
            )
        elif name == "unlink":
            command.add_argument("issuer", metavar="ISSUER", help="as it was linked, or a provider's NAME")
            command.add_argument("subject", metavar="SUBJECT", help="as it was linked")
        elif name != "list":
            command.add_argument("words", nargs="+", metavar="USER", help=USER_HELP)
        if name == "list":
            add_list_arguments(command, since="who have signed in")
        if name in ("list", "show"):
            command.add_argument("--json", action="store_true", help="as JSON, for programs")
    add_changes(actions)


def run(options: argparse.Namespace) -> int:
    """Carry out the ACTION.

    :raises CommandError: if there is no directory, no such user, or the change is not possible.
    :raises ConfigError: if the INI file cannot be used.
    :raises StoreUnavailableError: if the directory or the session store cannot be used.
    """
    settings = Settings.from_ini(options.ini)
    options.action(options, settings, open_directory(options.ini, settings, creates=options.creates))
    return 0


# What is printed


def _list(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    check_provider(settings, options.provider)
    matching = UserFilter(
        issuers=settings.providers[options.provider].user_issuers if options.provider is not None else (),
        organization=options.organization,
        group=options.group,
        since=options.since,
    )
    found = directory.users(matching, after=options.after or "")
    users = with_progress(limited(found, options.limit, key=lambda user: user.id), "users")
    if options.json:
        print_json(map(_as_json, users))
        return
    headings = ("id", "username", "name", "email", "groups", "organizations", "disabled since")
    print_table(headings, map(_cells, users))


def _cells(user: User) -> tuple[str, ...]:
    since = user.disabled_since
    texts = user.id, user.username, user.name or "", user.email or ""
    lists = ",".join(user.groups), ",".join(user.organizations)
    return (*texts, *lists, format_time(since) if since is not None else "")


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
        ("identity", f"{user.issuer} {user.subject}" if user.subject else None),
        ("waits for", _waits_for(user)),
        *(
            ("identity", f"{link.issuer} {link.subject} (linked {format_time(link.linked_at)})")
            for link in links
        ),
        ("disabled since", format_time(since) if since is not None else None),
    ]
    for label, value in lines:
        if value is not None:
            print(f"{label + ':':<16}{printable(value)}")


def _waits_for(user: User) -> str | None:
    """Return whose first sign-in an operator has announced, or ``None``."""
    if user.username:
        return None
    return f"{user.issuer} {user.subject or user.email}"


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
        "waiting": not user.username,
    }


# What is changed


def _disable(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user = find_user(directory, settings, options.words, options.parser)
    since = user.disabled_since
    # First the user, then the sessions: no new session begins in between.
    if since is None:
        directory.set_disabled(user.id, disabled=True, now=int(time.time()))
        audit("user_disabled", user=user.id, username=user.username or None)
        print(f"disabled {name_and_id(user)}")
    else:
        print(f"{name_and_id(user)} is disabled already, since {format_time(since)}")
    tokens = PersonalTokens(directory, app=settings.public_url).end_all_of(user.id)
    if tokens:
        print(f"ended {tokens} personal token{'' if tokens == 1 else 's'}")
    ended = _end_sessions(options, settings, directory, user)
    if ended:
        print(f"ended {format_count(ended)}")
    if since is None:
        delay = format_duration(settings.revocation_sync)
        print(
            f"Nobody can sign in as this user from now on. Sessions end within {delay}, on every host that reaches the "
            "directory."
        )


def _end_sessions(options: argparse.Namespace, settings: Settings, directory: Directory, user: User) -> int:
    """End the sessions that would go on if the user were enabled again. Return how many there were."""
    try:
        return len(end_user(open_registry(options.ini, settings, directory), user.id))
    except NoDatabaseError:
        return 0
    except StoreUnavailableError as error:
        raise StoreUnavailableError(
            f"the sessions of {name_and_id(user)} could not be ended: {error.detail}. None of them counts while the "
            f"user is disabled; before you enable the user again: oauth2-mw sessions revoke {shell_word(options.ini)} "
            f"--user={shell_word(user.id)}"
        ) from None


def _enable(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    user = find_user(directory, settings, options.words, options.parser)
    if user.disabled_since is None:
        print(f"{name_and_id(user)} is not disabled")
        return
    directory.set_disabled(user.id, disabled=False, now=int(time.time()))
    audit("user_enabled", user=user.id, username=user.username or None)
    print(f"enabled {name_and_id(user)}")
    delay = format_duration(settings.revocation_sync)
    print(
        f"They can sign in from now on, and use the application within {delay}. The sessions that they had have "
        "ended."
    )


def _link(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    if len(options.words) not in (3, 4):
        options.parser.error(f"write USER ISSUER SUBJECT; USER is {USER_HELP}")
    *words, issuer, subject = options.words
    user = find_user(directory, settings, words, options.parser)
    if user.issuer == settings.public_url:
        raise CommandError(f"{name_and_id(user)} is a program: no sign-in leads to it")
    if not user.subject:
        raise CommandError(f"{name_and_id(user)} has not signed in yet; link the other sign-in afterwards")
    issuer = issuer_of(settings, issuer)
    provider = next((other for other in settings.providers.values() if issuer in other.user_issuers), None)
    if provider is None:
        issuers = ", ".join(
            f"{name} ({' '.join(other.user_issuers)})" for name, other in settings.providers.items()
        )
        raise CommandError(
            f"no enabled provider has the issuer {printable(issuer)}, to the letter; there are: {issuers or 'none'}"
        )
    previous_owner = directory.find(issuer, subject)
    try:
        owner = directory.link(user.id, issuer, subject, now=int(time.time()))
    except ProviderError as error:
        raise CommandError(error.detail) from None
    pair = f"{printable(issuer)} {printable(subject)}"
    if owner is None or owner.id != user.id:
        raise CommandError(_why_not_linked(pair, owner, issuer, subject))
    if previous_owner is not None:
        print(f"{pair} signs in {name_and_id(user)} already")
        return
    audit(
        "user_changed", user=user.id, username=user.username or None, detail=f"linked to {issuer} {subject}"
    )
    print(f"linked {pair}: it signs in {name_and_id(user)} from now on")
    if provider.always_update:
        print(
            f"Provider {provider.name} has always_update on: such a sign-in replaces username, name and address of "
            "this user."
        )


def _unlink(options: argparse.Namespace, settings: Settings, directory: Directory) -> None:
    issuer, subject = issuer_of(settings, options.issuer), options.subject
    pair = f"{printable(issuer)} {printable(subject)}"
    try:
        user_id = directory.unlink(issuer, subject)
    except ProviderError as error:
        raise CommandError(error.detail) from None
    if user_id is None:
        owner = directory.find(issuer, subject)
        if owner is not None:
            raise CommandError(
                f"{pair} is the user {name_and_id(owner)} itself, not a link; nothing was changed"
            )
        raise CommandError(
            f"{pair} is not linked to anybody; oauth2-mw users show tells what is linked to a user"
        )
    owner = directory.get(user_id)
    user_name = name_and_id(owner) if owner is not None else printable(user_id)
    audit("user_changed", user=user_id, detail=f"no longer linked to {issuer} {subject}")
    print(f"unlinked {pair}: it signs in {user_name} no more")
    if owner is not None:
        print(
            "Sessions begun that way go on. To end all sessions of the user: oauth2-mw sessions revoke "
            f"{shell_word(options.ini)} --user={shell_word(user_id)}"
        )


def _why_not_linked(pair: str, owner: User | None, issuer: str, subject: str) -> str:
    if owner is None:
        return "the user was removed from the directory meanwhile"
    if (owner.issuer, owner.subject) != (issuer, subject):
        return f"{pair} is linked to {name_and_id(owner)}, and signs in one user only"
    return (
        f"{pair} is a user of its own: {name_and_id(owner)}. Two users cannot be made one. You can disable that one "
        f"(oauth2-mw users disable), so that this person goes on as the other alone; the name "
        f"{printable(owner.username)} stays with it all the same, because a name once given is never given to another"
    )
