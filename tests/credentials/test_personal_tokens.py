"""Personal tokens on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.contracts.personal_tokens import PersonalTokenContract, parts
from tests.support.stores.directory_file import empty_database

__all__ = ["parts"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return empty_database(tmp_path / "users.db")


class TestOnSQLite(PersonalTokenContract):
    pass
