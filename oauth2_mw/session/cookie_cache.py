"""What ``Cookie`` headers say: worked out once, and remembered for the next request with the same one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from oauth2_mw.session.cookies import RequestCookies
from oauth2_mw.session.model import Session
from oauth2_mw.session.stored_sessions import CachedSession

#: What the cache of opened sessions may hold in each worker.
CACHE_ENTRIES = 2000
CACHE_BYTES = 8 * 1024 * 1024
#: What an opened session takes, its key included, in terms of the header that it came from, and of what a store holds.
_ENTRY_FACTOR = 10
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


class CookieHeaderCache:
    """The headers worked out with one ring of keys, bounded. Reading takes no lock: the dictionary's operations hold.

    Another ring gets another one of these, so what was begun with old keys never ends up among the new.
    """

    def __init__(self) -> None:
        self._known: dict[str, RequestSession] = {}
        self._bytes = 0
        self._writing = threading.Lock()
        self.get = self._known.get

    def put(self, header: str, known: RequestSession) -> None:
        """Remember what a header said, in the place of what it said before."""
        # It is only a cache: nobody waits for it, least of all a process forked while another thread held the lock.
        if not self._writing.acquire(blocking=False):
            return
        try:
            before = self._known.get(header)
            if before is not None:
                self._bytes -= self._cost(header, before)
            self._known[header] = known
            self._bytes += self._cost(header, known)
            while len(self._known) > CACHE_ENTRIES or self._bytes > CACHE_BYTES:
                oldest = next(iter(self._known))
                self._bytes -= self._cost(oldest, self._known.pop(oldest))
        finally:
            self._writing.release()

    @staticmethod
    def _cost(header: str, known: RequestSession) -> int:
        # Each entry is taken for the only one of its session, which it may be: what was read before is another object.
        stored = known.cached.size if known.cached is not None else 0
        return len(header) * _ENTRY_FACTOR + stored * _STORED_FACTOR

    def __len__(self) -> int:
        return len(self._known)
