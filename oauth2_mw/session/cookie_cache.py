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
from oauth2_mw.session.cookies import SEPARATORS, Cookies, RequestCookies, SealedText
from oauth2_mw.session.model import Session
from oauth2_mw.session.sealing import DISTINCT_CHARACTERS
from oauth2_mw.session.stored_sessions import CachedSession
from oauth2_mw.telemetry import count

#: The most that one worker remembers.
MAX_ENTRIES = 2000
MAX_BYTES = 8 * 1024 * 1024
#: Bytes that an opened session takes for each character of its sealed text, of the header with which it came, and of
#: its record in a store.
_SEALED_FACTOR = 8
_HEADER_FACTOR = 3
_STORED_FACTOR = 4
#: Characters that the cookies of the application take in most headers. More are counted when they come.
_USUAL_OTHERS = 1024


@dataclass(slots=True)
class KnownSession:
    """What a sealed text stands for."""

    opened: OpenedSession[Any]
    sealed: SealedText = field(repr=False)
    #: the variables that the application finds in its environ; ``None`` if the session is of no provider any more
    environ: dict[str, Any] | None = field(repr=False)
    #: up to when there is nothing to do about it, in seconds since the epoch
    quiet_until: float = field(init=False)

    def __post_init__(self) -> None:
        opened, session = self.opened, self.opened.session
        refresh_at = session.refresh_schedule.refresh_at if session.refresh_schedule is not None else inf
        due_at = -inf if opened.needs_new_cookie else min(opened.renew_at, refresh_at)
        self.quiet_until = min(session.ends_at, due_at)

    def with_cookies(
        self, header: str, remaining_cookies: str | None, cookies: RequestCookies | str
    ) -> RequestSession | None:
        """Return what a request with that ``Cookie`` header needs of the session, or ``None`` if it is not to be used.

        :param remaining_cookies: what the header is without our cookies.
        :param cookies: ours, or the name of the only one.
        """
        if self.environ is None:
            return None
        opened = self.opened
        return RequestSession(
            opened.session,
            self.environ,
            remaining_cookies,
            cookies,
            header,
            self,
            opened.cached,
            opened.renew_at,
            opened.fresh_until,
            opened.lease_expires,
            opened.needs_new_cookie,
            self.quiet_until,
        )


@dataclass(slots=True)
class RequestSession:
    """The session that a ``Cookie`` header stands for, and what a request needs of it.

    Never changed after construction; freezing it would show in the time that opening a session takes.
    """

    #: ``None`` if nobody is signed in by these cookies
    session: Session | None
    #: the variables that the application finds in its environ
    environ: dict[str, Any] = field(repr=False)
    #: the ``Cookie`` header without our cookies; ``None`` if nothing is left of it
    remaining_cookies: str | None = field(repr=False)
    #: our cookies, or the name of the only one, which holds the whole session
    given_cookies: RequestCookies | str = field(repr=False)
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
    #: up to when the session neither ends by itself nor has tokens to refresh or a cookie to renew, in seconds since
    #: the epoch
    quiet_until: float = inf
    #: whether that time had passed when the request came
    is_due: bool = False
    #: whether there was a session cookie that stands for no session
    invalid: bool = False

    @property
    def cookies(self) -> RequestCookies:
        """Our cookies, and the rest of the header."""
        given = self.given_cookies
        if not isinstance(given, str):
            return given
        text = self.known.sealed[1] if self.known is not None else ""
        return RequestCookies({given: [text]}, self.remaining_cookies)

    def without_session(self) -> RequestSession:
        """Return the same request with a session that has ended."""
        return replace(self, session=None, invalid=True)


#: What a request without any cookie of ours stands for.
NO_SESSION = RequestSession(None, {}, None, RequestCookies({}, None))


@dataclass(slots=True)
class _Entry:
    """A session, and the latest request that came with it, which alone changes."""

    known: KnownSession
    #: the longest ``Cookie`` header that ``latest`` may be of
    header_room: int
    latest: RequestSession


class SessionCache(BoundedCache[str, _Entry]):
    """What session cookies stand for under one ring of keys, each with the latest header in which it came.

    Another ring gets a cache of its own, so that nothing opened with a retired key outlives it. A text is looked for by
    its beginning, which no two share that we sealed, and then compared as a whole: somebody may forge one that begins
    alike. So nobody computes the hash of a few kilobytes in every request.

    :param cookies: the names of the cookies of ours, and what may be one of a sibling's.
    """

    def __init__(self, cookies: Cookies) -> None:
        super().__init__(max_entries=MAX_ENTRIES, max_cost=MAX_BYTES, cost=_size)
        self._name = cookies.session
        self._provider = cookies.provider
        self._prefix = f"{cookies.session}="
        self._only = cookies.only
        self._others = cookies.others
        self._prefix_length = len(self._prefix)

    def find_header(self, header: str) -> RequestSession | None:
        """Return what a ``Cookie`` header stands for, if one look tells.

        That is the latest that came with its session, or one that has a known cookie of ours, and beside that of the
        provider used last none, among others of the application. Any other is to be read cookie by cookie.
        """
        start = header.find(self._prefix)
        if start < 0:
            return None
        begin = start + self._prefix_length
        entry = self.get(header[begin : begin + DISTINCT_CHARACTERS])
        if entry is None:
            return None
        if entry.latest.header == header:
            return entry.latest
        known = entry.known
        chunk_count, text = known.sealed
        if chunk_count > 1 or not header.startswith(text, begin):
            return None
        cookies: RequestCookies | str = self._name
        others = self._others(header, start, begin + len(text))
        if others is None:
            others, cookies = self._beside_provider(header, text)
            if others is None:
                return None
        current = known.with_cookies(header, others or None, cookies)
        if current is None:
            return None
        if len(header) <= entry.header_room:
            entry.latest = current
        else:
            self.remember(current)
        return current

    def _beside_provider(self, header: str, text: str) -> tuple[str | None, RequestCookies | str]:
        """Return what is left of a header that has one more cookie of ours, that of the provider used last; and both.

        :param text: the session cookie, which must be whole.
        """
        start = header.find(f"{self._provider}=")
        if start < 0 or (start > 0 and header[start - 2 : start] != "; "):
            return None, self._name
        end = header.find(";", start)
        end = len(header) if end < 0 else end
        value = header[start + len(self._provider) + 1 : end].strip(" \t").strip('"')
        others = header[:start].strip(SEPARATORS), header[end:].strip(SEPARATORS)
        only = self._only("; ".join(filter(None, others)))
        if only is None or only[0] != text:
            return None, self._name
        return only[1] or "", RequestCookies({self._name: [text], self._provider: [value]}, only[1])

    def find(self, sealed: SealedText) -> KnownSession | None:
        """Return what a sealed text stands for, if that is remembered."""
        entry = self.get(sealed[1][:DISTINCT_CHARACTERS])
        return entry.known if entry is not None and entry.known.sealed == sealed else None

    def remember(self, current: RequestSession) -> None:
        """Remember a header that stands for a session, unless another thread writes at this moment: none must wait.

        Least of all in a process that was forked while another thread held the lock.
        """
        known = current.known
        if known is None:
            return
        begin = current.header.find(self._prefix) + self._prefix_length
        room = max(len(current.header), len(known.sealed[1]) + _USUAL_OTHERS)
        self.put_unless_busy(
            current.header[begin : begin + DISTINCT_CHARACTERS], _Entry(known, room, current)
        )


class CountedSessionCache(SessionCache):
    """The same, which counts how often it knows what is looked for."""

    def find_header(self, header: str) -> RequestSession | None:
        """Return what a ``Cookie`` header stands for, if one look tells."""
        current = super().find_header(header)
        if current is not None or self._prefix in header:
            count("opened_cache", "hit" if current is not None else "miss")
        return current


def _size(_key: str, entry: _Entry) -> int:
    # Counted as if no other entry shared the session, which may be so: each reading makes an object of its own.
    known = entry.known
    cached = known.opened.cached
    stored = cached.size if isinstance(cached, CachedSession) else 0
    return (
        len(known.sealed[1]) * _SEALED_FACTOR + entry.header_room * _HEADER_FACTOR + stored * _STORED_FACTOR
    )
