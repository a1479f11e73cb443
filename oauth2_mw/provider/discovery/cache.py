"""A cache for one document of a provider: one thread fetches it, and an old one serves if it cannot be renewed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.provider.http.call_gate import NOT_SENT

log: logging.Logger = logging.getLogger(__name__)
T = TypeVar("T")
Failure = ProviderError | ProviderUnavailableError

#: seconds for which a document is fresh
LIFETIME = 3600
#: seconds for which it serves if it cannot be renewed
MAX_AGE = 24 * 3600
#: seconds after a failure in which nobody tries again, where nothing else is said
COOL_DOWN = 5
#: the same where nothing was sent: long enough that those who waited for one who found no place do not wait in turn
NOT_SENT_COOL_DOWN = 2


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    value: T
    loaded_at: float


class CachedDocument(Generic[T]):
    """The document that *load* returns. Safe for threads.

    While one thread tries, the others get what came of it last: the old document, or else the last failure. The first
    time they wait for that thread and share its result.

    :param load: fetches the document; raises :class:`ProviderError` or :class:`ProviderUnavailableError`.
    :param name: names the document in log lines.
    :param clock: seconds since the epoch.
    :param cool_down: seconds after a failure in which nobody tries again.
    """

    def __init__(
        self, load: Callable[[], T], *, name: str, clock: Callable[[], float], cool_down: float = COOL_DOWN
    ) -> None:
        self._load = load
        self._name = name
        self._clock = clock
        self._cool_down = cool_down
        self._lock = ProcessLock()
        self._entry: _Entry[T] | None = None
        self._failure: tuple[Failure, float] | None = None
        #: how many times the document was loaded
        self.loads: int = 0

    def get(self) -> T:
        """Return the document, fresh if possible.

        :raises ProviderError, ProviderUnavailableError: what *load* raised, if no document is left to serve.
        """
        entry = self._entry
        if entry is not None and self._is_within(LIFETIME, entry.loaded_at):
            return entry.value
        if entry is not None and self._is_within(MAX_AGE, entry.loaded_at):
            if self._lock.acquire(blocking=False):
                try:
                    return self._renew(entry.value)
                finally:
                    self._lock.release()
            return entry.value
        failure = self._failure
        if failure is None:
            self._lock.acquire()
        elif not self._lock.acquire(blocking=False):
            raise copy.copy(failure[0])
        try:
            if self._entry is not entry and self._entry is not None:
                return self._entry.value
            return self._load_now()
        finally:
            self._lock.release()

    def refresh(self, current: T) -> T:
        """Return a newer document than *current*, which :meth:`get` returned; or *current* if there is none."""
        with self._lock:
            if self._entry is not None and self._entry.value is not current:
                return self._entry.value
            return self._renew(current)

    def _is_within(self, seconds: float, since: float) -> bool:
        # A clock that was set back must not make a document immortal.
        return 0 <= self._clock() - since < seconds

    def _renew(self, current: T) -> T:
        try:
            return self._load_now()
        except (ProviderError, ProviderUnavailableError) as error:
            log.warning("%s cannot be renewed; the last one is used: %s", self._name, error.detail)
            return current

    def _load_now(self) -> T:
        if self._failure is not None and self._is_within(self._cool_down, self._failure[1]):
            raise copy.copy(self._failure[0])
        try:
            value = self._load()
        except (ProviderError, ProviderUnavailableError) as error:
            now = self._clock()
            if error.code in NOT_SENT:
                now -= max(self._cool_down - NOT_SENT_COOL_DOWN, 0)
            self._failure = (copy.copy(error), now)
            raise
        self._failure = None
        self._entry = _Entry(value, self._clock())
        self.loads += 1
        return value
