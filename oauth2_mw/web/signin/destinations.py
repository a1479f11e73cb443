"""Where a person wanted to go, until they are signed in: kept as long as it can be, and said when it cannot.

What a browser has asked of us is judged more patiently than what a link says (:mod:`oauth2_mw.boundary`). So it travels
sealed: in the attempt's cookie, and in the links of our own pages that begin one.
"""

from __future__ import annotations

from oauth2_mw.audit import audit
from oauth2_mw.boundary import MAX_ASKED
from oauth2_mw.session.cookies import RequestCookies
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.web.http.urls import Location, Urls
from oauth2_mw.web.signin.attempt import Attempts

#: What the person reads in place of the sentence under a page's heading.
LOST = (
    "The address that you asked for cannot be kept while you sign in. You will come to the start page; open the "
    "address again from there."
)
_PURPOSE = "destination"


class Destinations:
    """The destinations of one application's sign-ins."""

    def __init__(self, urls: Urls, sealer: Sealer, attempts: Attempts) -> None:
        self._urls = urls
        self._sealer = sealer
        self._attempts = attempts

    def keep(self, destination: str | None, cookies: RequestCookies) -> str | None:
        """Return a destination as it can be kept during a sign-in, or ``None``, said in the audit log.

        :param destination: ``None`` if the browser may not return to what it asked for.
        """
        if destination is None:
            reason = (
                "its path has dots or control characters, is not below the mount or is longer than "
                f"{MAX_ASKED} characters; or it was sealed with a key that has been retired"
            )
        elif self._attempts.has_room(destination, cookies):
            return destination
        else:
            reason = f"its {len(destination)} characters do not fit into a cookie"
        audit("destination_lost", detail=reason)
        return None

    def login_url(
        self, name: str | None, destination: str | None, *, login_hint: str | None = None
    ) -> Location:
        """Return the URL on a page of ours where a sign-in starts that leads to *destination*.

        :param name: of the provider; ``None`` for the page with the buttons.
        """
        sealed = None
        if destination is not None and self._urls.must_be_sealed(destination):
            sealed = self._sealer.seal(_PURPOSE, "", destination.encode())
        return self._urls.login(name, destination=destination, sealed=sealed, login_hint=login_hint)

    def open(self, sealed: str) -> str | None:
        """Return the destination in such a URL, or ``None`` if it was not sealed here."""
        payload = self._sealer.open(_PURPOSE, "", sealed)
        return None if payload is None else payload.decode()
