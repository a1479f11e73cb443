"""Who may no longer sign in, as every worker knows it: read once as a whole, and then what has changed."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from oauth2_mw.encoding import MAX_NUMBER
from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import Purge

#: Seconds for which a change is kept that no later reader needs: longer than any session lasts.
KEPT = 400 * 86400
# For ``Database.take_turns``. Beside the locks of ``sql.schema`` and ``sql.revocations``.
_LOCK = 0x6F6175746832_0003


class UserChanges:
    """The table of the latest change of each user who was ever disabled or deleted.

    :meth:`write` works inside a transaction of the caller.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.tables.user_changes
        self._users = database.tables.users
        self._purge = Purge(self._table, self._table.c.id, grace=0)

    def write(
        self, connection: Connection, user_id: str, *, is_out: bool, now: int, for_good: bool = False
    ) -> None:
        """Write down that a user was disabled or deleted, or may sign in again.

        :param now: seconds since the epoch.
        :param for_good: whether the user is gone, so that nobody asks for the id once their sessions are over.
        """
        # Readers ask for what is behind the last change that they have seen: rows must appear in the order of their
        # ids, as in ``sql.revocations``.
        self._database.take_turns(connection, _LOCK)
        table = self._table
        connection.execute(sa.delete(table).where(table.c.user_id == user_id))
        expires = MAX_NUMBER if is_out and not for_good else now + KEPT
        values = {"user_id": user_id, "is_out": int(is_out), "expires": expires}
        connection.execute(sa.insert(table).values(**values))
        self._purge.remove(connection, now)

    def since(self, row: int) -> tuple[int, dict[str, bool]]:
        """Return the row of the newest change, and of each user who changed behind *row* whether they are out.

        The newest change is among them, also if it is not behind *row*.

        :raises StoreUnavailableError: if the directory cannot be used.
        """
        columns = self._table.c
        newest = sa.select(sa.func.max(columns.id)).scalar_subquery()
        first = sa.case((newest < row, newest), else_=row)
        changes = sa.select(columns.id, columns.user_id, columns.is_out).where(columns.id >= first)
        with self._database.reading() as connection:
            rows = connection.execute(changes).all()
        last = max((change.id for change in rows), default=0)
        return last, {change.user_id: bool(change.is_out) for change in rows}

    def out(self) -> frozenset[str]:
        """Return the ids of all who are out now: who was deleted, and whom the table of users says to be disabled.

        Release 0.1.0 disables and enables users without writing a change.

        :raises StoreUnavailableError: if the directory cannot be used.
        """
        users, changes = self._users.c, self._table.c
        disabled = sa.select(users.id).where(users.disabled_at.is_not(None))
        is_gone = ~sa.exists().where(users.id == changes.user_id)
        deleted = sa.select(changes.user_id).where(changes.is_out == 1, is_gone)
        with self._database.reading() as connection:
            return frozenset(connection.execute(sa.union(disabled, deleted)).scalars())


class DisabledUsers:
    """The users who may not use the application, in the memory of one worker. One thread reads at a time.

    :param always_whole: whether the directory is asked for all of them each time, because workers of 0.1.0 write no
        changes.
    """

    def __init__(self, changes: UserChanges, *, always_whole: bool = False) -> None:
        self._changes = changes
        self._always_whole = always_whole
        self._has_read = False
        self._last_row = 0
        self._ids: frozenset[str] = frozenset()

    def read(self) -> frozenset[str]:
        """Return the ids of all who are out now; the directory is asked for what has changed since the last time.

        :raises StoreUnavailableError: if the directory cannot be used.
        """
        last, changed = self._changes.since(self._last_row)
        if self._always_whole or not self._has_read or last < self._last_row:
            # A database that was restored from a copy gives ids a second time. What changes meanwhile is read again.
            self._ids = self._changes.out()
            self._has_read = True
        elif last != self._last_row:
            out = {user_id for user_id, is_out in changed.items() if is_out}
            self._ids = (self._ids - changed.keys()) | out
        self._last_row = last
        return self._ids
