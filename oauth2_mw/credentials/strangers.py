"""How many unknown tokens a provider is asked about: whoever invents them must not keep it, or us, busy."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from oauth2_mw.bounded_cache import BoundedCache

#: Tokens a minute that came to nothing, of one address, and of all.
MAX_OF_ONE = 30
MAX_OF_ALL = 300
PERIOD = 60
_MAX_ADDRESSES = 2000


class Strangers:
    """Counts what came to nothing, in one process, in periods of a minute.

    An address that may be a proxy's stands for nobody: it meets the bound of all alone.

    :param knows_proxies: whether ``trusted_peers`` names the proxies in front.
    :param clock: monotonic seconds.
    """

    def __init__(self, *, knows_proxies: bool, clock: Callable[[], float]) -> None:
        self._knows_proxies = knows_proxies
        self._clock = clock
        #: whom a count is of (``""`` for all) -> the period, and how many in it
        self._counts: BoundedCache[str, tuple[int, int]] = BoundedCache(max_entries=_MAX_ADDRESSES)
        self._all = (0, 0)

    def may_ask(self, address: str | None) -> bool:
        """Return whether another unknown token of that client may be asked about."""
        if self._count(self._all) >= MAX_OF_ALL:
            return False
        key = self._key(address)
        return key is None or self._count(self._counts.get(key)) < MAX_OF_ONE

    def note_failure(self, address: str | None) -> None:
        """Count a token that came to nothing. Two threads may count as one."""
        now = self._period()
        self._all = (now, self._count(self._all) + 1)
        if (key := self._key(address)) is not None:
            self._counts.put(key, (now, self._count(self._counts.get(key)) + 1))

    def _count(self, counted: tuple[int, int] | None) -> int:
        return counted[1] if counted is not None and counted[0] == self._period() else 0

    def _period(self) -> int:
        return int(self._clock() // PERIOD)

    def _key(self, address: str | None) -> str | None:
        if address is None:
            return None
        parsed = ip_address(address)
        if not self._knows_proxies and not parsed.is_global:
            return None
        # One person has a whole network of IPv6.
        return str(parsed) if parsed.version == 4 else parsed.exploded[:19]
