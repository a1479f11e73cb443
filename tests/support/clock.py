"""The clocks that tests hand to the code under test, and put forward."""

from __future__ import annotations

import time

from oauth2_mw.session.clocks import Clocks


class Clock:
    """Seconds since the epoch, which pass when a test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ShiftedClocks:
    """Both clocks of an application, ``ahead`` of the machine's by as many seconds as a test says."""

    def __init__(self) -> None:
        self.ahead = 0.0
        #: seconds that the machine has slept, which stops one of its clocks
        self.slept = 0.0
        self.clocks = Clocks(wall=self.wall, monotonic=self.monotonic)

    def wall(self) -> float:
        return time.time() + self.ahead + self.slept

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead
