"""Sessions in a real PostgreSQL server."""

from __future__ import annotations

import pytest

from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.postgres import postgres_server, postgres_url
from tests.support.store_contract import Clock, MakeStore, StoreContract, clock, store

__all__ = ["clock", "postgres_server", "postgres_url", "store"]


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def make_store(url: str, clock: Clock) -> MakeStore:
    return lambda app: SqlStore(Database(Secret.literal(url)), app=app, clock=clock)


class TestOnPostgreSQL(StoreContract):
    pass
