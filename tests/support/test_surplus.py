"""What is left out of ``make check`` is shown by what stays."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.surplus import DEEP_ALONE, FEW, Case, surplus


def kept(cases: list[Case]) -> list[Case]:
    left_out = {case.nodeid for case in surplus(cases)}
    return [case for case in cases if case.nodeid not in left_out]


def test_one_of_many_values_is_kept_and_not_always_the_first() -> None:
    def kept_number(name: str) -> int:
        cases = [Case(f"{name}[{number}]", frozenset(), {"value": number}) for number in range(500)]
        (one,) = kept(cases)
        return one.values["value"]

    assert len({kept_number(f"test_{name}") for name in "abcdef"}) > 1


def test_every_requirement_keeps_a_case() -> None:
    cases = [
        Case(f"test[{number}]", frozenset({f"R{number % 40}"}), {"value": number}) for number in range(400)
    ]
    assert {id_ for case in kept(cases) for id_ in case.requirements} == {
        f"R{number}" for number in range(40)
    }


def test_every_value_of_a_short_list_keeps_a_case() -> None:
    cases = [
        Case(f"test[{value}-{store}]", frozenset(), {"value": value, "store": store})
        for value in range(100)
        for store in range(FEW)
    ]
    assert {case.values["store"] for case in kept(cases)} == set(range(FEW))
    assert len(kept(cases)) == FEW


@pytest.fixture(params=["SQLite", "Redis"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("value", [1])
def test_a_case_of_another_value_of_a_fixture_shows_nothing_new(
    request: pytest.FixtureRequest, value: int, store: str
) -> None:
    item = request.node
    assert Case.of(item, item.nodeid, (), item.callspec.indices).values.keys() == {"value"}


@pytest.mark.deep
def test_what_no_item_is_made_of_is_what_would_be_left_out() -> None:
    """Where a file is named, all of its cases are collected, and some of them left out afterwards."""

    def collected(*options: str) -> list[str]:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not deep", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
        return sorted(line for line in done.stdout.splitlines() if "::" in line)

    of_a_name = collected("tests/access", "tests/session")
    assert of_a_name == collected("-o", "testpaths=tests/access tests/session")
    assert len(of_a_name) > 100


def test_no_requirement_waits_for_the_deep_run(request: pytest.FixtureRequest) -> None:
    """A run of a few files does not know what the others prove."""
    of_all = not request.config.getoption("file_or_dir")
    assert not of_all or request.config.stash[DEEP_ALONE] == frozenset()
