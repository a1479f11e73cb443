"""The tables, and the migrations from one version of the schema to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.expression import TableClause

from oauth2_mw.sql.engine import WAIT, WRITES
from oauth2_mw.sql.foreign_values import own_number, own_text

#: Every table's name begins with it: the database may be one that an application uses too.
PREFIX = "oauth2_mw_"
#: Seconds that a migration may take, and that others wait for it.
MIGRATION_WAIT = 600
# PostgreSQL's advisory locks are numbers that all users of a database share: "oauth2", then a number for each use.
_MIGRATION_LOCK = 0x6F6175746832_0001

# The last migration without which a release cannot use the tables, and the first release that knows it. Release 0.1.0
# refuses tables of which oauth2_mw_schema names a later one, and looks nowhere else: what only adds is not named there.
_LOWEST, _LOWEST_RELEASE = 3, "0.1.0"

# One tuple of statements per version. A released one is never edited; a change of the schema is one more tuple.
# {row_id} counts up and is never given twice. user_key and name_key do not depend on which texts the database takes for
# equal: the one is a hash, the other is folded before it gets here.
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
    (
        # email_key: the address in its one spelling. email_proven_at: when a provider last said that it is verified.
        "ALTER TABLE oauth2_mw_users ADD COLUMN email_key TEXT",
        "ALTER TABLE oauth2_mw_users ADD COLUMN email_proven_at BIGINT",
        # A longer text is no address, and fits into no index.
        "UPDATE oauth2_mw_users SET email_key = lower(email) WHERE length(email) <= 320",
        "CREATE INDEX oauth2_mw_users_email ON oauth2_mw_users (email_key) WHERE email_key IS NOT NULL",
    ),
    (
        # digest: SHA-256 of the token. paths: path rules with blanks between them.
        "CREATE TABLE oauth2_mw_personal_tokens (id TEXT NOT NULL PRIMARY KEY, app TEXT NOT NULL, "
        "user_id TEXT NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL, paths TEXT NOT NULL, "
        "read_only BIGINT NOT NULL, created_at BIGINT NOT NULL, expires BIGINT NOT NULL, used_at BIGINT)",
        "CREATE INDEX oauth2_mw_personal_tokens_user ON oauth2_mw_personal_tokens (user_id)",
        "CREATE INDEX oauth2_mw_personal_tokens_expires ON oauth2_mw_personal_tokens (expires)",
        "CREATE TABLE oauth2_mw_last_sign_ins (app TEXT NOT NULL, user_id TEXT NOT NULL, "
        "provider TEXT NOT NULL, issuer TEXT NOT NULL, subject TEXT NOT NULL, claims TEXT NOT NULL, "
        "seen_at BIGINT NOT NULL, PRIMARY KEY (app, user_id))",
    ),
    (
        # owner: a keyed hash of whoever sent the form. data: sealed, and empty once it has been sent.
        "CREATE TABLE oauth2_mw_kept_forms (app TEXT NOT NULL, owner TEXT NOT NULL, form_id TEXT NOT NULL, "
        "data TEXT NOT NULL, expires BIGINT NOT NULL, PRIMARY KEY (app, owner, form_id))",
        "CREATE INDEX oauth2_mw_kept_forms_expires ON oauth2_mw_kept_forms (expires)",
    ),
    (
        # Keyed hashes of the names of deleted users, and of each name with whom it goes to again; and the one key.
        "CREATE TABLE oauth2_mw_deleted_names (name_hash TEXT NOT NULL, owner_hash TEXT NOT NULL, "
        "PRIMARY KEY (name_hash, owner_hash))",
        "CREATE TABLE oauth2_mw_name_keys (id BIGINT NOT NULL PRIMARY KEY, secret TEXT NOT NULL)",
        # Of each user the latest change. is_out: 1 for one who was disabled or deleted, 0 for one who is in again.
        "CREATE TABLE oauth2_mw_user_changes (id {row_id}, user_id TEXT NOT NULL UNIQUE, is_out BIGINT NOT NULL, "
        "expires BIGINT NOT NULL)",
        "CREATE INDEX oauth2_mw_user_changes_expires ON oauth2_mw_user_changes (expires)",
        # The number is encoding.MAX_NUMBER: a disabled user stays in the table.
        "INSERT INTO oauth2_mw_user_changes (user_id, is_out, expires) "
        "SELECT id, 1, 9007199254740991 FROM oauth2_mw_users WHERE disabled_at IS NOT NULL",
        # For lists of those who are in a group or an organization.
        "CREATE INDEX oauth2_mw_groups_name ON oauth2_mw_groups (name, user_id)",
        "CREATE INDEX oauth2_mw_memberships_organization ON oauth2_mw_memberships (organization, user_id)",
        # For all that is kept of one person.
        "CREATE INDEX oauth2_mw_usernames_user ON oauth2_mw_usernames (user_id)",
        "CREATE INDEX oauth2_mw_last_sign_ins_user ON oauth2_mw_last_sign_ins (user_id)",
    ),
)
_ROW_ID = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "BIGSERIAL PRIMARY KEY"}
NEWEST = len(_MIGRATIONS)

# Texts, then numbers behind the bar: without a type some drivers send a number in 32 bits.
_COLUMNS = {
    "users": "id user_key issuer subject username name email phone comment email_key "
    "| created_at updated_at last_sign_in disabled_at email_proven_at",
    "usernames": "name_key user_id |",
    "memberships": "user_id organization |",
    "groups": "user_id name |",
    "used_attempts": "attempt_id | expires",
    "revocations": "kind value app | id expires moment",
    "sessions": "app session_id data summary | version seen expires lease",
    "session_indexes": "app name session_id |",
    "links": "user_key user_id issuer subject | linked_at",
    "personal_tokens": "id app user_id digest name paths | read_only created_at expires used_at",
    "last_sign_ins": "app user_id provider issuer subject claims | seen_at",
    "kept_forms": "app owner form_id data | expires",
    "deleted_names": "name_hash owner_hash |",
    "name_keys": "secret | id",
    "user_changes": "user_id | id is_out expires",
}
_JUDGED_BY_THEIR_READERS = frozenset({"sessions", "session_indexes", "revocations", "kept_forms"})


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
    personal_tokens: TableClause
    last_sign_ins: TableClause
    kept_forms: TableClause
    deleted_names: TableClause
    name_keys: TableClause
    user_changes: TableClause


def tables(kind: str) -> Tables:
    """Return the tables for SQLAlchemy Core: their names and columns. The migrations alone define them.

    :param kind: ``sqlite``, where values of the directory are judged as they are read, or ``postgresql``, which keeps
        them to what the migrations say.
    """
    by_name = {}
    for name, columns in _COLUMNS.items():
        table, (texts, _, numbers) = PREFIX + name, columns.partition("|")
        is_judged = kind == "sqlite" and name not in _JUDGED_BY_THEIR_READERS
        textual: list[sa.ColumnClause[Any]] = [
            sa.column(text, own_text(table, text) if is_judged else None) for text in texts.split()
        ]
        numeric: list[sa.ColumnClause[Any]] = [
            sa.column(number, own_number(table, number) if is_judged else sa.BigInteger())
            for number in numbers.split()
        ]
        by_name[name] = sa.table(table, *textual, *numeric)
    return Tables(**by_name)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How far the migrations of a database have come."""

    #: the last one that was carried out; 0 if there are no tables
    version: int
    #: the last one that a release must know to use the tables
    lowest: int
    #: the lowest release that may still use them, in words
    lowest_release: str

    @property
    def is_usable(self) -> bool:
        """Return whether this release may use the tables, once it has carried out its migrations."""
        return self.lowest <= NEWEST

    @property
    def is_newest(self) -> bool:
        """Return whether :func:`migrate` would change nothing. What a newer release has added is in nobody's way."""
        return self.version >= NEWEST or not self.is_usable


NO_TABLES = SchemaState(0, 0, "")


def read_state(engine: Engine) -> SchemaState:
    """Return how far the migrations have come."""
    with engine.connect() as connection, connection.begin():
        return _read_state(connection)


def migrate(engine: Engine) -> SchemaState:
    """Carry out the migrations that are left. Any number of threads and processes may do so at once.

    :returns: how far they had come before.
    """
    with engine.connect() as plain:
        connection = plain.execution_options(**{WRITES: True, WAIT: MIGRATION_WAIT})
        with connection.begin():
            return _migrate(connection)


def turn(kind: str) -> tuple[str, ...]:
    """Return the statements by which those that migrate wait for each other. In SQLite ``BEGIN IMMEDIATE`` does that.

    :param kind: ``sqlite`` or ``postgresql``.
    """
    if kind != "postgresql":
        return ()
    waits = (f"SET LOCAL {wait} = '{MIGRATION_WAIT}s'" for wait in ("lock_timeout", "statement_timeout"))
    return (*waits, f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")


def statements(state: SchemaState, kind: str) -> Iterator[str]:
    """Yield the statements that are left to carry out, in one transaction that begins with :func:`turn`.

    :param kind: ``sqlite`` or ``postgresql``.
    """
    if state.is_newest:
        return
    yield (
        "CREATE TABLE IF NOT EXISTS oauth2_mw_migrations "
        "(version BIGINT NOT NULL PRIMARY KEY, lowest_release TEXT NOT NULL)"
    )
    for version, changes in enumerate(_MIGRATIONS[state.version :], state.version + 1):
        yield from (change.format(row_id=_ROW_ID[kind]) for change in changes)
        if version <= _LOWEST:
            yield f"INSERT INTO oauth2_mw_schema VALUES ({version})"  # noqa: S608  numbers of ours
        yield f"INSERT INTO oauth2_mw_migrations VALUES ({version}, '{_LOWEST_RELEASE}')"  # noqa: S608  ours too


def _migrate(connection: Connection) -> SchemaState:
    kind = connection.dialect.name
    for statement in turn(kind):
        connection.exec_driver_sql(statement)
    # Asked again, now that nobody else migrates.
    state = _read_state(connection)
    for statement in statements(state, kind):
        connection.exec_driver_sql(statement)
    return state


def _read_state(connection: Connection) -> SchemaState:
    inspector = sa.inspect(connection)
    if not inspector.has_table("oauth2_mw_schema"):
        return NO_TABLES
    lowest = "SELECT max(version) FROM oauth2_mw_schema"
    if not inspector.has_table("oauth2_mw_migrations"):
        # Release 0.1.0 was the last to write here.
        version = int(connection.exec_driver_sql(lowest).scalar() or 0)
        return SchemaState(version, version, _LOWEST_RELEASE)
    done = "FROM oauth2_mw_migrations ORDER BY version DESC LIMIT 1"
    columns = f"({lowest}), (SELECT version {done}), (SELECT lowest_release {done})"
    row = connection.exec_driver_sql(f"SELECT {columns}").one()
    return SchemaState(max(row[0] or 0, row[1] or 0), row[0] or 0, str(row[2] or "")[:32])
