"""Which requirements of ``requirements.tsv`` have a test that passed.

A test, or one value of a parametrised test, names the requirements that it proves:
``@pytest.mark.requirement("3a.1", "B14")``, three at most, so that every one of them is what it is about. What counts
is tests that passed: each run of pytest writes the requirements that it saw proved into ``build/requirements``, and
``python -m tests.security.requirements`` compares them with the list. Requirements of features that are not built yet
wait.

A requirement is a refusal, and has a break (``breaks.py``), unless its fourth field says ``promise``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

#: Features that are there. A requirement of any other feature waits until its feature is added here.
BUILT = frozenset(
    "back-channel core directory environ form_post front-channel logout oauth2-discovery oidc private_key_jwt refresh "
    "revocation stores third-party-login access-rules forward-auth".split()
)

#: Requirements that one test may name.
MOST = 3
#: The fourth field of a requirement that refuses nothing.
PROMISE = "promise"
#: Under this name a test's reports carry its kind and its requirements.
PROPERTY = "requirements"

LIST = Path(__file__).with_name("requirements.tsv")
SEEN = Path(__file__).parents[2] / "build" / "requirements"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement: its id, the feature it belongs to, and the rule in our own words."""

    id: str
    feature: str
    rule: str
    #: Whether something must work, and nothing is refused; what is refused needs a break (``breaks.tsv``).
    is_promise: bool = False


def read_list(path: Path = LIST) -> dict[str, Requirement]:
    """Return the requirements by their ids.

    :raises ValueError: when an id stands twice, or a line is neither three fields nor these and ``promise``.
    """
    found: dict[str, Requirement] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split("\t")
        if number == 1:
            continue
        is_promise = fields[3:] == [PROMISE]
        if is_promise:
            fields.pop()
        if len(fields) != 3 or not all(field and field == field.strip() for field in fields):
            raise ValueError(
                f"{path.name}, line {number}: a requirement is id, feature and rule, and perhaps {PROMISE!r}"
            )
        if fields[0] in found:
            raise ValueError(f"{path.name}, line {number}: {fields[0]} is there already")
        id_, feature, rule = fields
        found[id_] = Requirement(id_, feature, rule, is_promise)
    return found


def refusals(known: Mapping[str, Requirement]) -> dict[str, Requirement]:
    """Those of built features that refuse, ignore, end or bound something, by their ids."""
    return {id_: each for id_, each in known.items() if each.feature in BUILT and not each.is_promise}


def ids_of(item: pytest.Item) -> tuple[str, ...]:
    """The requirements that a test names."""
    return tuple(dict.fromkeys(id_ for mark in item.iter_markers("requirement") for id_ in mark.args))


def kind_of(item: pytest.Item) -> str:
    """``integration`` or ``in-process``: by the folder, whose conftest marks its tests only later, or by the mark."""
    is_marked = any(item.iter_markers("integration"))
    return "integration" if is_marked or "integration" in item.path.parts else "in-process"


def mistake(ids: Iterable[object], known: Mapping[str, Requirement]) -> str | None:
    """Return what is wrong with the requirements that a test names, or ``None``."""
    named = list(ids)
    if len(named) > MOST:
        return f"names {len(named)} requirements, and {MOST} is the most"
    unknown = [str(id_) for id_ in named if id_ not in known]
    return f"names requirements that are not in {LIST.name}: {', '.join(unknown)}" if unknown else None


def report(known: Mapping[str, Requirement], held: Iterable[str]) -> tuple[list[str], bool]:
    """The lines to print, and whether all is well."""
    held = frozenset(held)
    applicable = [requirement for requirement in known.values() if requirement.feature in BUILT]
    missing = [requirement.id for requirement in applicable if requirement.id not in held]
    unknown = sorted(held - known.keys())
    lines = [f"{len(applicable) - len(missing)} of {len(applicable)} requirements"]
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
        #: test that ran -> the kind of run it belongs to, and the requirements it names
        self._tests: dict[str, Any] = {}
        self._not_passed: set[str] = set()
        #: test -> what is wrong with the requirements that it names
        self._mistakes: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Look at every marker, also those of tests that are then left out of the run."""
        for item in items:
            ids = ids_of(item)
            # Not remembered here: the reports may be read in another process than the one that collects.
            item.user_properties.append((PROPERTY, (kind_of(item), *ids)))
            if what := mistake(ids, self._known):
                self._mistakes[item.nodeid] = f"{_function(item.nodeid)} {what}"
        # Nobody would see this error of a worker.
        if self._mistakes and not self._worker:
            raise pytest.UsageError("\n".join(dict.fromkeys(self._mistakes.values())))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A test that names a wrong requirement fails."""
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
        """Note what was proved; of a parametrised test all values that name a requirement must have passed."""
        if self._worker:
            return
        kinds: set[str] = set()
        passed: dict[tuple[str, str, str], bool] = {}
        for nodeid, (kind, *ids) in self._tests.items():
            kinds.add(kind)
            for requirement_id in ids:
                key = (kind, requirement_id, _function(nodeid))
                passed[key] = passed.get(key, True) and nodeid not in self._not_passed
        for kind in kinds:
            lines = sorted(
                f"{requirement_id}\t{name}\n"
                for (of, requirement_id, name), ok in passed.items()
                if ok and of == kind
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
