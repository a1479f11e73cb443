"""The tests that run a line are found, and asked first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.order import covering_tests, read

ROOT = Path(__file__).parents[2]
MODULE = """\
def double(number):
    return 2 * number


def half(number):
    return (
        number / 2
    )
"""
TESTS = """\
from counted import double, half


def test_both():
    assert half(double(1)) == 1


def test_double():
    assert double(2) == 4


def test_half():
    assert half(4) == 2
"""
PROGRAM = """\
import sys
from pathlib import Path

import pytest

from tests.mutation.order import AskedFirst, LineRecorder

recorder = LineRecorder(Path("counted.py").absolute())
plugins = [recorder, AskedFirst(sys.argv[1:])]
code = pytest.main(["-v", "-p", "no:cacheprovider", "-c", "pytest.ini", "test_counted.py"], plugins)
recorder.write(Path("lines.json"))
sys.exit(code)
"""


@pytest.mark.deep
def test_the_covering_tests_a_line_are_found_and_those_that_are_named_come_first(tmp_path: Path) -> None:
    for name, text in (("counted.py", MODULE), ("test_counted.py", TESTS), ("pytest.ini", "[pytest]\n")):
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "test_counted.py::test_half"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    asked = [line.partition(" ")[0] for line in done.stdout.splitlines() if " PASSED" in line]
    assert asked == [f"test_counted.py::test_{name}" for name in ("half", "both", "double")]
    lines = read(tmp_path / "lines.json")
    both, double, half = (f"test_counted.py::test_{name}" for name in ("both", "double", "half"))
    assert sorted(covering_tests(2, lines)) == [both, double]
    assert sorted(covering_tests(7, lines)) == [both, half]
    # The end of a statement is run with its beginning.
    assert sorted(covering_tests(8, lines)) == [both, half]
    assert covering_tests(0, lines) == []
