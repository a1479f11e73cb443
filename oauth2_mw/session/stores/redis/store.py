"""Sessions in Redis or Valkey: one server, one behind Sentinels, or a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Literal

from oauth2_mw.audit import audit
from oauth2_mw.encoding import MAX_NUMBER, base64url
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.record import (
    EXPIRY_GRACE,
    Record,
    check,
    check_name,
    is_valid_number,
    namespace,
)
from oauth2_mw.session.stores.redis import scripts, values
from oauth2_mw.session.stores.redis.connections import RedisConnections
from oauth2_mw.session.stores.redis.forms import RedisForms
from oauth2_mw.session.stores.redis.servers import Call
from oauth2_mw.settings.grammar import Secret

#: Keys that one command has at most: indexes of a session, names that end it.
TOGETHER = 10
#: Records that are read in one round trip for a list, and keys that a server scans in one.
PAGE = 100
SCANNED = 1000
#: An index lists a session for so many times its remaining life, so that few touches have to write to it.
LISTED_LONGER = 4

#: What a key is for: a session, an index, a used name, a revocation, the forms of one owner.
_Kind = Literal["s", "i", "u", "r", "f"]


class RedisStore:
    """A :class:`~oauth2_mw.session.stores.Store` on Redis 6 or newer, or Valkey.

    :param url: see :func:`oauth2_mw.settings.redis_address.parse`. When it is kept in a file, the file is read again
        when it changes. Or the connections of another store of the same URL.
    :param app: ``public_url``.
    :param clock: seconds since the epoch.
    :raises ConfigError: when the URL cannot be used.

    Each operation is one script on one key, which the server runs in one step; so is what is done to a few keys,
    but in a cluster. It is sent once, and again only when the server itself says that it did nothing. There are at most
    20 connections per process and server; a request waits two seconds for a connection and three for an answer, then it
    is refused.

    **What may be lost.** A single server keeps what its ``appendfsync`` promises. With Sentinels and in a cluster a new
    master has what reached it before the old one was lost. So what must not be lost (a new session, its replacement and
    its end, a revocation, a used name; not a touch) is followed by ``WAIT`` in the same round trip: unless
    ``wait_replicas`` replicas (1), or as many as are connected, have it within a second, the write is refused, though
    it may have happened. A write that returned is lost only when

    - no replica was connected (with Sentinels: and one of them confirmed that this is the master), and the master is
      lost with its disk before a replica has caught up; ``min-replicas-to-write 1`` refuses such writes;
    - the replica that has it is lost as well, or does not become master. The one with the most data does, if it can be
      reached and ``replica-priority`` is the same for all.

    A worker that is cut off from the Sentinels together with the old master goes on reading from it; one that can reach
    them leaves it within ten seconds.
    """

    def __init__(
        self, url: Secret | RedisConnections, *, app: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._connections = url if isinstance(url, RedisConnections) else RedisConnections(url)
        self._clock = clock
        self._namespace = namespace(app)
        self.forms: RedisForms = RedisForms(partial(self._run, "f"), now=self._now)

    def as_app(self, app: str, *, clock: Callable[[], float]) -> RedisStore:
        """Return the same store as another application sees it."""
        return RedisStore(self._connections, app=app, clock=clock)

    def server_time(self) -> float | None:
        """Return the time by the server's own clock; ``None`` where ``INFO`` is not permitted. Redis 6.2 or newer."""
        return self._connections.servers().time()

    def add(self, key: str, record: Record, *, indexes: Collection[str]) -> None:
        """Write a new record; its indexes first."""
        check_name(key)
        check(record)
        names = [self._hashed("i", index) for index in indexes]
        now = self._now()
        if record.expires + EXPIRY_GRACE <= now:
            return
        listed_until = self._listed_until(record.expires, now)
        self._list(key, names, until=listed_until, now=now)
        arguments = (*_fields(record), " ".join(names), listed_until, self._ttl(record.expires, now))
        values.require_done(self._run("s", key, scripts.ADD, *arguments, durable=True))

    def read(self, key: str, *, grace: int = 0) -> Record | None:
        """Return the record, or ``None`` if there is none or it has expired, but for *grace*, in one round trip."""
        record, _ = values.session(key, self._run("s", check_name(key), scripts.READ))
        return record if record is not None and record.expires > self._now() - grace else None

    def touch(
        self,
        key: str,
        *,
        seen: int,
        expires: int,
        step: int = 0,
        summary: str | None = None,
        indexes: Collection[str] = (),
    ) -> Record | None:
        """Read a record and write its use down: mostly in one round trip; the indexes come afterwards."""
        check_name(key)
        check(Record(1, "", summary or "", seen, expires, 0))
        _check_number(step)
        names = [self._hashed("i", index) for index in indexes]
        now = self._now()
        arguments: list[str | int] = [now, seen, expires, step, self._ttl(expires, now), " ".join(names)]
        if summary is not None:
            arguments.append(summary)
        record, listing = values.session(key, self._run("s", key, scripts.TOUCH, *arguments))
        if record is not None:
            self._list(key, names, until=max(listing.until, record.expires), now=now)
            self._extend_listing(key, listing, record.expires, now)
        return record

    def replace(self, key: str, record: Record) -> bool:
        """Put *record* in the place of the one whose version is one less."""
        check_name(key)
        check(record)
        now = self._now()
        ttl = self._ttl(record.expires, now)
        fields = _fields(record)
        match self._run("s", key, scripts.REPLACE, now, record.version - 1, *fields, ttl, durable=True):
            case [names, until]:
                self._extend_listing(key, values.listing(names, until), record.expires, now)
                return True
            case [bytes(problem)]:
                values.audit_invalid(key, problem)
                return False
            case 0:
                return False
        raise values.unexpected_answer()

    def delete(self, key: str) -> bool:
        """Forget a record, also in its indexes. Return whether there was one."""
        match self._run("s", check_name(key), scripts.DELETE, self._now(), durable=True):
            case 0:
                return False
            case [indexes]:
                # An index that still lists it leads to no record.
                with suppress(StoreUnavailableError):
                    self._run_all("i", values.listing(indexes, None).names, scripts.UNLIST, key)
                return True
        raise values.unexpected_answer()

    def find(self, index: str) -> list[tuple[str, Record]]:
        """Return the living records of an index, with their keys."""
        name = self._hashed("i", index)
        keys: dict[str, None] = {}
        cursor = "0"
        while True:
            match self._run("i", name, scripts.LISTED, cursor, PAGE, self._now()):
                case [bytes(position), list(members)] if values.number(position) is not None:
                    keys |= dict.fromkeys(values.texts(members))
                case _:
                    raise values.unexpected_answer()
            cursor = position.decode("ascii")
            if cursor == "0":
                return list(self._read_all(keys))

    def all(self, *, after: str | None = None, used_since: int = 0) -> Iterator[tuple[str, Record]]:
        """Return all living records, page by page. The server scans all its keys, those of others too.

        Only *after* makes it wait for the end of that: the server has no order.
        """
        pages = self._all_keys()
        if after is not None:
            behind = after
            pages = iter([sorted(key for page in pages for key in page if key > behind)])
        for page in pages:
            yield from (each for each in self._read_all(page) if each[1].seen >= used_since)

    def _all_keys(self) -> Iterator[list[str]]:
        prefix, suffix = f"oauth2_mw:{{{self._namespace}.", "}:s"
        seen: set[str] = set()
        for page in self._connections.servers().scan(f"{prefix}*{suffix}".encode("ascii"), count=SCANNED):
            keys = [
                text[len(prefix) : -len(suffix)] for text in values.texts(page) if text.startswith(prefix)
            ]
            new = [key for key in dict.fromkeys(keys) if key not in seen]
            seen.update(new)
            yield new

    def first_use(self, name: str, *, expires: int) -> bool:
        """Use a name up. Return ``True`` to exactly one of all callers."""
        _check_number(expires)
        ttl = self._ttl(expires, self._now())
        answer = self._run("u", self._hashed("u", name), scripts.USE, ttl, durable=True)
        if answer not in (0, 1):
            raise values.unexpected_answer()
        return answer == 1

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        """Revoke what was issued under that name at or before *moment*. An invalid value there is overwritten."""
        hashed = self._hashed("r", name)
        _check_number(moment)
        _check_number(expires)
        now = self._now()
        if expires + EXPIRY_GRACE <= now:
            return
        arguments = (moment, expires, now - EXPIRY_GRACE, self._ttl(expires, now))
        match self._run("r", hashed, scripts.REVOKE, *arguments, durable=True):
            case [bytes(problem)]:
                detail = f"{values.message(problem)}; it was overwritten"
                audit("store_value_unusable", revocation=name, detail=detail)
            case answer:
                values.require_done(answer)

    def revoked(self, name: str) -> int | None:
        """Return the moment of the revocation of that name, or ``None`` if there is none.

        :raises StoreUnavailableError: also for an invalid value, which must not pass for none.
        """
        return self.moments([name]).get(name)

    def moments(self, names: Collection[str]) -> dict[str, int]:
        """Return the moments of those of *names* that are revoked. Raises as :meth:`revoked` does."""
        hashed = [self._hashed("r", name) for name in names]
        answers = self._run_all("r", hashed, scripts.REVOKED)
        moments = map(self._moment, hashed, answers)
        return {name: moment for name, moment in zip(names, moments, strict=True) if moment is not None}

    def _moment(self, hashed: str, answer: object) -> int | None:
        match answer:
            case None:
                return None
            case [bytes(moment), bytes(expires)]:
                return int(moment) if int(expires) + EXPIRY_GRACE > self._now() else None
            case [bytes(problem)]:
                key = self._key("r", hashed).decode("ascii")
                raise StoreUnavailableError(
                    f"the revocation {key} was not written by oauth2_mw: {values.message(problem)}; find out who "
                    "writes there, then delete it"
                )
        raise values.unexpected_answer()

    # Keys and times

    def _key(self, kind: _Kind, name: str) -> bytes:
        return f"oauth2_mw:{{{self._namespace}.{name}}}:{kind}".encode("ascii")

    def _hashed(self, kind: _Kind, name: str) -> str:
        """Return a name of fixed length that tells a reader of the server nothing about *name*."""
        text = f"{self._namespace}:{kind}:{check_name(name)}"
        return base64url(sha256(text.encode("ascii")).digest()[:18])

    def _now(self) -> int:
        return int(self._clock())

    @staticmethod
    def _ttl(expires: int, now: int) -> int:
        """Return the seconds until the server removes a key, by its own clock, which may differ from ours."""
        return max(expires - now + EXPIRY_GRACE, 1)

    @staticmethod
    def _listed_until(expires: int, now: int) -> int:
        return min(max(now + LISTED_LONGER * (expires - now), expires), MAX_NUMBER)

    # Indexes

    def _list(self, key: str, names: Iterable[str], *, until: int, now: int) -> None:
        arguments = (now - EXPIRY_GRACE, key, until, self._ttl(until, now))
        for answer in self._run_all("i", names, scripts.LIST, *arguments, durable=True):
            values.require_done(answer)

    def _extend_listing(self, key: str, listing: values.Listing, expires: int, now: int) -> None:
        """List a session again if it may outlive its entries in the indexes."""
        if expires <= listing.until:
            return
        until = self._listed_until(expires, now)
        # They list it for a while yet, and the next touch tries again.
        with suppress(StoreUnavailableError):
            self._list(key, listing.names, until=until, now=now)
            self._run("s", key, scripts.SET_LISTED_UNTIL, until)

    # Records

    def _read_all(self, keys: Iterable[str]) -> Iterator[tuple[str, Record]]:
        remaining = list(keys)
        while remaining:
            page, remaining = remaining[:PAGE], remaining[PAGE:]
            now = self._now()
            for key, answer in zip(page, self._run_all("s", page, scripts.READ), strict=True):
                record, _ = values.session(key, answer)
                if record is not None and record.expires > now:
                    yield key, record

    # The servers

    def _run(
        self, kind: _Kind, name: str, script: scripts.Script, *arguments: str | int, durable: bool = False
    ) -> object:
        return self._run_all(kind, [name], script, *arguments, durable=durable)[0]

    def _run_all(
        self,
        kind: _Kind,
        names: Iterable[str],
        script: scripts.Script,
        *arguments: str | int,
        durable: bool = False,
    ) -> list[object]:
        octets = tuple(str(argument).encode("ascii") for argument in arguments)
        keys = tuple(self._key(kind, name) for name in names)
        if not keys:
            return []
        servers = self._connections.servers()
        if 1 < len(keys) <= TOGETHER and servers.has_every_key:
            [answers] = servers.run([Call(keys, script.for_each(), octets)], durable=durable)
            if not isinstance(answers, list) or len(answers) != len(keys):
                raise values.unexpected_answer()
            return answers
        return servers.run([Call((key,), script, octets) for key in keys], durable=durable)


def _fields(record: Record) -> tuple[str | int, ...]:
    return record.version, record.data, record.summary, record.seen, record.expires, record.lease


def _check_number(value: int) -> None:
    if not is_valid_number(value):
        raise StoreUnavailableError(
            f"a time cannot be stored: it must be a whole number between 0 and {MAX_NUMBER}"
        )
