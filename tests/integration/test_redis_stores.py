"""Sessions on servers behind Sentinels and in a cluster: the contract of all stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.settings.grammar import Secret
from tests.support.clock import Clock
from tests.support.contracts.store import MakeStore, StoreContract, clock, store
from tests.support.stores.redis_servers import Cluster, Watched, cluster, watched

__all__ = ["clock", "store"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("watched"), make="redis") as running:
        yield running


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), make="valkey") as running:
        yield running


class TestBehindSentinels(StoreContract):
    @pytest.fixture
    def make_store(self, servers: Watched, clock: Clock) -> MakeStore:
        servers.master.client().flushall()
        return lambda app: RedisStore(Secret.literal(servers.url), app=app, clock=clock)


class TestInACluster(StoreContract):
    @pytest.fixture
    def make_store(self, nodes: Cluster, clock: Clock) -> MakeStore:
        for node in nodes.servers:
            node.client().flushall()
        return lambda app: RedisStore(Secret.literal(nodes.url), app=app, clock=clock)
