"""How much of the security core the tests hold in place (``make mutation``).

Faults are put into a copy of each module, one at a time, and the module's own tests must notice. The score is written
into ``docs/security.rst``, module by module, with a hash of what was measured: ``make check`` fails when a module or
its tests have changed since. A fault that survives in a module whose faults are all accounted for has a line in
``survivors.tsv`` that says why it does no harm.

``python -m tests.mutation.run session/sealing`` runs that module alone, ``--stale`` those that have changed since they
were measured, ``--again`` only what survived the last time; that publishes nothing.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context

from tests.mutation.copies import ROOT, copy_of_the_repository
from tests.mutation.fingerprint import fingerprint
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.report import EXPLAINED, GOAL, Score, explanations, publish, stale
from tests.mutation.runner import BrokenTestsError, Runner
from tests.security.core import CORE

RESULTS = ROOT / "build" / "mutation"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one module."""

    score: Score
    survivors: list[Mutant]


def main() -> int:
    """Run the modules, print and publish their scores; 1 when one is below the goal or a survivor unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="module")
    parser.add_argument("--stale", action="store_true", help="what has changed since it was measured")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    parser.add_argument("--minutes", type=float, default=90, help="begin no further module after that time")
    parser.add_argument("--processes", type=int, default=2, help="modules that are measured at a time")
    options = parser.parse_args()
    unknown = [module for module in options.modules if module not in CORE]
    if unknown:
        parser.error(f"not of the security core (tests/security/core.py): {' '.join(unknown)}")
    modules = options.modules or (stale() if options.stale else [*CORE])
    # Whoever ends us leaves no copy behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    RESULTS.mkdir(parents=True, exist_ok=True)
    judge = partial(_measure, again=options.again, until=time.monotonic() + options.minutes * 60)
    fine = True
    with get_context("fork").Pool(options.processes) as pool:
        for result in pool.imap_unordered(judge, modules):
            if isinstance(result, str):
                print(result, flush=True)
                fine = False
                continue
            if not options.again:
                publish(result.score)
            fine &= _tell(result.score, result.survivors, options.again)
        # Left to the end of the block, the workers would be terminated, and say so at length.
        pool.close()
        pool.join()
    return 0 if fine else 1


def _measure(module: str, *, again: bool, until: float) -> Result | str:
    """Put every fault into a copy of a module; a sentence when that could not be done.

    :param until: a moment of the monotonic clock.
    """
    if time.monotonic() > until:
        return f"{module}: not run, the time is over"
    measured, of = f"{datetime.now(UTC).date().isoformat()}, {version('oauth2-mw')}", fingerprint(module)
    memory = RESULTS / f"{module.replace('/', '.')}.json"
    with copy_of_the_repository() as copy:
        try:
            runner = Runner(copy, f"oauth2_mw/{module}.py", CORE[module])
        except BrokenTestsError as error:
            return f"{module}: not run, {error}"
        tried = [*mutants(runner.source)]
        if again:
            survived = set(json.loads(memory.read_text(encoding="utf-8")))
            tried = [mutant for mutant in tried if mutant.description in survived]
        survivors = [mutant for mutant in tried if runner.survives(mutant.code, line=mutant.line)]
    memory.write_text(json.dumps([each.description for each in survivors], indent=1), encoding="utf-8")
    return Result(Score(module, len(tried), len(tried) - len(survivors), measured, of), survivors)


def _tell(score: Score, survivors: list[Mutant], again: bool) -> bool:  # noqa: FBT001  private
    known = explanations().get(score.module, {})
    print(
        f"{score.module}: {score.killed} of {score.mutants} faults noticed, {score.percent:.1f} %", flush=True
    )
    fine = again or score.percent >= GOAL
    for mutant in survivors:
        reason = known.get(mutant.description)
        if reason is None and score.module in EXPLAINED:
            fine = False
        lacking = "NOT EXPLAINED" if score.module in EXPLAINED else "counted"
        print(f"  line {mutant.line}: {mutant.description}\n    {reason or lacking}")
    gone = known.keys() - {mutant.description for mutant in survivors} if not again else ()
    for description in gone:
        print(f"  explained, and does not survive: {description}")
    return fine


if __name__ == "__main__":
    sys.exit(main())
