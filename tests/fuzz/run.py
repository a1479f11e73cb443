"""Runs targets under Atheris: ``python -m tests.fuzz.run --seconds 600 [TARGET ...]``.

What is found new stays in build/fuzz/corpus, what breaks a property in build/fuzz/crashes. Such an input is tried
again with ``--replay FILE``, and is kept for good as a file in tests/fuzz/seeds.
"""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "fuzz"
#: Octets of an input; what is bounded by us is bounded below this.
_MOST = 4096
#: Seconds that one input may take.
_SLOW = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Fuzz the package.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them when none is named")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: %(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this one input and end")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    known = sorted(folder.name for folder in (HERE / "seeds").iterdir())
    unknown = set(asked.targets) - set(known)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    names: list[str] = asked.targets or known
    if asked.replay is not None:
        for name in names:
            _load(name)(asked.replay.read_bytes())
        return 0
    if asked.inside:
        _fuzz(names[0], seconds=asked.seconds)
    return _run_all(names, seconds=asked.seconds)


def _run_all(names: Sequence[str], *, seconds: int) -> int:
    """Each target in a process of its own, for a fuzzer ends its process."""
    broken = []
    for name in names:
        command = [sys.executable, "-m", "tests.fuzz.run", name, f"--seconds={seconds}", "--inside"]
        BUILD.mkdir(parents=True, exist_ok=True)
        report = BUILD / f"{name}.log"
        with report.open("wb") as stream:
            status = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
        text = report.read_text(encoding="utf-8", errors="replace")
        runs = re.findall(r"stat::number_of_executed_units: +([0-9]+)", text)
        counted = f"{int(runs[-1]):>12,} runs" if runs else f"{'?':>12} runs"
        print(
            f"{name:<14}{counted}   {'nothing found' if status == 0 else f'FOUND: see {report}'}", flush=True
        )
        if status != 0:
            broken.append(name)
    return 1 if broken else 0


def _load(name: str) -> Callable[[bytes], None]:
    found: Callable[[bytes], None] = import_module("tests.fuzz.targets").TARGETS[name]
    return found


def _fuzz(name: str, *, seconds: int) -> None:
    import atheris

    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["oauth2_mw"]):
        target = _load(name)
    corpus, crashes = BUILD / "corpus" / name, BUILD / "crashes" / name
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={_MOST}",
        f"-timeout={_SLOW}",
        f"-artifact_prefix={crashes}/",
        f"-dict={HERE / 'words.dict'}",
        "-print_final_stats=1",
        "-rss_limit_mb=1024",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(HERE / "seeds" / name)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
