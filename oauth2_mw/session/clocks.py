"""The clocks by which sessions live, handed down from one place so that a test can move them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clocks:
    """What tells the time to one application."""

    #: seconds since the epoch, as everybody reads them; an operator may set this clock
    wall: Callable[[], float] = time.time
    #: seconds since some moment, for intervals; nobody sets this clock
    monotonic: Callable[[], float] = time.monotonic


SYSTEM_CLOCKS = Clocks()
