"""Runs the tests of one module in a copy of the repository, once for every fault."""

from __future__ import annotations

import time
from pathlib import Path

from tests.mutation.copies import broken, import_again, imported, in_fork, run_pytest
from tests.mutation.order import AskedFirst, LineRecorder, covering_tests, read


class BrokenTestsError(Exception):
    """The tests fail without a fault, or pass with one that nothing survives."""


class Runner:
    """Judges the faults of one module.

    :param copy: the folder of :func:`~tests.mutation.copies.copy_of_the_repository`.
    :param path: the module, from there.
    :param tests: the test files that must notice, from there.
    :raises BrokenTestsError: at construction.
    """

    def __init__(self, copy: Path, path: str, tests: tuple[str, ...]) -> None:
        self._copy = copy
        self._path = copy / path
        self._tests = tests
        self.source = self._path.read_text(encoding="utf-8")
        names, lines = copy / "imported.txt", copy / "lines.json"

        def first_run() -> int:
            recorder = LineRecorder(self._path)
            code = run_pytest("-x", *tests, plugins=[recorder])
            names.write_text("\n".join(imported()), encoding="utf-8")
            recorder.write(lines)
            return code

        if in_fork(copy, first_run, limit=600, is_broken=False) != 0:
            raise BrokenTestsError(f"the tests of {path} fail without a fault")
        import_again(names.read_text(encoding="utf-8").split())
        self._lines = read(lines)
        begin = time.process_time()
        start = time.monotonic()
        if not self._passes(600, first=[]):
            raise BrokenTestsError(f"the tests of {path} do not pass twice")
        #: seconds that a run takes
        self.usual = max(time.monotonic() - start, time.process_time() - begin)
        if self.survives("raise RuntimeError\n", line=1):
            raise BrokenTestsError(f"the tests do not import {path} from the copy")

    def survives(self, code: str, *, line: int) -> bool:
        """Whether all tests pass with that code in place of the module's.

        :param line: where it differs.
        """
        with broken({self._path: code}):
            return self._passes(round(10 + 5 * self.usual), first=covering_tests(line, self._lines))

    def _passes(self, limit: int, *, first: list[str]) -> bool:
        def run() -> int:
            return run_pytest("-x", *self._tests, plugins=[AskedFirst(first)])

        return in_fork(self._copy, run, limit=limit, is_broken=True) == 0
