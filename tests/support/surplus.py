"""Which cases of a parametrised test are run after every change, and which of them wait for ``make check-deep``.

Hundreds of values for one rule are for the deep run. After every change one from anywhere in their list will do, as
long as each requirement keeps a case, and each of two values that are all there is. Where a fixture has values, such as
the kinds of stores, some tests of a module are run with one and some with another. The marker ``every_case`` is for
tests that are something else with each value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from zlib import crc32

import pytest

#: So many values of one argument are few enough to be run after every change, each of them.
FEW = 2

#: Under this key a run keeps the requirements that none but ``deep`` tests prove, of the in-process tests it collected.
DEEP_ALONE = pytest.StashKey[frozenset[str]]()


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a parametrised test."""

    nodeid: str
    requirements: frozenset[str]
    #: argument of the test's own -> number of its value in the list of that argument
    values: Mapping[str, int]

    @classmethod
    def of(
        cls, test: pytest.Function, nodeid: str, marks: Iterable[pytest.Mark], numbers: Mapping[str, int]
    ) -> Case:
        """One of the cases of *test*, which has *marks* of its own."""
        own = {name for mark in test.iter_markers("parametrize") for name in _arguments(mark)}
        values = {name: number for name, number in numbers.items() if name in own}
        return cls(nodeid, _named((*test.iter_markers("requirement"), *marks)), values)


def leave_out(metafunc: pytest.Metafunc) -> None:
    """Make no items of surplus cases: there are three times as many as of all others, and each takes its time."""
    if metafunc.definition.get_closest_marker("every_case") is not None:
        return
    # pytest has no public name for the cases before they are items.
    metafunc._recompute_direct_params_indices()
    test = metafunc.definition
    calls = {f"{test.nodeid}[{each.id}]": each for each in metafunc._calls}
    for case in surplus(Case.of(test, nodeid, each.marks, each.indices) for nodeid, each in calls.items()):
        del calls[case.nodeid]
    metafunc._calls[:] = calls.values()


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark those cases ``deep`` that the others of the same test stand for."""
    tests: defaultdict[str, dict[str, pytest.Function]] = defaultdict(dict)
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and hasattr(item, "callspec")
            and item.get_closest_marker("every_case") is None
        ):
            tests[item.nodeid.partition("[")[0]][item.nodeid] = item
    for cases in tests.values():
        for case in surplus(Case.of(item, item.nodeid, (), item.callspec.indices) for item in cases.values()):
            cases[case.nodeid].add_marker("deep")


def deep_alone(items: Iterable[pytest.Item]) -> frozenset[str]:
    """The requirements that only tests prove that wait for the deep run."""
    proved: dict[bool, set[str]] = {True: set(), False: set()}
    for item in items:
        if "integration" not in item.path.parts:
            deep = item.get_closest_marker("deep") is not None
            proved[deep] |= _named(item.iter_markers("requirement"))
    return frozenset(proved[True] - proved[False])


def surplus(cases: Iterable[Case]) -> list[Case]:
    """The cases of one test that show nothing that another does not show."""
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    # In an order that is always the same and has nothing to do with that of the values.
    cases = sorted(cases, key=lambda case: crc32(case.nodeid.encode()))
    for case in cases:
        for name, number in case.values.items():
            numbers[name].add(number)
    shown, left_out = set[object](), list[Case]()
    for case in cases:
        shows = {*case.requirements, *(pair for pair in case.values.items() if len(numbers[pair[0]]) <= FEW)}
        if case is not cases[0] and shows <= shown:
            left_out.append(case)
        shown |= shows
    return left_out


def _arguments(parametrize: pytest.Mark) -> list[str]:
    names = parametrize.kwargs.get("argnames", parametrize.args[0] if parametrize.args else ())
    return names.replace(",", " ").split() if isinstance(names, str) else list(names)


def _named(marks: Iterable[pytest.Mark]) -> frozenset[str]:
    """The requirements that marks name."""
    return frozenset(id_ for mark in marks if mark.name == "requirement" for id_ in mark.args)
