"""How much of the security core the tests hold in place (``make mutation``).

Faults are put into a copy of each module, one at a time, and the module's own tests must notice. The score is written
into ``docs/security.rst``, module by module. A fault that survives in a module whose faults are all accounted for has
a line in ``survivors.tsv`` that says why it does no harm.

``python -m tests.mutation.run session/sealing`` runs that module alone, ``--again`` only what survived the last time;
that publishes nothing.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version

from tests.mutation.copies import ROOT, copy_of_the_repository
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.report import EXPLAINED, GOAL, Score, explanations, publish
from tests.mutation.runner import BrokenTestsError, Runner
from tests.security.core import CORE

RESULTS = ROOT / "build" / "mutation"


def main() -> int:
    """Run the modules, print and publish their scores; 1 when one is below the goal or a survivor unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=[*CORE], metavar="module")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    parser.add_argument("--minutes", type=float, default=90, help="begin no further module after that time")
    options = parser.parse_args()
    # Whoever ends us leaves no copy behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    measured = f"{datetime.now(UTC).date().isoformat()}, {version('oauth2-mw')}"
    RESULTS.mkdir(parents=True, exist_ok=True)
    fine = True
    with copy_of_the_repository() as copy:
        for module in options.modules:
            if time.monotonic() - begin > options.minutes * 60:
                print(f"{module}: not run, the time is over")
                fine = False
                continue
            path = f"oauth2_mw/{module}.py"
            try:
                runner = Runner(copy, path, CORE[module])
            except BrokenTestsError as error:
                print(f"{module}: not run, {error}")
                fine = False
                continue
            memory = RESULTS / f"{module.replace('/', '.')}.json"
            tried = [*mutants(runner.source)]
            if options.again:
                survived = set(json.loads(memory.read_text(encoding="utf-8")))
                tried = [mutant for mutant in tried if mutant.description in survived]
            survivors = [mutant for mutant in tried if runner.survives(mutant.code)]
            memory.write_text(
                json.dumps([each.description for each in survivors], indent=1), encoding="utf-8"
            )
            score = Score(module, len(tried), len(tried) - len(survivors), measured)
            if not options.again:
                publish(score)
            fine &= _tell(score, survivors, options.again)
    return 0 if fine else 1


def _tell(score: Score, survivors: list[Mutant], again: bool) -> bool:  # noqa: FBT001
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
