"""The transport to a provider, with a note of what came back: whose clock says what, and how long certificates hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from oauth2_mw.cli.online.finding import Finding
from oauth2_mw.provider.http.messages import Request, Response
from oauth2_mw.provider.http.transport import Transport

if TYPE_CHECKING:
    from oauth2_mw.provider.http.deadline import Deadline

_DAY = 86400
#: Days before its end from which a certificate is told.
_SOON = 21
#: Seconds by which a clock may differ without a word: the header counts whole ones, and an answer takes its time.
_UNNOTICED = 5


class NotingTransport(Transport):
    """A transport that remembers the responses; parameters as for ``Transport``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        #: each response, and how far this machine's clock is ahead of the server's, in seconds
        self.notes: list[tuple[Response, float | None]] = []

    def _send(self, request: Request, deadline: Deadline) -> Response:
        began = time.time()
        response = super()._send(request, deadline)
        self.notes.append((response, _ahead(response, (began + time.time()) / 2)))
        return response

    def certificates(self, what: str) -> Iterator[Finding]:
        """Yield how long the certificate of each host holds that was reached over TLS."""
        ends = {
            urlsplit(response.url).netloc: response.certificate_ends
            for response, _ in self.notes
            if response.certificate_ends is not None
        }
        for host, end in ends.items():
            days = int((end - time.time()) // _DAY)
            day = datetime.fromtimestamp(end, tz=UTC).date()
            if days < _SOON:
                yield Finding(
                    f"{what}: TLS",
                    "warning",
                    f"the certificate of {host} is valid until {day}, {days} days from now",
                    "have it renewed",
                )
            else:
                yield Finding(
                    f"{what}: TLS", "ok", f"the certificate of {host} is trusted, and valid until {day}"
                )

    def clock(self, what: str, *, leeway: int) -> Finding:
        """Return how this machine's clock compares with the server's.

        :param leeway: seconds by which it may differ before tokens are refused.
        """
        what = f"{what}: clock"
        differences = [ahead for _, ahead in self.notes if ahead is not None]
        if not differences:
            return Finding(what, "unknown", "no answer says what time it is")
        ahead = min(differences, key=abs)
        seconds = round(abs(ahead))
        says = f"this machine's clock is {seconds} s {'ahead of' if ahead > 0 else 'behind'} the provider's"
        cure = "set it by NTP (timedatectl set-ntp true); if it is right, the provider's is wrong"
        if seconds > leeway:
            return Finding(what, "problem", f"{says}, more than leeway = {leeway}s: tokens are refused", cure)
        if seconds > _UNNOTICED:
            return Finding(what, "warning", says, cure)
        return Finding(what, "ok", "this machine's clock and the provider's agree")


def _ahead(response: Response, now: float) -> float | None:
    try:
        return now - parsedate_to_datetime(response.headers["date"]).timestamp() - 0.5
    except (KeyError, ValueError):
        return None
