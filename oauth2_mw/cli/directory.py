"""The directory of an INI file, and which of its users an operator means."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.cli.terminal import CommandError, plain
from oauth2_mw.identity.usernames import name_key
from oauth2_mw.session import opening
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.identity.model import User

#: How users are named on a command line.
WHO = "a username, an id, or an issuer and a subject (a provider's NAME serves as its issuer)"


class NoDatabaseError(CommandError):
    """A database that nobody has signed in to yet."""


def open_directory(ini: Path, settings: Settings) -> Directory:
    """The directory that the settings name.

    :raises Refusal: when they name none.
    :raises NotThere: when its file is not there: whoever made it now would own it.
    """
    directory = opening.open_directory(settings)
    if directory is None or settings.directory is None:
        raise CommandError(
            f"{ini}: no directory is configured, so that users live in their sessions alone; write a directory, like "
            "directory = sqlite:///users.db, and each sign-in from then on is in it"
        )
    refuse_absent(ini, "directory", settings.directory)
    return directory


def refuse_absent(ini: Path, setting: str, url: Secret) -> None:
    """Leave it to the workers to make the database of a setting.

    :raises NotThere: when they have not yet.
    :raises Refusal: when the URL cannot be read.
    """
    from oauth2_mw.sql import address

    try:
        text = url.value()
        path = (address.parse(text).database or "") if text.startswith("sqlite") else None
    except (OSError, ValueError) as error:
        raise CommandError(f"{ini}: {setting}: {error}") from None
    if path is not None and not Path(path).exists():
        raise NoDatabaseError(f"{path}: is not there yet; the first sign-in makes it")


def find_user(
    directory: Directory, settings: Settings, words: Sequence[str], parser: argparse.ArgumentParser
) -> User:
    """The user whom an operator means.

    :param words: a username or an id; or an issuer, or the name of a provider, and a subject.
    :raises Refusal: when there is none, or the one word could mean two.
    """
    if len(words) > 2:
        parser.error(f"a user is {WHO}")
    shown = " ".join(map(plain, words))
    if any(map(_broken, words)):
        raise CommandError(f"there is no user {shown}: it is not text")
    if len(words) == 2:
        found = directory.find(issuer_of(settings, words[0]), words[1])
    else:
        by_id, by_name = directory.get(words[0]), directory.named(words[0])
        if by_id is not None and by_name is not None and by_id.id != by_name.id:
            both = " and ".join(
                f"{named(user)}, {plain(user.issuer)} {plain(user.subject)}" for user in (by_id, by_name)
            )
            raise CommandError(
                f"{shown} is the id of one user and a name of another: {both}; name the issuer and subject"
            )
        found = by_id or by_name
        if found is not None and found is by_name and name_key(found.username) != name_key(words[0]):
            print(f"note: {shown} is an earlier name of {plain(found.username)}", file=sys.stderr)
    if found is None:
        raise CommandError(f"there is no user {shown} in the directory; oauth2-mw users list shows all")
    return found


def _broken(word: str) -> bool:
    """Whether a word of the command line was no text in its encoding: no name of anybody is like that."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return True
    return False


def issuer_of(settings: Settings, word: str) -> str:
    """The issuer that a word names: a provider's, by its NAME, or the word itself."""
    provider = settings.providers.get(word)
    return provider.user_issuer if provider is not None else word


def named(user: User) -> str:
    """A user as messages call them."""
    return f"{plain(user.username)} ({user.id})"
