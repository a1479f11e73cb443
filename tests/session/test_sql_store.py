"""Sessions in SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.store_contract import Clock, MakeStore, StoreContract, clock, store

__all__ = ["clock", "store"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'sessions.db'}"


@pytest.fixture
def make_store(url: str, clock: Clock) -> MakeStore:
    return lambda app: SqlStore(Database(Secret.literal(url)), app=app, clock=clock)


class TestOnSQLite(StoreContract):
    pass
