"""The personal tokens of one application: made, listed, looked up and ended, for all workers alike.

A token is stored by its hash, so that whoever reads the database cannot use it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from time import time
from typing import TYPE_CHECKING

from oauth2_mw.credentials.token_text import TokenText

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from oauth2_mw.identity.directory import Directory
    from oauth2_mw.identity.last_sign_ins import LastSignIn
    from oauth2_mw.identity.model import User
    from oauth2_mw.sql.personal_tokens import StoredToken

#: Tokens that one user may have at a time.
MAX_TOKENS = 50
#: Characters of a token's name.
MAX_TOKEN_NAME = 100


@dataclass(frozen=True, slots=True)
class OwnedToken:
    """A token, and what is known of its owner."""

    token: StoredToken
    #: ``None`` if the user is gone
    owner: User | None
    #: ``None`` if no sign-in of theirs was written down
    last_sign_in: LastSignIn | None


class PersonalTokens:
    """The tokens of one application, in its directory's database.

    :param app: ``public_url``.
    :param clock: seconds since the epoch.

    Every operation is one transaction and raises :class:`~oauth2_mw.errors.StoreUnavailableError` if the database
    cannot be used.
    """

    def __init__(self, directory: Directory, *, app: str, clock: Callable[[], float] = time) -> None:
        # SQLAlchemy is there where a directory is.
        from oauth2_mw.sql.personal_tokens import PersonalTokenTable

        self._directory = directory
        self._database = directory.database
        self._app = app
        self._clock = clock
        self._table = PersonalTokenTable(self._database, app=app)

    def create(
        self, user_id: str, *, name: str, paths: tuple[str, ...], read_only: bool, lifetime: int
    ) -> TokenText | None:
        """Make a token and return it, this once, or ``None`` if the user has too many already.

        :param name: what its owner calls it.
        :param paths: where it serves, as path rules.
        :param lifetime: seconds.
        """
        from oauth2_mw.sql.personal_tokens import StoredToken

        made, now = TokenText.make(), int(self._clock())
        token = StoredToken(
            made.id, user_id, made.digest, name, paths, read_only, created_at=now, expires_at=now + lifetime
        )
        with self._database.writing() as connection:
            alive = [each for each in self._table.of_user(connection, user_id) if each.expires_at > now]
            if len(alive) >= MAX_TOKENS:
                return None
            self._table.add(connection, token)
        return made

    def of_user(self, user_id: str) -> list[StoredToken]:
        """Return the tokens of a user, the newest first, with those that ran out a short while ago."""
        with self._database.reading() as connection:
            return self._table.of_user(connection, user_id)

    def owner_seen_at(self, user_id: str) -> int | None:
        """Return when a user was last seen, in seconds since the epoch, or ``None`` if that was not written down."""
        with self._database.reading() as connection:
            _, last_sign_in = self._directory.user_and_last_sign_in(connection, self._app, user_id)
        return None if last_sign_in is None else last_sign_in.seen_at

    def all(self) -> list[OwnedToken]:
        """Return the tokens of everybody, the newest first, with those that ran out a short while ago."""
        with self._database.reading() as connection:
            return [self._owned(connection, token) for token in self._table.all(connection)]

    def look_up(self, text: TokenText) -> OwnedToken | None:
        """Return the token that a program has sent, or ``None`` if there is none like it."""
        with self._database.reading() as connection:
            token = self._table.find(connection, text.id)
            if token is None or not compare_digest(token.digest, text.digest):
                return None
            return self._owned(connection, token)

    def _owned(self, connection: Connection, token: StoredToken) -> OwnedToken:
        owner, last_sign_in = self._directory.user_and_last_sign_in(connection, self._app, token.user_id)
        return OwnedToken(token, owner, last_sign_in)

    def note_use(self, token_id: str) -> bool:
        """Write down that a token is in use, at most once a minute. Return whether anything was written."""
        with self._database.writing() as connection:
            return self._table.note_use(connection, token_id, now=int(self._clock()))

    def end(self, token_id: str, *, user_id: str | None = None) -> StoredToken | None:
        """End a token and return it, or ``None`` if there is none like it.

        :param user_id: whose it must be.
        """
        with self._database.writing() as connection:
            token = self._table.find(connection, token_id)
            if token is None or user_id not in (None, token.user_id):
                return None
            return token if self._table.remove(connection, token_id) else None

    def end_all_of(self, user_id: str) -> int:
        """End all tokens of a user, in every application of this directory, and return how many there were."""
        with self._database.writing() as connection:
            return self._table.remove_all_of(connection, user_id)
