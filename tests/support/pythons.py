"""Run the in-process tests under every Python that is found (``make test-pythons``), and write down where they passed.

Each version gets an environment of its own with the extra ``test-core``, ``.venv-3.12`` and so on. ``pythons.tsv``
keeps the last run of each that passed; ``setup.py`` claims no version that is not in it. No library is imported here:
any Python may run this.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("pythons.tsv")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_PYENV = Path("~/.pyenv/versions").expanduser()
# Some systems ship an interpreter that cannot make an environment.
_WHICH = "import ensurepip, platform, venv; print(platform.python_version())"
_PASSED = re.compile(r"^(\d+) passed\b", re.MULTILINE)
#: What is installed again when one of them is newer than the environment.
_DECLARED = ("setup.py", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the in-process tests in which all passed."""

    #: in full, ``3.12.1``
    python: str
    #: of ours: what ``git describe`` says of the files that were tested
    commit: str
    #: ``2026-01-31``
    date: str
    passed: int

    @property
    def version(self) -> str:
        """The version as a classifier names it."""
        return ".".join(self.python.split(".")[:2])


def read(path: Path = TABLE) -> list[Run]:
    """The table's rows.

    :raises ValueError: when a line is not a version, a commit, a date and a number of tests, with tabs between.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        match = re.fullmatch(r"(\d+\.\d+\.\d+)\t(\S+)\t(\d{4}-\d\d-\d\d)\t([1-9]\d*)", line, re.ASCII)
        if match is None:
            raise ValueError(
                f"{path.name}, line {number}: python, commit, date and passed, with tabs between"
            )
        rows.append(Run(match[1], match[2], match[3], int(match[4])))
    return rows


def record(run: Run, path: Path = TABLE) -> None:
    """Write a run in the place of the last one under its version."""
    rows = {row.version: row for row in [*read(path), run]}
    lines = [[field.name for field in fields(Run)], *(map(str, astuple(row)) for row in rows.values())]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def find(version: str, pyenv: Path = _PYENV) -> tuple[Path, str] | None:
    """An interpreter of a version that can make environments, and its version in full; ``None`` if there is none."""
    for candidate in _candidates(version, pyenv):
        # What stands in the PATH may be no more than a sign to one that is not installed.
        answer = subprocess.run([candidate, "-Ic", _WHICH], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.startswith(f"{version}."):
            return candidate, answer.stdout.strip()
    return None


def _candidates(version: str, pyenv: Path) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path is not None:
        yield Path(on_path)
    folders = [folder for folder in pyenv.glob(f"{version}.*") if folder.name.rpartition(".")[2].isdigit()]
    for folder in sorted(folders, key=lambda each: int(each.name.rpartition(".")[2]), reverse=True):
        yield folder / "bin" / "python"


def environment(interpreter: Path, version: str) -> Path:
    """The Python of a version's environment, made or brought up to date.

    :raises subprocess.CalledProcessError: when something cannot be installed.
    """
    folder = ROOT / f".venv-{version}"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    newest = max((ROOT / name).stat().st_mtime for name in _DECLARED)
    if not stamp.is_file() or stamp.stat().st_mtime < newest:
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--editable", ".[test-core]"], cwd=ROOT, check=True)
        stamp.touch()
    return python


def run_tests(python: Path, arguments: list[str]) -> int | None:
    """How many tests passed; ``None`` when one did not."""
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-q",
        "-m",
        "not integration",
        "--ignore=tests/integration",
        # It asks for the rows that this very run is about to write.
        "--deselect=tests/test_packaging.py::test_no_version_of_python_is_claimed_that_the_tests_were_not_run_under",
        *arguments,
    ]
    # The same examples under each version.
    environ = os.environ | {"HYPOTHESIS_PROFILE": "quick"}
    output = []
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            output.append(line)
    passed = _PASSED.search("".join(output[-1:]))
    return int(passed[1]) if process.returncode == 0 and passed is not None else None


def main(arguments: list[str]) -> int:
    """Run the tests under each version.

    :param arguments: for pytest.
    :return: 0 when they passed under every version that is here, and there is one.
    """
    told = {}
    # Before the table is written, which makes the folder differ from the commit.
    commit, today = _commit(), datetime.now(UTC).date().isoformat()
    for version in VERSIONS:
        found = find(version)
        if found is None:
            told[version] = "not found"
            continue
        interpreter, full = found
        print(f"Python {full}: {interpreter}", flush=True)
        try:
            passed = run_tests(environment(interpreter, version), arguments)
        except subprocess.CalledProcessError as error:
            print(error)
            passed = None
        told[version] = "FAILED" if passed is None else f"{passed} tests passed"
        if passed is not None:
            record(Run(full, commit, today, passed))
    for version, what in told.items():
        print(f"Python {version}: {what}")
    return 1 if "FAILED" in told.values() or {*told.values()} == {"not found"} else 0


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
