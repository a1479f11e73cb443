"""The set-up of an engine: a transaction means the same on both databases, and nothing waits for ever."""

from __future__ import annotations

import logging
import os
import select
import stat
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from oauth2_mw.observe import without_debug
from oauth2_mw.sql.address import POOL, POOL_OVERFLOW, POOL_SIZE
from oauth2_mw.sql.watchdog import Watchdog

log: logging.Logger = logging.getLogger(__name__)

#: Seconds that a request waits for a free connection, for the server, for a lock, and for one statement.
POOL_WAIT = 10
CONNECT_WAIT = 3
LOCK_WAIT = 4
STATEMENT_WAIT = 5
#: Seconds that a transaction may be idle, by the server's clock.
IDLE_WAIT = 30
#: Seconds after which a failure that the server has not reported is a server that hangs.
SLOW = 1.0
#: Seconds that SQLite waits for another writer: fewer than those after which a server ends its worker.
SQLITE_WAIT = 10
#: Seconds after which a connection is replaced, before a firewall forgets it.
RECYCLE = 1800

#: The execution option of a connection whose next transaction will write, in several statements.
WRITES = "oauth2_mw_writes"
#: The execution option of a connection whose statements may take more seconds than STATEMENT_WAIT.
WAIT = "oauth2_mw_wait"


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
        **{key: int(str(url.query[key])) for key in POOL if key in url.query},
    }
    url = url.difference_update_query([*POOL])
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


def takes_no_writes(error: Exception) -> bool:
    """Return whether *error* says that the database can be read and not written: it is full, or a copy."""
    code = code_of(error)
    # read_only_sql_transaction, disk_full. SQLite has texts alone before Python 3.11; a quota is an I/O error.
    texts = ("database or disk is full", "attempt to write a readonly database", "disk I/O error")
    return code in ("25006", "53100") or str(getattr(error, "orig", "")).startswith(texts)


def is_broken(error: Exception) -> bool:
    """Return whether *error* means that a connection cannot be used any more, and another perhaps can."""
    # admin_shutdown, crash_shutdown: the server says so just before it closes the connection.
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or code_of(error) in ("57P01", "57P02")
    )


def make_room(engine: Engine) -> None:
    """Have SQLite begin its log anew, so that a little can be written on a disk that is full."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(RESTART)")
    finally:
        connection.close()


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
        pool_pre_ping=driver == "pg8000",
        pool_recycle=RECYCLE,
        **options,
    )
    event.listen(engine, "begin", _begin_postgresql)
    # The time limit of pg8000 is one for each answer.
    if driver != "pg8000":
        _watch(engine)
    return engine


def _begin_postgresql(connection: Connection) -> None:
    # For this transaction alone: behind a pooler somebody else has the connection next. A single statement has no
    # transaction around it, and no other time limit than ours.
    if connection.get_execution_options().get(WRITES, False):
        limits = {
            "lock_timeout": LOCK_WAIT,
            "statement_timeout": STATEMENT_WAIT,
            "idle_in_transaction_session_timeout": IDLE_WAIT,
        }
        settings = (f"set_config('{name}', '{seconds}s', true)" for name, seconds in limits.items())
        connection.exec_driver_sql(f"SELECT {', '.join(settings)}")


def _watch(engine: Engine) -> None:
    """Have a watchdog around all that a connection waits for, the look whether it is still there too."""
    watchdog = Watchdog()

    def look(connection: Any, _record: object, _proxy: object) -> None:
        # Whoever closes a connection says so: one that has said nothing is asked nothing either.
        if _is_quiet(connection):
            return
        began = time.monotonic()
        watchdog.arm(connection, STATEMENT_WAIT)
        try:
            if engine.dialect.do_ping(connection):
                return
        except Exception as error:  # noqa: BLE001  whatever it is, the connection is of no use
            log.info("a connection to the database was broken: %s", type(error).__name__)
        finally:
            watchdog.disarm(connection)
        if time.monotonic() - began >= STATEMENT_WAIT - 1:
            # A new connection would hang as well.
            raise OperationalError("SELECT 1", None, TimeoutError(f"no answer for {STATEMENT_WAIT} seconds"))
        raise DisconnectionError

    def arm(connection: Connection, *_: object) -> None:
        # One that is broken would be opened anew for the question.
        if not connection.invalidated:
            seconds = connection.get_execution_options().get(WAIT, STATEMENT_WAIT)
            watchdog.arm(_driver_connection(connection), seconds)

    def disarm(connection: Connection, *_: object) -> None:
        watchdog.disarm(_driver_connection(connection))

    def forget(connection: Any, *_: object) -> None:
        if connection is not None:
            watchdog.disarm(connection)

    # SQLAlchemy asks a new connection what it speaks to, past all other events. A pooler takes a connection while the
    # server behind it hangs.
    event.listen(
        engine, "connect", lambda connection, *_: watchdog.arm(connection, STATEMENT_WAIT), insert=True
    )
    event.listen(engine, "connect", forget)
    event.listen(engine, "checkout", look)
    for name in ("before_cursor_execute", "commit", "rollback"):
        event.listen(engine, name, arm)
    event.listen(engine, "after_cursor_execute", disarm)
    # Before the pool rolls back, and when it has the connection or has thrown it away.
    event.listen(engine, "reset", lambda connection, *_: watchdog.arm(connection, STATEMENT_WAIT))
    for name in ("checkin", "invalidate", "close"):
        event.listen(engine, name, forget)


def _is_quiet(connection: Any) -> bool:
    """Return whether nothing has come over a connection since its last answer, its end included."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)
    except Exception:  # noqa: BLE001  each driver has an error of its own for a connection that is closed
        return False


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def is_hung(error: Exception, seconds: float) -> bool:
    """Return whether a PostgreSQL server gave no answer, to judge by an error and by how long it took to come.

    An answer of the server has a code (``sqlstate``).
    """
    return seconds >= SLOW and isinstance(error, DBAPIError) and not code_of(error)


def is_forbidden(error: Exception) -> bool:
    """Return whether the database let us read and not write: ``insufficient_privilege``, or a file of another user."""
    return code_of(error) == "42501" or "readonly database" in str(getattr(error, "orig", ""))


def code_of(error: Exception) -> str | None:
    """Return the ``sqlstate`` of an error that a PostgreSQL server has reported."""
    original = getattr(error, "orig", None)
    code: str | None = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    match getattr(original, "args", ()):
        # pg8000
        case ({"C": str(code)}, *_):
            pass
    return code
