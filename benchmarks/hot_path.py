"""What a signed-in request costs, as ratios to what it must cost and to what others take (``make bench``).

A null application is called in the same process with and without a filter in front of it; what a filter adds is the
difference. The table and ``results.json`` give the smallest and the middle ratio over the rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import peer_variants
from benchmarks.rounds import Ratio, measure
from benchmarks.start_up import measure_start_up
from benchmarks.variants import growth_variants, limit_variants, request_variants


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that is wanted."""

    name: str
    one: str
    other: str
    goal: float
    #: whether the ratio is to be at least the goal, and not at most
    is_floor: bool = False

    def is_met(self, ratio: Ratio) -> bool:
        """Return whether a ratio is as wanted."""
        return ratio.median >= self.goal if self.is_floor else ratio.median <= self.goal


GOALS = (
    Goal("opened_over_limit", "opened", "opened limit", 1.15),
    Goal("new_header_over_limit", "new header", "opened limit", 2.0),
    Goal("sealed_over_limit", "sealed", "sealed limit", 1.3),
    Goal("public_over_limit", "public", "opened limit", 0.5),
    Goal("anonymous_over_limit", "anonymous", "anonymous limit", 1.5),
    Goal("repoze_who_over_ours", "repoze.who", "opened", 25, is_floor=True),
    Goal("beaker_encrypted_over_ours", "Beaker, encrypted", "opened", 70, is_floor=True),
    Goal("repoze_who_over_ours_sealed", "repoze.who", "sealed", 4, is_floor=True),
    Goal("beaker_encrypted_over_ours_sealed", "Beaker, encrypted", "sealed", 11, is_floor=True),
    Goal("flask_session_over_ours", "Flask, session", "opened", 1, is_floor=True),
    Goal("growth_rules", "1000 rules", "10 rules", 1.2),
    Goal("growth_providers", "100 providers", "1 providers", 1.2),
    Goal("growth_revoked", "10000 revoked", "100 revoked", 1.2),
    Goal("growth_sessions", "2000 sessions", "20 sessions", 1.2),
)
#: What a request would take without the filter, where that is not the null application alone.
_WITHOUT = {"new header": "null, new header", "Flask, session": "Flask alone"}


def main() -> int:
    """Measure, print the tables, write ``results.json``; 1 when a goal is missed and ``--strict`` is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--strict", action="store_true", help="end with 1 when a goal is missed")
    options = parser.parse_args()
    measured = {**limit_variants(), **request_variants(), **peer_variants(), **growth_variants()}
    timings = measure(measured, calls=options.calls, rounds=options.rounds)
    added = {
        name: [one - other for one, other in zip(values, timings[_WITHOUT.get(name, "null")], strict=True)]
        for name, values in timings.items()
        if name not in ("null", "null, new header", "Flask alone")
    }
    print(f"{'':20}{'added, us (min)':>18}{'(median)':>12}")
    for name, values in added.items():
        print(f"{name:20}{min(values):18.2f}{statistics.median(values):12.2f}")
    found = {
        goal.name: (goal, Ratio.of(added[goal.one], added[goal.other]))
        for goal in GOALS
        if goal.one in added and goal.other in added
    }
    print(f"\n{'ratio':36}{'min':>8}{'median':>10}{'goal':>10}")
    for name, (goal, ratio) in found.items():
        sign, missed = (">=" if goal.is_floor else "<="), ("" if goal.is_met(ratio) else "  missed")
        print(f"{name:36}{ratio.least:8.2f}{ratio.median:10.2f}{sign + f'{goal.goal:6g}':>10}{missed}")
    start_up = measure_start_up(max(options.rounds // 3, 3))
    print(f"{'import_over_webob':36}{start_up.least:8.2f}{start_up.median:10.2f}")
    ratios = {name: round(ratio.median, 3) for name, (_, ratio) in found.items()}
    document = {
        "python": platform.python_version(),
        "cryptography": version("cryptography"),
        "calls": options.calls,
        "ratios": {**ratios, "import_over_webob": round(start_up.median, 3)},
        "least_ratios": {name: round(ratio.least, 3) for name, (_, ratio) in found.items()},
        "microseconds": {name: [round(one, 3) for one in values] for name, values in timings.items()},
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(document, indent=2) + "\n")
    return int(options.strict and not all(goal.is_met(ratio) for goal, ratio in found.values()))


if __name__ == "__main__":
    sys.exit(main())
