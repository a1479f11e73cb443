"""The clocks that tests hand to the code under test, and put forward."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """Seconds since the epoch, which pass when a test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ShiftedClock:
    """A clock that runs like *real*, and ``ahead`` of it by as many seconds as a test says."""

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self.ahead = 0.0

    def __call__(self) -> float:
        return self._real() + self.ahead
