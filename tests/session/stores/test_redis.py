"""Sessions in Redis and Valkey: the contract of all stores, and what is particular to these."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.settings.grammar import Secret
from tests.support.redis_servers import RedisServer
from tests.support.store_contract import Clock, MakeStore, StoreContract, clock, store

__all__ = ["clock", "store"]


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), make=request.param) as running:
        yield running


@pytest.fixture
def make_store(server: RedisServer, clock: Clock) -> MakeStore:
    server.client().flushall()
    return lambda app: RedisStore(Secret.literal(server.url), app=app, clock=clock)


class TestOneServer(StoreContract):
    pass
