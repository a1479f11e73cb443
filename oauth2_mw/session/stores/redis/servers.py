"""The servers behind one URL: which of them has a key, and what to do when it is another by now.

A command is sent again only when it is certain that it was not carried out: no connection came about, or the server
itself said so (``NOSCRIPT``, ``MOVED``, ``ASK``, ``READONLY``). Whatever breaks later may have happened or not, and is
a :class:`~oauth2_mw.errors.StoreUnavailableErrorError`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from redis.exceptions import ResponseError

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.redis.errors import (
    BrokenServerError,
    NotReachedError,
    code_of,
    explain,
    target_of,
)
from oauth2_mw.session.stores.redis.scripts import Script
from oauth2_mw.session.stores.redis.server import Command, Server, connector, must_not_evict
from oauth2_mw.settings.redis_address import Host, RedisAddress

#: How often one command is sent, the first time included.
MOST_TRIES = 6


@dataclass(frozen=True, slots=True)
class Call:
    """One script on one key."""

    key: bytes
    script: Script
    arguments: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Step:
    """A call on its way."""

    number: int
    call: Call
    #: whether the server has to be told the script
    whole: bool = False
    #: to whom another server has sent it
    at: Server | None = None
    #: whether that was ``ASK``, which holds for this one time
    asking: bool = False

    def commands(self) -> Iterator[Command]:
        if self.asking:
            yield (b"ASKING",)
        script = self.call.script
        what = (b"EVAL", script.source) if self.whole else (b"EVALSHA", script.digest)
        yield (*what, b"1", self.call.key, *self.call.arguments)


class Servers(ABC):
    """What is common to one server, one behind Sentinels, and a cluster. Made without connecting."""

    def __init__(self, address: RedisAddress) -> None:
        self.address = address

    def run(self, calls: Sequence[Call], *, safely: bool = False) -> list[object]:
        """Carry out calls, those on one server in one round trip; their answers in the same order.

        :param safely: whether the replicas that the URL asks for have to confirm.
        :raises StoreUnavailable: when one was not carried out, or perhaps not.
        """
        answers: dict[int, object] = {}
        #: servers that were of no use, and why
        useless: dict[Host, str] = {}
        steps = [_Step(number, call) for number, call in enumerate(calls)]
        for _ in range(MOST_TRIES):
            again: list[_Step] = []
            for server, group in self._by_server(steps, useless):
                again += self._send(server, group, answers, useless, safely=safely)
            if not again:
                return [answers[number] for number in range(len(calls))]
            steps = again
        raise StoreUnavailableError(
            f"{self.address} (setting session): its servers send commands from one to another, {MOST_TRIES} times by "
            "now; it moves data around, or its nodes do not agree: see CLUSTER INFO there"
        )

    def scan(self, pattern: bytes, *, count: int) -> Iterator[list[bytes]]:
        """The keys of all masters that fit the *pattern*, page by page. Some may come twice.

        :param count: how many keys, ours or not, a server looks at for each page.
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
        """A failure at one of the servers, for an operator."""
        return explain(self.address, error, server.host)

    # What the kinds differ in

    @abstractmethod
    def responsible(self, key: bytes) -> Server:
        """The server that has the key, as far as is known.

        :raises StoreUnavailable: when nobody can be found who does.
        """

    @abstractmethod
    def masters(self) -> Iterable[Server]:
        """All servers with keys.

        :raises StoreUnavailable: when they cannot be found.
        """

    def redirect(self, key: bytes, host: Host, *, for_good: bool) -> Server | None:  # noqa: ARG002
        """The server to which another has sent us; ``None``: there are no others."""
        return None

    def forget(self, server: Server) -> None:  # noqa: B027
        """Take note that a server was of no use."""

    def doubt_alone(self, server: Server) -> str | None:  # noqa: ARG002
        """Why a write to a server without any replica does not count after all."""
        return None

    # A call's way

    def _by_server(
        self, steps: Iterable[_Step], useless: dict[Host, str]
    ) -> list[tuple[Server, list[_Step]]]:
        groups: dict[Host, tuple[Server, list[_Step]]] = {}
        for step in steps:
            server = step.at or self.responsible(step.call.key)
            if server.host in useless:
                raise StoreUnavailableError(useless[server.host])
            groups.setdefault(server.host, (server, []))[1].append(step)
        return list(groups.values())

    def _send(
        self,
        server: Server,
        group: list[_Step],
        answers: dict[int, object],
        useless: dict[Host, str],
        *,
        safely: bool,
    ) -> list[_Step]:
        """Carry out those whose server this is; the ones that are to be sent again."""
        commands = [command for step in group for command in step.commands()]
        replicas = self.address.wait_replicas if safely else 0
        try:
            if replicas:
                got, online, confirmed = server.exchange_safely(commands, replicas=replicas)
            else:
                got, online, confirmed = server.exchange(commands), 0, 0
        except NotReachedError as failure:
            self.forget(server)
            useless[server.host] = self.explain(failure.error, server)
            return [replace(step, at=None, asking=False) for step in group]
        except BrokenServerError as failure:
            self.forget(server)
            raise StoreUnavailableError(self.explain(failure.error, server)) from None
        again: list[_Step] = []
        position = 0
        for step in group:
            position += 1 + step.asking
            answer = got[position - 1]
            if isinstance(answer, ResponseError):
                again.append(self._otherwise(server, step, answer, useless))
            else:
                answers[step.number] = answer
        if replicas and len(again) < len(group):
            self._confirm(server, min(replicas, online), online, confirmed)
        return again

    def _otherwise(
        self, server: Server, step: _Step, error: ResponseError, useless: dict[Host, str]
    ) -> _Step:
        code = code_of(error)
        if code == "NOSCRIPT" and not step.whole:
            return replace(step, whole=True)
        if code in ("MOVED", "ASK"):
            host = target_of(error, server.host)
            other = self.redirect(step.call.key, host, for_good=code == "MOVED") if host is not None else None
            if other is not None:
                return replace(step, at=other, asking=code == "ASK")
        if code == "READONLY":
            self.forget(server)
            useless[server.host] = self.explain(error, server)
            return replace(step, at=None, asking=False)
        raise StoreUnavailableError(self.explain(error, server)) from None

    def _confirm(self, server: Server, needed: int, online: int, confirmed: int) -> None:
        if confirmed < needed:
            raise StoreUnavailableError(
                f"{self.address} (setting session): {server.host}: {confirmed} of {online} replicas took a write "
                f"within a second, and {needed} had to; see INFO replication there, or set wait_replicas in the URL"
            )
        doubt = self.doubt_alone(server) if not online else None
        if doubt is not None:
            raise StoreUnavailableError(f"{self.address} (setting session): {server.host}: {doubt}")


class SingleServer(Servers):
    """One server, for better or worse."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        host = address.hosts[0]
        self._server = Server(host, connect=connector(address, host), judge=must_not_evict)

    def responsible(self, key: bytes) -> Server:  # noqa: ARG002
        """Always that one."""
        return self._server

    def masters(self) -> Iterable[Server]:
        """That one."""
        return [self._server]


@dataclass(slots=True)
class Search:
    """Many look for something at the same moment: one does, and the others take over how it ended."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    #: how many have ended, and the last one's failure
    ended: int = 0
    failure: str | None = None

    def run(self, search: Callable[[], str | None]) -> None:
        """Search, or wait for one who does.

        :raises StoreUnavailable: with what *search* returned, when that is not ``None``.
        """
        before = self.ended
        with self.lock:
            if self.ended == before:
                self.failure = search()
                self.ended += 1
            failure = self.failure
        if failure is not None:
            raise StoreUnavailableError(failure)
