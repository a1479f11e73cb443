"""What ``Cookie`` headers say: worked out once, and remembered for the next request with the same one."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """What a ``Cookie`` header said, worked out once and never changed (freezing it would show in every opening)."""

    #: ``None``: nobody is signed in by it
    session: Session | None
    #: what the application finds in its environ for that session
    environ: dict[str, str] = field(repr=False)
    #: the header without our cookies
    remaining_cookies: str | None = field(repr=False)
    #: our cookies
    cookies: RequestCookies = field(repr=False)
    #: a session cookie was there and is none of ours
    invalid: bool
    #: with a store: what stands there
    cached: CachedSession | None = None
    #: whether the browser is to be handed a new cookie, whatever its age
    needs_new_cookie: bool = False


#: What a request without any cookie of ours says.
NO_SESSION = RequestSession(None, {}, None, RequestCookies({}, None), invalid=False)


class CookieHeaderCache(BoundedCache[str, RequestSession]):
    """What ``Cookie`` headers stand for under one ring of keys.

    Another ring gets a cache of its own, so that nothing opened with old keys ends up among what the new ones opened.
    A request puts what it worked out with :meth:`put_unless_busy`: it waits for nobody, least of all in a process that
    was forked while another thread held the lock.
    """

    def __init__(self) -> None:
        super().__init__(max_entries=MAX_ENTRIES, max_cost=MAX_BYTES, cost=_size)


def _size(header: str, current: RequestSession) -> int:
    # Each entry is taken for the only one of its session, which it may be: each reading makes an object of its own.
    stored = current.cached.size if current.cached is not None else 0
    return len(header) * _HEADER_FACTOR + stored * _STORED_FACTOR
