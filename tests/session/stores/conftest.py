"""A Redis server for each module that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.stores.redis_servers import RedisServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def inside(server: RedisServer) -> Iterator[Redis]:
    """For whoever looks at what a store has written, or writes there past it; the server is empty at first."""
    with server.client() as client:
        client.flushall()
        yield client
