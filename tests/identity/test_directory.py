"""The user directory on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.contracts.directory import (
    DirectoryContract,
    Rows,
    directory,
    nothing_written,
    rows,
)
from tests.support.stores.directory_file import empty_database

__all__ = ["directory", "nothing_written", "rows"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return empty_database(tmp_path / "users.db")


class TestOnSQLite(DirectoryContract):
    def explain(self, rows: Rows, seen: dict[str, Any]) -> Iterator[tuple[str, str]]:
        with rows.engine.connect() as connection:
            for statement, parameters in seen.items():
                several = isinstance(parameters, list)
                plan = connection.exec_driver_sql(
                    f"EXPLAIN QUERY PLAN {statement}", parameters[0] if several else parameters
                )
                yield statement, "\n".join(row.detail for row in plan)

    def reads_everything(self, plan: str) -> bool:
        # The index of disabled users holds nobody else.
        return any(
            line.startswith("SCAN") and not line.endswith("oauth2_mw_users_disabled")
            for line in plan.splitlines()
        )
