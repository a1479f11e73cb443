"""What each user's last sign-in left: where it was, and the claims by which ``allow`` and the rules decide.

A request with a personal token comes long after the sign-in of its owner, and is judged by what that sign-in left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import CTE

from oauth2_mw.identity.model import freeze, thaw
from oauth2_mw.sql import Database


@dataclass(frozen=True, slots=True)
class LastSignIn:
    """The last sign-in of a user to one application, or the last refresh that the provider granted."""

    #: the ``public_url`` of the application
    app: str
    #: the NAME of the provider, and the pair that it signed in
    provider: str
    issuer: str
    subject: str
    #: those that settings read, read-only at every depth
    claims: Mapping[str, Any] = field(repr=False)
    #: seconds since the epoch
    seen_at: int


class LastSignInTable:
    """The table of last sign-ins. Every method works inside a transaction of the caller."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = database.tables.last_sign_ins

    def put(self, connection: Connection, user_id: str, sign_in: LastSignIn) -> None:
        """Write a sign-in down in place of the one before, for a user who is locked."""
        values = stored_values(sign_in)
        key = {"app": sign_in.app, "user_id": user_id}
        if not self._database.insert_new(connection, self._table, {**key, **values}):
            columns = self._table.c
            change = sa.update(self._table).where(columns.app == sign_in.app, columns.user_id == user_id)
            connection.execute(change.values(**values))

    def put_with(self, done: CTE, user_id: str, sign_in: LastSignIn) -> CTE:
        """Return part of a statement that writes a sign-in down in place of the one before, if *done* has a row."""
        values = {"app": sign_in.app, "user_id": user_id, **stored_values(sign_in)}
        columns = [
            sa.literal(value, sa.BigInteger() if name == "seen_at" else sa.Text())
            for name, value in values.items()
        ]
        insert = postgresql.insert(self._table).from_select(
            list(values), sa.select(*columns).select_from(done)
        )
        put = insert.on_conflict_do_update(
            index_elements=["app", "user_id"],
            set_={name: insert.excluded[name] for name in stored_values(sign_in)},
        )
        return put.cte("remembered")

    def note_seen(self, connection: Connection, app: str, user_id: str, *, now: int) -> None:
        """Write down that a provider has just vouched for a user again, without saying anything new of them."""
        columns = self._table.c
        change = sa.update(self._table).where(columns.app == app, columns.user_id == user_id)
        connection.execute(change.values(seen_at=now))

    def find(self, connection: Connection, app: str, user_id: str) -> LastSignIn | None:
        """Return the last sign-in of a user to an application, or ``None`` if none was written down."""
        columns = self._table.c
        query = sa.select(*columns).where(columns.app == app, columns.user_id == user_id)
        row = connection.execute(query).first()
        if row is None:
            return None
        try:
            claims = json.loads(row.claims)
        except ValueError:
            return None
        if not isinstance(claims, dict):
            return None
        return LastSignIn(app, row.provider, row.issuer, row.subject, freeze(claims), row.seen_at)


def stored_values(sign_in: LastSignIn) -> dict[str, object]:
    """Return what the row of a sign-in holds beside its key."""
    return {
        "provider": sign_in.provider,
        "issuer": sign_in.issuer,
        "subject": sign_in.subject,
        # In ASCII: not every database takes every text (NUL, lone surrogates).
        "claims": json.dumps(thaw(sign_in.claims), separators=(",", ":")),
        "seen_at": sign_in.seen_at,
    }
