"""List the personal tokens of everybody, make one for a user, and revoke some."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from oauth2_mw.audit import audit
from oauth2_mw.cli.actions import add_actions
from oauth2_mw.cli.directory import find_user, name_and_id, open_directory
from oauth2_mw.cli.terminal import (
    CommandError,
    format_duration,
    format_time,
    print_json,
    print_table,
    printable,
    read_duration,
)
from oauth2_mw.credentials.personal_tokens import MAX_TOKEN_NAME, MAX_TOKENS, OwnedToken, PersonalTokens
from oauth2_mw.credentials.token_sleep import sleep_state
from oauth2_mw.observe import has_hidden
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.sql.personal_tokens import StoredToken


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``oauth2-mw tokens`` takes."""
    actions = (
        ("list", _list, "[--user USER] [--json]", "all tokens, or those of a user, a line each"),
        (
            "create",
            _create,
            "--user USER --name NAME [--path PATH ...] [--lifetime 30d] [--read-only]",
            "make a token for a user, and print it this once",
        ),
        (
            "revoke",
            _revoke,
            "(--token ID ... | --user USER)",
            "end tokens: programs that use them are refused",
        ),
    )
    create = add_actions(parser, actions, thing="token", found_by="has personal_tokens")["create"]
    create.add_argument("--name", required=True, help="what the token is for")
    create.add_argument(
        "--path",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="where it serves, of those in personal_tokens; all of them if none is named",
    )
    create.add_argument(
        "--lifetime", type=read_duration, help="how long, like 30d; personal_token_lifetime if not said"
    )
    create.add_argument("--read-only", action="store_true", help="for reading alone")


def run(options: argparse.Namespace) -> int:
    """Carry out the ACTION.

    :returns: 1 if a token that was named does not exist.
    :raises CommandError: if there are no personal tokens, no such user, or no token can be made.
    :raises ConfigError: if the INI file cannot be used.
    :raises StoreUnavailableError: if the directory cannot be used.
    """
    settings = Settings.from_ini(options.ini)
    directory = open_directory(options.ini, settings)
    if not settings.personal_tokens:
        raise CommandError(
            f"{options.ini}: there are no personal tokens; write in personal_tokens where they serve, like "
            "personal_tokens = /dav/"
        )
    tokens = PersonalTokens(directory, app=settings.public_url)
    code: int = options.action(options, settings, directory, tokens)
    return code


def _list(
    options: argparse.Namespace, settings: Settings, directory: Directory, tokens: PersonalTokens
) -> int:
    found = tokens.all()
    if options.user is not None:
        user = find_user(directory, settings, options.user, options.parser)
        found = [owned for owned in found if owned.token.user_id == user.id]
    now = time.time()
    if options.json:
        print_json(
            {
                "id": token.id,
                "user_id": token.user_id,
                "username": None if owned.owner is None else owned.owner.username,
                "name": token.name,
                "paths": token.paths,
                "read_only": token.read_only,
                "created": token.created_at,
                "expires": token.expires_at,
                "used": token.used_at,
                "sleeps": sleep_state(settings, owned, now=now) or None,
            }
            for owned in found
            for token in (owned.token,)
        )
        return 0
    headings = (
        "id",
        "user",
        "username",
        "name",
        "paths",
        "reads only",
        "made",
        "ends",
        "last used",
        "sleeps",
    )
    print_table(headings, ((*_cells(owned), sleep_state(settings, owned, now=now)) for owned in found))
    return 0


def _cells(owned: OwnedToken) -> tuple[str, ...]:
    token = owned.token
    whose = token.id, token.user_id, "" if owned.owner is None else owned.owner.username
    what = token.name, " ".join(token.paths), "yes" if token.read_only else ""
    used = format_time(token.used_at) if token.used_at is not None else ""
    return (*whose, *what, format_time(token.created_at), format_time(token.expires_at), used)


def _create(
    options: argparse.Namespace, settings: Settings, directory: Directory, tokens: PersonalTokens
) -> int:
    user = find_user(directory, settings, options.user, options.parser)
    if not 0 < len(options.name.strip()) <= MAX_TOKEN_NAME or has_hidden(options.name):
        raise CommandError(f"the name has 1 to {MAX_TOKEN_NAME} characters that can be seen")
    if user.disabled:
        raise CommandError(f"{name_and_id(user)} is disabled: no token of theirs would serve")
    if not user.username:
        raise CommandError(f"{name_and_id(user)} has not signed in yet: no token of theirs would serve")
    allowed = [path.text for path in settings.personal_tokens]
    for path in options.path:
        if path not in allowed:
            raise CommandError(f"{printable(path)} is not in personal_tokens, which has {' '.join(allowed)}")
    lifetime = options.lifetime or settings.personal_token_lifetime
    made = tokens.create(
        user.id,
        name=options.name.strip(),
        paths=tuple(dict.fromkeys(options.path)) or tuple(allowed),
        read_only=options.read_only,
        lifetime=lifetime,
    )
    if made is None:
        raise CommandError(f"{name_and_id(user)} has {MAX_TOKENS} tokens already: revoke some")
    audit(
        "token_created",
        user=user.id,
        username=user.username,
        token=made.id,
        detail=f"by an operator: {options.name.strip()}",
    )
    ends = format_time(int(time.time()) + lifetime)
    # The token alone on the standard output, for a file or a pipe.
    print(f"token {made.id} of {name_and_id(user)}, until {ends}; it is not shown again", file=sys.stderr)
    if user.issuer != settings.public_url:
        seen = format_duration(settings.personal_token_owner_seen)
        print(f"It sleeps while the user has not signed in for {seen}.", file=sys.stderr)
    print(made.text)
    return 0


def _revoke(
    options: argparse.Namespace, settings: Settings, directory: Directory, tokens: PersonalTokens
) -> int:
    code = 0
    if options.user is not None:
        user = find_user(directory, settings, options.user, options.parser)
        ended = _end(directory, tokens, [token.id for token in tokens.of_user(user.id)])
        if not ended:
            print(f"{name_and_id(user)} has no tokens")
    else:
        ids = dict.fromkeys(options.token)
        ended = _end(directory, tokens, ids)
        code = 0 if len(ended) == len(ids) else 1
    if ended:
        print(f"Every worker notices within {format_duration(settings.revocation_sync)}.")
    return code


def _end(directory: Directory, tokens: PersonalTokens, ids: Iterable[str]) -> list[StoredToken]:
    ended = []
    for token_id in ids:
        token = tokens.end(token_id)
        if token is None:
            print(f"there is no token {printable(token_id)}; it may have been revoked", file=sys.stderr)
            continue
        username = _username(directory, token.user_id)
        audit(
            "token_revoked",
            user=token.user_id,
            username=username,
            token=token.id,
            detail=f"by an operator: {token.name}",
        )
        print(f"revoked {token.id} of {printable(username or token.user_id)}: {printable(token.name)}")
        ended.append(token)
    return ended


def _username(directory: Directory, user_id: str) -> str | None:
    user = directory.get(user_id)
    return None if user is None else user.username
