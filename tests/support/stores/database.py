"""A database seen past the code under test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from oauth2_mw.sql import address


class Rows:
    """Its tables as they are."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(address.parse(url), future=True)

    def run(self, statement: str, **values: Any) -> list[Any]:
        """Run one statement and keep what it did; its rows, if it has any."""
        with self.engine.connect() as connection:
            result = connection.execute(sa.text(statement), values)
            rows = list(result) if result.returns_rows else []
            connection.commit()
        return rows

    def count(self, table: str) -> int:
        """The number of rows of one of our tables."""
        return int(self.run(f"SELECT count(*) FROM oauth2_mw_{table}")[0][0])  # noqa: S608

    def everything(self, tables: Iterable[str]) -> dict[str, list[Any]]:
        """All rows of those of our tables."""
        return {table: sorted(self.run(f"SELECT * FROM oauth2_mw_{table}"), key=repr) for table in tables}  # noqa: S608

    def plans(self, statements: Mapping[str, Any]) -> dict[str, str]:
        """The database's plan for each of these statements with its parameters."""
        explain = "EXPLAIN QUERY PLAN" if self.engine.dialect.name == "sqlite" else "EXPLAIN"
        plans = {}
        with self.engine.connect() as connection:
            for statement, parameters in statements.items():
                one = parameters[0] if isinstance(parameters, list) else parameters
                rows = connection.exec_driver_sql(f"{explain} {statement}", one)
                plans[statement] = "\n".join(str(row[-1]) for row in rows)
        return plans

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


@contextmanager
def statements() -> Iterator[dict[str, Any]]:
    """The SQL that is run meanwhile, with parameters of one run each."""
    seen: dict[str, Any] = {}

    def remember(_c: Any, _u: Any, statement: str, parameters: Any, _x: Any, _m: Any) -> None:
        if statement.startswith(("SELECT id", "SELECT oauth2", "SELECT max", "INSERT", "UPDATE", "DELETE")):
            seen[statement] = parameters

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", remember)
    try:
        yield seen
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", remember)
