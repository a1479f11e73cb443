"""Sessions in a real PostgreSQL server."""

from __future__ import annotations

import pytest

from tests.support.postgres import postgres_server, postgres_url

pytest.register_assert_rewrite("tests.support.store_contract")

from oauth2_mw.session.stores.sql import SqlStore  # noqa: E402
from oauth2_mw.settings.grammar import Secret  # noqa: E402
from oauth2_mw.sql import Database  # noqa: E402
from tests.support.store_contract import Clock, MakeStore, StoreContract, clock, store  # noqa: E402

__all__ = ["clock", "postgres_server", "postgres_url", "store"]


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def make_store(url: str, clock: Clock) -> MakeStore:
    return lambda app: SqlStore(Database(Secret.literal(url)), app=app, clock=clock)


class TestOnPostgreSQL(StoreContract):
    pass
