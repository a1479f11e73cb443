"""Removing expired rows, a few at a time and at the expense of a few writers: there is no thread that cleans up."""

from __future__ import annotations

import secrets
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select, TableClause
    from sqlalchemy.engine import Connection

#: Every so many writes to a table, expired rows are removed from it: at most so many of them, and each only so many
#: seconds after it expired, because the clock of another host may be behind.
PURGE_EVERY = 64
PURGE_MOST = 500
PURGE_AFTER = 3600


class Purge:
    """The expired rows of one table.

    :param key: the columns that identify a row. The table has a column ``expires`` beside them.
    """

    def __init__(self, table: TableClause, *key: ColumnElement[Any]) -> None:
        self._table = table
        self._key = key
        # From somewhere in the middle, so that workers that do not live long purge as well.
        self._writes = count(secrets.randbelow(PURGE_EVERY))

    def due(self) -> bool:
        """Whether this write, one more, has to remove some. Asked once a write."""
        return next(self._writes) % PURGE_EVERY == 0

    def expired(self, now: int) -> Select[Any]:
        """The keys to remove.

        They are locked, and two that purge at the same time take different rows, so that neither waits for the other.
        """
        import sqlalchemy as sa

        # No more values than the oldest SQLite takes in one statement.
        most = PURGE_MOST // len(self._key)
        old = sa.select(*self._key).where(self._table.c.expires < now - PURGE_AFTER).limit(most)
        return old.with_for_update(skip_locked=True)

    def remove(self, connection: Connection, now: int) -> None:
        """Remove some when it is due, of a table whose key is one column."""
        import sqlalchemy as sa

        if self.due():
            (key,) = self._key
            connection.execute(sa.delete(self._table).where(key.in_(self.expired(now))))
