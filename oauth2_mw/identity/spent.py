"""What is used up or ended before its time, for all workers: sign-in attempts and sessions."""

from __future__ import annotations

import secrets
from itertools import count
from typing import TYPE_CHECKING, Any

from oauth2_mw.sql import REVOCATION_LOCK, Database

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, TableClause
    from sqlalchemy.engine import Connection

#: Every so many writes, expired rows are removed: at most so many of them, and each only so many seconds
#: after it expired, because the clock of another host may be behind.
PURGE_EVERY = 64
PURGE_MOST = 500
PURGE_AFTER = 3600

_SESSION = "session"


class Spent:
    """The tables of used attempts and of revocations. Every method works inside a transaction of the caller."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # From somewhere in the middle, so that workers that do not live long purge as well.
        self._writes = count(secrets.randbelow(PURGE_EVERY))

    def use_attempt(self, connection: Connection, attempt_id: str, *, expires: int, now: int) -> bool:
        """Write an attempt down as used; ``False``: it was already."""
        table = self._db.tables.used_attempts
        first = self._db.insert_new(connection, table, {"attempt_id": attempt_id, "expires": expires})
        self._purge(connection, table, table.c.attempt_id, now)
        return first

    def revoke(self, connection: Connection, session_id: str, *, expires: int, now: int) -> None:
        """Write a session down as ended, unless it is already, for as long."""
        import sqlalchemy as sa

        # Readers ask for the rows behind the last one that they have seen. PostgreSQL gives out row ids
        # before the commit: without taking turns a row could appear below one that was read before, and be
        # missed for ever. The turn ends when the row can be seen.
        self._db.take_turns(connection, REVOCATION_LOCK)
        table = self._db.tables.revocations
        same = (table.c.kind == _SESSION) & (table.c.value == session_id) & (table.c.expires >= expires)
        if connection.execute(sa.select(table.c.id).where(same).limit(1)).first() is None:
            row = {"kind": _SESSION, "value": session_id, "expires": expires}
            connection.execute(sa.insert(table).values(**row))
        self._purge(connection, table, table.c.id, now)

    def revoked(self, connection: Connection, since: int, *, now: int) -> tuple[tuple[int, str, int], ...]:
        """(row id, session id, expires) of the revocations behind row *since*, in their order."""
        import sqlalchemy as sa

        table = self._db.tables.revocations
        # A database that was put back to an earlier state gives row ids a second time: start again from the
        # first.
        last = connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
        query = (
            sa.select(table.c.id, table.c.value, table.c.expires)
            .where(table.c.id > (since if since <= last else 0))
            .where(table.c.kind == _SESSION)
            .where(table.c.expires >= now - PURGE_AFTER)
            .order_by(table.c.id)
        )
        return tuple((row.id, row.value, row.expires) for row in connection.execute(query))

    def _purge(self, connection: Connection, table: TableClause, key: ColumnElement[Any], now: int) -> None:
        import sqlalchemy as sa

        if next(self._writes) % PURGE_EVERY:
            return
        old = sa.select(key).where(table.c.expires < now - PURGE_AFTER).limit(PURGE_MOST)
        # Two that purge at the same time take different rows, so that neither waits for the other.
        connection.execute(sa.delete(table).where(key.in_(old.with_for_update(skip_locked=True))))
