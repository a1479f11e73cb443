"""Names that may be used once by all workers together, such as attempts to sign in."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import Purge


class UsedNames:
    """The table of used names. Its method works inside a transaction of the caller.

    :param grace: seconds for which a name stays used after it has expired.
    """

    def __init__(self, database: Database, *, grace: int) -> None:
        self._database = database
        self._table = database.tables.used_attempts
        self._purge = Purge(self._table, self._table.c.attempt_id, grace=grace)

    def use(self, connection: Connection, name: str, *, expires: int, now: int) -> bool:
        """Write a name down as used. Return whether this is its first use."""
        values = {"attempt_id": name, "expires": expires}
        is_first = self._database.insert_new(connection, self._table, values)
        self._purge.remove(connection, now)
        return is_first
