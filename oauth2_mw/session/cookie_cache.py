"""What the session cookies of browsers stand for, remembered for their next requests.

What was opened is found again by the text of our cookie, whatever the application's own cookies say beside it: they
change all the time. With it stands the whole header in which it came last, and what that came to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.session.backend import OpenedSession
from oauth2_mw.session.cookies import RequestCookies, SealedText
from oauth2_mw.session.model import Session
from oauth2_mw.session.sealing import DISTINCT_CHARACTERS
from oauth2_mw.session.stored_sessions import CachedSession

#: The most that one worker remembers.
MAX_ENTRIES = 2000
MAX_BYTES = 8 * 1024 * 1024
#: Bytes that an opened session takes for each character of its sealed text, of the header with which it came, and of
#: its record in a store.
_SEALED_FACTOR = 8
_HEADER_FACTOR = 3
_STORED_FACTOR = 4


@dataclass(slots=True)
class KnownSession:
    """What a sealed text stands for. Never changed after construction, as little as the next."""

    opened: OpenedSession[Any]
    sealed: SealedText = field(repr=False)
    #: the variables that the application finds in its environ; ``None`` if the session is of no provider any more
    environ: dict[str, str] | None = field(repr=False)

    def with_cookies(self, header: str, cookies: RequestCookies) -> RequestSession | None:
        """Return what a request with that ``Cookie`` header needs of the session, or ``None`` if it is not to be used.

        :param cookies: what is in the header.
        """
        if self.environ is None:
            return None
        opened = self.opened
        return RequestSession(
            opened.session,
            self.environ,
            cookies.other_header,
            cookies,
            header,
            self,
            opened.cached,
            opened.renew_at,
            opened.fresh_until,
            opened.lease_expires,
            opened.needs_new_cookie,
        )


@dataclass(slots=True)
class RequestSession:
    """The session that a ``Cookie`` header stands for, and what a request needs of it.

    Never changed after construction; freezing it would show in the time that opening a session takes.
    """

    #: ``None`` if nobody is signed in by these cookies
    session: Session | None
    #: the variables that the application finds in its environ
    environ: dict[str, str] = field(repr=False)
    #: the ``Cookie`` header without our cookies; ``None`` if nothing is left of it
    remaining_cookies: str | None = field(repr=False)
    #: our cookies
    cookies: RequestCookies = field(repr=False)
    #: the ``Cookie`` header as it came
    header: str = field(default="", repr=False)
    #: the session, whatever cookies of the application come with it
    known: KnownSession | None = None
    #: what the session's backend is given back when it is asked about the session again
    cached: object = None
    #: from when a use of the session is worth a new cookie, in seconds since the epoch
    renew_at: float = inf
    #: monotonic time up to which the backend need not be asked again
    fresh_until: float = inf
    #: until when another worker may be refreshing the session, in seconds since the epoch; 0 if none is
    lease_expires: int = 0
    #: whether the browser must be given a new cookie, however recent its own is
    needs_new_cookie: bool = False
    #: whether there was a session cookie that stands for no session
    invalid: bool = False

    def without_session(self) -> RequestSession:
        """Return the same request with a session that has ended."""
        return replace(self, session=None, invalid=True)


#: What a request without any cookie of ours stands for.
NO_SESSION = RequestSession(None, {}, None, RequestCookies({}, None))


class SessionCache(BoundedCache[str, RequestSession]):
    """What session cookies stand for under one ring of keys, each with the latest header in which it came.

    Another ring gets a cache of its own, so that nothing opened with a retired key outlives it. A text is looked for by
    its beginning, which no two share that we sealed, and then compared as a whole: somebody may forge one that begins
    alike. So nobody computes the hash of a few kilobytes in every request.

    :param prefix: with what begins a session cookie in a header.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(max_entries=MAX_ENTRIES, max_cost=MAX_BYTES, cost=_size)
        self._prefix = prefix

    def find_header(self, header: str) -> RequestSession | None:
        """Return what a ``Cookie`` header stands for, if it is the latest that came with its session."""
        begin = header.find(self._prefix) + len(self._prefix)
        current = self.get(header[begin : begin + DISTINCT_CHARACTERS])
        return current if current is not None and current.header == header else None

    def find(self, sealed: SealedText) -> KnownSession | None:
        """Return what a sealed text stands for, if that is remembered."""
        current = self.get(sealed[1][:DISTINCT_CHARACTERS])
        known = current.known if current is not None else None
        return known if known is not None and known.sealed == sealed else None

    def remember(self, current: RequestSession) -> None:
        """Remember a header that stands for a session, unless another thread writes at this moment: none must wait.

        Least of all in a process that was forked while another thread held the lock.
        """
        begin = current.header.find(self._prefix) + len(self._prefix)
        self.put_unless_busy(current.header[begin : begin + DISTINCT_CHARACTERS], current)


def _size(_key: str, current: RequestSession) -> int:
    # Counted as if no other entry shared the session, which may be so: each reading makes an object of its own.
    stored = current.cached.size if isinstance(current.cached, CachedSession) else 0
    sealed = len(current.known.sealed[1]) if current.known is not None else 0
    return sealed * _SEALED_FACTOR + len(current.header) * _HEADER_FACTOR + stored * _STORED_FACTOR
