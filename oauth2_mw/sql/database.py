"""One database, shared by all threads of a process and never across a fork."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.expression import ColumnElement, Delete, TableClause, Update

from oauth2_mw.breaker import Breaker, NoAnswerError
from oauth2_mw.errors import ConfigError, Problem, StoreTakesNoWritesError, StoreUnavailableError
from oauth2_mw.process_local import ProcessLocal, ProcessLock
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import address, schema
from oauth2_mw.sql import engine as engines
from oauth2_mw.sql.failures import BrokenConnectionError, explain
from oauth2_mw.telemetry import DIRECTORY, STORE, calling

Answer = TypeVar("Answer")


class _Process:
    """What belongs to one process. Two with one connection would write into one socket, or lock one file."""

    __slots__ = ("engine", "failure", "failures", "file", "lock", "text", "verified")

    def __init__(self) -> None:
        self.lock = ProcessLock()
        #: the URL of the engine
        self.text: str | None = None
        self.engine: Engine | None = None
        #: the file that SQLite has open: device and inode
        self.file: tuple[int, int] | None = None
        #: whether nothing that could have changed the schema has happened since it was looked at
        self.verified = False
        #: the last failure to open an engine, and how many there were
        self.failure = ""
        self.failures = 0

    def usable_engine(self, text: str) -> Engine | None:
        """Return the open engine, or ``None`` if it is another database's or its schema must be looked at first."""
        engine = self.engine
        if engine is None or not self.verified or self.text != text:
            return None
        return engine if self.file is None or self.file == engines.file_of(engine.url) else None


class Database:
    """A SQLite or PostgreSQL database with our tables, opened at the first use in each process.

    :param url: ``sqlite:////var/lib/app/users.db`` or ``postgresql://user:password@host/name``. When it is kept in a
        file, the file is read again when it changes. A bare ``postgresql://`` uses the first installed of psycopg 3
        (not with SQLAlchemy 1.4), psycopg2 and pg8000.
    :param setting: the key of the URL, for messages.
    :raises ConfigError: when the driver is missing, or the URL cannot be used.

    Limits. SQLite: one host, a local disk (the write-ahead log does not work over a network), one writer at a
    time. PostgreSQL: at most ten connections per process. A server that stops answering holds up those that ask it at
    that moment, for three seconds to connect and five for an answer; after that one request tries, and the others are
    refused at once.

    A database that was unavailable works again as soon as it is back, also when it comes back empty, restored from a
    copy, or as another file under the same name.
    """

    def __init__(self, url: Secret, *, setting: str = "directory") -> None:
        self.url: Secret = url
        #: the key of the URL, for messages
        self.setting: str = setting
        self._peer = DIRECTORY if setting == "directory" else STORE
        self._process = ProcessLocal(_Process)
        #: shared by all that is asked of the database
        self._breaker = Breaker()
        try:
            #: ``sqlite`` or ``postgresql``
            self.kind: str = address.parse(url.value()).get_backend_name()
        except OSError as error:
            raise ConfigError([Problem("oauth2_mw", setting, f"the URL cannot be read: {error}")]) from None
        except ValueError as error:
            raise ConfigError([Problem("oauth2_mw", setting, f"the URL {error}")]) from None
        self.tables: schema.Tables = schema.tables(self.kind)
        self._insert: Callable[[TableClause], Any] = (
            sqlite.insert if self.kind == "sqlite" else postgresql.insert
        )

    @property
    def has_arrays(self) -> bool:
        """Whether a statement can return a list of texts in a column."""
        return self.kind == "postgresql"

    def is_at(self, url: Secret) -> bool:
        """Return whether *url* names this database."""
        if url == self.url:
            return True
        try:
            return address.parse(url.value()) == address.parse(self.url.value())
        except (OSError, ValueError):
            return False

    def make_room(self) -> bool:
        """Make room for a small write after one was refused. Return whether it is worth a second try.

        :raises StoreUnavailableError: when the database cannot be used.
        """
        if self.kind != "sqlite":
            return False
        engine = self._engine()
        try:
            engines.make_room(engine)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._failed(engine.url, error, time.monotonic()) from None
        return True

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection that only reads: one transaction in SQLite, one a statement in PostgreSQL.

        :raises StoreUnavailableError: when the database cannot be used, inside the block too.
        """
        return self._transaction(writes=False)

    def writing(self, *, at_once: bool = False) -> AbstractContextManager[Connection]:
        """Open a transaction: all of it is kept when the block ends, nothing when it raises.

        :param at_once: whether each statement may be kept by itself, which PostgreSQL does without a transaction
            around them.
        :raises StoreUnavailableError: when the database cannot be used, inside the block too.
        """
        return self._transaction(writes=True, at_once=at_once)

    def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """Read, and once more on a new connection if the first turns out to be broken. Nothing is asked beforehand.

        :raises StoreUnavailableError: when the database cannot be used.
        """
        try:
            with self.reading() as connection:
                return question(connection)
        except BrokenConnectionError:
            with self.reading() as connection:
                return question(connection)

    def check(self) -> None:
        """Ask the database for nothing.

        :raises StoreUnavailableError: when it cannot be used.
        """
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT 1")

    def insert_new(self, connection: Connection, table: TableClause, values: Mapping[str, object]) -> bool:
        """Add a row unless its key is taken. Return whether it was added.

        This waits for another transaction that is about to take the key.
        """
        statement = self._insert(table).values(**values).on_conflict_do_nothing()
        if self.kind == "postgresql":
            # Not the row count: SQLAlchemy's releases do not agree on whether an INSERT has one.
            return connection.execute(statement.returning(*table.c)).first() is not None
        return bool(connection.execute(statement).rowcount == 1)

    def insert_together(
        self,
        connection: Connection,
        table: TableClause,
        values: Mapping[str, object],
        *,
        other: TableClause,
        rows: Sequence[Mapping[str, object]],
    ) -> None:
        """Add a row to one table and texts to another, both or nothing."""
        statement = sa.insert(table).values(**values)
        if rows and self.kind == "postgresql":
            selects = [sa.select(*map(sa.literal, row.values())) for row in rows]
            others = sa.insert(other).from_select(list(rows[0]), sa.union_all(*selects))
            connection.execute(statement.add_cte(others.cte("others")))
            return
        connection.execute(statement)
        if rows:
            connection.execute(sa.insert(other), rows)

    def delete_together(
        self, connection: Connection, deletion: Delete, others: Delete, *, condition: ColumnElement[bool]
    ) -> bool:
        """Delete the row that meets *condition*, and *others* with it. Return whether there was one."""
        if self.kind == "postgresql":
            is_there = sa.exists(sa.select(sa.literal(1)).select_from(deletion.table).where(condition))
            statement = deletion.where(condition).add_cte(others.where(is_there).cte("others"))
            return bool(connection.execute(statement).rowcount == 1)
        if connection.execute(deletion.where(condition)).rowcount != 1:
            return False
        connection.execute(others)
        return True

    def update_returning(
        self, connection: Connection, change: Update, columns: Sequence[ColumnElement[Any]]
    ) -> Sequence[Row[Any]]:
        """Run an ``UPDATE`` and return *columns* of the rows that it changed, which must still meet its conditions."""
        if self.kind == "postgresql":
            return connection.execute(change.returning(*columns)).all()
        # Neither SQLite before 3.35 nor SQLAlchemy 1.4 on SQLite can do it in one statement. A writing transaction is
        # alone here, and no round trip would be saved.
        connection.execute(change)
        rows = sa.select(*columns).where(change.whereclause)  # type: ignore[arg-type]  # ours have one
        return connection.execute(rows).all()

    def take_turns(self, connection: Connection, lock: int) -> None:
        """Hold the advisory lock of that number until the end of the transaction, so that its users take turns."""
        # In SQLite a writing transaction is alone from its beginning.
        if self.kind == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock:d})")

    @contextmanager
    def _transaction(self, *, writes: bool, at_once: bool = False) -> Iterator[Connection]:
        try:
            operation = "write" if writes else "read"
            attributes = {"db.system.name": self.kind, "db.operation.name": operation}
            with self._breaker.attempt(), calling(self._peer, operation, attributes):
                began = time.monotonic()
                with self._connection(began, writes=writes, at_once=at_once) as connection:
                    yield connection
        except NoAnswerError as error:
            raise StoreUnavailableError(str(error)) from None

    @contextmanager
    def _connection(self, began: float, *, writes: bool, at_once: bool) -> Iterator[Connection]:
        engine = self._engine()
        options: dict[str, Any] = {engines.WRITES: writes}
        if self.kind == "postgresql" and (at_once or not writes):
            # A transaction at READ COMMITTED would show the same, and cost three more round trips.
            options = {"isolation_level": "AUTOCOMMIT"}
        try:
            with engine.connect() as plain:
                connection = plain.execution_options(**options)
                with connection.begin():
                    yield connection
        # Some drivers raise Python's own error for a text that is not in the database's encoding.
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            process = self._process.get()
            # What SQLite has open serves on a disk that is full, and cannot be opened anew there.
            is_full = self.kind == "sqlite" and engines.takes_no_writes(error)
            if process.engine is engine and engines.may_have_changed(error) and not is_full:
                process.verified = False
            raise self._failed(engine.url, error, began) from None

    def _engine(self) -> Engine:
        try:
            text = self.url.value()
        except OSError as error:
            raise StoreUnavailableError(f"setting {self.setting}: the URL cannot be read: {error}") from None
        process = self._process.get()
        engine = process.usable_engine(text)
        if engine is not None:
            return engine
        failures = process.failures
        with process.lock:
            engine = process.usable_engine(text)
            if engine is not None:
                return engine
            if process.failures != failures:
                # Requests that waited for this attempt share its failure, and make no attempt of their own.
                raise StoreUnavailableError(process.failure)
            # Closed before the next is opened: a file that replaced another has the same name for its log.
            if process.engine is not None:
                process.engine.dispose()
            process.engine, process.verified = None, False
            try:
                engine = self._open(text)
            except StoreUnavailableError as error:
                process.failure = error.detail
                process.failures += 1
                raise
            process.engine, process.text, process.file = engine, text, engines.file_of(engine.url)
            process.verified = True
            return engine

    def _open(self, text: str) -> Engine:
        try:
            url = address.parse(text)
        except ValueError as error:
            raise StoreUnavailableError(f"setting {self.setting} has changed: the URL {error}") from None
        if url.get_backend_name() != self.kind:
            raise StoreUnavailableError(f"setting {self.setting} now names another kind of database; restart")
        engine = engines.create(url)
        began = time.monotonic()
        state = None
        try:
            state = schema.read_state(engine)
            if not state.is_newest:
                schema.migrate(engine)
        except SQLAlchemyError as error:
            engine.dispose()
            raise self._failed(url, error, began, migrates=state is not None) from None
        if not state.is_usable:
            engine.dispose()
            raise StoreUnavailableError(
                f"{address.name(url)} (setting {self.setting}) has the schema {state.lowest} of a newer release, "
                f"and this one knows {schema.NEWEST}; upgrade oauth2-mw on this host to {state.lowest_release} or later"
            )
        return engine

    def _failed(
        self, url: URL, error: Exception, began: float, *, migrates: bool = False
    ) -> StoreUnavailableError:
        failure = explain(url, error, setting=self.setting)
        if migrates and engines.is_forbidden(error):
            failure = (
                f"{failure}; the tables are not yet those of this release: run oauth2-mw migrate INI with the URL of a "
                "role that may create tables"
            )
        if self.kind == "postgresql" and engines.is_hung(error, time.monotonic() - began):
            self._breaker.open(failure)
        elif engines.takes_no_writes(error):
            return StoreTakesNoWritesError(failure, code=StoreUnavailableError.code)
        elif engines.is_broken(error):
            return BrokenConnectionError(failure, code=StoreUnavailableError.code)
        return StoreUnavailableError(failure)
