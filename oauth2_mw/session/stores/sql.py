"""Sessions in SQLite or PostgreSQL; also over the directory's database, where the cookie holds the sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from oauth2_mw.session.stores.record import (
    MAX_DATA,
    MAX_NAME,
    MAX_SUMMARY,
    Record,
    check,
    check_name,
    namespace,
    read_back,
)
from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import Purge
from oauth2_mw.sql.spent import Revocation, Spent

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select, TableClause
    from sqlalchemy.engine import Connection

__all__ = ["Revocation", "SqlStore"]

#: Sessions that are read at a time.
PAGE = 100


class SqlStore:
    """A :class:`~oauth2_mw.session.stores.Store` in a SQL database.

    :param db: it may be one that others use as well.
    :param app: ``public_url``; rows of other applications are invisible.
    :param clock: seconds since the epoch.

    Every operation is one transaction; a read is one statement, and so is a touch that has nothing to write down.
    """

    def __init__(self, db: Database, *, app: str, clock: Callable[[], float] = time.time) -> None:
        #: the database itself, which others may use as well
        self.database = self._db = db
        self._app = namespace(app)
        self._clock = clock
        self._spent = Spent(db)
        self._sessions = db.tables.sessions
        self._indexes = db.tables.session_indexes
        self._purge = Purge(self._sessions, self._sessions.c.app, self._sessions.c.session_id)
        self._columns = _columns(self._sessions)
        # Put together once: every request asks it, and SQLAlchemy takes longer for that than for asking.
        self._read = _read_statement(self._sessions, self._columns, self._app)

    # Sessions

    def add(self, key: str, record: Record, *, indexes: Collection[str]) -> None:
        """Write a new record and its indexes."""
        import sqlalchemy as sa

        check_name(key)
        check(record)
        names = [{"app": self._app, "name": name, "session_id": key} for name in _checked(indexes)]
        values = {**_values(record), "app": self._app, "session_id": key}
        with self._db.writing() as connection:
            connection.execute(sa.insert(self._sessions).values(**values))
            if names:
                connection.execute(sa.insert(self._indexes), names)
            self._remove_expired(connection)

    def read(self, key: str) -> Record | None:
        """The record; ``None``: there is none, or it has expired."""
        check_name(key)
        with self._db.reading() as connection:
            row = connection.execute(self._read, {"this": key, "now": self._now()}).first()
        return read_back(key, *row) if row is not None else None

    def touch(
        self,
        key: str,
        *,
        seen: int,
        expires: int,
        step: int = 0,
        summary: str | None = None,
        indexes: Collection[str] = (),
    ) -> Record | None:
        """Read a record that is in use, and write down that it is, where that is worth it."""
        check_name(key)
        check(Record(1, "", summary or "", seen, expires, step))
        names = _checked(indexes)
        if summary is None and not names:
            # Mostly there is nothing to write, and readers wait for nobody.
            record = self.read(key)
            if (
                record is None
                or record.seen > seen - step
                or (record.seen == seen and record.expires >= expires)
            ):
                return record
        with self._db.writing() as connection:
            record = self._write_touch(connection, key, seen, expires, step, summary)
            if record is not None:
                for name in names:
                    row = {"app": self._app, "name": name, "session_id": key}
                    self._db.insert_new(connection, self._indexes, row)
            self._remove_expired(connection)
        return record

    def replace(self, key: str, record: Record) -> bool:
        """Put *record* in the place of the one whose version is one less."""
        import sqlalchemy as sa

        check_name(key)
        check(record)
        this = self._living(key) & (self._sessions.c.version == record.version - 1)
        with self._db.writing() as connection:
            change = sa.update(self._sessions).where(this).values(**_values(record))
            return bool(connection.execute(change).rowcount == 1)

    def delete(self, key: str) -> bool:
        """Forget a record for good; ``False``: there was none."""
        import sqlalchemy as sa

        check_name(key)
        table = self._indexes
        with self._db.writing() as connection:
            if connection.execute(sa.delete(self._sessions).where(self._living(key))).rowcount != 1:
                return False
            connection.execute(sa.delete(table).where(table.c.app == self._app, table.c.session_id == key))
            return True

    def find(self, index: str) -> list[tuple[str, Record]]:
        """All living records of an index, with their keys."""
        table, sessions = self._indexes, self._sessions
        check_name(index)
        same = (sessions.c.app == table.c.app) & (sessions.c.session_id == table.c.session_id)
        query = self._select(table.c.app == self._app, table.c.name == index)
        return list(self._pages(query.select_from(table.join(sessions, same)), table.c.session_id))

    def all(self) -> Iterator[tuple[str, Record]]:
        """All living records of this application, page by page."""
        yield from self._pages(self._select(self._sessions.c.app == self._app), self._sessions.c.session_id)

    # Names

    def first_use(self, name: str, *, expires: int) -> bool:
        """Use a name up: ``True`` for exactly one of all callers."""
        check_name(name)
        check(Record(1, "", "", 0, expires, 0))
        with self._db.writing() as connection:
            return self._spent.use(connection, f"{self._app}:{name}", expires=expires, now=self._now())

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        """Remember a cut-off: what was issued at or before *moment* under that name counts no more."""
        check_name(name)
        check(Record(1, "", "", moment, expires, 0))
        with self._db.writing() as connection:
            self._spent.revoke(
                connection, name, app=self._app, moment=moment, expires=expires, now=self._now()
            )

    def revoked(self, name: str) -> int | None:
        """The moment of the cut-off under that name; ``None``: there is none."""
        check_name(name)
        with self._db.reading() as connection:
            return self._spent.moment(connection, name, app=self._app, now=self._now())

    def revocations(self, since: int) -> Sequence[Revocation]:
        """What was revoked since the last time, for a list in memory.

        :param since: the row of the last one seen; 0: all that have not expired. When the database was put back to an
            earlier state, all of them come again.
        :raises StoreUnavailable: when the database cannot be used.
        """
        with self._db.reading() as connection:
            return self._spent.revocations(connection, since, app=self._app, now=self._now())

    # Rows

    def _now(self) -> int:
        return int(self._clock())

    def _living(self, key: str) -> ColumnElement[bool]:
        columns = self._sessions.c
        return (columns.app == self._app) & (columns.session_id == key) & (columns.expires > self._now())

    def _write_touch(
        self, connection: Connection, key: str, seen: int, expires: int, step: int, summary: str | None
    ) -> Record | None:
        import sqlalchemy as sa

        columns = self._sessions.c
        due = columns.seen <= seen - step
        values: dict[str, Any] = {
            "seen": sa.case((due, seen), else_=columns.seen),
            "expires": sa.case((due & (columns.expires < expires), expires), else_=columns.expires),
        }
        if summary is not None:
            values["summary"] = summary
        change = sa.update(self._sessions).where(self._living(key)).values(**values)
        rows: Sequence[Any] = self._db.update_returning(connection, change, self._columns)
        return read_back(key, *rows[0]) if rows else None

    def _select(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        import sqlalchemy as sa

        columns = self._sessions.c
        living = columns.expires > self._now()
        return sa.select(columns.session_id, *self._columns).where(*conditions, living)

    def _pages(self, query: Select[Any], key: ColumnElement[str]) -> Iterator[tuple[str, Record]]:
        import sqlalchemy as sa

        # Others' keys, which may be of any length, would have to be read whole to go on behind them.
        query = query.where(sa.func.length(key) <= MAX_NAME).order_by(key).limit(PAGE)
        last = ""
        while True:
            with self._db.reading() as connection:
                rows: Sequence[Any] = connection.execute(query.where(key > last)).all()
            for found, *fields in rows:
                record = read_back(found, *fields)
                if record is not None:
                    yield found, record
            if len(rows) < PAGE:
                return
            last = rows[-1][0]

    def _remove_expired(self, connection: Connection) -> None:
        import sqlalchemy as sa

        if not self._purge.due():
            return
        keys = [tuple(row) for row in connection.execute(self._purge.expired(self._now()))]
        for table in (self._indexes, self._sessions) if keys else ():
            these = sa.tuple_(table.c.app, table.c.session_id).in_(keys)
            connection.execute(sa.delete(table).where(these))


def _columns(table: TableClause) -> list[ColumnElement[Any]]:
    """A record's columns in its order. What is too long is not even fetched whole."""
    import sqlalchemy as sa

    columns = table.c
    return [
        columns.version,
        sa.func.substr(columns.data, 1, MAX_DATA + 1).label("data"),
        sa.func.substr(columns.summary, 1, MAX_SUMMARY + 1).label("summary"),
        columns.seen,
        columns.expires,
        columns.lease,
    ]


def _read_statement(table: TableClause, columns: list[ColumnElement[Any]], app: str) -> Select[Any]:
    import sqlalchemy as sa

    this = (table.c.app == app) & (table.c.session_id == sa.bindparam("this"))
    return sa.select(*columns).where(this, table.c.expires > sa.bindparam("now"))


def _checked(names: Collection[str]) -> list[str]:
    return [check_name(name) for name in dict.fromkeys(names)]


def _values(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in Record.__slots__}
