"""The servers behind one URL: which of them has a key, and what to do when another one has it by now.

A command is sent again only when it certainly was not carried out: there was no connection, or the server itself says
so (``NOSCRIPT``, ``MOVED``, ``ASK``, ``READONLY``). What breaks later may have happened or not, and is a
:class:`~oauth2_mw.errors.StoreUnavailableError`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from redis.exceptions import ResponseError

from oauth2_mw.errors import StoreTakesNoWritesError, StoreUnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.session.stores.redis.errors import (
    TAKES_NO_WRITES,
    BrokenServerError,
    NotReachedError,
    code_of,
    explain,
    target_of,
)
from oauth2_mw.session.stores.redis.scripts import Script
from oauth2_mw.session.stores.redis.server import Command, Server, connector, require_no_eviction
from oauth2_mw.settings.redis_address import Host, RedisAddress

#: How often one command is sent at most.
MAX_TRIES = 6


@dataclass(frozen=True, slots=True)
class Call:
    """One script on one key, or on several of one server."""

    keys: tuple[bytes, ...]
    script: Script
    arguments: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Try:
    """One sending of a call."""

    #: the position of the call among those of :meth:`Servers.run`
    position: int
    call: Call
    #: whether the server does not know the script yet
    with_source: bool = False
    #: the server to which another one has redirected the call
    server: Server | None = None
    #: whether that was ``ASK``, which holds for this one try
    with_asking: bool = False

    def commands(self) -> Iterator[Command]:
        if self.with_asking:
            yield (b"ASKING",)
        script = self.call.script
        name = (b"EVAL", script.source) if self.with_source else (b"EVALSHA", script.digest)
        keys = self.call.keys
        yield (*name, b"%d" % len(keys), *keys, *self.call.arguments)


class Servers(ABC):
    """The base of one server, one behind Sentinels, and a cluster. Made without connecting."""

    #: whether one of them has every key, so that a script can have several
    has_every_key: bool = True

    def __init__(self, address: RedisAddress) -> None:
        self.address = address

    def run(self, calls: Sequence[Call], *, durable: bool = False) -> list[object]:
        """Carry out calls, those on one server in one round trip. Return their answers in the same order.

        :param durable: whether as many replicas as the URL asks for have to confirm.
        :raises StoreUnavailableError: when one was not carried out, or perhaps not.
        """
        answers: dict[int, object] = {}
        #: servers that failed, and why
        failures: dict[Host, StoreUnavailableError] = {}
        tries = [_Try(position, call) for position, call in enumerate(calls)]
        for _ in range(MAX_TRIES):
            next_tries: list[_Try] = []
            for server, group in self._by_server(tries, failures):
                next_tries += self._send(server, group, answers, failures, durable=durable)
            if not next_tries:
                return [answers[position] for position in range(len(calls))]
            tries = next_tries
        raise StoreUnavailableError(
            f"{self.address} (setting session): its servers have redirected a command {MAX_TRIES} times; data is being "
            "moved, or the nodes do not agree: see CLUSTER INFO there"
        )

    def scan(self, pattern: bytes, *, count: int) -> Iterator[list[bytes]]:
        """Return the keys of all masters that match the *pattern*, page by page. Some may come twice.

        :param count: how many keys, of any application, a server scans for each page.
        """
        for server in self.masters():
            cursor = b"0"
            while True:
                try:
                    (answer,) = server.exchange(
                        [(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % count)]
                    )
                except (NotReachedError, BrokenServerError) as failure:
                    self.forget(server)
                    raise StoreUnavailableError(self.explain(failure.error, server)) from None
                if isinstance(answer, ResponseError):
                    raise StoreUnavailableError(self.explain(answer, server))
                match answer:
                    case [bytes(cursor), list(keys)]:
                        yield [key for key in keys if isinstance(key, bytes)]
                    case _:
                        raise StoreUnavailableError(self.explain(ValueError(), server))
                if cursor == b"0":
                    break

    def explain(self, error: BaseException, server: Server) -> str:
        """Return a failure at one of the servers as a sentence for an operator."""
        return explain(self.address, error, server.host)

    # What differs between the kinds

    @abstractmethod
    def server_of(self, key: bytes) -> Server:
        """Return the server that has the key, as far as is known.

        :raises StoreUnavailableError: when none can be found.
        """

    @abstractmethod
    def masters(self) -> Iterable[Server]:
        """Return all servers with keys.

        :raises StoreUnavailableError: when they cannot be found.
        """

    def redirect(self, key: bytes, host: Host, *, permanent: bool) -> Server | None:  # noqa: ARG002  no other servers
        """Return the server to which another one has redirected, or ``None`` if there are no others."""
        return None

    def forget(self, server: Server) -> None:  # noqa: B027  not all kinds remember anything
        """Note that a server has failed."""

    def doubt_without_replicas(self, server: Server) -> str | None:  # noqa: ARG002  only Sentinels know
        """Return why a write to a server without replicas does not count, or ``None`` if it does."""
        return None

    # Sending

    def _by_server(
        self, tries: Iterable[_Try], failures: dict[Host, StoreUnavailableError]
    ) -> list[tuple[Server, list[_Try]]]:
        groups: dict[Host, tuple[Server, list[_Try]]] = {}
        for attempt in tries:
            server = attempt.server or self.server_of(attempt.call.keys[0])
            if server.host in failures:
                raise failures[server.host]
            groups.setdefault(server.host, (server, []))[1].append(attempt)
        return list(groups.values())

    def _send(
        self,
        server: Server,
        group: list[_Try],
        answers: dict[int, object],
        failures: dict[Host, StoreUnavailableError],
        *,
        durable: bool,
    ) -> list[_Try]:
        """Send a group to its server, and fill in the answers. Return what is to be sent again."""
        commands = [command for attempt in group for command in attempt.commands()]
        replicas = self.address.wait_replicas if durable else 0
        try:
            if replicas:
                results, connected, confirmed = server.exchange_durably(commands, replicas=replicas)
            else:
                operation = "write" if durable else "read"
                results, connected, confirmed = server.exchange(commands, operation=operation), 0, 0
        except NotReachedError as failure:
            self.forget(server)
            failures[server.host] = StoreUnavailableError(self.explain(failure.error, server))
            return [replace(attempt, server=None, with_asking=False) for attempt in group]
        except BrokenServerError as failure:
            self.forget(server)
            raise StoreUnavailableError(self.explain(failure.error, server)) from None
        next_tries: list[_Try] = []
        end = 0
        for attempt in group:
            end += 1 + attempt.with_asking
            answer = results[end - 1]
            if isinstance(answer, ResponseError):
                next_tries.append(self._next_try(server, attempt, answer, failures))
            else:
                answers[attempt.position] = answer
        if replicas and len(next_tries) < len(group):
            self._require_confirmed(server, min(replicas, connected), connected, confirmed)
        return next_tries

    def _next_try(
        self, server: Server, attempt: _Try, error: ResponseError, failures: dict[Host, StoreUnavailableError]
    ) -> _Try:
        code = code_of(error)
        if code == "NOSCRIPT" and not attempt.with_source:
            return replace(attempt, with_source=True)
        if code in ("MOVED", "ASK"):
            host = target_of(error, server.host)
            if host is not None:
                target = self.redirect(attempt.call.keys[0], host, permanent=code == "MOVED")
                if target is not None:
                    return replace(attempt, server=target, with_asking=code == "ASK")
        kind = StoreTakesNoWritesError if code in TAKES_NO_WRITES else StoreUnavailableError
        refusal = kind(self.explain(error, server), code=StoreUnavailableError.code)
        if code == "READONLY":
            self.forget(server)
            failures[server.host] = refusal
            return replace(attempt, server=None, with_asking=False)
        raise refusal from None

    def _require_confirmed(self, server: Server, needed: int, connected: int, confirmed: int) -> None:
        if confirmed < needed:
            raise StoreUnavailableError(
                f"{self.address} (setting session): {server.host}: {confirmed} of {connected} replicas took a write "
                f"within a second, and {needed} had to; see INFO replication there, or set wait_replicas in the URL"
            )
        doubt = self.doubt_without_replicas(server) if not connected else None
        if doubt is not None:
            raise StoreUnavailableError(f"{self.address} (setting session): {server.host}: {doubt}")

    def room(self) -> tuple[int, int] | None:
        """Return how many connections we open to a server at most, and how many it takes; of several the least.

        :returns: ``None`` where none says.
        :raises StoreUnavailableError: when one cannot be reached.
        """
        told = [(server.size, self._told(server, b"clients", b"maxclients")) for server in self.masters()]
        found = [(size, most) for size, most in told if most is not None]
        return min(found, key=itemgetter(1), default=None)

    def time(self) -> float | None:
        """Return the time by the clock of a server, in seconds since the epoch; ``None`` where it does not say.

        :raises StoreUnavailableError: when it cannot be reached.
        """
        told = next((self._told(each, b"server", b"server_time_usec") for each in self.masters()), None)
        return None if told is None else told / 1e6

    def _told(self, server: Server, section: bytes, name: bytes) -> int | None:
        """Return a number that a server tells of itself, if it does."""
        try:
            (answer,) = server.exchange([(b"INFO", section)])
        except (NotReachedError, BrokenServerError) as error:
            raise StoreUnavailableError(self.explain(error.error, server)) from None
        text = answer if isinstance(answer, bytes) else b""
        found = re.search(rb"^%s:([0-9]{1,20})\r?$" % name, text, re.MULTILINE)
        return None if found is None else int(found[1])


class SingleServer(Servers):
    """One server without a substitute."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        host = address.hosts[0]
        self._server = Server(
            host, connect=connector(address, host), check=require_no_eviction, size=address.pool_size
        )

    def server_of(self, key: bytes) -> Server:  # noqa: ARG002  every key is there
        """Return that one server."""
        return self._server

    def masters(self) -> Iterable[Server]:
        """Return that one server."""
        return [self._server]


@dataclass(slots=True)
class SharedSearch:
    """A search that many threads need at the same moment: one runs it, and the others share its result."""

    lock: ProcessLock = field(default_factory=ProcessLock)
    #: how many searches were run, and the failure of the last one
    count: int = 0
    failure: str | None = None

    def run(self, search: Callable[[], str | None]) -> None:
        """Run *search*, or wait for a thread that runs it.

        :raises StoreUnavailableError: with the failure that *search* returned, if it did.
        """
        before = self.count
        with self.lock:
            if self.count == before:
                self.failure = search()
                self.count += 1
            failure = self.failure
        if failure is not None:
            raise StoreUnavailableError(failure)
