"""What is used up or ended before its time, for all workers: names that count once, and sessions that count no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oauth2_mw.encoding import MAX_NUMBER
from oauth2_mw.observe import audit
from oauth2_mw.sql import REVOCATION_LOCK, Database
from oauth2_mw.sql.purge import PURGE_AFTER, Purge

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Connection

#: Characters of a kind and of a value that are read; ours are shorter.
MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Revocation:
    """A cut-off: what was issued at or before its moment under that name counts no more.

    Times are in seconds since the epoch.
    """

    #: counts up over all revocations; who has seen one asks for those behind it
    row: int
    #: ``session:ID``, ``user:USERID`` or ``sid:HASH``
    name: str
    moment: int
    #: it is kept until then
    expires: int


class Spent:
    """The tables of used names and of revocations. Every method works inside a transaction of the caller.

    Rows of the first release know no application and no moment: each ends one session of any application. What nobody
    of us wrote (a number out of range, a text too long) counts for nothing and leaves an audit line.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._used = db.tables.used_attempts
        self._revocations = db.tables.revocations
        self._purge_used = Purge(self._used, self._used.c.attempt_id)
        self._purge_revocations = Purge(self._revocations, self._revocations.c.id)

    def use(self, connection: Connection, name: str, *, expires: int, now: int) -> bool:
        """Write a name down as used; ``False``: it was already."""
        first = self._db.insert_new(connection, self._used, {"attempt_id": name, "expires": expires})
        self._purge_used.remove(connection, now)
        return first

    def revoke(
        self, connection: Connection, name: str, *, app: str, moment: int, expires: int, now: int
    ) -> None:
        """Write a revocation down, unless there is one that goes as far and lasts as long.

        One row says all that is known of its name: the highest moment, the latest end.
        """
        import sqlalchemy as sa

        # Readers ask for the rows behind the last one that they have seen. PostgreSQL gives out row ids before the
        # commit: without taking turns a row could appear below one that was read before, and be missed for ever. The
        # turn ends when the row can be seen.
        self._db.take_turns(connection, REVOCATION_LOCK)
        table = self._revocations
        rows = connection.execute(self._select(self._is(name), table.c.app == app)).all()
        known = list(_usable(rows))
        if not any(one.moment >= moment and one.expires >= expires for one in known):
            kind, value = _parts(name)
            moment, expires = (
                max([moment, *(one.moment for one in known)]),
                max([expires, *(one.expires for one in known)]),
            )
            connection.execute(
                sa.insert(table).values(kind=kind, value=value, app=app, moment=moment, expires=expires)
            )
            if rows:
                connection.execute(sa.delete(table).where(table.c.id.in_([row.id for row in rows])))
        self._purge_revocations.remove(connection, now)

    def revocations(self, connection: Connection, since: int, *, app: str, now: int) -> list[Revocation]:
        """The revocations behind row *since*, in the order of rows; all of them when *since* was never given out."""
        import sqlalchemy as sa

        table = self._revocations
        # A database that was put back to an earlier state gives row ids a second time: start again from the first.
        last = connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
        new = table.c.id > (since if since <= last else 0)
        query = self._select(new, *self._concern(app, now)).order_by(table.c.id)
        return list(_usable(connection.execute(query)))

    def moment(self, connection: Connection, name: str, *, app: str, now: int) -> int | None:
        """The highest moment of the revocations of one name; ``None``: there is none."""
        rows = connection.execute(self._select(self._is(name), *self._concern(app, now)))
        return max((one.moment for one in _usable(rows)), default=None)

    def _select(self, *conditions: ColumnElement[bool]) -> Any:
        import sqlalchemy as sa

        columns = self._revocations.c
        return sa.select(
            columns.id,
            sa.func.substr(columns.kind, 1, MAX_TEXT).label("kind"),
            sa.func.substr(columns.value, 1, MAX_TEXT).label("value"),
            sa.func.coalesce(columns.moment, columns.expires).label("moment"),
            columns.expires,
        ).where(*conditions)

    def _is(self, name: str) -> ColumnElement[bool]:
        kind, value = _parts(name)
        return (self._revocations.c.kind == kind) & (self._revocations.c.value == value)

    def _concern(self, app: str, now: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        columns = self._revocations.c
        return columns.app.in_([app, ""]), columns.expires >= now - PURGE_AFTER


def _parts(name: str) -> tuple[str, str]:
    kind, colon, value = name.partition(":")
    return (kind, value) if colon else ("", name)


def _usable(rows: Iterable[Any]) -> Iterator[Revocation]:
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
                row=row.id,
                detail="a revocation that none of us wrote; it counts for nothing",
            )
