"""The user directory of an INI file, and the user whom an operator names."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.cli.terminal import CommandError, is_text, printable
from oauth2_mw.identity.usernames import name_key, skeleton
from oauth2_mw.session import opening
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.identity.model import User

#: How a command line names a user.
USER_HELP = "a username, an id, or an issuer and a subject (a provider's NAME serves as its issuer)"


class NoDatabaseError(CommandError):
    """A database file that does not exist, because nobody has signed in yet."""


def open_directory(ini: Path, settings: Settings, *, creates: bool = False) -> Directory:
    """Return the directory that the settings name.

    :param creates: whether its file need not exist, if the owner of its folder runs the command.
    :raises CommandError: if they name none.
    :raises NoDatabaseError: if its file does not exist.
    """
    directory = opening.open_directory(settings)
    if directory is None or settings.directory is None:
        raise CommandError(
            f"{ini}: no directory is configured, so that users live in their sessions alone; write a directory, like "
            "directory = sqlite:///users.db, and each sign-in from then on is in it"
        )
    require_database(ini, "directory", settings.directory, creates=creates)
    return directory


def require_database(ini: Path, setting: str, url: Secret, *, creates: bool = False) -> None:
    """Refuse a database that the workers have not created yet: created by a command, it could have the wrong owner.

    :param creates: let the owner of the folder create it.
    :raises NoDatabaseError: if its file does not exist.
    :raises CommandError: if the URL cannot be read.
    """
    from oauth2_mw.sql import address

    try:
        text = url.value()
        path = (address.parse(text).database or "") if text.startswith("sqlite") else None
    except (OSError, ValueError) as error:
        raise CommandError(f"{ini}: {setting}: {error}") from None
    if path is None or Path(path).exists():
        return
    if not creates:
        raise NoDatabaseError(f"{path}: does not exist yet; the first sign-in creates it")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise NoDatabaseError(f"{path}: its folder does not exist; make it, for the server's user")
    if folder.stat().st_uid != os.geteuid():
        raise NoDatabaseError(
            f"{path}: does not exist yet; run this command as the owner of its folder, the server's user, to create it"
        )


def refuse_while_compatible(settings: Settings, why: str) -> None:
    """Refuse a change that workers of the release before would not understand.

    :param why: what they would do.
    :raises CommandError: while the setting ``compatible`` names that release.
    """
    if settings.compatible != "none":
        raise CommandError(
            f"compatible = {settings.compatible}: workers of that release {why}; when the last of them has stopped, "
            "take compatible out and run this again"
        )


def find_user(
    directory: Directory,
    settings: Settings,
    words: Sequence[str],
    parser: argparse.ArgumentParser,
    *,
    exact: bool = False,
) -> User:
    """Return the user whom an operator names.

    :param words: a username or an id; or an issuer, or the NAME of a provider, and a subject.
    :param exact: refuse an earlier name, and one that only looks like a user's: the wrong person must not be met.
    :raises CommandError: if there is no such user, or the one word could mean two users.
    """
    if len(words) > 2:
        parser.error(f"a user is {USER_HELP}")
    name = " ".join(map(printable, words))
    if not all(map(is_text, words)):
        raise CommandError(f"there is no user {name}: it is not text")
    if len(words) == 2:
        user = directory.find(issuer_of(settings, words[0]), words[1])
    else:
        by_id, by_name = directory.get(words[0]), directory.find_by_name(words[0])
        if by_id is not None and by_name is not None and by_id.id != by_name.id:
            both = " and ".join(
                f"{name_and_id(each)}, {printable(each.issuer)} {printable(each.subject)}"
                for each in (by_id, by_name)
            )
            raise CommandError(
                f"{name} is the id of one user and a name of another: {both}; name the issuer and subject"
            )
        user = by_id or by_name
        if user is not None and user is by_name and name_key(user.username) != name_key(words[0]):
            looks_alike = skeleton(user.username) == skeleton(words[0])
            what = "looks like the name" if looks_alike else "is an earlier name"
            if exact:
                raise CommandError(
                    f"{name} {what} of {name_and_id(user)}; if that is who is meant, write the id"
                )
            print(f"note: {name} {what} of {printable(user.username)}", file=sys.stderr)
    if user is None:
        raise CommandError(f"there is no user {name} in the directory; oauth2-mw users list shows all")
    return user


def issuer_of(settings: Settings, word: str) -> str:
    """Return the issuer of the provider whose NAME a word is, or the word itself.

    :raises CommandError: if that provider has several.
    """
    provider = settings.providers.get(word)
    if provider is None:
        return word
    first, *others = provider.user_issuers
    if others:
        issuers = " ".join(provider.user_issuers)
        raise CommandError(
            f"provider {word} has an issuer for each tenant: write the one that is meant of {issuers}"
        )
    return first


def name_and_id(user: User) -> str:
    """Return a user as messages name them."""
    return f"{printable(user.username) or 'a user without a name'} ({user.id})"
