"""One database, shared by all threads of a process and never across a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oauth2_mw.errors import ConfigError, Problem, StoreUnavailableError
from oauth2_mw.sql import address, schema
from oauth2_mw.sql import engine as engines

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row, TableClause, Update
    from sqlalchemy.engine import URL, Connection, Engine

    from oauth2_mw.settings.grammar import Secret

#: For :meth:`Database.take_turns`. Beside the lock of migrations in ``schema``.
REVOCATION_LOCK = 0x6F6175746832_0002
#: Characters of a database's own words in a message of ours.
MAX_REASON = 300


class _Process:
    """What belongs to one process: two with one connection would talk into one socket, or lock one file."""

    __slots__ = ("engine", "failure", "failures", "file", "preparing", "sound", "text")

    def __init__(self) -> None:
        self.preparing = threading.Lock()
        self.text: str | None = None
        self.engine: Engine | None = None
        #: which file SQLite has open
        self.file: tuple[int, int] | None = None
        #: whether nothing has happened since the schema was looked at that could have changed it
        self.sound = False
        self.failure = ""
        self.failures = 0

    def serves(self, text: str) -> Engine | None:
        """The engine that is open, unless it has to be looked at first, or is another database's."""
        engine = self.engine
        if engine is None or not self.sound or self.text != text:
            return None
        return engine if self.file is None or self.file == engines.file_of(engine.url) else None


class Database:
    """A SQLite or PostgreSQL database with our tables, opened at the first use in each process.

    :param url: ``sqlite:////var/lib/app/users.db`` or ``postgresql://user:password@host/name``. When it
        stands in a file, the file is read again when it changes. A bare ``postgresql://`` uses the first
        installed of psycopg 3 (not with SQLAlchemy 1.4), psycopg2 and pg8000.
    :param setting: the key where the URL is written, for messages.
    :raises ConfigError: when SQLAlchemy or the driver is missing, or the URL cannot be used.

    Limits. SQLite: one host, a local disk (the write-ahead log does not work over a network), one writer at a
    time. PostgreSQL: at most ten connections per process; a server that accepts connections and then stops
    answering holds requests up until the operating system gives the connection up.

    A database that was away works again as soon as it is back, also when it comes back empty, restored from a copy,
    or as another file under the same name.
    """

    def __init__(self, url: Secret, *, setting: str = "directory") -> None:
        self._url = url
        self._setting = setting
        self._processes: dict[int, _Process] = {}
        try:
            self._kind = address.parse(url.value()).get_backend_name()
        except OSError as error:
            raise ConfigError([Problem("oauth2_mw", setting, f"the URL cannot be read: {error}")]) from None
        except ValueError as error:
            raise ConfigError([Problem("oauth2_mw", setting, f"the URL {error}")]) from None
        self.tables = schema.tables()
        self._insert: Callable[[TableClause], Any]
        if self._kind == "sqlite":
            from sqlalchemy.dialects import sqlite

            self._insert = sqlite.insert
        else:
            from sqlalchemy.dialects import postgresql

            self._insert = postgresql.insert

    def is_at(self, url: Secret) -> bool:
        """Whether this is the database that *url* names."""
        if url == self._url:
            return True
        try:
            return address.parse(url.value()) == address.parse(self._url.value())
        except (OSError, ValueError):
            return False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Only reads. In SQLite they are one transaction; in PostgreSQL each sees what is there by then.

        :raises StoreUnavailable: when the database cannot be used, inside the block too.
        """
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is kept when the block ends, nothing when it raises.

        :raises StoreUnavailable: when the database cannot be used, inside the block too.
        """
        with self._transaction(writes=True) as connection:
            yield connection

    def insert_new(self, connection: Connection, table: TableClause, values: Mapping[str, object]) -> bool:
        """Add a row unless its key is taken; ``False``: it is. Waits for one who is about to take it."""
        statement = self._insert(table).values(**values).on_conflict_do_nothing()
        if self._kind == "postgresql":
            # Not the row count: SQLAlchemy's releases do not agree on whether an INSERT has one.
            return connection.execute(statement.returning(*table.c)).first() is not None
        return bool(connection.execute(statement).rowcount == 1)

    def update_returning(
        self, connection: Connection, change: Update, columns: Sequence[ColumnElement[Any]]
    ) -> Sequence[Row[Any]]:
        """Run an ``UPDATE``, and return *columns* of the rows that it changed, which must still meet its conditions."""
        if self._kind == "postgresql":
            return connection.execute(change.returning(*columns)).all()
        import sqlalchemy as sa

        # Neither SQLite before 3.35 nor SQLAlchemy 1.4 on SQLite can do it in one. A writing transaction is alone
        # here, and there is no way to the server to be saved.
        connection.execute(change)
        rows = sa.select(*columns).where(change.whereclause)  # type: ignore[arg-type]  # ours have one
        return connection.execute(rows).all()

    def take_turns(self, connection: Connection, lock: int) -> None:
        """From here to the end of its transaction let no other one with the same *lock* go on."""
        # In SQLite a writing transaction has been alone since it began.
        if self._kind == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock:d})")

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        from sqlalchemy.exc import SQLAlchemyError

        engine = self._engine()
        options: dict[str, Any] = {engines.WRITES: writes}
        if self._kind == "postgresql" and not writes:
            # At READ COMMITTED a transaction would show nothing else, and cost two more round trips.
            options["isolation_level"] = "AUTOCOMMIT"
        try:
            with engine.connect() as plain:
                connection = plain.execution_options(**options)
                with connection.begin():
                    yield connection
        # Not all drivers have a failure of their own for a text that is not in the database's encoding.
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            mine = self._mine()
            if mine.engine is engine and engines.casts_doubt(error):
                mine.sound = False
            raise StoreUnavailableError(self._explain(engine.url, error)) from None

    def _engine(self) -> Engine:
        try:
            text = self._url.value()
        except OSError as error:
            raise StoreUnavailableError(f"setting {self._setting}: the URL cannot be read: {error}") from None
        mine = self._mine()
        engine = mine.serves(text)
        if engine is not None:
            return engine
        failures = mine.failures
        with mine.preparing:
            engine = mine.serves(text)
            if engine is not None:
                return engine
            if mine.failures != failures:
                # Of fifty requests that waited for this one attempt, none makes its own after it.
                raise StoreUnavailableError(mine.failure)
            # Closed before the next is opened: a file that took the place of another has its log beside it.
            if mine.engine is not None:
                mine.engine.dispose()
            mine.engine, mine.sound = None, False
            try:
                engine = self._open(text)
            except StoreUnavailableError as error:
                mine.failure = error.detail
                mine.failures += 1
                raise
            mine.engine, mine.text, mine.file = engine, text, engines.file_of(engine.url)
            mine.sound = True
            return engine

    def _mine(self) -> _Process:
        pid = os.getpid()
        # setdefault is atomic: the threads of a fresh child agree on one. What the parent had open stays referenced
        # and untouched, because closing it here would end it there too.
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())

    def _open(self, text: str) -> Engine:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            url = address.parse(text)
        except ValueError as error:
            raise StoreUnavailableError(f"setting {self._setting} has changed: the URL {error}") from None
        if url.get_backend_name() != self._kind:
            raise StoreUnavailableError(
                f"setting {self._setting} now names another kind of database; restart"
            )
        engine = engines.create(url)
        try:
            version = schema.migrate(engine)
        except SQLAlchemyError as error:
            engine.dispose()
            raise StoreUnavailableError(self._explain(url, error)) from None
        if version > schema.NEWEST:
            engine.dispose()
            raise StoreUnavailableError(
                f"{address.name(url)} (setting {self._setting}) has the schema {version} of a newer release, "
                f"and this one knows {schema.NEWEST}; upgrade oauth2-mw on this host"
            )
        return engine

    def _explain(self, url: URL, error: Exception) -> str:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:MAX_REASON]
        if self._kind == "sqlite":
            advice = (
                "check that the folder exists and that this process may write to the file and to the folder"
            )
        else:
            advice = (
                "check that the server runs, and that the role may sign in, create our tables and use them"
            )
        what = f"{type(error).__name__}: {address.without_secrets(reason, url)}"
        return f"{address.name(url)} (setting {self._setting}): {what}; {advice}"
