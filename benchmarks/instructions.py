"""The instructions of the processor that a request takes, counted by callgrind, over those of the limit.

Nothing else on the machine shows in them. They leave out what the processor waits for, so that they are no times.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from benchmarks.figures import Figure, Section
from benchmarks.hot_requests import start_response
from benchmarks.variants import limit_variants, request_variants

#: what is measured -> the limit
_PAIRS = {"opened": "opened limit", "sealed": "sealed limit"}
#: The start is counted by itself, and not in what so many requests take.
_CALLS = 1000


def instructions(*, calls: int, rounds: int) -> Section:
    """Count, where there is a valgrind."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: nothing is counted")
        return Section([], {})
    names = ["null", *dict.fromkeys([*_PAIRS, *_PAIRS.values()])]
    start = _counted("null", 0)
    each = {name: (_counted(name, _CALLS) - start) / _CALLS for name in names}
    figures = [
        Figure.of(
            f"{one}_over_limit_instructions",
            [(each[one] - each["null"]) / (each[other] - each["null"])],
        )
        for one, other in _PAIRS.items()
    ]
    return Section(figures, {name: [number] for name, number in each.items()})


def _counted(name: str, calls: int) -> int:
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        sys.executable,
        "-m",
        __name__,
    ]
    # Without this each process would order its sets in another way.
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run([*command, name, str(calls)], check=True, capture_output=True, text=True, env=env)
    collected = re.search(r"Collected : ([0-9]+)", done.stderr)
    if collected is None:
        raise RuntimeError(f"callgrind has counted nothing:\n{done.stderr}")
    return int(collected[1])


def _run(name: str, calls: int) -> None:
    variant = {**limit_variants(), **request_variants()}[name]
    for _ in range(calls):
        variant.function(variant.environ(), start_response)


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]))
