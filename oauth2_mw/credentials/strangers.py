"""How often a provider is asked about codes and tokens of strangers: made-up ones must not keep it, or us, busy.

Tries that came to nothing are bounded for each client address, and for all addresses together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from math import ceil

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.errors import OAuth2Error, UnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.settings.peers import PRIVATE, Peer, parse_address

#: Tries a minute that came to nothing, of one address, and of all.
MAX_OF_ONE = 30
MAX_OF_ALL = 300
PERIOD = 60
_MAX_ADDRESSES = 2000


@dataclass(slots=True)
class _Minute:
    """A minute that began with a try, and the tries in it that came to nothing or have not ended yet."""

    #: monotonic time
    ends: float
    tries: int = 0
    #: whether a refusal of this minute was logged
    is_told: bool = False


class Strangers:
    """Counts tries at one provider, in one process. Safe for threads.

    An address that may be a proxy's is no single client's: it counts against the bound for all alone.

    :param proxies: the setting ``trusted_peers``; while it names none, every private address may be a proxy's.
    :param clock: monotonic seconds.
    :param refusal: makes the error for one try too many of what the log says about it.
    """

    def __init__(
        self,
        proxies: Iterable[Peer],
        *,
        clock: Callable[[], float],
        refusal: Callable[[str], OAuth2Error],
    ) -> None:
        named = frozenset(proxies)
        self._proxies = [each for each in named or PRIVATE if isinstance(each, (IPv4Network, IPv6Network))]
        self._clock = clock
        self._refusal = refusal
        self._lock = ProcessLock()
        self._of_one: BoundedCache[str, _Minute] = BoundedCache(max_entries=_MAX_ADDRESSES)
        self._of_all = _Minute(clock())

    def check(self, address: str | None) -> None:
        """Refuse a client whose next try would be one too many, before it waits for anything.

        :raises OAuth2Error: the refusal, with status 429 and the seconds to wait; ``is_repeated`` but for the first of
            its minute.
        """
        with self._lock:
            self._minutes(address)

    @contextmanager
    def one_try(self, address: str | None) -> Iterator[None]:
        """Count what is done in this context, from its beginning, as a try that comes to nothing.

        The count is taken back if it ends well, or if something that cannot be reached is to blame.

        :raises OAuth2Error: as :meth:`check`, without entering the context.
        """
        with self._lock:
            minutes = self._minutes(address)
            for each in minutes:
                each.tries += 1
        try:
            yield
        except UnavailableError:
            self._take_back(minutes)
            raise
        self._take_back(minutes)

    def _take_back(self, minutes: Iterable[_Minute]) -> None:
        with self._lock:
            for each in minutes:
                each.tries -= 1

    def _minutes(self, address: str | None) -> list[_Minute]:
        """Return the minutes in which a try of *address* counts: its own, and that of all.

        :raises OAuth2Error: as :meth:`check`.
        """
        now, minutes = self._clock(), []
        if (key := self._key(address)) is not None:
            minute = self._of_one.get(key)
            if minute is None or minute.ends <= now:
                # Put anew, it is forgotten last.
                self._of_one.pop(key)
                self._of_one.put(key, minute := _Minute(now + PERIOD))
            self._refuse_beyond(MAX_OF_ONE, minute, f"client {key}", now)
            minutes.append(minute)
        if self._of_all.ends <= now:
            self._of_all = _Minute(now + PERIOD)
        self._refuse_beyond(MAX_OF_ALL, self._of_all, "all clients together", now)
        return [*minutes, self._of_all]

    def _refuse_beyond(self, most: int, minute: _Minute, whose: str, now: float) -> None:
        if minute.tries < most:
            return
        left = ceil(minute.ends - now)
        error = self._refusal(
            f"{most} of {whose} came to nothing within a minute: no other for {left} seconds"
        )
        error.status, error.retry_after, error.is_repeated = 429, left, minute.is_told
        minute.is_told = True
        raise error

    def _key(self, address: str | None) -> str | None:
        parsed = None if address is None else parse_address(address)
        if parsed is None or any(parsed in each for each in self._proxies):
            return None
        # One subscriber has a whole /64 of IPv6.
        return str(parsed) if parsed.version == 4 else f"{parsed.exploded[:19]}::/64"
