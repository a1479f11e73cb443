"""Where a person wanted to go, until they are signed in: kept as long as it can be, and said when it cannot.

What a browser has asked of us is judged more patiently than what a link says (:mod:`oauth2_mw.boundary`). So it travels
sealed: in the attempt's cookie, and in the links of our own pages that begin one. Where there is a session store or a
directory, that keeps what is too long for a cookie, and its id travels.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from oauth2_mw.audit import audit
from oauth2_mw.boundary import MAX_ASKED
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.sentences import sentence
from oauth2_mw.session.cookies import RequestCookies
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.web.http.urls import Location, Urls, without_fragment
from oauth2_mw.web.signin.attempt import KEPT_FOR, Attempts

#: What the person reads in place of the sentence under a page's heading.
LOST = sentence(
    "The address that you asked for cannot be kept while you sign in. You will come to the start page; open the "
    "address again from there."
)
_PURPOSE = "destination"
#: Characters of a destination that a link seals: no more fit into a cookie, and request lines end at 4094 (gunicorn).
_MAX_LINKED = 2900
_KEPT = "kept:"
#: So many long addresses are kept for each process at a time: whoever asks for them need not be known.
MAX_KEPT = 200


class Destinations:
    """The destinations of one application's sign-ins.

    :param registry: keeps those that are too long for a cookie.
    """

    def __init__(
        self,
        urls: Urls,
        sealer: Sealer,
        attempts: Attempts,
        *,
        registry: SessionRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._urls = urls
        self._sealer = sealer
        self._attempts = attempts
        self._registry = registry
        self._clock = clock
        #: when the kept ones are forgotten, in seconds since the epoch
        self._kept_until: deque[float] = deque()
        self._counting = ProcessLock()

    def keep(
        self, destination: str | None, cookies: RequestCookies, *, provider: str | None = None
    ) -> str | None:
        """Return a destination as it can be kept during a sign-in, or ``None``, said in the audit log.

        :param destination: ``None`` if the browser may not return to what it asked for.
        :param provider: at which the sign-in is, if that is known, for the log.
        """
        if destination is None:
            reason = (
                "its path has dots or control characters, is not below the mount or is longer than "
                f"{MAX_ASKED} characters; or it was sealed with a key that has been retired"
            )
        elif self._attempts.has_room(destination, cookies):
            return destination
        elif kept := self._keep_long(destination):
            return kept
        elif self._attempts.has_room(without_fragment(destination), cookies):
            return without_fragment(destination)
        else:
            reason = f"its {len(destination)} characters do not fit into a cookie"
            if self._registry is not None:
                reason += ", and the store cannot be used or keeps too many already"
        audit("destination_lost", provider=provider, detail=reason)
        return None

    def _keep_long(self, destination: str) -> str | None:
        if self._registry is None or not self._take_place():
            return None
        try:
            return _KEPT + self._registry.keep(destination, seconds=KEPT_FOR)
        except StoreUnavailableError:
            return None

    def _take_place(self) -> bool:
        now = self._clock()
        with self._counting:
            while self._kept_until and self._kept_until[0] <= now:
                self._kept_until.popleft()
            if len(self._kept_until) >= MAX_KEPT:
                return False
            self._kept_until.append(now + KEPT_FOR)
            return True

    def location(self, destination: str | None, *, provider: str) -> Location:
        """Return the way back to a destination, or to the start page, said in the audit log, where it is forgotten.

        :param provider: at which the sign-in was, for the log.
        """
        found = None if destination is None else self.find(destination)
        if found is None and destination is not None:
            detail = "the store has forgotten it, or cannot be used"
            audit("destination_lost", provider=provider, detail=detail)
        return self._urls.to_destination(found)

    def find(self, destination: str) -> str | None:
        """Return a destination that :meth:`keep` has kept as it was before, or ``None`` if it is forgotten."""
        if not destination.startswith(_KEPT):
            return destination
        kept_id, _, fragment = destination.removeprefix(_KEPT).partition("#")
        found = self._find_long(kept_id)
        return None if found is None else self._urls.with_fragment(found, fragment)

    def _find_long(self, kept_id: str) -> str | None:
        try:
            return None if self._registry is None else self._registry.kept(kept_id)
        except StoreUnavailableError:
            return None

    def fits_into_link(self, destination: str | None) -> bool:
        """Return whether :meth:`login_url` leads to *destination*."""
        return not (destination and len(destination) > _MAX_LINKED and self._urls.must_be_sealed(destination))

    def login_url(
        self,
        name: str | None,
        destination: str | None,
        *,
        login_hint: str | None = None,
        another_account: bool = False,
    ) -> Location:
        """Return the URL on a page of ours where a sign-in starts that leads to *destination*.

        It leads to the start page if that is too long for a request line, because nobody has kept it.

        :param name: of the provider; ``None`` for the page with the buttons.
        :param another_account: whether the person is to choose who they are.
        """
        sealed = None
        if destination and len(destination) <= _MAX_LINKED and self._urls.must_be_sealed(destination):
            sealed = self._sealer.seal(_PURPOSE, "", destination.encode())
        return self._urls.login(
            name,
            destination=destination,
            sealed=sealed,
            login_hint=login_hint,
            another_account=another_account,
        )

    def open(self, sealed: str) -> str | None:
        """Return the destination in such a URL, or ``None`` if it was not sealed here."""
        payload = self._sealer.open(_PURPOSE, "", sealed)
        return None if payload is None else payload.decode()
