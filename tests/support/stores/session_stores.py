"""The stores that sessions live in, real and running, and what a test of whole hosts does to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import sqlalchemy as sa

from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.stores.postgres import PostgresServer
from tests.support.stores.redis_servers import RedisServer

StoreName = Literal["redis", "postgresql"]


class RunningStore(Protocol):
    """One store."""

    @property
    def url(self) -> str:
        """For the setting ``session``."""

    def take_away(self) -> None:
        """End its server at once, as a power cut would. What it has acknowledged is on its disk."""

    def bring_back(self) -> None:
        """Start it again with what it had, and wait until it answers."""

    def end_leases(self) -> None:
        """Let the time pass for which workers that refresh have a session for themselves."""


class InRedis:
    """A Redis that writes to its disk before it answers."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.url = server.url

    def take_away(self) -> None:
        self.server.kill()

    def bring_back(self) -> None:
        self.server.start()

    def end_leases(self) -> None:
        with self.server.client() as client:
            for key in client.scan_iter("oauth2_mw:*:s"):
                client.hset(key, "l", 1)


class InPostgres:
    """A database of its own on the server of all tests."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = server.new_database()
        self._away = False

    def take_away(self) -> None:
        self._server.stop()
        self._away = True

    def bring_back(self) -> None:
        if self._away:
            self._server.start()
            self._away = False

    def end_leases(self) -> None:
        database = Database(Secret.literal(self.url))
        with database.writing() as connection:
            connection.execute(sa.update(database.tables.sessions).values(lease=1))


@contextmanager
def in_redis(folder: Path) -> Iterator[InRedis]:
    """A Redis, until the end of the ``with``."""
    with RedisServer(folder, *RedisServer.DURABLE) as server:
        yield InRedis(server)


@contextmanager
def in_postgres(server: PostgresServer) -> Iterator[InPostgres]:
    """A fresh database; the server is there again at the end of the ``with``, whatever happened to it."""
    store = InPostgres(server)
    try:
        yield store
    finally:
        store.bring_back()
