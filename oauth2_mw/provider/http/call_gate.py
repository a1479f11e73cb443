"""How many calls to one provider are under way in a process, and whether it is called at all.

Each call keeps a thread of the server waiting. Without a bound, one slow provider would take all of them, and the
application with them. A provider that gave no answer several times in a row, or asked for a pause, is left alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil, inf

from oauth2_mw.breaker import Breaker, NoAnswerError
from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.process_local import ProcessLocal
from oauth2_mw.provider.http.messages import Response

#: The default of ``provider_calls``.
PLACES = 4
#: Seconds that one more call waits for a place.
MAX_WAIT = 2.0
#: So many calls in a row without an answer, and only one request at a time tries whether the provider is back.
MAX_FAILURES = 5
#: The codes of the errors by which nothing was sent: they say nothing of what would have been answered.
NOT_SENT = frozenset({"provider_busy", "provider_paused"})
#: The longest pause that a provider can ask for, in seconds.
MAX_PAUSE = 60


class CallGate:
    """The way to one provider. Safe for threads; each process has its own places.

    :param name: the NAME of the provider, for messages.
    :param places: the setting ``provider_calls``.
    """

    def __init__(self, name: str = "", *, places: int = PLACES) -> None:
        self._name = name
        self._size = places
        self._places = ProcessLocal(lambda: threading.BoundedSemaphore(places))
        self._held = ProcessLocal(lambda: threading.local())
        self._breaker = Breaker()
        #: calls without an answer since the last one that had one
        self._failures = 0
        #: monotonic time up to which the provider asked not to be called
        self._pause_ends = -inf

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for several calls that belong together; those of this thread need no other meanwhile.

        :raises ProviderUnavailableError: ``provider_busy`` if none is free in time; nothing has been sent then.
        """
        held = self._held.get()
        if getattr(held, "place", False):
            yield
            return
        places = self._places.get()
        if not places.acquire(timeout=MAX_WAIT):
            raise ProviderUnavailableError(
                f"provider {self._name} answers slowly: {self._size} calls to it are under way in this process, and "
                f"none ended within {MAX_WAIT:g} seconds; provider_calls says how many may be",
                code="provider_busy",
            )
        held.place = True
        try:
            yield
        finally:
            held.place = False
            places.release()

    def call(self, send: Callable[[], Response]) -> Response:
        """Send one request, and return its response.

        :raises ProviderUnavailableError: from *send*; or without calling it, when no place is free, when the provider
            has asked for a pause (RFC 6585, section 4), or did not answer the last calls.
        """
        self._check_pause()
        try:
            with self.place():
                # It may have begun while this call waited for its place.
                self._check_pause()
                with self._breaker.attempt():
                    return self._sent(send)
        except NoAnswerError as error:
            raise ProviderUnavailableError(
                f"provider {self._name} gave no answer {MAX_FAILURES} times in a row, and is tried again by one "
                f"request at a time: {error}",
                code="provider_paused",
            ) from None

    def _sent(self, send: Callable[[], Response]) -> Response:
        try:
            response = send()
        except ProviderUnavailableError as error:
            self._note_failure(error.detail)
            raise
        # What a stranger sends along can make a provider answer 4xx, and must not keep others out.
        if response.status >= 500:
            self._note_failure(f"{response.url} was answered with HTTP {response.status}")
        else:
            self._failures = 0
        if response.status == 429:
            ends = time.monotonic() + _pause(response.headers.get("retry-after", ""))
            # Several calls are under way: the answer to one takes back nothing that another was told.
            self._pause_ends = max(self._pause_ends, ends)
        return response

    def _note_failure(self, reason: str) -> None:
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._breaker.open(reason)

    def _check_pause(self) -> None:
        left = ceil(self._pause_ends - time.monotonic()) if self._pause_ends > -inf else 0
        if left <= 0:
            return
        error = ProviderUnavailableError(
            f"provider {self._name} answered HTTP 429, and is not called for another {left} seconds",
            code="provider_paused",
        )
        error.retry_after = left
        raise error


def _pause(retry_after: str) -> float:
    """Return the seconds that a header asks for (RFC 9110, section 10.2.3), up to :data:`MAX_PAUSE`; 0 if none."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), MAX_PAUSE)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0), MAX_PAUSE)
