"""What an operator does with a database as a whole: see how far its tables are, migrate them, count its connections.

Each step has a connection of its own. Nothing here is remembered, and the tables need not be there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.sql import address, schema
from oauth2_mw.sql import engine as engines
from oauth2_mw.sql.database import Database
from oauth2_mw.sql.failures import explain

T = TypeVar("T")

#: What the server keeps for its superusers is none of ours. A limit of -1 is none.
_MOST_CONNECTIONS = """
SELECT min(most) FROM (
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most
    UNION ALL SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user
    UNION ALL SELECT datconnlimit FROM pg_database WHERE datname = current_database()
) AS limits WHERE most >= 0
"""


class DatabaseAdministration:
    """The tables and limits of a database.

    Every method raises :class:`~oauth2_mw.errors.StoreUnavailableError` if the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._url = database.url
        self._setting = database.setting
        self._kind = database.kind

    def schema_state(self) -> schema.SchemaState:
        """Return how far the migrations have come. Nothing is changed for the answer, and no file created."""
        url = address.parse(self._url.value())
        if self._kind == "sqlite" and "uri" not in url.query and engines.file_of(url) is None:
            return schema.NO_TABLES
        return self._run(schema.read_state)

    def migrate(self) -> schema.SchemaState:
        """Carry out the migrations that are left, and return how far they had come before.

        :raises StoreUnavailableError: also when the role may not change the tables.
        """
        return self._run(schema.migrate)

    def migration(self, state: schema.SchemaState) -> list[str]:
        """Return the statements that :meth:`migrate` would carry out in one transaction."""
        left = list(schema.statements(state, self._kind))
        return [*schema.turn(self._kind), *left] if left else []

    def most_connections(self) -> int | None:
        """Return how many connections the server gives to our role in all, or ``None`` for SQLite."""
        if self._kind == "sqlite":
            return None
        return self._run(_most_connections)

    def _run(self, step: Callable[[Engine], T]) -> T:
        engine = engines.create(address.parse(self._url.value()))
        try:
            return step(engine)
        except SQLAlchemyError as error:
            raise StoreUnavailableError(explain(engine.url, error, setting=self._setting)) from None
        finally:
            engine.dispose()


def _most_connections(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text(_MOST_CONNECTIONS)).scalar_one())
