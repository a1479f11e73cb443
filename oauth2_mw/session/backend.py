"""What the session manager asks of whatever keeps the sessions: the browsers' cookies, or a store."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Generic, Protocol, TypeVar

from oauth2_mw.session.model import Session

#: What a backend keeps of a session between two questions.
Cached = TypeVar("Cached")


@dataclass(slots=True)
class OpenedSession(Generic[Cached]):
    """A session as its backend found it. Never changed after construction; freezing it would slow every opening."""

    session: Session
    #: what the backend is given back when it is asked about the session again
    cached: Cached
    #: from when a use of the session is worth a new cookie, in seconds since the epoch
    renew_at: float = inf
    #: monotonic time up to which the backend need not be asked again
    fresh_until: float = inf
    #: until when another worker may be refreshing it, in seconds since the epoch; 0 if none is
    lease_expires: int = 0
    #: whether the browser must be given a new cookie, however recent its own is
    needs_new_cookie: bool = False


class SessionBackend(Protocol[Cached]):
    """Where the sessions of an application live.

    Every method but :meth:`shrink_to_fit` raises :class:`~oauth2_mw.errors.StoreUnavailableError` when a store is
    needed and cannot be used.
    """

    def open(self, chunk_count: int, sealed: str) -> OpenedSession[Cached] | None:
        """Return the session that a cookie stands for, or ``None`` if it stands for none.

        :param chunk_count: the number of cookies that *sealed* was joined from.
        """

    def open_run_out(self, chunk_count: int, sealed: str) -> OpenedSession[Any] | None:
        """Return the session that a cookie stands for although its time may be over, or ``None`` if it is forgotten.

        It may have been ended before its time.
        """

    def create(self, session: Session, *, began_at: float | None = None) -> str:
        """Keep a new session, and return the value of its cookie.

        :param began_at: when the sign-in came back from the provider, in seconds since the epoch, if it did.
        :raises LoginError: code ``session_too_big``.
        :raises AccessDeniedError: code ``signed_out``, if a logout arrived while the session was being created.
        """

    def renew(self, cached: Cached) -> str | None:
        """Return a new value for the session's cookie, or ``None`` if the browser keeps the one it has."""

    def replace(self, cached: Cached, session: Session, *, lease: int = 0) -> OpenedSession[Cached] | None:
        """Replace a session by *session*, or return ``None`` if another worker has replaced it first.

        :param lease: until when no other worker may refresh it, in seconds since the epoch.
        """

    def recall(self, cached: Cached) -> OpenedSession[Cached] | None:
        """Return a session as this worker knows it, or ``None`` if it has ended."""

    def reload(self, cached: Cached) -> OpenedSession[Cached] | None:
        """Return a session as its store holds it at this moment, or ``None`` if it has ended."""

    def shrink_to_fit(self, session: Session) -> Session:
        """Return the session, without the tokens and claims that a cookie cannot hold.

        :raises LoginError: code ``session_too_big``, if it does not fit even when reduced.
        """
