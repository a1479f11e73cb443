"""The tables, and how an older schema becomes the newest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oauth2_mw.sql.engine import WRITES

if TYPE_CHECKING:
    from sqlalchemy import TableClause
    from sqlalchemy.engine import Connection, Engine

#: Every table's name begins with it: the database may be one that an application uses too.
PREFIX = "oauth2_mw_"
#: Seconds that a migration may take, and that others wait for it.
MIGRATION_WAIT = 600
# PostgreSQL's advisory locks are numbers that all users of a database share: "oauth2" and one of ours.
_MIGRATION_LOCK = 0x6F6175746832_0001

# One tuple of statements per version. A released one is never edited; a change of the schema is one more
# tuple. {row_id} counts up and is never given twice. user_key and name_key do not depend on which texts the
# database takes for equal: the one is a hash, the other is folded before it gets here.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE oauth2_mw_schema (version BIGINT NOT NULL PRIMARY KEY)",
        "CREATE TABLE oauth2_mw_users (id TEXT NOT NULL PRIMARY KEY, user_key TEXT NOT NULL UNIQUE, "
        "issuer TEXT NOT NULL, subject TEXT NOT NULL, username TEXT NOT NULL, "
        "name TEXT, email TEXT, phone TEXT, comment TEXT, created_at BIGINT NOT NULL, "
        "updated_at BIGINT NOT NULL, last_sign_in BIGINT NOT NULL, disabled_at BIGINT)",
        "CREATE INDEX oauth2_mw_users_disabled ON oauth2_mw_users (id) WHERE disabled_at IS NOT NULL",
        # No foreign key: a name outlives its user, so that nobody else is ever given it.
        "CREATE TABLE oauth2_mw_usernames (name_key TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL)",
        "CREATE TABLE oauth2_mw_memberships (user_id TEXT NOT NULL, organization TEXT NOT NULL, "
        "PRIMARY KEY (user_id, organization))",
        "CREATE TABLE oauth2_mw_groups (user_id TEXT NOT NULL, name TEXT NOT NULL, "
        "PRIMARY KEY (user_id, name))",
        "CREATE TABLE oauth2_mw_used_attempts (attempt_id TEXT NOT NULL PRIMARY KEY, "
        "expires BIGINT NOT NULL)",
        "CREATE INDEX oauth2_mw_used_attempts_expires ON oauth2_mw_used_attempts (expires)",
        "CREATE TABLE oauth2_mw_revocations (id {row_id}, kind TEXT NOT NULL, value TEXT NOT NULL, "
        "expires BIGINT NOT NULL)",
        "CREATE INDEX oauth2_mw_revocations_value ON oauth2_mw_revocations (kind, value)",
        "CREATE INDEX oauth2_mw_revocations_expires ON oauth2_mw_revocations (expires)",
    ),
    (
        # app: a short hash of the application's public_url, so that several can share one database.
        "CREATE TABLE oauth2_mw_sessions (app TEXT NOT NULL, session_id TEXT NOT NULL, version BIGINT NOT NULL, "
        "data TEXT NOT NULL, summary TEXT NOT NULL, seen BIGINT NOT NULL, expires BIGINT NOT NULL, "
        "lease BIGINT NOT NULL, PRIMARY KEY (app, session_id))",
        "CREATE INDEX oauth2_mw_sessions_expires ON oauth2_mw_sessions (expires)",
        "CREATE TABLE oauth2_mw_session_indexes (app TEXT NOT NULL, name TEXT NOT NULL, session_id TEXT NOT NULL, "
        "PRIMARY KEY (app, name, session_id))",
        "CREATE INDEX oauth2_mw_session_indexes_session ON oauth2_mw_session_indexes (app, session_id)",
        # Workers of the release before go on while this happens: what they write has the values that stand here.
        "ALTER TABLE oauth2_mw_revocations ADD COLUMN app TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE oauth2_mw_revocations ADD COLUMN moment BIGINT",
    ),
    (
        "CREATE TABLE oauth2_mw_links (user_key TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL, "
        "issuer TEXT NOT NULL, subject TEXT NOT NULL, linked_at BIGINT NOT NULL)",
        "CREATE INDEX oauth2_mw_links_user ON oauth2_mw_links (user_id)",
    ),
)
_ROW_ID = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "BIGSERIAL PRIMARY KEY"}
NEWEST = len(_MIGRATIONS)

# Behind the stroke the numbers: some drivers would take one for 32 bits wide unless the column says more.
_COLUMNS = {
    "users": "id user_key issuer subject username name email phone comment "
    "| created_at updated_at last_sign_in disabled_at",
    "usernames": "name_key user_id |",
    "memberships": "user_id organization |",
    "groups": "user_id name |",
    "used_attempts": "attempt_id | expires",
    "revocations": "kind value app | id expires moment",
    "sessions": "app session_id data summary | version seen expires lease",
    "session_indexes": "app name session_id |",
    "links": "user_key user_id issuer subject | linked_at",
}


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of the newest schema, for SQLAlchemy Core. Times are in seconds since the epoch."""

    users: TableClause
    usernames: TableClause
    memberships: TableClause
    groups: TableClause
    used_attempts: TableClause
    revocations: TableClause
    sessions: TableClause
    session_indexes: TableClause
    links: TableClause


def tables() -> Tables:
    """The tables as SQLAlchemy names them. What they are made of stands in the migrations alone."""
    from sqlalchemy import BigInteger, column, table

    found = {}
    for name, columns in _COLUMNS.items():
        texts, _, numbers = columns.partition("|")
        typed = [column(number, BigInteger()) for number in numbers.split()]
        found[name] = table(PREFIX + name, *map(column, texts.split()), *typed)
    return Tables(**found)


def migrate(engine: Engine) -> int:
    """Bring the schema to the newest version; any number of threads and processes may try at once.

    :returns: the version that is there now. It is above :data:`NEWEST` when a newer release has been here.
    """
    with engine.connect() as connection, connection.begin():
        version = _version(connection)
    if version < NEWEST:
        with engine.connect() as plain:
            connection = plain.execution_options(**{WRITES: True})
            with connection.begin():
                version = _migrate(connection)
    return version


def _migrate(connection: Connection) -> int:
    from sqlalchemy import text

    kind = connection.dialect.name
    if kind == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{MIGRATION_WAIT}s'")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{MIGRATION_WAIT}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    # Asked again, now that nobody else is at it.
    done = _version(connection)
    for version, statements in enumerate(_MIGRATIONS[done:], done + 1):
        for statement in statements:
            connection.exec_driver_sql(statement.format(row_id=_ROW_ID[kind]))
        connection.execute(text("INSERT INTO oauth2_mw_schema VALUES (:version)"), {"version": version})
    return max(done, NEWEST)


def _version(connection: Connection) -> int:
    from sqlalchemy import inspect

    if not inspect(connection).has_table("oauth2_mw_schema"):
        return 0
    return int(connection.exec_driver_sql("SELECT max(version) FROM oauth2_mw_schema").scalar() or 0)
