"""Sessions that live in a store: the browser carries a handle and the key that opens its record.

The record's tokens and claims are sealed with a key of that one session, which only the browser's cookie holds: the
store alone says nothing, and neither does the cookie. A session that was read within ``revocation_sync`` is not read
again. Reading one takes one round trip, which also notes its use if the last one noted is long enough ago.
"""

from __future__ import annotations

import hmac
import logging
import os
import struct
from dataclasses import dataclass, field, replace

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.backend import OpenedSession
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.foreign_cookies import ForeignCookies
from oauth2_mw.session.keyring import Key
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.record import EXPIRY_GRACE

log: logging.Logger = logging.getLogger(__name__)

_HANDLE_PURPOSE, _DATA_PURPOSE = "session-handle", "session-data"
_SECRET_BYTES = 32
_ID_CHARACTERS = 22
#: id, the session's own key, seconds of idle time, end of the session: enough to read and touch it in one round trip
_HANDLE = struct.Struct(f">{_ID_CHARACTERS}s{_SECRET_BYTES}sLQ")
#: The most that one worker remembers of the sessions that it has read.
MAX_ENTRIES = 2000
MAX_CHARACTERS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Handle:
    """What the cookie holds: which session it is, and the key that opens its record."""

    id: str
    secret: bytes = field(repr=False)
    #: seconds without use after which the session ends
    idle: int
    #: the end of the session, in seconds since the epoch
    expires: int

    def to_payload(self) -> bytes:
        """Return the octets that a cookie seals."""
        return _HANDLE.pack(self.id.encode("ascii"), self.secret, self.idle, self.expires)

    @classmethod
    def from_payload(cls, payload: bytes) -> Handle:
        """Return the handle that :meth:`to_payload` was called on.

        :raises ValueError: for octets of another shape.
        """
        try:
            session_id, secret, idle, expires = _HANDLE.unpack(payload)
        except struct.error:
            raise ValueError("a handle is of another length") from None
        return cls(session_id.decode("ascii"), secret, idle, expires)


@dataclass(frozen=True, slots=True)
class CachedSession:
    """A session as it was read from its store."""

    handle: Handle
    session: Session
    version: int
    #: until when another worker may be refreshing it, in seconds since the epoch; 0 if none is
    lease_expires: int
    #: whether the record's summary and indexes were made with the key that seals now
    sealed_with_current_key: bool
    #: monotonic time up to which the store is not asked again
    fresh_until: float
    #: characters of its data in the store
    size: int


class StoredSessions:
    """The sessions of one application in its store.

    :param cookie_name: the name of the session cookie.
    :param sync: seconds for which what was read is believed.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        sealer: Sealer,
        *,
        cookie_name: str,
        sync: int,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        self._registry = registry
        self._sealer = sealer
        self._cookie_name = cookie_name
        self._foreign = ForeignCookies(cookie_name, clocks)
        self._sync = sync
        self._wall = clocks.wall
        self._monotonic = clocks.monotonic
        self._cache: BoundedCache[str, CachedSession] = BoundedCache(
            max_entries=MAX_ENTRIES, max_cost=MAX_CHARACTERS, cost=lambda _id, session: session.size
        )

    def open(self, chunk_count: int, sealed: str) -> OpenedSession[CachedSession] | None:
        """Return the session whose handle a cookie holds, or ``None`` if there is none."""
        handle = self._open_handle(chunk_count, sealed)
        cached = None if handle is None else self._find(handle)
        if cached is None:
            return None
        return _opened(cached, needs_new_cookie=not self._sealer.is_current(sealed))

    def open_run_out(self, chunk_count: int, sealed: str) -> OpenedSession[None] | None:
        """Return the session whose handle a cookie holds, if its store still has it."""
        handle = self._open_handle(chunk_count, sealed)
        record = None if handle is None else self._registry.read(handle.id, grace=EXPIRY_GRACE)
        session = None if handle is None or record is None else self._session_of(handle, record)
        return None if session is None else OpenedSession(session, None)

    def _open_handle(self, chunk_count: int, sealed: str) -> Handle | None:
        # A handle always fits into one cookie, so that it need not hold the number of chunks as a session does.
        payload = self._sealer.open(_HANDLE_PURPOSE, self._cookie_name, sealed) if chunk_count == 1 else None
        if payload is None:
            self._foreign.note(chunk_count, sealed)
            return None
        try:
            return Handle.from_payload(payload)
        except ValueError:
            return None

    def create(self, session: Session, *, began_at: float | None = None) -> str:
        """Write a new session to the store, and return the value of its cookie."""
        handle = Handle(session.id, os.urandom(_SECRET_BYTES), session.idle_timeout, session.expires_at)
        fresh_until = self._fresh_until()
        data = self._seal_data(handle, session)
        self._registry.write(session, data=data, began_at=began_at)
        self._remember(CachedSession(handle, session, 1, 0, True, fresh_until, len(data)))
        return self._seal_handle(handle)

    def renew(self, cached: CachedSession) -> str | None:
        """Return the handle sealed with the current key, or ``None`` if the record cannot follow at the moment."""
        # Once the old key is retired, neither the user nor a logout would find a record that only it can name.
        return self._seal_handle(cached.handle) if self._reseal(cached) else None

    def replace(
        self, cached: CachedSession, session: Session, *, lease: int = 0
    ) -> OpenedSession[CachedSession] | None:
        """Write *session* in the place of the version that was *cached*, if the store still has that version."""
        fresh_until = self._fresh_until()
        data = self._seal_data(cached.handle, session)
        record = Record(
            version=cached.version + 1,
            data=data,
            summary=self._registry.summary(session),
            seen=session.last_used_at,
            expires=self._registry.expires(session, session.last_used_at),
            lease=lease,
        )
        if not self._registry.store.replace(session.id, record):
            self._cache.pop(session.id)
            return None
        replacement = CachedSession(
            cached.handle, session, record.version, lease, True, fresh_until, len(data)
        )
        return _opened(self._remember(replacement))

    def recall(self, cached: CachedSession) -> OpenedSession[CachedSession] | None:
        """Return the session as it was read within ``revocation_sync``, or read it."""
        latest = self._find(cached.handle)
        return _opened(latest) if latest is not None else None

    def reload(self, cached: CachedSession) -> OpenedSession[CachedSession] | None:
        """Read the session, whenever it was read before."""
        fresh_until = self._fresh_until()
        latest = self._open_record(cached.handle, self._registry.read(cached.handle.id), fresh_until)
        return _opened(latest) if latest is not None else None

    def shrink_to_fit(self, session: Session) -> Session:
        """Return the session as it is: a store has no such limit."""
        return session

    def _find(self, handle: Handle) -> CachedSession | None:
        cached = self._cache.get(handle.id)
        if cached is not None and not hmac.compare_digest(cached.handle.secret, handle.secret):
            return None
        if cached is not None and self._monotonic() < cached.fresh_until:
            return cached
        return self._read(handle, cached)

    def _read(self, handle: Handle, cached: CachedSession | None) -> CachedSession | None:
        now, fresh_until = int(self._wall()), self._fresh_until()
        if cached is None:
            # This worker has not seen the session yet: reading it and noting its use takes one round trip.
            record = self._registry.touch(
                handle.id, seen=now, expires=min(handle.expires, now + handle.idle), step=handle.idle // 8
            )
        elif not cached.sealed_with_current_key:
            record = self._touch_resealed(handle, cached.session.touched(now))
        elif now >= cached.session.renew_at():
            record = self._registry.touch(
                handle.id, seen=now, expires=self._registry.expires(cached.session, now)
            )
        else:
            record = self._registry.read(handle.id)
        return self._open_record(handle, record, fresh_until)

    def _fresh_until(self) -> float:
        # Computed before the store is asked: a slow answer is as old as its question.
        return self._monotonic() + self._sync

    def _open_record(self, handle: Handle, record: Record | None, fresh_until: float) -> CachedSession | None:
        session = None if record is None else self._session_of(handle, record)
        if record is None or session is None:
            self._cache.pop(handle.id)
            return None
        return self._remember(
            CachedSession(
                handle,
                session,
                record.version,
                record.lease,
                self._registry.is_current(record),
                fresh_until,
                len(record.data),
            )
        )

    def _session_of(self, handle: Handle, record: Record) -> Session | None:
        payload = self._sealer.open(_DATA_PURPOSE, handle.id, record.data, key=Key(handle.secret))
        if payload is None:
            return None
        try:
            session = Session.from_payload(payload)
        except (ValueError, KeyError, TypeError):
            log.info("a session of another version was ignored")
            return None
        return session if session.last_used_at >= record.seen else replace(session, last_used_at=record.seen)

    def _reseal(self, cached: CachedSession) -> bool:
        """Seal the record's summary with the current key. Return whether it is sealed with that now."""
        # Another request may have done it after this one read the session.
        latest = self._cache.get(cached.handle.id) or cached
        if latest.sealed_with_current_key:
            return True
        fresh_until = self._fresh_until()
        try:
            record = self._touch_resealed(cached.handle, cached.session)
        except StoreUnavailableError as error:
            log.info("a session was not sealed anew: %s", error.detail)
            return False
        return self._open_record(cached.handle, record, fresh_until) is not None

    def _touch_resealed(self, handle: Handle, session: Session) -> Record | None:
        expires = self._registry.expires(session, session.last_used_at)
        return self._registry.touch(handle.id, seen=session.last_used_at, expires=expires, reseal=session)

    def _seal_handle(self, handle: Handle) -> str:
        return self._sealer.seal(_HANDLE_PURPOSE, self._cookie_name, handle.to_payload())

    def _seal_data(self, handle: Handle, session: Session) -> str:
        return self._sealer.seal(_DATA_PURPOSE, handle.id, session.to_payload(), key=Key(handle.secret))

    def _remember(self, session: CachedSession) -> CachedSession:
        return self._cache.put_latest(session.handle.id, session, latest=_newer)


def _opened(cached: CachedSession, *, needs_new_cookie: bool | None = None) -> OpenedSession[CachedSession]:
    if needs_new_cookie is None:
        needs_new_cookie = not cached.sealed_with_current_key
    return OpenedSession(
        cached.session,
        cached,
        needs_new_cookie=needs_new_cookie,
        fresh_until=cached.fresh_until,
        lease_expires=cached.lease_expires,
    )


def _newer(previous: CachedSession, session: CachedSession) -> CachedSession:
    # The previous one may be newer: *session* was read before another thread wrote, and gets here after it.
    return previous if previous.version > session.version else session
