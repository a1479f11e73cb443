"""Removal of expired rows, a few at a time, by the writers themselves: there is no thread that cleans up."""

from __future__ import annotations

import secrets
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement, Select, TableClause

#: One write in so many to a table removes expired rows from it, and no more than that many.
PURGE_EVERY = 64
PURGE_MOST = 500


class Purge:
    """The expired rows of one table.

    :param key: the columns that identify a row. The table also has a column ``expires``.
    :param grace: seconds for which an expired row stays, because the clock of another host may be behind.
    """

    def __init__(self, table: TableClause, *key: ColumnElement[Any], grace: int) -> None:
        self._table = table
        self._key = key
        self._grace = grace
        # The count starts anywhere, so that short-lived workers purge as well.
        self._writes = count(secrets.randbelow(PURGE_EVERY))

    def is_due(self) -> bool:
        """Count one write, and return whether it has to remove expired rows."""
        return next(self._writes) % PURGE_EVERY == 0

    def expired(self, now: int) -> Select[Any]:
        """Select the keys to remove.

        They are locked, and two that purge at the same time take different rows, so that neither waits for the other.
        """
        # No more values than the oldest SQLite takes in one statement.
        limit = PURGE_MOST // len(self._key)
        keys = sa.select(*self._key).where(self._table.c.expires < now - self._grace).limit(limit)
        return keys.with_for_update(skip_locked=True)

    def remove(self, connection: Connection, now: int) -> None:
        """Remove expired rows when it is due, from a table whose key is one column."""
        if self.is_due():
            (key,) = self._key
            connection.execute(sa.delete(self._table).where(key.in_(self.expired(now))))
