"""Links: further pairs of issuer and subject that are those of a user, by an administrator's word or by an address."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from oauth2_mw.sql import Database

#: stands for the user in a link that was undone
_NOBODY = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One more pair that signs a user in."""

    issuer: str
    subject: str
    #: seconds since the epoch
    linked_at: int


def lock_number(key: str) -> int:
    """Return the number of the advisory lock by which a pair is held."""
    # The key is a hash: two pairs with equal first 64 bits would wait for each other, which is harmless.
    return int.from_bytes(urlsafe_b64decode(key + "=")[:8], signed=True)


class LinkTable:
    """The table of links, by :func:`~oauth2_mw.identity.model.user_key`.

    Every method works inside a transaction of the caller. A pair is a user or is linked to one, never both: code that
    writes either holds the pair first, then looks.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._table = db.tables.links

    def hold(self, connection: Connection, key: str) -> None:
        """Lock a pair until the end of the transaction: nobody else adds it as a user or links it."""
        self._db.take_turns(connection, lock_number(key))

    def user_id(self, connection: Connection, key: str) -> str | None:
        """Return the id of the user to whom the pair is linked, or ``None`` if it is not linked."""
        return self._user_id(connection, key) or None

    def is_undone(self, connection: Connection, key: str) -> bool:
        """Return whether :meth:`undo` has undone the link of a pair, and nobody has linked it since."""
        return self._user_id(connection, key) == _NOBODY

    def _user_id(self, connection: Connection, key: str) -> str | None:
        query = sa.select(self._table.c.user_id).where(self._table.c.user_key == key)
        user_id = connection.execute(query).scalar()
        return None if user_id is None else str(user_id)

    def put(self, connection: Connection, key: str, user_id: str, link: Link) -> None:
        """Link a pair, also one that is still linked to a user who is gone."""
        self.remove(connection, key)
        values = {
            "user_key": key,
            "user_id": user_id,
            "issuer": link.issuer,
            "subject": link.subject,
            "linked_at": link.linked_at,
        }
        connection.execute(sa.insert(self._table).values(**values))

    def remove(self, connection: Connection, key: str) -> None:
        """Remove the link of a pair, if there is one."""
        connection.execute(sa.delete(self._table).where(self._table.c.user_key == key))

    def undo(self, connection: Connection, key: str) -> None:
        """Undo the link of a pair, and remember that: no address may make it again."""
        columns = self._table.c
        connection.execute(sa.update(self._table).where(columns.user_key == key).values(user_id=_NOBODY))

    def of_user(self, connection: Connection, user_id: str) -> list[Link]:
        """Return the links of a user, oldest first."""
        columns = self._table.c
        query = (
            sa.select(columns.issuer, columns.subject, columns.linked_at)
            .where(columns.user_id == user_id)
            .order_by(columns.linked_at, columns.user_key)
        )
        return [Link(row.issuer, row.subject, row.linked_at) for row in connection.execute(query)]
