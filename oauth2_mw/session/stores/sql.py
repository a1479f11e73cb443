"""Sessions in SQLite or PostgreSQL; with sessions in cookies, their records in the directory's database."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement, Select, TableClause

from oauth2_mw.errors import StoreTakesNoWritesError
from oauth2_mw.session.stores.record import (
    EXPIRY_GRACE,
    MAX_DATA,
    MAX_NAME,
    MAX_SUMMARY,
    Record,
    check,
    check_name,
    namespace,
    read_back,
)
from oauth2_mw.session.stores.sql_forms import SqlForms
from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import Purge
from oauth2_mw.sql.revocations import Revocation, RevocationTable
from oauth2_mw.sql.used_names import UsedNames

Written = TypeVar("Written")

#: Sessions that are read at a time.
PAGE = 100


class SqlStore:
    """A :class:`~oauth2_mw.session.stores.Store` in a SQL database.

    :param database: may be shared with others.
    :param app: ``public_url``; rows of other applications are invisible.
    :param clock: seconds since the epoch.

    Every operation is one transaction; a read is one statement, and so is a touch that has nothing to write.
    """

    def __init__(self, database: Database, *, app: str, clock: Callable[[], float] = time.time) -> None:
        #: the database itself, which others may share
        self.database = database
        self._app = namespace(app)
        self._clock = clock
        self._used_names = UsedNames(database, grace=EXPIRY_GRACE)
        self._revocations = RevocationTable(database, grace=EXPIRY_GRACE)
        self.forms: SqlForms = SqlForms(database, app=self._app, clock=clock)
        self._sessions = sessions = database.tables.sessions
        self._indexes = database.tables.session_indexes
        self._purge = Purge(sessions, sessions.c.app, sessions.c.session_id, grace=EXPIRY_GRACE)
        self._columns = _columns(sessions)
        # Built once: every request executes it, and SQLAlchemy takes longer to build a statement than to execute it.
        self._read_statement = _read_statement(self._sessions, self._columns, self._app)

    def as_app(self, app: str, *, clock: Callable[[], float]) -> SqlStore:
        """Return the same store as another application sees it."""
        return SqlStore(self.database, app=app, clock=clock)

    def server_time(self) -> float | None:
        """Return the time by the server's own clock; ``None`` for SQLite, which has this host's."""
        return self.database.ask(_server_time)

    # Sessions

    def add(self, key: str, record: Record, *, indexes: Collection[str]) -> None:
        """Write a new record and its indexes."""
        check_name(key)
        check(record)
        names = [{"app": self._app, "name": name, "session_id": key} for name in _checked(indexes)]
        values = {**_values(record), "app": self._app, "session_id": key}
        with self._writing_and_purging() as connection:
            self.database.insert_together(connection, self._sessions, values, other=self._indexes, rows=names)

    def read(self, key: str, *, grace: int = 0) -> Record | None:
        """Return the record, or ``None`` if there is none or it has expired, but for *grace*."""
        check_name(key)
        values = {"key": key, "now": self._now() - grace}
        row = self.database.ask(lambda connection: connection.execute(self._read_statement, values).first())
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
        """Read a record that is in use, and note its use if the last one noted is long enough ago."""
        check_name(key)
        check(Record(1, "", summary or "", seen, expires, step))
        names = _checked(indexes)
        if summary is None and not names:
            # Mostly there is nothing to write, and readers need not wait for a writer.
            record = self.read(key)
            if (
                record is None
                or record.seen > seen - step
                or (record.seen == seen and record.expires >= expires)
            ):
                return record
        with self._writing_and_purging(at_once=not names) as connection:
            record = self._write_touch(connection, key, seen, expires, step, summary)
            if record is not None:
                for name in names:
                    row = {"app": self._app, "name": name, "session_id": key}
                    self.database.insert_new(connection, self._indexes, row)
        return record

    def replace(self, key: str, record: Record) -> bool:
        """Put *record* in the place of the one whose version is one less."""
        check_name(key)
        check(record)
        before = self._is_alive(key) & (self._sessions.c.version == record.version - 1)
        with self.database.writing(at_once=True) as connection:
            statement = sa.update(self._sessions).where(before).values(**_values(record))
            return bool(connection.execute(statement).rowcount == 1)

    def delete(self, key: str) -> bool:
        """Forget a record for good. Return whether there was one."""
        check_name(key)
        table = self._indexes
        others = sa.delete(table).where(table.c.app == self._app, table.c.session_id == key)

        def delete() -> bool:
            with self.database.writing(at_once=True) as connection:
                return self.database.delete_together(
                    connection, sa.delete(self._sessions), others, condition=self._is_alive(key)
                )

        return self._with_room(delete)

    def find(self, index: str) -> list[tuple[str, Record]]:
        """Return all living records of an index, with their keys."""
        table, sessions = self._indexes, self._sessions
        check_name(index)
        is_listed = (sessions.c.app == table.c.app) & (sessions.c.session_id == table.c.session_id)
        query = self._select(table.c.app == self._app, table.c.name == index)
        return list(self._pages(query.select_from(table.join(sessions, is_listed)), table.c.session_id))

    def all(self, *, after: str | None = None, used_since: int = 0) -> Iterator[tuple[str, Record]]:
        """Return all living records of this application, page by page, in the order of their keys."""
        columns = self._sessions.c
        query = self._select(columns.app == self._app)
        if used_since:
            query = query.where(columns.seen >= used_since)
        yield from self._pages(query, self._sessions.c.session_id, after=after or "")

    # Names

    def first_use(self, name: str, *, expires: int) -> bool:
        """Use a name up. Return ``True`` to exactly one of all callers."""
        check_name(name)
        check(Record(1, "", "", 0, expires, 0))
        with self.database.writing(at_once=True) as connection:
            return self._used_names.use(connection, f"{self._app}:{name}", expires=expires, now=self._now())

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        """Revoke what was issued under that name at or before *moment*."""
        check_name(name)
        check(Record(1, "", "", moment, expires, 0))

        def revoke() -> None:
            with self.database.writing() as connection:
                self._revocations.add(
                    connection, name, app=self._app, moment=moment, expires=expires, now=self._now()
                )

        self._with_room(revoke)

    def revoked(self, name: str) -> int | None:
        """Return the moment of the revocation of that name, or ``None`` if there is none."""
        return self.moments([name]).get(name)

    def moments(self, names: Collection[str]) -> dict[str, int]:
        """Return the moments of those of *names* that are revoked."""
        checked, now = _checked(names), self._now()
        return self.database.ask(
            lambda connection: self._revocations.moments(connection, checked, app=self._app, now=now)
        )

    def revocations(self, since: int) -> Sequence[Revocation]:
        """Return what was revoked since the last time, for a list in memory.

        :param since: the row of the last one seen, or 0 for all that have not expired. When the database was restored
            from a copy, all of them are returned again.
        :raises StoreUnavailableError: when the database cannot be used.
        """
        now = self._now()
        return self.database.ask(
            lambda connection: self._revocations.since(connection, since, app=self._app, now=now)
        )

    # Rows

    def _with_room(self, write: Callable[[], Written]) -> Written:
        """Run what ends something: it gets through on a full disk where nothing else does."""
        try:
            return write()
        except StoreTakesNoWritesError:
            if not self.database.make_room():
                raise
            return write()

    def _now(self) -> int:
        return int(self._clock())

    def _is_alive(self, key: str) -> ColumnElement[bool]:
        columns = self._sessions.c
        return (columns.app == self._app) & (columns.session_id == key) & (columns.expires > self._now())

    def _write_touch(
        self, connection: Connection, key: str, seen: int, expires: int, step: int, summary: str | None
    ) -> Record | None:
        columns = self._sessions.c
        is_due = columns.seen <= seen - step
        values: dict[str, Any] = {
            "seen": sa.case((is_due, seen), else_=columns.seen),
            "expires": sa.case((is_due & (columns.expires < expires), expires), else_=columns.expires),
        }
        if summary is not None:
            values["summary"] = summary
        statement = sa.update(self._sessions).where(self._is_alive(key)).values(**values)
        rows: Sequence[Any] = self.database.update_returning(connection, statement, self._columns)
        return read_back(key, *rows[0]) if rows else None

    def _select(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        columns = self._sessions.c
        living = columns.expires > self._now()
        return sa.select(columns.session_id, *self._columns).where(*conditions, living)

    def _pages(
        self, query: Select[Any], key: ColumnElement[str], *, after: str = ""
    ) -> Iterator[tuple[str, Record]]:
        # A key that somebody else wrote may be of any length, and would be read whole to continue behind it.
        query = query.where(sa.func.length(key) <= MAX_NAME).order_by(key).limit(PAGE)
        last = after
        while True:
            with self.database.reading() as connection:
                rows: Sequence[Any] = connection.execute(query.where(key > last)).all()
            for session_id, *fields in rows:
                record = read_back(session_id, *fields)
                if record is not None:
                    yield session_id, record
            if len(rows) < PAGE:
                return
            last = rows[-1][0]

    @contextmanager
    def _writing_and_purging(self, *, at_once: bool = True) -> Iterator[Connection]:
        is_due = self._purge.is_due()
        with self.database.writing(at_once=at_once and not is_due) as connection:
            yield connection
            if is_due:
                self._remove_expired(connection)

    def _remove_expired(self, connection: Connection) -> None:
        keys = [tuple(row) for row in connection.execute(self._purge.expired(self._now()))]
        for table in (self._indexes, self._sessions) if keys else ():
            is_expired = sa.tuple_(table.c.app, table.c.session_id).in_(keys)
            connection.execute(sa.delete(table).where(is_expired))


def _server_time(connection: Connection) -> float | None:
    if connection.dialect.name == "sqlite":
        return None
    return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar() or 0)


def _columns(table: TableClause) -> list[ColumnElement[Any]]:
    """Return the columns of a record in its order. A value that is too long is not fetched whole."""
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
    has_key = (table.c.app == app) & (table.c.session_id == sa.bindparam("key"))
    return sa.select(*columns).where(has_key, table.c.expires > sa.bindparam("now"))


def _checked(names: Collection[str]) -> list[str]:
    return [check_name(name) for name in dict.fromkeys(names)]


def _values(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in Record.__slots__}
