"""Forms that wait for their senders to sign in, as rows: sealed, for minutes, each to be taken once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from oauth2_mw.session.stores.record import MAX_FORM, check_name
from oauth2_mw.sql import Database

# For ``Database.take_turns``. Beside those of ``schema`` and ``revocations``.
_LOCK = 0x6F6175746832_0003


class SqlForms:
    """A :class:`~oauth2_mw.session.stores.FormStore` in a SQL database.

    :param app: rows of other applications are invisible.
    :param clock: seconds since the epoch."""

    def __init__(self, database: Database, *, app: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._app = app
        self._clock = clock
        self._table = database.tables.kept_forms

    def keep(
        self, owner: str, form_id: str, data: str, *, expires: int, most: int
    ) -> Literal["kept", "taken", "full"]:
        """Keep a form, unless it was taken. All that have expired, of whichever application, are removed."""
        columns = self._table.c
        waits = [columns.app == self._app, columns.owner == owner, columns.data != ""]
        with self._database.writing() as connection:
            # Two forms of one owner at once are counted one after the other.
            self._database.take_turns(connection, _LOCK)
            connection.execute(sa.delete(self._table).where(columns.expires <= self._now()))
            taken = sa.select(columns.data == "").where(*self._is(owner, form_id))
            was_taken = connection.execute(taken).scalar()
            if was_taken:
                return "taken"
            if was_taken is not None:
                anew = sa.update(self._table).where(*self._is(owner, form_id), columns.data != "")
                connection.execute(anew.values(data=data, expires=expires))
                return "kept"
            waiting = connection.execute(sa.select(sa.func.count()).select_from(self._table).where(*waits))
            if waiting.scalar_one() >= most:
                return "full"
            row = {"app": self._app, "owner": owner, "form_id": form_id, "data": data, "expires": expires}
            connection.execute(sa.insert(self._table).values(**row))
            return "kept"

    def read(self, owner: str, form_id: str) -> str | None:
        """Return a form; an empty text if it was taken; ``None`` if there is none or it has expired."""
        columns = self._table.c
        # What somebody else may have written is not fetched whole.
        text = sa.func.substr(columns.data, 1, MAX_FORM)
        with self._database.reading() as connection:
            data = connection.execute(sa.select(text).where(*self._is(owner, form_id))).scalar()
        return data if isinstance(data, str) else None

    def take(self, owner: str, form_id: str, *, expires: int) -> str | None:
        """Take a form: the one transaction that empties its row has it."""
        data = self.read(owner, form_id)
        if not data:
            return data
        emptied = (
            sa.update(self._table)
            .where(*self._is(owner, form_id), self._table.c.data != "")
            .values(data="", expires=expires)
        )
        with self._database.writing() as connection:
            return data if connection.execute(emptied).rowcount == 1 else ""

    def drop(self, owner: str, form_id: str) -> None:
        """Forget a form and its id."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(self._table).where(*self._is(owner, form_id)))

    def _is(self, owner: str, form_id: str) -> list[ColumnElement[bool]]:
        columns = self._table.c
        return [
            columns.app == self._app,
            columns.owner == check_name(owner),
            columns.form_id == check_name(form_id),
            columns.expires > self._now(),
        ]

    def _now(self) -> int:
        return int(self._clock())
