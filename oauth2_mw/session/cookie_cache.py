"""What ``Cookie`` headers stand for, remembered for the next request with the same header."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.session.cookies import RequestCookies
from oauth2_mw.session.model import Session
from oauth2_mw.session.stored_sessions import CachedSession

#: The most that one worker remembers.
MAX_ENTRIES = 2000
MAX_BYTES = 8 * 1024 * 1024
#: Bytes that an opened session takes for each character of its header, and of its record in a store.
_HEADER_FACTOR = 10
_STORED_FACTOR = 4


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


class CookieHeaderCache(BoundedCache[str, RequestSession]):
    """What ``Cookie`` headers stand for under one ring of keys.

    Another ring gets a cache of its own, so that nothing opened with a retired key outlives it. Requests add entries
    with :meth:`put_unless_busy`, so that none waits for a lock, least of all in a process that was forked while another
    thread held it.
    """

    def __init__(self) -> None:
        super().__init__(max_entries=MAX_ENTRIES, max_cost=MAX_BYTES, cost=_size)


def _size(header: str, current: RequestSession) -> int:
    # Counted as if no other entry shared the session, which may be so: each reading makes an object of its own.
    stored = current.cached.size if isinstance(current.cached, CachedSession) else 0
    return len(header) * _HEADER_FACTOR + stored * _STORED_FACTOR
