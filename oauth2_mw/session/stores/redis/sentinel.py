"""A master that Sentinels monitor, and replace when it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.redis.errors import BrokenServerError, NotReachedError, brief
from oauth2_mw.session.stores.redis.server import Server, connector, require_master, require_no_eviction
from oauth2_mw.session.stores.redis.servers import Servers, SharedSearch
from oauth2_mw.settings.redis_address import Host, RedisAddress

#: Seconds after which the Sentinels are asked again although the master still answers: it may be cut off from them, and
#: no longer be the master.
SEARCH_EVERY = 10


class SentinelServers(Servers):
    """The master of one service. It is searched for at the first use, after a failure, and now and then."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        #: in the order in which they are asked: the one that answered last comes first
        self._sentinels = tuple(
            Server(host, connect=connector(address, host, sentinel=True)) for host in address.hosts
        )
        self._search = SharedSearch()
        self._master: Server | None = None
        self._search_at = 0.0

    def server_of(self, key: bytes) -> Server:  # noqa: ARG002  the master has every key
        """Return the master."""
        master = self._master
        if master is None:
            self._search.run(self._find_master)
            master = self._master
        elif time.monotonic() >= self._search_at and self._search.lock.acquire(blocking=False):
            try:
                # When no Sentinel answers, the master that is known serves on.
                self._search_at = time.monotonic() + SEARCH_EVERY
                self._find_master()
            finally:
                self._search.lock.release()
            master = self._master or master
        if master is None:
            # Another thread has found that it failed.
            raise StoreUnavailableError(
                f"{self.address} (setting session): the master was lost; a failover may be under way"
            )
        return master

    def masters(self) -> Iterable[Server]:
        """Return the master."""
        return [self.server_of(b"")]

    def forget(self, server: Server) -> None:
        """Ask the Sentinels before the next use."""
        if self._master is server:
            self._master = None

    def doubt_without_replicas(self, server: Server) -> str | None:
        """Return why *server* may no longer be the master: what it is sent then will be thrown away."""
        try:
            self._search.run(self._find_master)
        except StoreUnavailableError as error:
            return f"no replica is connected to it, and no Sentinel says whether it is still the master: {error.detail}"
        master = self._master
        if master is None or master.host != server.host:
            return "no replica is connected to it, and the Sentinels have made another server the master"
        return None

    def _find_master(self) -> str | None:
        """Ask one Sentinel after the other. Return what went wrong, or ``None`` if one has named the master."""
        command = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.address.service.encode("ascii"))
        reasons = []
        for sentinel in self._sentinels:
            try:
                (answer,) = sentinel.exchange([command])
            except (NotReachedError, BrokenServerError) as failure:
                reasons.append(brief(self.address, failure.error, sentinel.host))
                continue
            if isinstance(answer, ResponseError):
                reasons.append(brief(self.address, answer, sentinel.host))
                continue
            host = _host(answer)
            if host is None:
                reasons.append(f"{sentinel.host}: it does not know a master named {self.address.service}")
                continue
            self._sentinels = (sentinel, *(other for other in self._sentinels if other is not sentinel))
            self._search_at = time.monotonic() + SEARCH_EVERY
            if self._master is None or self._master.host != host:
                self._master = Server(
                    host, connect=connector(self.address, host), check=_check, size=self.address.pool_size
                )
            return None
        return f"{self.address} (setting session): no Sentinel names the master: {' | '.join(reasons)}"


def _check(connection: Any) -> None:
    require_master(connection)
    require_no_eviction(connection)


def _host(answer: object) -> Host | None:
    match answer:
        case [bytes(name), bytes(port)] if name and port.isdigit() and 0 < int(port[:6]) < 65536:
            return Host(name.decode("ascii", "replace"), int(port))
        case _:
            return None
