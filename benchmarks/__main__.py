"""The whole benchmark (``make bench``): every section in turn, a table of its figures, and ``results.json``.

It ends with 0 whatever it finds, because a machine under load misses goals that a quiet one meets; with ``--strict`` it
ends with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import Section
from benchmarks.hot_path import growth, hot_path
from benchmarks.instructions import instructions
from benchmarks.login import login
from benchmarks.plots import growth_plot
from benchmarks.server import server
from benchmarks.start_up import start_up

#: Every section is called with ``calls`` and ``rounds``.
SECTIONS: dict[str, Callable[..., Section]] = {
    "hot-path": hot_path,
    "instructions": instructions,
    "growth": growth,
    "server": server,
    "start-up": start_up,
    "login": login,
}
_FOLDER = Path(__file__).parent
RESULTS = _FOLDER / "results.json"
PLOT = _FOLDER.parent / "docs" / "images" / "growth.svg"
_MOST_GROWTH = 1.2


def main(arguments: list[str] | None = None, *, results: Path = RESULTS, plot: Path = PLOT) -> int:
    """Measure, print the tables, write ``results.json`` and the plot of growth; the sections left out keep theirs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default"
    )
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--strict", action="store_true", help="end with 1 when a goal is missed")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section is called {unknown[0]!r}: {', '.join(SECTIONS)}")
    document = json.loads(results.read_text()) if options.sections and results.exists() else {}
    all_met = True
    for name in options.sections or SECTIONS:
        print(f"\n{name}")
        found = SECTIONS[name](calls=options.calls, rounds=options.rounds)
        print(f"{'ratio':36}{'min':>8}{'median':>10}{'goal':>10}")
        for figure in found.figures:
            print(figure)
            all_met &= figure.is_met
            document.setdefault("ratios", {})[figure.name] = round(figure.median, 3)
            document.setdefault("least_ratios", {})[figure.name] = round(figure.least, 3)
        document.setdefault("rounds", {})[name] = {
            each: [round(value, 3) for value in values] for each, values in found.rounds.items()
        }
        if found.curves:
            document["curves"] = found.curves
            plot.write_text(growth_plot(found.curves, goal=_MOST_GROWTH))
        # After each section: whoever interrupts a later one keeps what was found.
        document |= {"python": platform.python_version(), "cryptography": version("cryptography")}
        document |= {"calls": options.calls}
        results.write_text(json.dumps(document, indent=2) + "\n")
    return int(options.strict and not all_met)


if __name__ == "__main__":
    sys.exit(main())
