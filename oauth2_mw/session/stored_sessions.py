"""Sessions that live in a store: the browser carries a handle and the key that opens its record.

The record's tokens and claims are sealed with a key of that one session, which only the browser's cookie holds: the
store alone says nothing, and neither does the cookie. A session that was read within ``revocation_sync`` is not read
again; one that is, costs one round trip, which writes down its use where that is due.
"""

from __future__ import annotations

import hmac
import logging
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.keyring import Key
from oauth2_mw.session.model import Session
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stores import Record

log = logging.getLogger(__name__)

_DATA = "session-data"
_SECRET_BYTES = 32
_ID_CHARACTERS = 22
#: id, the session's own key, seconds of idle time, end of the session: what is needed to ask for it in one go
_HANDLE = struct.Struct(f">{_ID_CHARACTERS}s{_SECRET_BYTES}sLQ")
#: The most that one worker remembers of the sessions that it has read.
MAX_ENTRIES = 2000
MAX_CHARACTERS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Handle:
    """What the cookie says: which session, and how its record is opened."""

    id: str
    secret: bytes = field(repr=False)
    idle: int
    expires: int

    def to_payload(self) -> bytes:
        """The octets that a cookie seals."""
        return _HANDLE.pack(self.id.encode("ascii"), self.secret, self.idle, self.expires)

    @classmethod
    def from_payload(cls, payload: bytes) -> Handle:
        """The inverse of :meth:`to_payload`.

        :raises ValueError: for anything else.
        """
        try:
            session_id, secret, idle, expires = _HANDLE.unpack(payload)
        except struct.error:
            raise ValueError("a handle is of another length") from None
        return cls(session_id.decode("ascii"), secret, idle, expires)


@dataclass(frozen=True, slots=True)
class CachedSession:
    """A session as it was read."""

    handle: Handle
    session: Session
    version: int
    #: until when somebody refreshes it, in seconds since the epoch; 0: nobody
    lease_expires: int
    #: whether what can be read without the cookie is sealed with the key that seals now
    sealed_with_current_key: bool
    #: ``monotonic()`` value up to which nobody asks the store again
    fresh_until: float
    #: characters, to keep the memory of all bounded
    size: int


class StoredSessions:
    """The sessions of one application in its store.

    :param sync: seconds for which what was read is believed.
    """

    def __init__(
        self,
        ledger: SessionRegistry,
        sealer: Sealer,
        *,
        sync: int,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._sync = sync
        self._clock = clock
        self.monotonic = monotonic
        self._cache: BoundedCache[str, CachedSession] = BoundedCache(
            max_entries=MAX_ENTRIES, max_cost=MAX_CHARACTERS, cost=lambda _id, session: session.size
        )

    def add(self, session: Session) -> Handle:
        """Write a new session down.

        :raises AccessDenied: when a logout came for it meanwhile.
        :raises StoreUnavailable: when it could not be written.
        """
        handle = Handle(session.id, os.urandom(_SECRET_BYTES), session.idle_timeout, session.expires_at)
        until = self._until()
        data = self._seal(handle, session)
        self._ledger.write(session, data=data)
        self._remember(CachedSession(handle, session, 1, 0, True, until, len(data)))
        return handle

    def find(self, handle: Handle) -> CachedSession | None:
        """The session of a handle; ``None``: there is none any more.

        :raises StoreUnavailable: when the store cannot be asked.
        """
        held = self._cache.get(handle.id)
        if held is not None and not hmac.compare_digest(held.handle.secret, handle.secret):
            return None
        if held is not None and self.monotonic() < held.fresh_until:
            return held
        return self._read(handle, held)

    def fresh(self, handle: Handle) -> CachedSession | None:
        """The session of a handle as it is in the store at this moment."""
        until = self._until()
        return self._open(handle, self._ledger.read(handle.id), until)

    def replace(self, held: CachedSession, session: Session, *, lease: int = 0) -> CachedSession | None:
        """Put *session* in the place of *held*, unless another version stands there by now: then ``None``."""
        until = self._until()
        data = self._seal(held.handle, session)
        record = Record(
            version=held.version + 1,
            data=data,
            summary=self._ledger.summary(session),
            seen=session.last_used_at,
            expires=self._ledger.expires(session, session.last_used_at),
            lease=lease,
        )
        if not self._ledger.store.replace(session.id, record):
            self.forget(session.id)
            return None
        return self._remember(
            CachedSession(held.handle, session, record.version, lease, True, until, len(data))
        )

    def sealed_anew(self, held: CachedSession) -> bool:
        """See to it that what can be read without the cookie is sealed with the key that seals now.

        :returns: ``False``: that cannot be done at the moment, or the session is gone.
        """
        # Perhaps another request has done it, and this one remembers what was before.
        if (self._cache.get(held.handle.id) or held).sealed_with_current_key:
            return True
        until = self._until()
        try:
            record = self._resealed(held.handle, held.session)
        except StoreUnavailableError as error:
            log.info("a session was not sealed anew: %s", error.detail)
            return False
        return self._open(held.handle, record, until) is not None

    def _resealed(self, handle: Handle, session: Session) -> Record | None:
        expires = self._ledger.expires(session, session.last_used_at)
        return self._ledger.touch(handle.id, seen=session.last_used_at, expires=expires, reseal=session)

    def forget(self, session_id: str) -> None:
        """Ask the store when the session is needed next."""
        self._cache.pop(session_id)

    def _read(self, handle: Handle, held: CachedSession | None) -> CachedSession | None:
        now, until = int(self._clock()), self._until()
        if held is None:
            # Nobody here has seen it yet: its use is written down where that is due, without asking first.
            record = self._ledger.touch(
                handle.id, seen=now, expires=min(handle.expires, now + handle.idle), step=handle.idle // 8
            )
        elif not held.sealed_with_current_key:
            record = self._resealed(handle, held.session.touched(now))
        elif now >= held.session.renew_at():
            record = self._ledger.touch(handle.id, seen=now, expires=self._ledger.expires(held.session, now))
        else:
            record = self._ledger.read(handle.id)
        return self._open(handle, record, until)

    def _until(self) -> float:
        """Up to when the answer to a question of now counts: a slow one was true earlier, not for longer."""
        return self.monotonic() + self._sync

    def _open(self, handle: Handle, record: Record | None, until: float) -> CachedSession | None:
        payload = None
        if record is not None:
            payload = self._sealer.open(_DATA, handle.id, record.data, key=Key(handle.secret))
        if record is None or payload is None:
            self.forget(handle.id)
            return None
        try:
            session = Session.from_payload(payload)
        except (ValueError, KeyError, TypeError):
            log.info("a session of another version was left aside")
            return None
        if session.last_used_at < record.seen:
            session = replace(session, last_used_at=record.seen)
        return self._remember(
            CachedSession(
                handle,
                session,
                record.version,
                record.lease,
                self._ledger.is_current(record),
                until,
                len(record.data),
            )
        )

    def _seal(self, handle: Handle, session: Session) -> str:
        return self._sealer.seal(_DATA, handle.id, session.to_payload(), key=Key(handle.secret))

    def _remember(self, session: CachedSession) -> CachedSession:
        return self._cache.put_latest(session.handle.id, session, latest=_newer)


def _newer(previous: CachedSession, session: CachedSession) -> CachedSession:
    # The previous one may be newer: *session* was read before another thread wrote, and gets here after it.
    return previous if previous.version > session.version else session
