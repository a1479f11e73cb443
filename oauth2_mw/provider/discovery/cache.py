"""One document of a provider, remembered: fetched by one thread at a time, and kept when it cannot be renewed."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from oauth2_mw.errors import ProviderError, ProviderUnavailableError

log = logging.getLogger(__name__)
T = TypeVar("T")
Failure = ProviderError | ProviderUnavailableError


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    value: T
    loaded_at: float


class CachedDocument(Generic[T]):
    """The result of *load*, with a lifetime, a longer life in need, and a pause after a failure.

    All times are seconds. While one thread renews an old value the others are served the old one; without any
    value they wait for that thread and share its result, good or bad.

    :param load: fetches the value; raises :class:`ProviderError` or :class:`ProviderUnavailableError`.
    :param what: names the value in log lines.
    :param lifetime: how long a value is fresh.
    :param stale: how long it serves when it cannot be renewed.
    :param cool_down: how long after a failure nobody tries again.
    """

    def __init__(
        self,
        load: Callable[[], T],
        *,
        what: str,
        clock: Callable[[], float],
        lifetime: float,
        stale: float,
        cool_down: float,
    ) -> None:
        self._load = load
        self._what = what
        self._clock = clock
        self._lifetime = lifetime
        self._stale = stale
        self._cool_down = cool_down
        self._lock = threading.Lock()
        self._entry: _Entry[T] | None = None
        self._failure: tuple[Failure, float] | None = None
        #: how many times a value was loaded
        self.loads = 0

    def get(self) -> T:
        """The value, fresh if possible.

        :raises ProviderError, ProviderUnavailable: what *load* raised, when no value is left to serve.
        """
        entry = self._entry
        if entry is not None and self._within(entry.loaded_at, self._lifetime):
            return entry.value
        if entry is not None and self._within(entry.loaded_at, self._stale):
            if self._lock.acquire(blocking=False):
                try:
                    return self._renewed(entry.value)
                finally:
                    self._lock.release()
            return entry.value
        with self._lock:
            if self._entry is not entry and self._entry is not None:
                return self._entry.value
            return self._loaded()

    def refresh(self, seen: T) -> T:
        """A newer value than *seen*, which came from :meth:`get`; *seen* itself when none can be had."""
        with self._lock:
            if self._entry is not None and self._entry.value is not seen:
                return self._entry.value
            return self._renewed(seen)

    def _within(self, since: float, seconds: float) -> bool:
        # A clock that was set back must not make a value immortal.
        return 0 <= self._clock() - since < seconds

    def _renewed(self, old: T) -> T:
        try:
            return self._loaded()
        except (ProviderError, ProviderUnavailableError) as error:
            log.warning("%s cannot be renewed; the last one is used: %s", self._what, error.detail)
            return old

    def _loaded(self) -> T:
        if self._failure is not None and self._within(self._failure[1], self._cool_down):
            raise copy.copy(self._failure[0])
        try:
            value = self._load()
        except (ProviderError, ProviderUnavailableError) as error:
            self._failure = (copy.copy(error), self._clock())
            raise
        self._failure = None
        self._entry = _Entry(value, self._clock())
        self.loads += 1
        return value
