"""The list of sessions that all workers share: whose they are, since when, from where.

There is a registry where sessions live in a store, and where there is a directory beside sessions in cookies. It finds
the sessions of a user and of a provider's own session (``sid``), so that the user, an operator or the provider can end
them. Whoever can read the database sees nothing but times: the rest is sealed with our keys, and what a session is
looked up by is a keyed hash.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from oauth2_mw.encoding import pair_hash
from oauth2_mw.errors import (
    AccessDeniedError,
    EndNotMarkedError,
    StoreTakesNoWritesError,
    StoreUnavailableError,
)
from oauth2_mw.observe import new_id
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.cut_offs import EVERY, CutOffs
from oauth2_mw.session.frame_logouts import FrameLogouts, frame_name, milliseconds
from oauth2_mw.session.model import Session
from oauth2_mw.session.revocation import Revocations, user_name
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stores import Record, Store

log = logging.getLogger(__name__)  # type: logging.Logger

_SUMMARY = "session-summary"
_INDEX = "session-index"
_KEPT = "kept"
#: Seconds for which a logout also ends a session that is still being created: longer than any call to a provider.
PENDING = 600


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session as its user or an operator may see it. All times in whole seconds since the epoch."""

    #: stands for the session in forms and on the command line; it gives no access
    id: str
    user_id: str
    username: str
    #: the provider's NAME
    provider: str
    device: str | None
    remote_addr: str | None
    created_at: int
    #: when the user signed in, by the provider's clock
    issued_at: int
    last_used_at: int
    expires_at: int


class SessionRegistry:
    """The sessions of one application as all its workers know them.

    :param data_in_cookie: whether the browsers keep the sessions themselves, so that the end of one must be remembered
        for as long as its cookie could be opened.
    :param longest: the most seconds that a session lasts.

    Every method raises :class:`~oauth2_mw.errors.StoreUnavailableError` when the store cannot be used.
    """

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        revocations: Revocations,
        cut_offs: CutOffs,
        *,
        data_in_cookie: bool,
        longest: int,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        self.store = store
        self._sealer = sealer
        self._revocations = revocations
        #: by which all sessions end at once
        self.cut_offs = cut_offs
        self._data_in_cookie = data_in_cookie
        #: the most seconds that a session lasts
        self.longest = longest
        self._wall = clocks.wall
        self._frames = FrameLogouts(clocks)

    # Writing

    def write(self, session: Session, *, data: str = "", began_at: float | None = None) -> None:
        """Write a new session to the store.

        :param began_at: when the sign-in came back from the provider, in seconds since the epoch, if it did.
        :raises AccessDeniedError: code ``signed_out``, when a logout came for it while it was being created.
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
        # A logout first writes a revocation and then looks for sessions; a session is first written, and then its
        # revocation is looked for. Whichever comes second sees the other.
        if self.was_signed_out(session, began_at=began_at):
            self._refuse(session)

    def was_signed_out(self, session: Session, *, began_at: float | None = None) -> bool:
        """Return whether a logout of its user, or of the provider's own session, has come that meant that session.

        :param began_at: since when a frame that named it meant it, in seconds since the epoch.
        """
        issuer, sid = session.identity.issuer, session.sign_in.sid
        names = [user_name(session.identity.id)]
        if sid is not None:
            names += [_sid_name(issuer, sid), frame_name(issuer, sid)]
        found = self.store.moments(names)
        user, by_sid, frame = [*map(found.get, names), None, None][:3]
        if (user is not None and session.sign_in.issued_at <= user) or by_sid is not None:
            return True
        return frame is not None and began_at is not None and frame >= milliseconds(began_at)

    def _refuse(self, session: Session) -> NoReturn:
        self.end(session.id, expires=session.expires_at)
        raise AccessDeniedError(
            f"user {session.identity.id} was signed out while signing in",
            code="signed_out",
            message="You were signed out while you signed in. Please sign in again.",
        )

    def read(self, session_id: str, *, grace: int = 0) -> Record | None:
        """Return the record of a session, or ``None`` if it has ended.

        :param grace: seconds for which one is read whose time is over.
        """
        return self.store.read(session_id, grace=grace)

    def touch(
        self, session_id: str, *, seen: int, expires: int, step: int = 0, reseal: Session | None = None
    ) -> Record | None:
        """Note that a session is in use, and return its record, or ``None`` if it has ended.

        :param seen: when it was used, in seconds since the epoch.
        :param step: the least seconds since the last noted use for which another is written.
        :param reseal: the session, if its summary and indexes are to be made anew with the current key.
        """
        try:
            return self.store.touch(
                session_id,
                seen=seen,
                expires=expires,
                step=step,
                summary=None if reseal is None else self.summary(reseal),
                indexes=() if reseal is None else self.indexes(reseal),
            )
        except StoreTakesNoWritesError as error:
            # Who is signed in stays so.
            log.info("the use of a session was not written down: %s", error.detail)
            return self.store.read(session_id)

    def is_current(self, record: Record) -> bool:
        """Return whether a record's summary is sealed with the current key."""
        return self._sealer.is_current(record.summary)

    def expires(self, session: Session, seen: int) -> int:
        """Return when the store may forget a session, in seconds since the epoch."""
        # A session in a cookie may be in use although its last use could not be written here.
        return (
            session.expires_at
            if self._data_in_cookie
            else min(session.expires_at, seen + session.idle_timeout)
        )

    def summary(self, session: Session) -> str:
        """Return what :meth:`find_by_user` tells of a session, sealed."""
        identity = session.identity
        fields = [
            identity.id,
            identity.username,
            identity.provider,
            session.sign_in.device,
            session.sign_in.remote_addr,
            session.created_at,
            session.sign_in.issued_at,
            session.expires_at,
            session.idle_timeout,
        ]
        return self._sealer.seal(_SUMMARY, session.id, json.dumps(fields, ensure_ascii=False).encode())

    def indexes(self, session: Session) -> list[str]:
        """Return the keyed hashes by which a session is found."""
        mac = self._sealer.keyring.sealing_key().mac
        indexes = [mac(_INDEX, user_name(session.identity.id))]
        if session.sign_in.sid is not None:
            indexes.append(mac(_INDEX, _sid_name(session.identity.issuer, session.sign_in.sid)))
        return indexes

    # Reading

    def find_by_user(self, user_id: str) -> list[SessionInfo]:
        """Return the sessions of a user that have not ended, the latest first."""
        sessions = [info for info in self._find_indexed(user_name(user_id)) if info.user_id == user_id]
        return sorted(sessions, key=lambda info: (info.created_at, info.id), reverse=True)

    def all(self, *, after: str | None = None) -> Iterator[SessionInfo]:
        """Yield all sessions that have not ended, in no order.

        :param after: in the order of their ids instead, and those behind that one; an empty text is before all.
        """
        # Whatever was not used since a cut-off of all has ended by it, and need not be opened to be left out.
        return self._read(self.store.all(after=after, used_since=self.cut_offs.moments.get(EVERY, -1) + 1))

    def find(self, session_id: str) -> SessionInfo | None:
        """Return the session of that id, or ``None`` if there is none or it has ended."""
        record = self.store.read(session_id)
        return None if record is None else next(self._read([(session_id, record)]), None)

    def _find_indexed(self, name: str) -> Iterator[SessionInfo]:
        # A session is listed under each key that was the newest while it was in use: one session, several indexes.
        records: dict[str, Record] = {}
        for key in tuple(self._sealer.keyring.keys()):
            records.update(self.store.find(key.mac(_INDEX, name)))
        return self._read(records.items())

    def _read(self, records: Iterable[tuple[str, Record]]) -> Iterator[SessionInfo]:
        now = self._wall()
        for session_id, record in records:
            if not record.summary:
                # A text of :meth:`keep`.
                continue
            summary = self._sealer.open(_SUMMARY, session_id, record.summary)
            if summary is None:
                log.info("a record of a session that no key opens was ignored")
                continue
            read = _session_info(session_id, record, summary)
            if read is None:
                log.info("a record of a session of another version was ignored")
                continue
            info, idle = read
            if now < min(info.expires_at, info.last_used_at + idle) and not self.cut_offs.covers(
                info.created_at, info.provider
            ):
                yield info

    # Ending

    def end(self, session_id: str, *, expires: int | None = None) -> bool:
        """End a session. Return whether there was one of that id.

        :param expires: when it would have expired, in seconds since the epoch, if that is known.
        """
        if self._data_in_cookie and expires is None:
            record = self.store.read(session_id)
            if record is None:
                return False
            expires = record.expires
        until = expires or int(self._wall()) + self.longest
        if self._data_in_cookie:
            # The revocation before the record: a failure in between leaves a session that has ended.
            self._revocations.revoke(session_id, expires=until)
            try:
                return self.store.delete(session_id)
            except StoreUnavailableError as error:
                # It has ended everywhere; it stays in the list until it would have expired.
                log.info("an ended session stays in the list of sessions: %s", error.detail)
                return True
        # The record is the session: if it cannot be deleted nothing has happened, and a second try ends it.
        deleted = self.store.delete(session_id)
        # This worker may have read it before.
        self._revocations.revoke(session_id, expires=until)
        return deleted

    def end_by_sid(self, issuer: str, sid: str, *, include_pending: bool = False) -> list[SessionInfo]:
        """End the sessions that belong to one of the provider's own, and return them.

        :param include_pending: also one that is still being created. Only for a ``sid`` that the provider has signed,
            because it is remembered whether or not it was ever seen here.
        :raises EndNotMarkedError: when the others have ended, and that one may not.
        """
        name, now, failure = _sid_name(issuer, sid), int(self._wall()), None
        if include_pending:
            failure = self._mark(name, moment=now, expires=now + PENDING)
        return self._end_all(self._find_indexed(name), failure)

    def end_by_frame(self, issuer: str, sid: str) -> tuple[list[SessionInfo], bool]:
        """End the sessions that a frame names, of which nobody knows who has sent it.

        :returns: the sessions, and whether one that is still being created ends as well: a worker remembers only so
            many names (see :mod:`oauth2_mw.session.frame_logouts`).
        """
        # First written, then looked for, as in ``write``.
        failure, is_remembered = None, False
        try:
            is_remembered = self._frames.remember(self.store, issuer, sid)
        except StoreTakesNoWritesError as error:
            failure = error
        return self._end_all(self._find_indexed(_sid_name(issuer, sid)), failure), is_remembered

    def end_user(self, user_id: str, *, moment: int) -> list[SessionInfo]:
        """End the sessions of a user that were issued up to *moment*, and return them.

        One that is still being created ends as well.

        :param moment: seconds since the epoch, by the provider's clock.
        :raises EndNotMarkedError: when those have ended, and one that is still being created may not.
        """
        until, failure = int(self._wall()) + self.longest, None
        self._revocations.revoke_user(user_id, moment=moment, expires=until)
        if not self._data_in_cookie:
            failure = self._mark(user_name(user_id), moment=moment, expires=until)
        sessions = self._find_indexed(user_name(user_id))
        meant = (info for info in sessions if info.user_id == user_id and info.issued_at <= moment)
        return self._end_all(meant, failure)

    def _mark(self, name: str, *, moment: int, expires: int) -> StoreUnavailableError | None:
        """Write down what ends a session that is still being created, or return why that cannot be."""
        try:
            self.store.revoke(name, moment=moment, expires=expires)
        except StoreTakesNoWritesError as error:
            return error
        return None

    def _end_all(
        self, sessions: Iterable[SessionInfo], failure: StoreUnavailableError | None
    ) -> list[SessionInfo]:
        ended = [info for info in list(sessions) if self.end(info.id, expires=info.expires_at)]
        if failure is not None:
            not_marked = EndNotMarkedError(failure.detail, code=StoreUnavailableError.code)
            not_marked.ended = ended
            raise not_marked
        return ended

    # What is kept for a while beside sessions

    def keep(self, text: str, *, seconds: int) -> str:
        """Keep a text that no cookie holds, sealed, for so many seconds. Return the id under which it is found."""
        now = int(self._wall())
        kept_id = new_id()
        sealed = self._sealer.seal(_KEPT, kept_id, text.encode())
        record = Record(version=1, data=sealed, summary="", seen=now, expires=now + seconds, lease=0)
        self.store.add(kept_id, record, indexes=())
        return kept_id

    def kept(self, kept_id: str) -> str | None:
        """Return what :meth:`keep` keeps under that id, or ``None`` if its time is over."""
        record = self.store.read(kept_id)
        payload = None if record is None else self._sealer.open(_KEPT, kept_id, record.data)
        return None if payload is None else payload.decode()

    def consume_once(self, name: str, *, expires: int) -> bool:
        """Note the use of what may be used once. Return whether this is the first: of all callers one gets ``True``.

        :param expires: until when a second use must be noticed, in seconds since the epoch.
        """
        return self.store.first_use(name, expires=expires)

    def mark_processed(self, name: str, *, expires: int) -> None:
        """Note that something has been processed completely.

        :param expires: until when :meth:`is_processed` must know it, in seconds since the epoch.
        """
        self.store.revoke(name, moment=int(self._wall()), expires=expires)

    def is_processed(self, name: str) -> bool:
        """Return whether :meth:`mark_processed` was called for that name."""
        return self.store.revoked(name) is not None


def _session_info(session_id: str, record: Record, summary: bytes) -> tuple[SessionInfo, int] | None:
    """Return what a summary says of a session, and its idle time in seconds; ``None`` if another version wrote it."""
    try:
        fields = json.loads(summary)
    except ValueError:
        return None
    match fields:
        # A later version may append fields.
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
            info = SessionInfo(
                id=session_id,
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
            return info, idle
    return None


def _sid_name(issuer: str, sid: str) -> str:
    return "sid:" + pair_hash(issuer, sid)
