"""Whether the tests of each refusal notice that its check is switched off (``make proofs``).

For every break of ``breaks.tsv`` its check is switched off in a copy of the repository, and the requirement's own tests
are run: one of them must fail, by an assertion. Without the break they must pass. Tests of a whole process and a real
provider are asked only where a requirement has no others.

``python -m tests.security.proofs 3a.1 X4`` tries those alone, and publishes nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.copies import (
    ROOT,
    broken,
    copy_of_the_repository,
    import_again,
    imported,
    in_fork,
    run_pytest,
)
from tests.security.breaks import Break, by_requirement, read_breaks
from tests.security.requirements import ids_of, kind_of, read_list, refusals

#: Copies of the repository in which tests run at once.
PROCESSES = 2
#: Seconds of processor time for the tests of a requirement.
_MOST_TIME = 600
PAGE = ROOT / "docs" / "security.rst"
BEGIN = ".. proofs: begin\n"
END = ".. proofs: end\n"


class UnprovedError(Exception):
    """A requirement has no proof; the message says why."""


@dataclass(slots=True, eq=False)
class Survey:
    """Part of pytest: which files hold the tests of each requirement."""

    #: requirement -> kind -> files, from the root
    files: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            path = str(item.path.relative_to(item.config.rootpath))
            for id_ in ids_of(item):
                files = self.files.setdefault(id_, {}).setdefault(kind_of(item), [])
                if path not in files:
                    files.append(path)


@dataclass(slots=True, eq=False)
class Watch:
    """Part of pytest: runs the tests of one requirement until one of them fails by an assertion."""

    requirement: str
    passed: int = 0
    #: the test that noticed
    noticed: str = ""
    #: what failed in another way
    failed: str = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if self.requirement in ids_of(item)]

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
        error = call.excinfo.value if call.excinfo else None
        if error is None:
            self.passed += call.when == "call"
        elif call.when == "call" and _is_assertion(error):
            self.noticed = item.nodeid
            item.session.shouldstop = "noticed"
        else:
            self.failed = self.failed or f"{item.nodeid}: {type(error).__name__}: {error}"[:500]


def _is_assertion(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_assertion, error.exceptions))
    return isinstance(error, (AssertionError, pytest.fail.Exception))


@dataclass(frozen=True, slots=True)
class Prover:
    """Tries the breaks of requirements in one copy."""

    copy: Path
    files: Mapping[str, Mapping[str, list[str]]]

    def prove(self, requirement: str, breaks: list[Break]) -> list[str]:
        """Return the test that notices each break.

        :raises UnprovedError: when a break is not noticed.
        """
        if not breaks:
            raise UnprovedError("no break in the table")
        begin = time.monotonic()
        watch = self._run(requirement, _MOST_TIME, is_broken=False)
        if why := watch.noticed or watch.failed or (not watch.passed and "there are none"):
            raise UnprovedError(f"its tests do not pass as it is: {why}")
        limit = round(10 + 5 * (time.monotonic() - begin))
        noticed, unnoticed = [], []
        for each in breaks:
            try:
                noticed.append(self._try(each, limit))
            except (UnprovedError, ValueError) as error:
                change = each.changes[0]
                unnoticed.append(f"{change.line!r} -> {change.instead!r}: {error}")
        if unnoticed:
            raise UnprovedError("; ".join(unnoticed))
        return noticed

    def _try(self, each: Break, limit: int) -> str:
        files = each.files(self.copy)
        _check_names(files)
        with broken(files):
            watch = self._run(each.requirement, limit, is_broken=True)
        if not watch.noticed:
            raise UnprovedError(watch.failed or "its tests pass")
        return watch.noticed

    def _run(self, requirement: str, limit: int, *, is_broken: bool) -> Watch:
        kinds = self.files.get(requirement, {})
        files = kinds.get("in-process") or kinds.get("integration")
        if not files:
            raise UnprovedError("no test names it")
        result = self.copy / "result.json"
        result.unlink(missing_ok=True)

        def run() -> int:
            watch = Watch(requirement)
            code = run_pytest(*files, plugins=[watch])
            if code > pytest.ExitCode.TESTS_FAILED and not watch.noticed:
                watch.failed = watch.failed or f"pytest ended with {code}: the tests cannot be imported"
            result.write_text(json.dumps([watch.passed, watch.noticed, watch.failed]), encoding="utf-8")
            return code

        code = in_fork(self.copy, run, limit=limit, is_broken=is_broken)
        if not result.exists():
            return Watch(
                requirement, failed="took too long" if code is None else f"the process ended with {code}"
            )
        return Watch(requirement, *json.loads(result.read_text(encoding="utf-8")))


def _check_names(files: Mapping[Path, str]) -> None:
    """A name that is not there fails every test, and proves nothing."""
    for path, code in files.items():
        if path.suffix == ".py":
            found = subprocess.run(
                [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F823", "-q", "-"],
                input=code,
                text=True,
                capture_output=True,
                check=False,
            )
            if found.returncode:
                raise UnprovedError(f"the broken {path.name} names what is not there: {found.stdout[:300]}")


def survey(copy: Path, tests: Iterable[str] = ("tests",)) -> dict[str, dict[str, list[str]]]:
    """Requirement -> kind of test -> files; what the tests import is imported here as well.

    :param tests: files and folders to look into.
    """
    result = copy / "survey.json"

    def run() -> int:
        plugin = Survey()
        code = run_pytest("--collect-only", *tests, plugins=[plugin])
        result.write_text(json.dumps([plugin.files, imported()]), encoding="utf-8")
        return code

    if in_fork(copy, run, limit=_MOST_TIME, is_broken=False) != 0:
        raise SystemExit("the tests cannot be collected")
    files, names = json.loads(result.read_text(encoding="utf-8"))
    import_again(names)
    return files


def files_that_name(requirements: Iterable[str], root: Path = ROOT) -> list[str]:
    """Where the tests of a few requirements are, found without collecting the thousands of others."""
    ids = "|".join(map(re.escape, requirements))
    # Some tables of cases have several ids in one text.
    names_one = re.compile(rf"""["'](?:[^"'\n]* )?(?:{ids})(?: [^"'\n]*)?["']""").search
    found = []
    for path in sorted(root.glob("tests/**/*.py")):
        if names_one(path.read_text(encoding="utf-8")):
            if not path.name.startswith("test_"):
                # Cases that tests of other files run through.
                return ["tests"]
            found.append(str(path.relative_to(root)))
    return found or ["tests"]


def _prove(
    copies: Any, files: Mapping[str, Mapping[str, list[str]]], requirement: str, breaks: list[Break]
) -> tuple[list[str], str]:
    """Return the tests that notice, or why there are none.

    :param copies: a queue of the copies that nobody uses at the moment.
    """
    copy = copies.get()
    try:
        return Prover(copy, files).prove(requirement, breaks), ""
    except (UnprovedError, ValueError) as error:
        return [], str(error)
    finally:
        copies.put(copy)


def with_result(page: str, sentence: str) -> str:
    """The page with that sentence in its place.

    :raises ValueError: when the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the proofs")
    return f"{before}{begin}\n{sentence}\n\n{end}{after}"


def main() -> int:
    """Try the breaks, print and publish the result; 1 when a refusal is unproved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", nargs="*", metavar="requirement")
    options = parser.parse_args()
    known = refusals(read_list())
    chosen = options.requirements or [*known]
    if strange := [id_ for id_ in chosen if id_ not in known]:
        parser.error("no refusals of built features: " + " ".join(strange))
    # Whoever ends us leaves no copy behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    breaks = by_requirement(read_breaks())
    unproved = []
    context = multiprocessing.get_context("fork")
    with ExitStack() as stack:
        folders = [stack.enter_context(copy_of_the_repository()) for _ in range(PROCESSES)]
        files = survey(folders[0], files_that_name(chosen) if options.requirements else ["tests"])
        copies = stack.enter_context(context.Manager()).Queue()
        for folder in folders:
            copies.put(folder)
        # Forked from here, so that they have imported what the tests import.
        pool = stack.enter_context(ProcessPoolExecutor(PROCESSES, context))
        jobs = {pool.submit(_prove, copies, files, id_, breaks.get(id_, [])): id_ for id_ in chosen}
        for job in as_completed(jobs):
            tests, why = job.result()
            if not tests:
                unproved.append(jobs[job])
            for line in tests or [f"NOT PROVED: {why}"]:
                print(f"{jobs[job]}\t{line}", flush=True)
    print(f"{len(chosen) - len(unproved)} of {len(chosen)} refusals proved")
    if unproved:
        print("unproved: " + " ".join(id_ for id_ in chosen if id_ in unproved))
    if not options.requirements:
        measured = f"{datetime.now(UTC).date().isoformat()}, {version('oauth2-mw')}"
        sentence = (
            f"**{len(chosen) - len(unproved)} of {len(chosen)}** refusals are proved so, by "
            f"{sum(len(breaks.get(id_, ())) for id_ in chosen)} breaks ({measured})."
        )
        PAGE.write_text(with_result(PAGE.read_text(encoding="utf-8"), sentence), encoding="utf-8")
    return 1 if unproved else 0


if __name__ == "__main__":
    sys.exit(main())
