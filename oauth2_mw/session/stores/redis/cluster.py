"""A cluster: every key belongs to one of 16384 slots, and every slot to one of several masters."""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Iterable

from redis.exceptions import ResponseError

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.redis.errors import BrokenServerError, NotReachedError, brief
from oauth2_mw.session.stores.redis.server import Server, connector, must_not_evict
from oauth2_mw.session.stores.redis.servers import Search, Servers
from oauth2_mw.settings.redis_address import Host, RedisAddress

SLOTS = 16384


def slot_of(key: bytes) -> int:
    """The slot of a key: of what stands between its first braces, when something does (the hash tag)."""
    _, brace, rest = key.partition(b"{")
    tag, end, _ = rest.partition(b"}")
    return crc_hqx(tag if brace and end and tag else key, 0) % SLOTS


class ClusterServers(Servers):
    """The masters of a cluster, as one of its nodes describes them (``CLUSTER SLOTS``)."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        self._nodes: dict[Host, Server] = {}
        #: the master of each slot; empty before the first use
        self._owners: list[Host | None] = []
        self._outdated = True
        self._search = Search()

    def responsible(self, key: bytes) -> Server:
        """The master of the key's slot."""
        if self._outdated:
            self._search.run(self._look)
        host = self._owners[slot_of(key)]
        if host is None:
            self._outdated = True
            raise StoreUnavailableError(
                f"{self.address} (setting session): no node serves some of the slots; see CLUSTER INFO there"
            )
        return self._node(host)

    def masters(self) -> Iterable[Server]:
        """The masters of all slots."""
        if self._outdated:
            self._search.run(self._look)
        return [self._node(host) for host in dict.fromkeys(self._owners) if host is not None]

    def redirect(self, key: bytes, host: Host, *, for_good: bool) -> Server | None:
        """The node that another one has named."""
        if for_good:
            # The others are looked up again before the next call; this one need not wait.
            self._outdated = True
            if self._owners:
                self._owners[slot_of(key)] = host
        return self._node(host)

    def forget(self, server: Server) -> None:  # noqa: ARG002
        """Ask another node before the next use."""
        self._outdated = True

    def _node(self, host: Host) -> Server:
        node = self._nodes.get(host)
        if node is None:
            made = Server(host, connect=connector(self.address, host), judge=must_not_evict)
            node = self._nodes.setdefault(host, made)
        return node

    def _look(self) -> str | None:
        """Ask one node after the other; what went wrong when none knows."""
        known = list(dict.fromkeys(host for host in self._owners if host is not None))
        # Not always the same one, which may be the one that is behind.
        random.shuffle(known)
        reasons = []
        for host in dict.fromkeys((*known, *self.address.hosts)):
            node = self._node(host)
            try:
                (answer,) = node.exchange([(b"CLUSTER", b"SLOTS")])
            except (NotReachedError, BrokenServerError) as failure:
                reasons.append(brief(self.address, failure.error, host))
                continue
            if isinstance(answer, ResponseError):
                reasons.append(brief(self.address, answer, host))
                continue
            owners = _owners(answer, host)
            if owners is None:
                reasons.append(f"{host}: it describes no cluster")
                continue
            self._owners = owners
            self._outdated = False
            needed = {*owners, *self.address.hosts}
            # Copied, because other threads may add to it.
            for gone in [known for known in tuple(self._nodes) if known not in needed]:
                self._nodes.pop(gone, None)
            return None
        return f"{self.address} (setting session): no node describes the cluster: {' | '.join(reasons)}"


def _owners(answer: object, asked: Host) -> list[Host | None] | None:
    """The master of each slot by the answer to ``CLUSTER SLOTS``; ``None``: it is none."""
    owners: list[Host | None] = [None] * SLOTS
    if not isinstance(answer, list) or not answer:
        return None
    for entry in answer:
        match entry:
            case [int(first), int(last), [bytes() | None as name, int(port), *_], *_] if (
                0 <= first <= last < SLOTS and 0 < port < 65536
            ):
                # A node that does not know its own name leaves it out.
                host = Host((name or b"?").decode("ascii", "replace"), port)
                host = Host(asked.name, port) if host.name == "?" else host
                owners[first : last + 1] = [host] * (last + 1 - first)
            case _:
                return None
    return owners
