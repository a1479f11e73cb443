"""The connections of each process: made at the first use, and made anew when the URL has changed."""

from __future__ import annotations

from collections.abc import Callable

from oauth2_mw.errors import ConfigError, Problem, StoreUnavailableError
from oauth2_mw.process_local import ProcessLocal, ProcessLock
from oauth2_mw.session.stores.redis.cluster import ClusterServers
from oauth2_mw.session.stores.redis.sentinel import SentinelServers
from oauth2_mw.session.stores.redis.servers import Servers, SingleServer
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.redis_address import Kind, RedisAddress, parse

_KINDS: dict[Kind, Callable[[RedisAddress], Servers]] = {
    Kind.SINGLE: SingleServer,
    Kind.SENTINEL: SentinelServers,
    Kind.CLUSTER: ClusterServers,
}


class _Process:
    """What belongs to one process. Two with one connection would read each other's answers."""

    __slots__ = ("current", "lock")

    def __init__(self) -> None:
        self.lock = ProcessLock()
        #: the URL and its servers
        self.current: tuple[str, Servers] | None = None


class RedisConnections:
    """The servers at *url*, shared by all threads of a process and never across a fork.

    :raises ConfigError: when the URL cannot be used.
    """

    def __init__(self, url: Secret) -> None:
        try:
            parse(url.value())
        except OSError as error:
            raise ConfigError([Problem("oauth2_mw", "session", f"the URL cannot be read: {error}")]) from None
        except ValueError as error:
            raise ConfigError([Problem("oauth2_mw", "session", f"the URL {error}")]) from None
        self._url = url
        self._process = ProcessLocal(_Process)

    def servers(self) -> Servers:
        """Return the servers for this process, without connecting to them.

        :raises StoreUnavailableError: when the URL is kept in a file and cannot be used any more.
        """
        try:
            text = self._url.value()
        except OSError as error:
            raise StoreUnavailableError(f"setting session: the URL cannot be read: {error}") from None
        process = self._process.get()
        current = process.current
        if current is not None and current[0] == text:
            return current[1]
        with process.lock:
            current = process.current
            if current is None or current[0] != text:
                current = process.current = (text, _open(text))
            return current[1]


def _open(text: str) -> Servers:
    try:
        address = parse(text)
    except ValueError as error:
        raise StoreUnavailableError(f"setting session has changed: the URL {error}") from None
    return _KINDS[address.kind](address)
