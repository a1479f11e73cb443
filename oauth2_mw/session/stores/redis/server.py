"""One Redis server: a bounded number of connections to it, and commands that travel together."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis.connection import Connection, SSLConnection
from redis.exceptions import ResponseError

from oauth2_mw.session.stores.redis.errors import (
    FAILURES,
    BrokenServerError,
    CommandRefusedError,
    NotReachedError,
)
from oauth2_mw.settings.redis_address import Host, RedisAddress

Command = Sequence[bytes]

#: Connections of one process to one server, and seconds that a request waits for a free one.
POOL_SIZE = 20
POOL_WAIT = 3
#: Seconds to connect, and until the server begins to answer.
CONNECT_WAIT = 2
READ_WAIT = 3
#: The same for a Sentinel: there are others to ask.
SENTINEL_WAIT = 1
#: Milliseconds that a server waits for its replicas to confirm a write; less than READ_WAIT.
REPLICA_WAIT = 1000
#: Seconds without use after which a connection is not trusted: a firewall may have forgotten it, silently.
MAX_IDLE = 60


class Server:
    """One server of one process. Connections that are idle are kept, the last used one is taken first.

    :param connect: makes a connection, without opening it.
    :param judge: looks at one that was just opened, and raises :class:`CommandRefusedError`.
    """

    def __init__(
        self, host: Host, *, connect: Callable[[], Any], judge: Callable[[Any], None] | None = None
    ) -> None:
        self.host = host
        self._connect = connect
        self._judge = judge
        self._places = threading.BoundedSemaphore(POOL_SIZE)
        self._idle: deque[tuple[Any, float]] = deque()
        #: replicas that were connected at the last look
        self._online = 0

    def exchange(self, commands: Sequence[Command]) -> list[object]:
        """One round trip: an answer for each command, which may be a ``ResponseError``.

        :raises NotReached, Broken: when there are no answers.
        """
        with self._connection() as connection:
            return _talk(connection, commands)

    def exchange_safely(self, commands: Sequence[Command], *, replicas: int) -> tuple[list[object], int, int]:
        """The same, and so many of its replicas, or all that are connected, are asked to confirm what was written.

        Still one round trip, unless a replica has come since the last write: the answer to ``ROLE`` says how many
        there are, and ``WAIT`` for more than that would wait in vain each time.

        :returns: the answers, how many replicas were connected, and how many of them confirmed in time.
        """
        expected = min(replicas, self._online)
        with self._connection() as connection:
            if expected:
                *answers, role, confirmed = _talk(connection, [*commands, (b"ROLE",), _wait(expected)])
            else:
                *answers, role = _talk(connection, [*commands, (b"ROLE",)])
                confirmed = 0
            online = _replicas(role)
            if min(replicas, online) > expected:
                (confirmed,) = _talk(connection, [_wait(min(replicas, online))])
        self._online = online
        return answers, online, confirmed if isinstance(confirmed, int) else 0

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        if not self._places.acquire(timeout=POOL_WAIT):
            busy = f"all {POOL_SIZE} connections of this process were in use for {POOL_WAIT} seconds"
            raise NotReachedError(TimeoutError(busy))
        try:
            connection = self._open()
            try:
                yield connection
            except FAILURES as error:
                connection.disconnect()
                raise BrokenServerError(error) from None
            except BaseException:
                connection.disconnect()
                raise
            self._idle.append((connection, time.monotonic()))
        finally:
            self._places.release()

    def _open(self) -> Any:
        while self._idle:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                break
            try:
                # Something to read, before anything was asked: the end of the connection, as a rule.
                if time.monotonic() - since < MAX_IDLE and not connection.can_read(0):
                    return connection
            except FAILURES:
                pass
            connection.disconnect()
        connection = self._connect()
        try:
            connection.connect()
            if self._judge is not None:
                self._judge(connection)
        except (*FAILURES, CommandRefusedError) as error:
            connection.disconnect()
            raise NotReachedError(error) from None
        return connection


def _talk(connection: Any, commands: Sequence[Command]) -> list[object]:
    connection.send_packed_command(connection.pack_commands(commands))
    answers: list[object] = []
    for _ in commands:
        try:
            answers.append(connection.read_response())
        except ResponseError as error:
            answers.append(error)
    return answers


def _wait(replicas: int) -> Command:
    return (b"WAIT", b"%d" % replicas, b"%d" % REPLICA_WAIT)


def _replicas(role: object) -> int:
    """How many replicas are connected, by the answer to ``ROLE``."""
    if isinstance(role, ResponseError):
        raise role
    if not isinstance(role, list) or len(role) < 3 or role[0] != b"master":
        return 0
    return len(role[2])


def connector(address: RedisAddress, host: Host, *, sentinel: bool = False) -> Callable[[], Any]:
    """What makes connections to *host*. They try each thing once: who repeats a command has to know that it does."""
    wait = SENTINEL_WAIT if sentinel else CONNECT_WAIT
    options: dict[str, Any] = {
        "host": host.name,
        "port": host.port,
        "username": address.sentinel_user if sentinel else address.user,
        "password": address.sentinel_password if sentinel else address.password,
        "db": 0 if sentinel else address.database,
        # The protocol that all of them speak, and in which a server sends only what it was asked for.
        "protocol": 2,
        "socket_connect_timeout": wait,
        "socket_timeout": SENTINEL_WAIT if sentinel else READ_WAIT,
        "socket_keepalive": True,
    }
    kind: Any = Connection
    if address.tls:
        kind = SSLConnection
        options |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": address.ca_bundle,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }
    # No functools.partial, whose repr would show the password.
    return lambda: kind(**options)


def must_be_master(connection: Any) -> None:
    """During a failover a Sentinel may still name the old master, which is a replica by now or will be.

    :raises Refused: when it is none.
    """
    (role,) = _talk(connection, [(b"ROLE",)])
    if isinstance(role, ResponseError):
        raise role
    if not isinstance(role, list) or not role or role[0] != b"master":
        raise CommandRefusedError("it is no master; a failover is under way, or the Sentinels do not agree")


def must_not_evict(connection: Any) -> None:
    """A server that may drop what has not expired would bring ended sessions back: it drops the cut-offs.

    :raises Refused: when it has a limit of memory and a policy other than ``noeviction``. Who may not ask (``INFO``)
        is believed to have set it up properly.
    """
    (answer,) = _talk(connection, [(b"INFO", b"memory")])
    if not isinstance(answer, bytes):
        return
    lines = dict(line.split(b":", 1) for line in answer.splitlines() if b":" in line)
    policy = lines.get(b"maxmemory_policy", b"noeviction").decode("ascii", "replace")
    if policy != "noeviction" and lines.get(b"maxmemory", b"0") != b"0":
        raise CommandRefusedError(
            f"its maxmemory-policy is {policy[:30]}, so that it may forget who was signed out; set noeviction there"
        )
