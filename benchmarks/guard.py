"""What one request costs, counted and not timed: the calls of Python functions and the instructions of bytecode.

The numbers are the same on every machine, and so a change that makes each request dearer shows at once (``make
bench-guard``). They are compared with those in ``counted.json``, which differ from one Python to the next. A number
that has grown by more than :data:`TOLERANCE` is an error; ``--write`` accepts it, for the next reader to see.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.hot_requests import Environ, start_response
from benchmarks.variants import request_variants

COUNTED = Path(__file__).with_name("counted.json")
#: How much dearer a request may become before somebody has to say so.
TOLERANCE = 0.02


def count(function: Callable[[Environ, Any], object], environ: Environ) -> dict[str, int]:
    """Return how many Python functions are called for a request, and how many instructions they run."""
    numbers = {"calls": 0, "instructions": 0}

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if event == "call":
            numbers["calls"] += 1
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            numbers["instructions"] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(environ, start_response)
    finally:
        sys.settrace(before)
    return numbers


def count_all() -> dict[str, dict[str, int]]:
    """Return the numbers of every kind of request. What is specialised or built once has been before."""
    counted = {}
    for name, variant in request_variants().items():
        for _ in range(20):
            variant.function(variant.environ(), start_response)
        # The least of several: one now and then looks at a file or a list whose time has come.
        each = [count(variant.function, variant.environ()) for _ in range(5)]
        counted[name] = {key: min(numbers[key] for numbers in each) for key in each[0]}
    return counted


def main(arguments: list[str] | None = None, *, path: Path = COUNTED) -> int:
    """Print the numbers beside those that are written down; 1 when a request has become dearer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the numbers down")
    options = parser.parse_args(arguments)
    written = json.loads(path.read_text()) if path.exists() else {}
    version = "{}.{}".format(*sys.version_info[:2])
    known, counted = written.get(version, {}), count_all()
    is_dearer = False
    print(f"{'Python ' + version:16}{'calls':>8}{'written':>10}{'instructions':>15}{'written':>10}")
    for name, numbers in counted.items():
        before = known.get(name, numbers)
        is_dearer |= any(numbers[key] > before[key] * (1 + TOLERANCE) for key in numbers)
        print(
            f"{name:16}{numbers['calls']:8}{before['calls']:10}"
            f"{numbers['instructions']:15}{before['instructions']:10}"
        )
    if options.write:
        path.write_text(json.dumps({**written, version: counted}, indent=2, sort_keys=True) + "\n")
        return 0
    if not known:
        print(f"Nothing is written down for Python {version}: python -m benchmarks.guard --write")
    if is_dearer:
        print("A request has become dearer. If it is worth that: python -m benchmarks.guard --write")
    return int(is_dearer)


if __name__ == "__main__":
    sys.exit(main())
