"""What is written down about sessions where all workers can read it: whose they are, since when, from where.

There is a ledger where sessions live in a store, and where a directory stands beside sessions in cookies. It finds the
sessions of a user and of a provider's own session (``sid``), so that a person, an operator or the provider can end
them. Whoever runs the database reads nothing but times in it: the rest is sealed with our keys, and what is looked
up by is a keyed hash.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oauth2_mw.encoding import pair_hash
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.model import Session
from oauth2_mw.session.revocation import Revocations, user_name
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stores import Record, Store

log = logging.getLogger(__name__)

_SUMMARY = "session-summary"
_INDEX = "session-index"
#: Seconds for which a logout waits for a session that is just being created: longer than any call to a provider.
COMING = 600


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session as its person or an operator may see it. All times in whole seconds since the epoch."""

    #: names the session in forms and on the command line; it opens nothing
    id: str
    user_id: str
    username: str
    #: its NAME
    provider: str
    device: str | None
    remote_addr: str | None
    created_at: int
    #: the moment of the sign-in by the provider's clock
    issued_at: int
    last_used_at: int
    expires_at: int


class SessionRegistry:
    """The sessions of one application as all its workers know them.

    :param data_in_cookie: whether the browsers carry the sessions themselves, so that a session that ended must be
        listed as such for as long as its cookie could still be opened.
    :param longest: seconds that a session lasts at most.

    Every method raises :class:`~oauth2_mw.errors.StoreUnavailableError` when the store cannot be used.
    """

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        revocations: Revocations,
        *,
        data_in_cookie: bool,
        longest: int,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        self.store = store
        self._sealer = sealer
        self._revocations = revocations
        self._data_in_cookie = data_in_cookie
        self._longest = longest
        self._wall = clocks.wall

    # Writing

    def write(self, session: Session, *, data: str = "") -> None:
        """Write a new session down.

        :raises AccessDenied: ``signed_out``, when a logout came for it while it was being created.
        """
        record = Record(
            version=1,
            data=data,
            summary=self.summary(session),
            seen=session.last_used_at,
            expires=self.expires(session, session.last_used_at),
            lease=0,
        )
        self.store.add(session.id, record, indexes=self.indexes(session))
        # A logout first leaves its mark and then looks for sessions; a session is first written and then looks for
        # marks. Whichever comes second sees the other.
        moment = self.store.revoked(user_name(session.identity.id))
        sid = session.sign_in.sid
        if (moment is not None and session.sign_in.issued_at <= moment) or (
            sid is not None and self.store.revoked(_sid_name(session.identity.issuer, sid)) is not None
        ):
            self.end(session.id, expires=session.expires_at)
            raise AccessDeniedError(
                f"user {session.identity.id} was signed out while signing in",
                code="signed_out",
                message="You were signed out while you signed in. Please sign in again.",
            )

    def read(self, session_id: str) -> Record | None:
        """The record of a session; ``None``: it has ended."""
        return self.store.read(session_id)

    def touch(
        self, session_id: str, *, seen: int, expires: int, step: int = 0, reseal: Session | None = None
    ) -> Record | None:
        """Write down that a session is in use, and read its record; ``None``: it has ended.

        :param step: seconds by which *seen* must have grown to be worth writing.
        :param reseal: the session, when what stands in its record is to be sealed with the key that seals now.
        """
        return self.store.touch(
            session_id,
            seen=seen,
            expires=expires,
            step=step,
            summary=None if reseal is None else self.summary(reseal),
            indexes=() if reseal is None else self.indexes(reseal),
        )

    def is_current(self, record: Record) -> bool:
        """Whether a record is sealed with the key that seals now."""
        return self._sealer.is_current(record.summary)

    def expires(self, session: Session, seen: int) -> int:
        """When the store may forget a session."""
        # In a cookie it may still be used although its last use could not be written down here.
        return (
            session.expires_at
            if self._data_in_cookie
            else min(session.expires_at, seen + session.idle_timeout)
        )

    def summary(self, session: Session) -> str:
        """What :meth:`entries` tells about a session, sealed."""
        who = session.identity
        told = [
            who.id,
            who.username,
            who.provider,
            session.sign_in.device,
            session.sign_in.remote_addr,
            session.created_at,
            session.sign_in.issued_at,
            session.expires_at,
            session.idle_timeout,
        ]
        return self._sealer.seal(_SUMMARY, session.id, json.dumps(told, ensure_ascii=False).encode())

    def indexes(self, session: Session) -> list[str]:
        """The names under which a session is found again."""
        mac = self._sealer.keyring.sealing_key().mac
        found = [mac(_INDEX, user_name(session.identity.id))]
        if session.sign_in.sid is not None:
            found.append(mac(_INDEX, _sid_name(session.identity.issuer, session.sign_in.sid)))
        return found

    # Reading

    def entries(self, user_id: str) -> list[SessionInfo]:
        """The living sessions of a user, the latest first."""
        found = [entry for entry in self._find(user_name(user_id)) if entry.user_id == user_id]
        return sorted(found, key=lambda entry: (entry.created_at, entry.id), reverse=True)

    def all(self) -> Iterator[SessionInfo]:
        """All living sessions, in no order."""
        return self._read(self.store.all())

    def entry(self, entry_id: str) -> SessionInfo | None:
        """The living session of that id; ``None``: there is none."""
        record = self.store.read(entry_id)
        return None if record is None else next(self._read([(entry_id, record)]), None)

    def _find(self, name: str) -> Iterator[SessionInfo]:
        # A session is found by each key that was the newest while it was in use, and is one all the same.
        found: dict[str, Record] = {}
        for key in tuple(self._sealer.keyring.keys()):
            found.update(self.store.find(key.mac(_INDEX, name)))
        return self._read(found.items())

    def _read(self, found: Iterable[tuple[str, Record]]) -> Iterator[SessionInfo]:
        now = self._wall()
        for entry_id, record in found:
            told = self._sealer.open(_SUMMARY, entry_id, record.summary)
            if told is None:
                log.info("a record of a session that no key opens was left aside")
                continue
            entry, idle = _entry(entry_id, record, told)
            if entry is None:
                log.info("a record of a session of another version was left aside")
            elif now < min(entry.expires_at, entry.last_used_at + idle):
                yield entry

    # Ending

    def end(self, entry_id: str, *, expires: int | None = None) -> bool:
        """End a session; ``False``: there was none of that id.

        :param expires: when it would have ended by itself, if that is known.
        """
        if self._data_in_cookie and expires is None:
            record = self.store.read(entry_id)
            if record is None:
                return False
            expires = record.expires
        until = expires or int(self._wall()) + self._longest
        if self._data_in_cookie:
            # The list before the record: what fails in between leaves a session that counts no more.
            self._revocations.revoke(entry_id, expires=until)
            return self.store.delete(entry_id)
        # The record is the session. When it cannot be deleted nothing has happened, and whoever tries again ends it.
        there = self.store.delete(entry_id)
        # What this worker has read of it lately counts no more either.
        self._revocations.revoke(entry_id, expires=until)
        return there

    def end_by_sid(self, issuer: str, sid: str, *, coming: bool = False) -> list[SessionInfo]:
        """End the sessions that came from one of the provider's own.

        :param coming: also one that is being created just now. Only for a ``sid`` that the provider has signed for,
            because it is remembered whether or not it was ever seen here.
        """
        name = _sid_name(issuer, sid)
        if coming:
            now = int(self._wall())
            self.store.revoke(name, moment=now, expires=now + COMING)
        return self._end_all(self._find(name))

    def end_user(self, user_id: str, *, moment: int) -> list[SessionInfo]:
        """End every session of a user whose sign-in was up to *moment*, also one that is being created just now.

        :param moment: seconds since the epoch, by the clock of the provider that says so.
        """
        until = int(self._wall()) + self._longest
        self._revocations.revoke_user(user_id, moment=moment, expires=until)
        if not self._data_in_cookie:
            self.store.revoke(user_name(user_id), moment=moment, expires=until)
        found = self._find(user_name(user_id))
        return self._end_all(
            entry for entry in found if entry.user_id == user_id and entry.issued_at <= moment
        )

    def _end_all(self, entries: Iterable[SessionInfo]) -> list[SessionInfo]:
        return [entry for entry in list(entries) if self.end(entry.id, expires=entry.expires_at)]

    def consume_once(self, name: str, *, expires: int) -> bool:
        """Use something up that may be used once; of any number of callers one gets ``True``.

        :param expires: until when a second use must be noticed, in seconds since the epoch.
        """
        return self.store.first_use(name, expires=expires)

    def mark_processed(self, name: str, *, expires: int) -> None:
        """Note that something has been done to its end.

        :param expires: until when :meth:`is_done` must know it, in seconds since the epoch.
        """
        self.store.revoke(name, moment=int(self._wall()), expires=expires)

    def is_processed(self, name: str) -> bool:
        """Whether :meth:`note_done` has noted that."""
        return self.store.revoked(name) is not None


def _entry(entry_id: str, record: Record, told: bytes) -> tuple[SessionInfo | None, int]:
    """What :meth:`SessionRegistry.summary` told of a session, and its idle time; ``None``: it is another version's."""
    try:
        fields = json.loads(told)
    except ValueError:
        return None, 0
    match fields:
        # A later version may tell more.
        case [
            str(user_id),
            str(username),
            str(provider),
            str() | None as device,
            str() | None as address,
            int(created),
            int(issued),
            int(expires),
            int(idle),
            *_,
        ]:
            entry = SessionInfo(
                id=entry_id,
                user_id=user_id,
                username=username,
                provider=provider,
                device=device,
                remote_addr=address,
                created_at=created,
                issued_at=issued,
                last_used_at=record.seen,
                expires_at=expires,
            )
            return entry, idle
    return None, 0


def _sid_name(issuer: str, sid: str) -> str:
    return "sid:" + pair_hash(issuer, sid)
