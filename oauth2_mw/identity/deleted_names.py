"""The names of deleted users, as keyed hashes: the same person is given theirs again, and nobody else is.

Whoever reads the table learns no name and no person. The key is in the database itself: one of the settings would be
replaced some day, and every name would be free.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import Select

from oauth2_mw.encoding import base64url
from oauth2_mw.sql import Database

#: The number of the key's row.
_KEY = 1


class DeletedNames:
    """The table of hashes. Every method works inside a transaction of the caller."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.tables.deleted_names
        self._keys = database.tables.name_keys

    def keep(self, connection: Connection, names: Iterable[str], owners: Iterable[str]) -> None:
        """Keep names from everybody but their owners.

        :param names: as :func:`~oauth2_mw.identity.usernames.name_key` and ``skeleton`` return them.
        :param owners: those of the user, as :func:`~oauth2_mw.identity.model.user_key` returns them.
        """
        self._database.insert_new(
            connection, self._keys, {"id": _KEY, "secret": base64url(secrets.token_bytes(32))}
        )
        secret, owners = connection.execute(self.secret()).scalar() or "", tuple(owners)
        for name in names:
            for owner in owners:
                row = {"name_hash": name_hash(secret, name), "owner_hash": _hash(secret, name, owner)}
                self._database.insert_new(connection, self._table, row)

    def is_kept_from(self, connection: Connection, name: str, owner: str) -> bool:
        """Return whether a name was that of a deleted user who is not *owner*. Parameters as for :meth:`keep`."""
        secret = connection.execute(self.secret()).scalar()
        if secret is None:
            # Nobody was ever deleted.
            return False
        query = sa.select(self._table.c.owner_hash).where(self._table.c.name_hash == name_hash(secret, name))
        owners = set(connection.execute(query).scalars())
        return bool(owners) and _hash(secret, name, owner) not in owners

    def secret(self) -> Select[Any]:
        """Select the key of the hashes. There is none until a user is deleted."""
        return sa.select(self._keys.c.secret).where(self._keys.c.id == _KEY)


def name_hash(secret: str, name: str) -> str:
    """Return what is kept of a name, by the key that :meth:`DeletedNames.secret` selects."""
    return _hash(secret, name)


def _hash(secret: str, *texts: str) -> str:
    # A user_key has one length, so that no two lists of texts are one text.
    return base64url(hmac.digest(secret.encode(), "\0".join(texts).encode("utf-8", "surrogatepass"), sha256))
