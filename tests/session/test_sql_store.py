"""Sessions in SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support.store_contract")

from oauth2_mw.session.stores.sql import SqlStore  # noqa: E402
from oauth2_mw.settings.grammar import Secret  # noqa: E402
from oauth2_mw.sql import Database  # noqa: E402
from tests.support.store_contract import Clock, MakeStore, StoreContract, clock, store  # noqa: E402

__all__ = ["clock", "store"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'sessions.db'}"


@pytest.fixture
def make_store(url: str, clock: Clock) -> MakeStore:
    return lambda app: SqlStore(Database(Secret.literal(url)), app=app, clock=clock)


class TestOnSQLite(StoreContract):
    pass
