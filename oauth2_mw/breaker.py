"""A breaker for what gives no answer: one request tries whether it does again, and the others are refused at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from oauth2_mw.process_local import ProcessLock

#: Seconds after a try in vain in which nobody tries.
PAUSE = 2.0


class NoAnswerError(Exception):
    """A server gave no answer to the last who asked, and is not asked again yet."""


class Breaker:
    """Whether a server answers, as far as this process knows. Safe for threads."""

    def __init__(self) -> None:
        self._trying = ProcessLock()
        self._failure = ""
        #: monotonic time from which one request may try; ``-inf`` while all may
        self._retry_at = -inf

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Ask the server in this context. Whoever gets no answer there calls :meth:`open`.

        :raises NoAnswerError: at once, when the server gave none to the last who asked.
        """
        retry_at = self._retry_at
        if retry_at == -inf:
            yield
            return
        if time.monotonic() < retry_at or not self._trying.acquire(blocking=False):
            raise NoAnswerError(self._failure)
        try:
            yield
        finally:
            # Unless it has been opened again, there was an answer, whatever it was.
            if self._retry_at == retry_at:
                self._retry_at = -inf
            self._trying.release()

    def open(self, failure: str) -> None:
        """Note that the server gave no answer, and why nobody is asking it for a while."""
        self._failure = failure
        self._retry_at = time.monotonic() + PAUSE
