"""Personal tokens as rows: who made each, where it serves, and the hash by which it is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import Purge

#: Seconds for which a token that has run out is still listed.
LISTED_FOR = 30 * 86400
#: Seconds between two notes of a token's use.
NOTED_EVERY = 60


@dataclass(frozen=True, slots=True)
class StoredToken:
    """One token, without its secret. Times are in seconds since the epoch."""

    id: str
    user_id: str
    #: SHA-256 of the token's text, in hexadecimal
    digest: str = field(repr=False)
    #: what its owner calls it
    name: str
    #: where it serves, as path rules
    paths: tuple[str, ...]
    #: whether it serves for reading alone
    read_only: bool
    created_at: int
    expires_at: int
    #: the latest use that was noted, or ``None`` before the first
    used_at: int | None = None


class PersonalTokenTable:
    """The tokens of one application. Every method works inside a transaction of the caller.

    :param app: ``public_url``; tokens of other applications are invisible, but for :meth:`remove_all_of`.
    """

    def __init__(self, database: Database, *, app: str) -> None:
        self._app = app
        self._table = database.tables.personal_tokens
        self._purge = Purge(self._table, self._table.c.id, grace=LISTED_FOR)

    def add(self, connection: Connection, token: StoredToken) -> None:
        """Add a token; now and then those that ran out long ago are removed."""
        values = {
            "id": token.id,
            "app": self._app,
            "user_id": token.user_id,
            "digest": token.digest,
            "name": token.name,
            "paths": " ".join(token.paths),
            "read_only": int(token.read_only),
            "created_at": token.created_at,
            "expires": token.expires_at,
            "used_at": token.used_at,
        }
        connection.execute(sa.insert(self._table).values(**values))
        self._purge.remove(connection, token.created_at)

    def find(self, connection: Connection, token_id: str) -> StoredToken | None:
        """Return the token of that id, also if it has run out, or ``None``."""
        return next(iter(self._select(connection, self._table.c.id == token_id)), None)

    def of_user(self, connection: Connection, user_id: str) -> list[StoredToken]:
        """Return the tokens of a user, the newest first."""
        return self._select(connection, self._table.c.user_id == user_id)

    def all(self, connection: Connection) -> list[StoredToken]:
        """Return the tokens of everybody, the newest first."""
        return self._select(connection, sa.true())

    def note_use(self, connection: Connection, token_id: str, *, now: int) -> bool:
        """Write down that a token is in use, unless that was done a moment ago. Return whether anything was written."""
        used_at = self._table.c.used_at
        change = (
            sa.update(self._table)
            .where(self._is_named(token_id), sa.or_(used_at.is_(None), used_at <= now - NOTED_EVERY))
            .values(used_at=now)
        )
        return bool(connection.execute(change).rowcount == 1)

    def remove(self, connection: Connection, token_id: str) -> bool:
        """Remove a token. Return whether there was one."""
        removal = sa.delete(self._table).where(self._is_named(token_id))
        return bool(connection.execute(removal).rowcount == 1)

    def remove_all_of(self, connection: Connection, user_id: str) -> int:
        """Remove all tokens of a user, in every application, and return how many there were."""
        removal = sa.delete(self._table).where(self._table.c.user_id == user_id)
        return int(connection.execute(removal).rowcount)

    def _is_named(self, token_id: str) -> ColumnElement[bool]:
        return (self._table.c.id == token_id) & (self._table.c.app == self._app)

    def _select(self, connection: Connection, condition: ColumnElement[bool]) -> list[StoredToken]:
        columns = self._table.c
        query = (
            sa.select(*columns)
            .where(condition, columns.app == self._app)
            .order_by(columns.created_at.desc(), columns.id)
        )
        return [_stored(row) for row in connection.execute(query)]


def _stored(row: Any) -> StoredToken:
    return StoredToken(
        id=row.id,
        user_id=row.user_id,
        digest=row.digest,
        name=row.name,
        paths=tuple(row.paths.split()),
        read_only=bool(row.read_only),
        created_at=row.created_at,
        expires_at=row.expires,
        used_at=row.used_at,
    )
