"""Measuring several things in one run, so that their ratios mean something on a machine that others use as well."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping

from benchmarks.hot_requests import start_response
from benchmarks.variants import Variant


def measure(measured: Mapping[str, Variant], *, calls: int, rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of processor time that one call takes, for each variant and round.

    All variants take turns within every round: what else the machine does falls on all of them alike. What a request
    begins with is made before the clock starts.
    """
    timings: dict[str, list[float]] = {name: [] for name in measured}
    for variant in measured.values():
        variant.function(variant.environ(), start_response)
    gc.collect()
    for _ in range(rounds):
        for name, variant in measured.items():
            function, environs = variant.function, [variant.environ() for _ in range(calls)]
            begin = time.thread_time()
            for environ in environs:
                function(environ, start_response)
            timings[name].append((time.thread_time() - begin) / calls * 1e6)
    return timings
