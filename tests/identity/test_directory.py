"""The user directory on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.contracts.directory import DirectoryContract, directory, nothing_written, rows
from tests.support.stores.directory_file import empty_database

__all__ = ["directory", "nothing_written", "rows"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return empty_database(tmp_path / "users.db")


class TestOnSQLite(DirectoryContract):
    def reads_everything(self, plan: str) -> bool:
        # The index of disabled users holds nobody else.
        return any(
            line.startswith("SCAN") and not line.endswith("oauth2_mw_users_disabled")
            for line in plan.splitlines()
        )
