"""A master that Sentinels watch over, and replace when it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from redis.exceptions import ResponseError

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.redis.errors import BrokenServerError, NotReachedError, brief
from oauth2_mw.session.stores.redis.server import Server, connector, must_be_master, must_not_evict
from oauth2_mw.session.stores.redis.servers import Search, Servers
from oauth2_mw.settings.redis_address import Host, RedisAddress

#: Seconds after which the Sentinels are asked again, although the master that they named still answers: it may be cut
#: off from them, and no master any more.
LOOK_EVERY = 10


class SentinelServers(Servers):
    """The master of one service. It is looked up at the first use, when it is of no use, and now and then."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        #: the one that answered last comes first
        self._sentinels = tuple(
            Server(host, connect=connector(address, host, sentinel=True)) for host in address.hosts
        )
        self._search = Search()
        self._master: Server | None = None
        self._look_at = 0.0

    def responsible(self, key: bytes) -> Server:  # noqa: ARG002
        """The master."""
        master = self._master
        if master is None:
            self._search.run(self._look)
            master = self._master
        elif time.monotonic() >= self._look_at and self._search.lock.acquire(blocking=False):
            try:
                # Whoever cannot find out goes on with what is known.
                self._look_at = time.monotonic() + LOOK_EVERY
                self._look()
            finally:
                self._search.lock.release()
            master = self._master or master
        if master is None:
            # Found, and lost again by somebody else.
            raise StoreUnavailableError(
                f"{self.address} (setting session): the master was lost; a failover may be under way"
            )
        return master

    def masters(self) -> Iterable[Server]:
        """The master."""
        return [self.responsible(b"")]

    def forget(self, server: Server) -> None:
        """Ask the Sentinels before the next use."""
        if self._master is server:
            self._master = None

    def doubt_alone(self, server: Server) -> str | None:
        """A master that has lost all its replicas may have lost its office, and what it takes then is thrown away."""
        try:
            self._search.run(self._look)
        except StoreUnavailableError as error:
            return f"no replica is connected to it, and no Sentinel says whether it is still the master: {error.detail}"
        master = self._master
        if master is None or master.host != server.host:
            return "no replica is connected to it, and the Sentinels have made another server the master"
        return None

    def _look(self) -> str | None:
        """Ask one Sentinel after the other; what went wrong when none knows."""
        question = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.address.service.encode("ascii"))
        reasons = []
        for sentinel in self._sentinels:
            try:
                (answer,) = sentinel.exchange([question])
            except (NotReachedError, BrokenServerError) as failure:
                reasons.append(brief(self.address, failure.error, sentinel.host))
                continue
            if isinstance(answer, ResponseError):
                reasons.append(brief(self.address, answer, sentinel.host))
                continue
            host = _host(answer)
            if host is None:
                reasons.append(f"{sentinel.host}: it knows no master named {self.address.service}")
                continue
            self._sentinels = (sentinel, *(other for other in self._sentinels if other is not sentinel))
            self._look_at = time.monotonic() + LOOK_EVERY
            if self._master is None or self._master.host != host:
                self._master = Server(host, connect=connector(self.address, host), judge=_judge)
            return None
        return f"{self.address} (setting session): no Sentinel names the master: {' | '.join(reasons)}"


def _judge(connection: Any) -> None:
    must_be_master(connection)
    must_not_evict(connection)


def _host(answer: object) -> Host | None:
    match answer:
        case [bytes(name), bytes(port)] if name and port.isdigit() and 0 < int(port[:6]) < 65536:
            return Host(name.decode("ascii", "replace"), int(port))
        case _:
            return None
