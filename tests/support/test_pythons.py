"""What is written down of runs under several versions of Python, and how an interpreter is found."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from tests.support.pythons import Run, find, read, record

VERSION = ".".join(platform.python_version_tuple()[:2])
HEAD = "python\tcommit\tdate\tpassed\n"


@pytest.fixture
def pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of versions, and nothing in the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "versions"


def installed(folder: Path, script: str) -> Path:
    path = folder / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_run_takes_the_place_of_the_last_one_under_its_version(tmp_path: Path) -> None:
    table = tmp_path / "pythons.tsv"
    table.write_text(HEAD)
    first, second = Run("3.11.7", "abc", "2026-01-01", 9), Run("3.12.1", "abc", "2026-01-01", 9)
    later = Run("3.11.9", "def-dirty", "2026-02-01", 10)
    for run in (first, second, later):
        record(run, table)
    assert read(table) == [later, second]
    assert table.read_text().startswith(HEAD)


@pytest.mark.parametrize(
    "line",
    [
        "3.12\tabc\t2026-01-01\t9",
        "3.12.1\tabc\t2026-01-01\t0",
        "3.12.1\tabc\t2026-01-01",
        "",
        "3.12.1\t\tx\t9",
    ],
)
def test_a_line_that_proves_nothing_is_refused(tmp_path: Path, line: str) -> None:
    table = tmp_path / "pythons.tsv"
    table.write_text(HEAD + line + "\n")
    with pytest.raises(ValueError, match="line 2"):
        read(table)


def test_the_newest_interpreter_that_runs_is_found(pyenv: Path) -> None:
    installed(pyenv / f"{VERSION}.9", "echo no ensurepip >&2; exit 1")
    runs = installed(pyenv / f"{VERSION}.10", f'exec {sys.executable} "$@"')
    installed(pyenv / f"{VERSION}.11", "exit 127")
    installed(pyenv / f"{VERSION}-dev", f'exec {sys.executable} "$@"')
    assert find(VERSION, pyenv) == (runs, platform.python_version())


def test_an_interpreter_of_another_version_is_not_taken_for_it(pyenv: Path) -> None:
    installed(pyenv / "3.99.1", f'exec {sys.executable} "$@"')
    assert find("3.99", pyenv) is None
