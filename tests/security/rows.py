"""Which rules of ``rows.tsv`` have a test that passed.

A test, or one value of a parametrised test, names the rules it holds: ``@pytest.mark.row("3a.1", "B14")``, three at
most, so that every one of them is what it is about. What counts is tests that passed: each run of pytest writes the
rules it saw held into ``build/rows``, and ``python -m tests.security.rows`` compares them with the list. Rules of
features that are not built yet wait.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

#: Features that are there. A row of any other feature waits until its feature is added here.
BUILT = frozenset(
    {
        *(
            "back-channel",
            "core",
            "directory",
            "environ",
            "form_post",
            "front-channel",
            "logout",
            "oauth2-discovery",
        ),
        *("oidc", "private_key_jwt", "refresh", "revocation", "stores"),
    }
)

#: Rules that one test may name.
MOST = 3
#: Under this name a test's reports carry its kind and its rules.
PROPERTY = "rows"

LIST = Path(__file__).with_name("rows.tsv")
SEEN = Path(__file__).parents[2] / "build" / "rows"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule: its name, the feature it belongs to, and what it says."""

    id: str
    feature: str
    rule: str


def read_list(path: Path = LIST) -> dict[str, Row]:
    """The rules by their names.

    :raises ValueError: when a name stands twice, or a line is not three fields.
    """
    rows: dict[str, Row] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split("\t")
        if number == 1:
            continue
        if len(fields) != 3 or not all(field and field == field.strip() for field in fields):
            raise ValueError(f"{path.name}, line {number}: a row is id, feature and rule")
        if fields[0] in rows:
            raise ValueError(f"{path.name}, line {number}: {fields[0]} is there already")
        rows[fields[0]] = Row(*fields)
    return rows


def mistake(ids: Iterable[object], known: Mapping[str, Row]) -> str | None:
    """What is wrong with the rules that a test names; ``None``: nothing."""
    named = list(ids)
    if len(named) > MOST:
        return f"names {len(named)} rows, and {MOST} is the most"
    unknown = [str(row_id) for row_id in named if row_id not in known]
    return f"names rows that are not in {LIST.name}: {', '.join(unknown)}" if unknown else None


def report(known: Mapping[str, Row], held: Iterable[str]) -> tuple[list[str], bool]:
    """The lines to print, and whether all is well."""
    held = frozenset(held)
    applicable = [row for row in known.values() if row.feature in BUILT]
    missing = [row.id for row in applicable if row.id not in held]
    unknown = sorted(held - known.keys())
    lines = [f"{len(applicable) - len(missing)} of {len(applicable)} rows"]
    if missing:
        lines.append("no passing test: " + " ".join(missing))
    if unknown:
        lines.append(f"not in {LIST.name}: " + " ".join(unknown))
    return lines, not missing and not unknown


def read_seen(folder: Path = SEEN) -> Iterator[str]:
    """The rules that the last runs saw held."""
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield line.partition("\t")[0]


class Plugin:
    """The part that runs inside pytest.

    :param worker: whether this process runs some of the tests for another one, which gets the reports of all.
    """

    def __init__(self, *, folder: Path = SEEN, worker: bool = False) -> None:
        self._folder = folder
        self._worker = worker
        self._known = read_list()
        #: test that ran -> the kind of run it belongs to, and the rules it names
        self._tests: dict[str, Any] = {}
        self._not_passed: set[str] = set()
        #: test -> what is wrong with the rules that it names
        self._mistakes: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Look at every marker, also those of tests that are then left out of the run."""
        for item in items:
            ids = tuple(dict.fromkeys(row_id for mark in item.iter_markers("row") for row_id in mark.args))
            # By the folder: its own conftest marks its tests only after this.
            kind = "integration" if "integration" in item.path.parts else "in-process"
            # Not remembered here: the reports may be read in another process than the one that collects.
            item.user_properties.append((PROPERTY, (kind, *ids)))
            if what := mistake(ids, self._known):
                self._mistakes[item.nodeid] = f"{_function(item.nodeid)} {what}"
        # Nobody would see this error of a worker.
        if self._mistakes and not self._worker:
            raise pytest.UsageError("\n".join(dict.fromkeys(self._mistakes.values())))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A test that names a wrong rule fails."""
        if item.nodeid in self._mistakes:
            pytest.fail(self._mistakes[item.nodeid], pytrace=False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up and tear-down count as well."""
        properties = dict(report.user_properties)
        if PROPERTY in properties:
            self._tests[report.nodeid] = properties[PROPERTY]
        if not report.passed or hasattr(report, "wasxfail"):
            self._not_passed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """A function that runs with several values holds a rule when it passes with each of those that name it."""
        if self._worker:
            return
        kinds: set[str] = set()
        passed: dict[tuple[str, str, str], bool] = {}
        for nodeid, (kind, *ids) in self._tests.items():
            kinds.add(kind)
            for row_id in ids:
                key = (kind, row_id, _function(nodeid))
                passed[key] = passed.get(key, True) and nodeid not in self._not_passed
        for kind in kinds:
            lines = sorted(
                f"{row_id}\t{name}\n" for (of, row_id, name), ok in passed.items() if ok and of == kind
            )
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{kind}.txt").write_text("".join(lines), encoding="utf-8")


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def main() -> int:
    lines, fine = report(read_list(), read_seen())
    print(*lines, sep="\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
