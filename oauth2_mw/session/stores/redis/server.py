"""One Redis server: a bounded pool of connections, and commands that share a round trip."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from oauth2_mw.breaker import PAUSE, Breaker, NoAnswerError
from oauth2_mw.process_local import ProcessLocal
from oauth2_mw.session.stores.redis.errors import (
    FAILURES,
    BrokenServerError,
    CommandRefusedError,
    NotReachedError,
)
from oauth2_mw.settings.redis_address import Host, RedisAddress
from oauth2_mw.telemetry import STORE, calling

Command = Sequence[bytes]

#: Connections of one process to one server where no other number is written, and the seconds that a request waits for a
#: free one.
POOL_SIZE = 20
POOL_WAIT = 3
#: Seconds to connect, and until the server begins to answer.
CONNECT_WAIT = 2
READ_WAIT = 3
#: Both for a Sentinel: there are others to ask.
SENTINEL_WAIT = 1
#: Milliseconds that a server waits for its replicas to confirm a write; less than READ_WAIT.
REPLICA_WAIT = 1000
#: Seconds without use after which a connection is closed: a firewall may have dropped it silently.
MAX_IDLE = 60

_UNREACHED: tuple[type[Exception], ...] = (*FAILURES, CommandRefusedError)


class Server:
    """One server of one process. Idle connections are kept; the one used last is taken first.

    :param connect: makes a connection without opening it.
    :param check: looks at a connection that was just opened, and raises :class:`CommandRefusedError`.
    :param size: how many connections it opens at most; :data:`POOL_SIZE` if ``None``.
    """

    def __init__(
        self,
        host: Host,
        *,
        connect: Callable[[], Any],
        check: Callable[[Any], None] | None = None,
        size: int | None = None,
    ) -> None:
        self.host = host
        #: how many connections it opens at most
        self.size: int = size or POOL_SIZE
        self._connect = connect
        self._check = check
        self._permits = ProcessLocal(lambda: threading.BoundedSemaphore(self.size))
        self._breaker = Breaker()
        self._idle: deque[tuple[Any, float]] = deque()
        #: replicas that were connected at the last write
        self._replicas = 0

    def exchange(self, commands: Sequence[Command], *, operation: str | None = None) -> list[object]:
        """Send commands in one round trip. Return an answer for each, which may be a ``ResponseError``.

        :param operation: what they do to the store: ``read`` or ``write``; ``None`` if they only ask where it is.
        :raises NotReachedError, BrokenServerError: when there are no answers.
        """
        with self._connection(operation) as connection:
            return _send(connection, commands)

    def exchange_durably(
        self, commands: Sequence[Command], *, replicas: int
    ) -> tuple[list[object], int, int]:
        """Send commands, and wait until *replicas* of them, or all that are connected, have what was written.

        This is one round trip, unless a replica has connected since the last write: the answer to ``ROLE`` says how
        many there are, and ``WAIT`` for more than that would always wait in vain.

        :returns: the answers, how many replicas are connected, and how many of them confirmed in time.
        """
        expected = min(replicas, self._replicas)
        with self._connection("write") as connection:
            if expected:
                *answers, role, confirmed = _send(connection, [*commands, (b"ROLE",), _wait(expected)])
            else:
                *answers, role = _send(connection, [*commands, (b"ROLE",)])
                confirmed = 0
            connected = _count_replicas(role)
            if min(replicas, connected) > expected:
                (confirmed,) = _send(connection, [_wait(min(replicas, connected))])
        self._replicas = connected
        return answers, connected, confirmed if isinstance(confirmed, int) else 0

    @contextmanager
    def _connection(self, operation: str | None) -> Iterator[Any]:
        observed = (
            calling(
                STORE,
                operation,
                {
                    "db.system.name": "redis",
                    "db.operation.name": operation,
                    "server.address": self.host.name,
                    **({} if self.host.is_socket else {"server.port": self.host.port}),
                },
                failures=(NotReachedError, BrokenServerError),
            )
            if operation is not None
            else nullcontext()
        )
        try:
            with self._breaker.attempt(), observed, self._watched(), self._pooled() as connection:
                yield connection
        except NoAnswerError as error:
            raise NotReachedError(TimeoutError(str(error))) from None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (NotReachedError, BrokenServerError) as failure:
            if isinstance(failure.error, RedisTimeoutError):
                self._breaker.open(f"it gave no answer, and is asked again within {PAUSE:g} seconds")
            raise

    @contextmanager
    def _pooled(self) -> Iterator[Any]:
        permits = self._permits.get()
        if not permits.acquire(timeout=POOL_WAIT):
            busy = f"all {self.size} connections of this process were in use for {POOL_WAIT} seconds"
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
            permits.release()

    def _open(self) -> Any:
        while self._idle:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                break
            try:
                # Something to read before anything was sent is mostly the end of the connection.
                if time.monotonic() - since < MAX_IDLE and not connection.can_read(0):
                    return connection
            except FAILURES:
                pass
            connection.disconnect()
        connection = self._connect()
        try:
            connection.connect()
            if self._check is not None:
                self._check(connection)
        except _UNREACHED as error:
            connection.disconnect()
            raise NotReachedError(error) from None
        return connection


def _send(connection: Any, commands: Sequence[Command]) -> list[object]:
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


def _count_replicas(role: object) -> int:
    """Return how many replicas are connected, by the answer to ``ROLE``."""
    if isinstance(role, ResponseError):
        raise role
    if not isinstance(role, list) or len(role) < 3 or role[0] != b"master":
        return 0
    return len(role[2])


def connector(address: RedisAddress, host: Host, *, sentinel: bool = False) -> Callable[[], Any]:
    """Return a factory of connections to *host*. They never retry: only the caller knows what may be repeated."""
    wait = SENTINEL_WAIT if sentinel else CONNECT_WAIT
    options: dict[str, Any] = {
        "host": host.name,
        "port": host.port,
        "username": address.sentinel_user if sentinel else address.user,
        "password": address.sentinel_password if sentinel else address.password,
        "db": 0 if sentinel else address.database,
        # All servers speak this version, in which they send nothing unasked.
        "protocol": 2,
        "socket_connect_timeout": wait,
        "socket_timeout": SENTINEL_WAIT if sentinel else READ_WAIT,
        "socket_keepalive": True,
    }
    kind: Any = Connection
    if host.is_socket:
        kind = UnixDomainSocketConnection
        for name in ("host", "port", "socket_connect_timeout", "socket_keepalive"):
            del options[name]
        options["path"] = host.name
    if address.tls:
        kind = SSLConnection
        options |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": address.ca_bundle,
            "ssl_certfile": address.tls_cert,
            "ssl_keyfile": address.tls_key,
            # Without one OpenSSL would ask for the passphrase of an encrypted key at the terminal.
            "ssl_password": "",
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }
    # No functools.partial, whose repr would show the password.
    return lambda: kind(**options)


def require_master(connection: Any) -> None:
    """Check that a server is a master: during a failover a Sentinel may still name the old one.

    :raises CommandRefusedError: when it is not.
    """
    (role,) = _send(connection, [(b"ROLE",)])
    if isinstance(role, ResponseError):
        raise role
    if not isinstance(role, list) or not role or role[0] != b"master":
        raise CommandRefusedError(
            "it is not a master; a failover is under way, or the Sentinels do not agree"
        )


def require_no_eviction(connection: Any) -> None:
    """Check that a server keeps what has not expired: without the revocations, ended sessions would come back.

    :raises CommandRefusedError: when it has a memory limit and a policy other than ``noeviction``. Where ``INFO`` is
        not permitted, the policy is not checked.
    """
    (answer,) = _send(connection, [(b"INFO", b"memory")])
    if not isinstance(answer, bytes):
        return
    lines = dict(line.split(b":", 1) for line in answer.splitlines() if b":" in line)
    policy = lines.get(b"maxmemory_policy", b"noeviction").decode("ascii", "replace")
    if policy != "noeviction" and lines.get(b"maxmemory", b"0") != b"0":
        raise CommandRefusedError(
            f"its maxmemory-policy is {policy[:30]}, so that it may forget who was signed out; set noeviction there"
        )
