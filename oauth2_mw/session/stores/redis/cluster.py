"""A cluster: every key belongs to one of 16384 slots, and every slot to one of several masters."""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Iterable

from redis.exceptions import ResponseError

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.redis.errors import BrokenServerError, NotReachedError, brief
from oauth2_mw.session.stores.redis.server import Server, connector, require_no_eviction
from oauth2_mw.session.stores.redis.servers import Servers, SharedSearch
from oauth2_mw.settings.redis_address import Host, RedisAddress

SLOTS = 16384


def slot_of(key: bytes) -> int:
    """Return the slot of a key: that of its hash tag, the text between its first braces, if it has one."""
    _, opening, after = key.partition(b"{")
    tag, closing, _ = after.partition(b"}")
    return crc_hqx(tag if opening and closing and tag else key, 0) % SLOTS


class ClusterServers(Servers):
    """The masters of a cluster, as one of its nodes describes them (``CLUSTER SLOTS``)."""

    has_every_key = False

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        self._nodes: dict[Host, Server] = {}
        #: the master of each slot; empty before the first use
        self._masters: list[Host | None] = []
        self._outdated = True
        self._search = SharedSearch()

    def server_of(self, key: bytes) -> Server:
        """Return the master of the key's slot."""
        if self._outdated:
            self._search.run(self._find_masters)
        host = self._masters[slot_of(key)]
        if host is None:
            self._outdated = True
            raise StoreUnavailableError(
                f"{self.address} (setting session): no node serves some of the slots; see CLUSTER INFO there"
            )
        return self._node(host)

    def masters(self) -> Iterable[Server]:
        """Return the masters of all slots."""
        if self._outdated:
            self._search.run(self._find_masters)
        return [self._node(host) for host in dict.fromkeys(self._masters) if host is not None]

    def redirect(self, key: bytes, host: Host, *, permanent: bool) -> Server | None:
        """Return the node that another one has named."""
        if permanent:
            # The other slots are looked up before the next call; this call need not wait.
            self._outdated = True
            if self._masters:
                self._masters[slot_of(key)] = host
        return self._node(host)

    def forget(self, server: Server) -> None:  # noqa: ARG002  all nodes are looked up anew
        """Ask another node before the next use."""
        self._outdated = True

    def _node(self, host: Host) -> Server:
        node = self._nodes.get(host)
        if node is None:
            server = Server(
                host,
                connect=connector(self.address, host),
                check=require_no_eviction,
                size=self.address.pool_size,
            )
            node = self._nodes.setdefault(host, server)
        return node

    def _find_masters(self) -> str | None:
        """Ask one node after the other. Return what went wrong, or ``None`` if one has described the cluster."""
        hosts = list(dict.fromkeys(host for host in self._masters if host is not None))
        # Not always the same one first: its description may be outdated.
        random.shuffle(hosts)
        reasons = []
        for host in dict.fromkeys((*hosts, *self.address.hosts)):
            node = self._node(host)
            try:
                (answer,) = node.exchange([(b"CLUSTER", b"SLOTS")])
            except (NotReachedError, BrokenServerError) as failure:
                reasons.append(brief(self.address, failure.error, host))
                continue
            if isinstance(answer, ResponseError):
                reasons.append(brief(self.address, answer, host))
                continue
            masters = _masters(answer, host)
            if masters is None:
                reasons.append(f"{host}: it does not describe a cluster")
                continue
            self._masters = masters
            self._outdated = False
            needed = {*masters, *self.address.hosts}
            # Copied, because other threads may add to it.
            for unused in [host for host in tuple(self._nodes) if host not in needed]:
                self._nodes.pop(unused, None)
            return None
        return f"{self.address} (setting session): no node describes the cluster: {' | '.join(reasons)}"


def _masters(answer: object, server: Host) -> list[Host | None] | None:
    """Return the master of each slot by the answer to ``CLUSTER SLOTS``, or ``None`` if it is not one."""
    masters: list[Host | None] = [None] * SLOTS
    if not isinstance(answer, list) or not answer:
        return None
    for entry in answer:
        match entry:
            case [int(first), int(last), [bytes() | None as name, int(port), *_], *_] if (
                0 <= first <= last < SLOTS and 0 < port < 65536
            ):
                # A node that does not know its own name leaves it out.
                host = Host((name or b"?").decode("ascii", "replace"), port)
                host = Host(server.name, port) if host.name == "?" else host
                masters[first : last + 1] = [host] * (last + 1 - first)
            case _:
                return None
    return masters
