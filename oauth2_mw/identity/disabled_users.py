"""Who may no longer sign in, as every worker knows it: read once as a whole, and then what has changed."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from oauth2_mw.encoding import MAX_NUMBER
from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import Purge

#: Seconds for which a change is kept that no later reader needs: longer than any session lasts.
KEPT = 400 * 86400
#: What the latest change of a user says: that they may sign in, are disabled, or were deleted.
UserState = Literal["in", "disabled", "gone"]
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

    def since(self, row: int) -> tuple[int, dict[str, UserState]]:
        """Return the row of the newest change, and what became of each user who changed behind *row*.

        The newest change is among them, also if it is not behind *row*.

        :raises StoreUnavailableError: if the directory cannot be used.
        """
        columns = self._table.c
        newest = sa.select(sa.func.max(columns.id)).scalar_subquery()
        first = sa.case((newest < row, newest), else_=row)
        changes = sa.select(columns.id, columns.user_id, columns.is_out, columns.expires)
        query = changes.where(columns.id >= first)
        rows = self._database.ask(lambda connection: connection.execute(query).all())
        last = max((change.id for change in rows), default=0)
        return last, {change.user_id: _state(change.is_out, change.expires) for change in rows}

    def disabled(self) -> frozenset[str]:
        """Return the ids of all users whom their table says to be disabled.

        Release 0.1.0 disables and enables users without writing a change.

        :raises StoreUnavailableError: if the directory cannot be used.
        """
        users = self._users.c
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(users.id).where(users.disabled_at.is_not(None)))
            return frozenset(rows.scalars())


def _state(is_out: int, expires: int) -> UserState:
    if not is_out:
        return "in"
    return "disabled" if expires == MAX_NUMBER else "gone"


class DisabledUsers:
    """The users who may not use the application, in the memory of one worker. One thread reads at a time.

    :param always_whole: whether the directory is asked for all who are disabled each time, because workers of 0.1.0
        write no changes.
    """

    def __init__(self, changes: UserChanges, *, always_whole: bool = False) -> None:
        self._changes = changes
        self._always_whole = always_whole
        #: ``None`` until the directory was read as a whole
        self._last_row: int | None = None
        self._disabled: frozenset[str] = frozenset()
        #: those who were deleted
        self._gone: frozenset[str] = frozenset()
        self._ids: frozenset[str] = frozenset()

    def read(self) -> frozenset[str]:
        """Return the ids of all who are out now; the directory is asked for what has changed since the last time.

        :raises StoreUnavailableError: if the directory cannot be used.
        """
        known = self._last_row or 0
        last, changed = self._changes.since(known)
        if last < known:
            # A database that was restored from a copy gives ids a second time: start again from the first.
            self._last_row, self._gone = None, frozenset()
            last, changed = self._changes.since(0)
        is_whole = self._always_whole or self._last_row is None
        if is_whole:
            # What changes between the two questions is read again with the next changes.
            self._disabled = self._changes.disabled()
        elif last != known:
            self._disabled = _after(self._disabled, changed, "disabled")
        if is_whole or last != known:
            self._gone = _after(self._gone, changed, "gone")
            self._ids = self._disabled | self._gone
        self._last_row = last
        return self._ids


def _after(ids: frozenset[str], changed: dict[str, UserState], state: UserState) -> frozenset[str]:
    return (ids - changed.keys()) | {user_id for user_id, now in changed.items() if now == state}
