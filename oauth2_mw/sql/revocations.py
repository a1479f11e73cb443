"""Sessions that ended before their time, for all workers to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from oauth2_mw.audit import audit
from oauth2_mw.encoding import MAX_NUMBER
from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import Purge

#: Characters of a kind and of a value that are read; ours are shorter.
MAX_TEXT = 256
# For ``Database.take_turns``. Beside the lock of migrations in ``schema``.
_LOCK = 0x6F6175746832_0002


@dataclass(frozen=True, slots=True)
class Revocation:
    """A cut-off: what was issued under that name at or before its moment is revoked.

    Times are in seconds since the epoch.
    """

    #: Grows over all revocations: a reader asks for those behind the last one that it has seen.
    row: int
    #: ``session:ID``, ``user:USERID``, ``sid:HASH``, or ``frame:HASH``, whose moment is in milliseconds
    name: str
    moment: int
    #: until when it is kept
    expires: int


class RevocationTable:
    """The table of revocations. Every method works inside a transaction of the caller.

    Rows of the first release have neither application nor moment: each ends one session of any application. A row that
    this package did not write (a number out of range, a text too long) is skipped with an audit line.

    :param grace: seconds for which a revocation counts after it has expired.
    """

    def __init__(self, database: Database, *, grace: int) -> None:
        self._database = database
        self._table = database.tables.revocations
        self._grace = grace
        self._purge = Purge(self._table, self._table.c.id, grace=grace)

    def add(
        self, connection: Connection, name: str, *, app: str, moment: int, expires: int, now: int
    ) -> None:
        """Write a revocation down, unless there is one that goes as far and lasts as long.

        One row then holds all that is known of the name: the latest moment and the latest end.
        """
        # Readers ask for the rows behind the last one that they have seen. PostgreSQL gives out row ids before the
        # commit: without taking turns a row could appear below one that was read before, and be missed for ever. The
        # turn ends when the row can be seen.
        self._database.take_turns(connection, _LOCK)
        table = self._table
        rows = connection.execute(self._select(self._is_named(name), table.c.app == app)).all()
        earlier = list(_valid(rows))
        if not any(entry.moment >= moment and entry.expires >= expires for entry in earlier):
            kind, value = _split(name)
            values = {
                "kind": kind,
                "value": value,
                "app": app,
                "moment": max([moment, *(entry.moment for entry in earlier)]),
                "expires": max([expires, *(entry.expires for entry in earlier)]),
            }
            connection.execute(sa.insert(table).values(**values))
            if rows:
                connection.execute(sa.delete(table).where(table.c.id.in_([row.id for row in rows])))
        self._purge.remove(connection, now)

    def since(self, connection: Connection, row: int, *, app: str, now: int) -> list[Revocation]:
        """Return the revocations behind *row* in their order, or all of them if *row* was never given out."""
        table = self._table
        # A database that was restored from a copy gives row ids a second time: start again from the first.
        last = sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)).scalar_subquery()
        is_new = table.c.id > sa.case((last >= row, row), else_=0)
        query = self._select(is_new, *self._is_valid_for(app, now)).order_by(table.c.id)
        return list(_valid(connection.execute(query)))

    def moments(self, connection: Connection, names: Iterable[str], *, app: str, now: int) -> dict[str, int]:
        """Return the latest moment of the revocations of each of *names* that has any."""
        is_named = sa.or_(sa.false(), *map(self._is_named, names))
        found: dict[str, int] = {}
        for entry in _valid(connection.execute(self._select(is_named, *self._is_valid_for(app, now)))):
            found[entry.name] = max(entry.moment, found.get(entry.name, 0))
        return found

    def _select(self, *conditions: ColumnElement[bool]) -> Any:
        columns = self._table.c
        return sa.select(
            columns.id,
            sa.func.substr(columns.kind, 1, MAX_TEXT).label("kind"),
            sa.func.substr(columns.value, 1, MAX_TEXT).label("value"),
            sa.func.coalesce(columns.moment, columns.expires).label("moment"),
            columns.expires,
        ).where(*conditions)

    def _is_named(self, name: str) -> ColumnElement[bool]:
        kind, value = _split(name)
        return (self._table.c.kind == kind) & (self._table.c.value == value)

    def _is_valid_for(self, app: str, now: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        columns = self._table.c
        return columns.app.in_([app, ""]), columns.expires >= now - self._grace


def _split(name: str) -> tuple[str, str]:
    kind, colon, value = name.partition(":")
    return (kind, value) if colon else ("", name)


def _valid(rows: Iterable[Any]) -> Iterator[Revocation]:
    for row in rows:
        numbers, texts = (row.id, row.moment, row.expires), (row.kind, row.value)
        if all(type(number) is int and 0 <= number <= MAX_NUMBER for number in numbers) and all(
            type(text) is str and len(text) < MAX_TEXT for text in texts
        ):
            name = f"{row.kind}:{row.value}" if row.kind else row.value
            yield Revocation(row.id, name, row.moment, row.expires)
        else:
            audit(
                "store_value_unusable",
                revocation=row.id,
                detail="this revocation was not written by oauth2_mw; it is ignored",
            )
