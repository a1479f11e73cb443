"""Where sessions live, as servers of their own, and what happens to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from signal import Signals

from tests.soak.relay import Relay
from tests.soak.schedule import Kind, StoreName
from tests.support.stores.postgres import PostgresServer
from tests.support.stores.redis_servers import RedisServer, Watched, wait_for, watched

#: Seconds by which a slow store answers later: less than a worker waits.
SLOW = 0.7

#: Does one fault until the end of its ``with``.
Do = Callable[[], AbstractContextManager[None]]


class SoakStore:
    """One store.

    :param settings: what the INI says of it.
    :param faults: what can happen to it.
    """

    def __init__(self, settings: Mapping[str, str], faults: Mapping[Kind, Do]) -> None:
        self.settings = settings
        self._faults = faults

    def suffering(self, kind: Kind) -> AbstractContextManager[None]:
        """Let that happen to it, until the end of the ``with``."""
        return self._faults[kind]()


@contextmanager
def store(name: StoreName, folder: Path) -> Iterator[SoakStore]:
    """Run a store until the end of the ``with``."""
    with ExitStack() as stack:
        match name:
            case "cookies":
                yield SoakStore({}, {})
            case "sqlite":
                yield _sqlite(folder / "shared.db")
            case "redis":
                server = stack.enter_context(
                    RedisServer(folder, *RedisServer.DURABLE, "--maxmemory-policy", "noeviction")
                )
                yield _redis(server, stack.enter_context(Relay(("127.0.0.1", server.port))))
            case "sentinel":
                yield _sentinel(stack.enter_context(watched(folder, *RedisServer.DURABLE)))
            case "directory" | "postgresql":
                postgres = PostgresServer()
                stack.callback(postgres.close)
                path, _, data = postgres.new_database().partition("?host=")
                relay = stack.enter_context(Relay(f"{data}/.s.PGSQL.5432"))
                url = path.replace("@/", f"@127.0.0.1:{relay.port}/")
                settings = {"directory": url}
                if name == "postgresql":
                    settings["session"] = url
                yield _postgresql(postgres, relay, settings)


def _redis(server: RedisServer, relay: Relay) -> SoakStore:
    @contextmanager
    def full() -> Iterator[None]:
        with server.client() as client:
            client.config_set("maxmemory", 1)
        yield
        with server.client() as client:
            client.config_set("maxmemory", 0)

    faults: dict[Kind, Do] = {
        "store killed": lambda: _undone(server.kill, server.start),
        "store stopped": lambda: _stopped(server.signal),
        "store full": full,
        **_of_relay(relay),
    }
    return SoakStore({"session": f"redis://127.0.0.1:{relay.port}"}, faults)


def _sentinel(servers: Watched) -> SoakStore:
    @contextmanager
    def killed() -> Iterator[None]:
        old = servers.master
        old.kill()
        servers.wait_for_another_master(old)
        yield
        old.start()
        _wait_for_replica(servers)

    @contextmanager
    def stopped() -> Iterator[None]:
        old = servers.master
        with _stopped(old.signal):
            servers.wait_for_another_master(old)
            yield
        _wait_for_replica(servers)

    @contextmanager
    def replaced() -> Iterator[None]:
        old = servers.master
        servers.sentinels[0].client().sentinel_failover("main")
        servers.wait_for_another_master(old)
        yield
        _wait_for_replica(servers)

    faults: dict[Kind, Do] = {
        "store killed": killed,
        "store stopped": stopped,
        "master replaced": replaced,
    }
    return SoakStore({"session": servers.url}, faults)


def _wait_for_replica(servers: Watched) -> None:
    """Until there is one again that could take over: with none the next fault would be another one."""
    wait_for(lambda: len(servers.master.client().role()[2]) == 1)
    port = servers.replicas[0].port
    for sentinel in servers.sentinels:
        wait_for(
            lambda sentinel=sentinel: any(  # type: ignore[misc]  # bound now
                replica["port"] == port and not replica["is_disconnected"] and not replica["is_sdown"]
                for replica in sentinel.client().sentinel_slaves("main")
            )
        )


def _postgresql(server: PostgresServer, relay: Relay, settings: Mapping[str, str]) -> SoakStore:
    def read_only(value: str) -> None:
        server.psql(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        server.psql("SELECT pg_reload_conf()")

    faults: dict[Kind, Do] = {
        "store killed": lambda: _undone(server.stop, server.start),
        "store stopped": lambda: _stopped(server.signal),
        "store full": lambda: _undone(lambda: read_only("on"), lambda: read_only("off")),
        **_of_relay(relay),
    }
    return SoakStore(settings, faults)


def _sqlite(file: Path) -> SoakStore:
    @contextmanager
    def locked() -> Iterator[None]:
        connection = sqlite3.connect(file, timeout=10, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    url = f"sqlite:///{file}"
    return SoakStore({"directory": url, "session": url}, {"store slow": locked})


def _of_relay(relay: Relay) -> dict[Kind, Do]:
    def set_delay(seconds: float) -> None:
        relay.delay = seconds

    return {
        "store slow": lambda: _undone(lambda: set_delay(SLOW), lambda: set_delay(0.0)),
        "store cut": lambda: _undone(relay.cut, relay.mend),
    }


@contextmanager
def _undone(do: Callable[[], object], undo: Callable[[], object]) -> Iterator[None]:
    do()
    try:
        yield
    finally:
        undo()


@contextmanager
def _stopped(send: Callable[[Signals], None]) -> Iterator[None]:
    send(Signals.SIGSTOP)
    try:
        yield
    finally:
        send(Signals.SIGCONT)
