"""Which tests run a line of a module, so that they are asked first about a fault in it, and most faults end soon.

All others are asked after them: the order changes how long a fault is tried, and not what comes of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import coverage
import pytest
from hypothesis import is_hypothesis_test


class LineRecorder:
    """A plugin of pytest that notes which tests run which lines of a module.

    :param module: its file.
    """

    def __init__(self, module: Path) -> None:
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=[str(module)])

    def pytest_sessionstart(self) -> None:
        self._coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._coverage.switch_context(nodeid)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()

    def write(self, path: Path) -> None:
        """Write what was noted, for :func:`read`."""
        data = self._coverage.get_data()
        tests = [data.contexts_by_lineno(name) for name in data.measured_files()]
        path.write_text(json.dumps(tests[0] if tests else {}), encoding="utf-8")


def read(path: Path) -> dict[int, list[str]]:
    """Return the tests of each line that is run, by the node ids of pytest."""
    return {int(line): tests for line, tests in json.loads(path.read_text(encoding="utf-8")).items()}


def covering_tests(line: int, lines: dict[int, list[str]]) -> list[str]:
    """Return the tests that run a line, or else the nearest one before it: a statement may have several lines."""
    return lines[max(before)] if (before := [each for each in lines if each <= line]) else []


class AskedFirst:
    """A plugin of pytest that puts some tests in front of the others, and each half in order of what a failure costs.

    A test of hypothesis that fails is run many times more, for the smallest example.

    :param tests: their node ids.
    """

    def __init__(self, tests: Collection[str]) -> None:
        self._tests = frozenset(tests)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(
            key=lambda item: (item.nodeid not in self._tests, is_hypothesis_test(getattr(item, "obj", None)))
        )
