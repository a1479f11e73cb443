"""The set-up of an engine: a transaction means the same on both databases, and nothing waits for ever."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from oauth2_mw.observe import without_debug

#: Connections that one process keeps, and how many more it opens under load.
POOL_SIZE = 5
POOL_OVERFLOW = 5
#: Seconds that a request waits for a free connection, for the server, for a lock, and for one statement.
POOL_WAIT = 10
CONNECT_WAIT = 5
LOCK_WAIT = 10
STATEMENT_WAIT = 30
#: Seconds that SQLite waits for another writer.
SQLITE_WAIT = 30
#: Seconds after which a connection is replaced, before a firewall forgets it.
RECYCLE = 1800

#: The execution option of a connection whose next transaction will write.
WRITES = "oauth2_mw_writes"


def create(url: URL) -> Engine:
    """Return an engine for *url*. No connection is opened yet."""
    options: dict[str, Any] = {
        "future": True,
        # People's names and addresses stay out of logs and error texts.
        "hide_parameters": True,
        "logging_name": "oauth2_mw",
        "pool_size": POOL_SIZE,
        "max_overflow": POOL_OVERFLOW,
        "pool_timeout": POOL_WAIT,
    }
    engine = (_sqlite if url.get_backend_name() == "sqlite" else _postgresql)(url, options)
    # At DEBUG it shows whole rows. The name makes the logger ours and leaves an application's engines alone.
    logger: Any = engine.logger
    without_debug(getattr(logger, "logger", logger))
    return engine


def file_of(url: URL) -> tuple[int, int] | None:
    """Return device and inode of the file that a SQLite URL names now, or ``None`` if it is not there.

    SQLite goes on with a file that was moved or deleted, and nobody else would ever see what is written there. URLs of
    PostgreSQL and ``file:`` URIs return ``None``.
    """
    if url.get_backend_name() != "sqlite" or url.database is None or "uri" in url.query:
        return None
    try:
        status = os.stat(url.database)  # noqa: PTH116  # a path object costs more than the question
    except OSError:
        return None
    return status.st_dev, status.st_ino


def may_have_changed(error: Exception) -> bool:
    """Return whether *error* may mean that the database is another one now, or empty.

    That it refused a value does not.
    """
    return isinstance(error, DBAPIError) and not isinstance(error, (DataError, IntegrityError))


def _sqlite(url: URL, options: dict[str, Any]) -> Engine:
    if url.database is not None and "uri" not in url.query:
        # SQLite would make the file readable for everybody; the files beside it take over its mode. mknod
        # opens nothing: closing a descriptor would drop the locks that this process holds on the file.
        with suppress(OSError):
            os.mknod(url.database, stat.S_IFREG | 0o600)
    arguments = {"timeout": SQLITE_WAIT, "check_same_thread": False}
    engine = create_engine(url, connect_args=arguments, poolclass=QueuePool, **options)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Transactions are begun below, not by the driver, which begins them late.
    connection.isolation_level = None
    cursor = connection.cursor()
    # An acknowledged logout survives a power failure.
    cursor.execute("PRAGMA synchronous = FULL")
    # With a write-ahead log readers and the writer do not wait for each other. The file remembers it. While
    # another process makes the switch the file is locked, and SQLite does not wait by itself.
    deadline = time.monotonic() + SQLITE_WAIT
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            break
        except connection.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer that begins as a reader cannot wait for another writer: what it has read is out of date by then.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL, options: dict[str, Any]) -> Engine:
    driver = url.get_driver_name()
    arguments: dict[str, Any] = {"application_name": "oauth2_mw"}
    if driver == "pg8000":
        arguments["timeout"] = STATEMENT_WAIT
    else:
        arguments |= {"connect_timeout": CONNECT_WAIT, "tcp_user_timeout": STATEMENT_WAIT * 1000}
        # A server with SQL_ASCII would send bytes otherwise.
        arguments["client_encoding"] = "utf8"
    if driver == "psycopg":
        # Behind a pooler the next transaction may run on a connection that has not prepared the statement.
        arguments["prepare_threshold"] = None
    engine = create_engine(
        url,
        connect_args={key: value for key, value in arguments.items() if key not in url.query},
        # Whoever has waited for a lock must see what its holder wrote.
        isolation_level="READ COMMITTED",
        # The restart of a server costs no request.
        pool_pre_ping=True,
        pool_recycle=RECYCLE,
        **options,
    )
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{LOCK_WAIT}s'")
    cursor.execute(f"SET statement_timeout = '{STATEMENT_WAIT}s'")
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{STATEMENT_WAIT}s'")
    cursor.close()
    connection.commit()
