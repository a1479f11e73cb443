"""The table of breaks: each stands where it says, and what switches it off is code. And the run that tries them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.breaks import Break, Change, by_requirement, read_breaks
from tests.security.proofs import (
    BEGIN,
    END,
    PAGE,
    Prover,
    UnprovedError,
    files_that_name,
    survey,
    with_result,
)
from tests.security.requirements import read_list, refusals

BREAKS = read_breaks()
SOURCE = """\
def f(a):
    if a > 1:
        raise ValueError
    return a


class C:
    def g(self, a):
        if a > 1:
            raise ValueError
"""


def test_every_break_is_of_a_refusal() -> None:
    known = read_list()
    assert [each.requirement for each in BREAKS if each.requirement not in known] == []
    assert [each.requirement for each in BREAKS if known[each.requirement].is_promise] == []


def test_every_refusal_has_a_break() -> None:
    known = refusals(read_list())
    assert sorted(known.keys() - by_requirement(BREAKS).keys()) == []


@pytest.mark.parametrize("each", BREAKS, ids=lambda each: each.requirement)
def test_every_break_stands_where_it_says(each: Break) -> None:
    assert each.files()


def test_no_break_is_there_twice() -> None:
    assert len(set(BREAKS)) == len(BREAKS)


@pytest.mark.parametrize(
    ("place", "line", "instead", "changed"),
    [
        ("a.py", "return a", "return 0", SOURCE.replace("return a", "return 0")),
        ("a.py::f", "if a > 1:", "if False:", SOURCE.replace("if a > 1:", "if False:", 1)),
        ("a.py::C.g", "raise ValueError", "pass", SOURCE[:-17] + "pass\n"),
    ],
)
def test_a_line_is_changed_and_nothing_else(place: str, line: str, instead: str, changed: str) -> None:
    assert Change(place, line, instead).apply(SOURCE) == changed


@pytest.mark.parametrize(
    ("place", "line", "instead", "why"),
    [
        ("a.py", "return b", "return 0", "0 lines"),
        ("a.py", "if a > 1:", "if False:", "2 lines"),
        ("a.py::f", "return", "return 0", "0 lines"),
        ("a.py::g", "return a", "return 0", "0 definitions"),
        ("a.py", "return a", "return (a", "does not compile"),
        ("a.py", "return a", "return (a)", "changes nothing"),
    ],
)
def test_what_is_not_there_once_or_does_nothing_is_refused(
    place: str, line: str, instead: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Change(place, line, instead).apply(SOURCE)


def test_rows_that_begin_with_and_belong_to_the_break_above(tmp_path: Path) -> None:
    path = tmp_path / "breaks.tsv"
    path.write_text("head\na\tp\tx\ty\nand\tq\tx\ty\na\tp\tz\ty\n")
    first, second = (
        Break("a", (Change("p", "x", "y"), Change("q", "x", "y"))),
        Break("a", (Change("p", "z", "y"),)),
    )
    assert read_breaks(path) == [first, second]
    assert by_requirement([first, second]) == {"a": [first, second]}


@pytest.mark.parametrize("row", ["a\tp\tx", "a\tp\tx\ty\tz", "a\tp\tx\t", "a\tp\t x\ty", "and\tp\tx\ty"])
def test_a_row_that_cannot_be_read_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "breaks.tsv"
    path.write_text(f"head\n{row}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_breaks(path)


TESTS = """\
import pytest
from oauth2_mw.m import f


@pytest.mark.requirement("held")
def test_held():
    assert f(2) is None


@pytest.mark.requirement("weak")
def test_weak():
    f(2)


@pytest.mark.requirement("fails")
def test_fails():
    assert f(1) is None


@pytest.mark.requirement("stumbles")
def test_stumbles():
    assert 1 / (f(2) is None)
"""


@pytest.fixture
def prover(tmp_path: Path) -> Prover:
    """A small repository, in which ``f`` refuses what is above one."""
    for name, text in {
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['requirement(*ids)']\n",
        "oauth2_mw/__init__.py": "",
        "oauth2_mw/m.py": "def f(a):\n    return None if a > 1 else a\n",
        "tests/test_m.py": TESTS,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Prover(tmp_path, survey(tmp_path))


def off(requirement: str, instead: str = "return a") -> list[Break]:
    return [Break(requirement, (Change("oauth2_mw/m.py", "return None if a > 1 else a", instead),))]


@pytest.mark.deep
def test_a_requirement_whose_test_fails_with_the_break_is_proved(prover: Prover) -> None:
    assert prover.prove("held", off("held")) == ["tests/test_m.py::test_held"]
    # Nothing of the break is left.
    assert prover.prove("held", off("held")) == ["tests/test_m.py::test_held"]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("requirement", "instead", "why"),
    [
        ("weak", "return a", "its tests pass"),
        ("held", "return b", "names what is not there"),
        ("fails", "return a", "do not pass as it is"),
        ("unknown", "return a", "no test names it"),
        ("stumbles", "return a", "ZeroDivisionError"),
        ("held", "import nowhere", "nowhere"),
    ],
)
def test_what_proves_nothing_is_told(prover: Prover, requirement: str, instead: str, why: str) -> None:
    with pytest.raises(UnprovedError, match=why):
        prover.prove(requirement, off(requirement, instead))


def test_a_requirement_without_a_break_is_unproved(prover: Prover) -> None:
    with pytest.raises(UnprovedError, match="no break"):
        prover.prove("held", [])


def test_the_tests_of_a_few_requirements_are_found_by_their_ids(tmp_path: Path) -> None:
    for name, text in {
        "test_one": 'requirement("a.1")',
        "web/test_table": 'refused("b c.2 d", "what")',
        "test_longer": 'requirement("a.10", "xc.2")',
    }.items():
        path = tmp_path / "tests" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert files_that_name(["a.1"], tmp_path) == ["tests/test_one.py"]
    assert files_that_name(["c.2"], tmp_path) == ["tests/web/test_table.py"]
    # Nothing names it, or cases that tests of other files run through: all are looked into.
    assert files_that_name(["none"], tmp_path) == ["tests"]
    (tmp_path / "tests" / "cases.py").write_text('refused("a.1")')
    assert files_that_name(["a.1"], tmp_path) == ["tests"]


def test_the_result_takes_the_place_of_an_earlier_one() -> None:
    page = with_result(with_result(f"Before.\n{BEGIN}{END}After.\n", "One."), "Two.")
    assert page == f"Before.\n{BEGIN}\nTwo.\n\n{END}After.\n"
    assert with_result(PAGE.read_text(encoding="utf-8"), "Two.")
    with pytest.raises(ValueError, match="no place"):
        with_result("text", "One.")


def test_refusals_are_those_of_built_features_that_promise_nothing() -> None:
    known = read_list()
    assert known.keys() > refusals(known).keys()
