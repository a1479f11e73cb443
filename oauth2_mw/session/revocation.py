"""Which sessions have ended before their time: logged out, or their user disabled.

A sealed cookie cannot be taken back, so every worker keeps a list of revocations in memory. Where sessions live in
cookies and there is a directory, the list is shared through it: the request that finds its worker's copy older than
``revocation_sync`` reads what is new. When the directory cannot be reached, a copy up to a minute old is used; after
that requests are refused. Without a directory each worker knows only the logouts that it has served itself. Where
sessions live in a store, an ended session is deleted there, and the list holds those that this worker has ended since
it last read the store, and the users whom the directory has disabled.

A revocation that the directory does not take is kept until it does (:mod:`oauth2_mw.session.untold`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from oauth2_mw.errors import EndNotToldError, StoreUnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.signout_file import Ending, SignoutFile
from oauth2_mw.session.stores.record import EXPIRY_GRACE
from oauth2_mw.session.untold import Listeners, Untold

if TYPE_CHECKING:
    from oauth2_mw.session.cut_offs import CutOffs
    from oauth2_mw.sql.revocations import Revocation

#: Seconds for which a copy of the list is used while the directory cannot be reached.
GRACE = 60
#: Seconds between two tries while the directory cannot be reached.
RETRY = 1

_SESSION, _USER = "session:", "user:"


def session_name(session_id: str) -> str:
    """Return the name of the revocation of one session."""
    return _SESSION + session_id


def user_name(user_id: str) -> str:
    """Return the name of the revocation of all sessions of a user up to a moment."""
    return _USER + user_id


class RevocationList(Listeners, Protocol):
    """The list that all workers share."""

    def revocations(self, since: int) -> Sequence[Revocation]:
        """Return the rows after number *since*, in their order."""


class Revocations:
    """The list of one worker.

    :param shared: the list that all workers share; ``None`` if there is none.
    :param disabled: returns the ids of all users whom the directory has disabled.
    :param cut_offs: what learns of those in *shared*, or else is read as well; whoever asks of a session looks there,
        too.
    :param sync: seconds after which all is read again.
    :param signout_file: where revocations wait that *shared* does not take, so that they survive this worker.
    """

    def __init__(
        self,
        *,
        shared: RevocationList | None = None,
        disabled: Callable[[], frozenset[str]] | None = None,
        cut_offs: CutOffs | None = None,
        sync: int,
        signout_file: SignoutFile | None = None,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        self._shared = shared
        self._untold = Untold(shared, signout_file, clocks) if shared is not None else None
        self._read_disabled = disabled
        self._cut_offs = cut_offs
        self._sync = sync
        self._wall = clocks.wall
        self._monotonic = clocks.monotonic
        self._refreshing = ProcessLock()
        #: session id -> monotonic time until which it is remembered
        self._revoked: dict[str, float] = {}
        #: user id -> (up to when the revoked sessions were issued, monotonic time until which it is remembered)
        self._revoked_before: dict[str, tuple[int, float]] = {}
        self._disabled: frozenset[str] = frozenset()
        self._last_row = 0
        self._retry_at = float("-inf")
        self._failure = ""
        self._read_at: float | None = None
        #: monotonic time from which the shared list and the directory are to be read again
        has_sources = any(each is not None for each in (shared, disabled, cut_offs))
        self.next_sync_at: float = 0.0 if has_sources else float("inf")

    def ended(self, session_id: str, user_id: str, issued: int) -> bool:
        """Return whether a session has ended.

        :param issued: when it was issued (``iat`` of the ID token where there is one), in seconds since the epoch.
        :raises StoreUnavailableError: when the list cannot be read and the copy is too old to be used.
        """
        if self._monotonic() >= self.next_sync_at:
            self._refresh()
        return self.is_listed(session_id, user_id, issued)

    def is_listed(self, session_id: str, user_id: str, issued: int) -> bool:
        """Return whether a session has ended, as far as this worker knows. Parameters as for :meth:`ended`."""
        if session_id in self._revoked or user_id in self._disabled:
            return True
        # Looked up once: another thread may forget it meanwhile.
        revoked_before = self._revoked_before.get(user_id)
        return revoked_before is not None and issued <= revoked_before[0]

    def ended_by_now(self, session_id: str, user_id: str, issued: int) -> bool:
        """Return whether a session has ended, by a list that is read at this moment. Parameters as for :meth:`ended`.

        :raises StoreUnavailableError: when the list cannot be read.
        """
        if self._shared is not None or self._read_disabled is not None:
            with self._refreshing:
                if self._monotonic() < self._retry_at:
                    raise StoreUnavailableError(self._failure)
                self._read_anew()
        return self.ended(session_id, user_id, issued)

    def revoke(self, session_id: str, *, expires: int) -> None:
        """End a session everywhere.

        :param expires: when the session would have expired, in seconds since the epoch.
        :raises EndNotToldError: when the other workers are told later; this one has ended the session.
        :raises StoreUnavailableError: when they could not be told and nothing has happened.
        """
        self._publish(Ending(session_name(session_id), 0, expires))

    def revoke_user(self, user_id: str, *, moment: int, expires: int) -> None:
        """End all sessions of a user that were issued up to *moment*.

        :param expires: when the last of them would have expired, in seconds since the epoch.
        :raises EndNotToldError, StoreUnavailableError: as :meth:`revoke`.
        """
        self._publish(Ending(user_name(user_id), moment, expires))

    def _publish(self, ending: Ending) -> None:
        if self._shared is None or self._untold is None:
            self._remember(ending.name, ending.moment, ending.expires)
            self._forget_expired()
            return
        try:
            self._shared.revoke(ending.name, moment=ending.moment, expires=ending.expires)
        except StoreUnavailableError as error:
            if not self._untold.keep(ending):
                raise
            self._remember(ending.name, ending.moment, ending.expires)
            raise EndNotToldError(error.detail) from None
        self._remember(ending.name, ending.moment, ending.expires)

    def _refresh(self) -> None:
        # While the copy is usable, one request reads the list and the others go on.
        if not self._refreshing.acquire(blocking=not self._copy_is_usable()):
            return
        try:
            if self._monotonic() < self._retry_at:
                # Another request has just tried: those that waited for it share its failure.
                if not self._copy_is_usable():
                    raise StoreUnavailableError(self._failure)
                return
            if self._monotonic() < self.next_sync_at:
                return
            try:
                self._read_anew()
            except StoreUnavailableError:
                if not self._copy_is_usable():
                    raise
                self.next_sync_at = self._retry_at
        finally:
            self._refreshing.release()

    def _read_anew(self) -> None:
        if self._untold is not None:
            # Also while the directory is away: another worker of this host may have ended a session.
            for ending in self._untold.learn():
                self._remember(ending.name, ending.moment, ending.expires)
        try:
            self._read()
        except StoreUnavailableError as error:
            self._retry_at, self._failure = self._monotonic() + RETRY, error.detail
            raise
        self._forget_expired()
        self._read_at = self._monotonic()
        self.next_sync_at = self._read_at + self._sync
        if self._untold is not None:
            self._untold.tell()

    def _read(self) -> None:
        new = self._shared.revocations(self._last_row) if self._shared is not None else ()
        disabled = self._read_disabled() if self._read_disabled is not None else frozenset()
        if self._cut_offs is not None and self._shared is None:
            self._cut_offs.read()
        for revocation in new:
            self._remember(revocation.name, revocation.moment, revocation.expires)
        if new:
            # Not the highest ever seen: a database that was restored counts from an earlier row again.
            self._last_row = max(revocation.row for revocation in new)
        self._disabled = disabled

    def _copy_is_usable(self) -> bool:
        return self._read_at is not None and self._monotonic() < self._read_at + GRACE

    def _remember(self, name: str, moment: int, expires: int) -> None:
        if name.startswith(_SESSION):
            self._revoked[name.removeprefix(_SESSION)] = self._remember_until(expires)
        elif name.startswith(_USER):
            self._remember_user(name.removeprefix(_USER), moment, expires)
        elif self._cut_offs is not None:
            self._cut_offs.learn({name: moment})

    def _remember_user(self, user_id: str, moment: int, expires: int) -> None:
        previous, until = self._revoked_before.get(user_id, (moment, 0.0))
        self._revoked_before[user_id] = max(previous, moment), max(until, self._remember_until(expires))

    def _remember_until(self, expires: int) -> float:
        # Monotonic: stepping the wall clock must not drop a revocation early.
        return self._monotonic() + max(expires - self._wall(), 0) + EXPIRY_GRACE

    def _forget_expired(self) -> None:
        now = self._monotonic()
        for session_id, until in list(self._revoked.items()):
            if until < now:
                self._revoked.pop(session_id, None)
        for user_id, (_, until) in list(self._revoked_before.items()):
            if until < now:
                self._revoked_before.pop(user_id, None)
