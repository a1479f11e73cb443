"""The reckoning of rules itself: what counts as held, and what is a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.security.requirements import (
    BUILT,
    MOST,
    Plugin,
    Requirement,
    mistake,
    read_list,
    read_seen,
    refusals,
    report,
)

KNOWN = {
    "a": Requirement("a", "core", "One."),
    "b": Requirement("b", "core", "Two."),
    "c": Requirement("c", "not built", "Three."),
}


def run(folder: Path, *tests: tuple[str, tuple[str, ...], str], kind: str = "in-process") -> set[str]:
    """The rules that a run of these tests has held: (node, rules, outcome of the call)."""
    plugin = plugin_for(folder)
    for phase in reports_of(plugin, *tests, kind=kind):
        plugin.pytest_runtest_logreport(phase)
    plugin.pytest_sessionfinish()
    return set(read_seen(folder))


def plugin_for(folder: Path, *, worker: bool = False) -> Plugin:
    plugin = Plugin(folder=folder, worker=worker)
    plugin._known = KNOWN
    return plugin


def reports_of(plugin: Plugin, *tests: tuple[str, tuple[str, ...], str], kind: str) -> Iterator[Any]:
    """Collect these tests, and run them."""
    items = [item(node, ids, kind) for node, ids, _ in tests]
    plugin.pytest_collection_modifyitems(items)
    for (node, _, outcome), collected in zip(tests, items, strict=True):
        for when in ("setup", "call", "teardown") if outcome != "left out" else ():
            phase = SimpleNamespace(
                nodeid=node,
                passed=when != "call" or outcome.endswith("passed"),
                user_properties=list(collected.user_properties),
            )
            if when == "call" and outcome == "unexpectedly passed":
                phase.wasxfail = ""
            yield phase


def item(node: str, ids: tuple[str, ...], kind: str) -> Any:
    """A test in the folder of its kind, or one in another folder that is *marked*."""
    marks = {"requirement": [SimpleNamespace(args=ids)], "integration": ["mark"] if kind == "marked" else []}
    return SimpleNamespace(
        nodeid=node,
        path=Path("tests", kind, "f.py"),
        iter_markers=lambda name: marks[name],
        user_properties=[],
    )


def test_the_list_is_in_order_and_every_row_has_a_feature_and_a_sentence() -> None:
    requirements = read_list()
    assert len(requirements) > 400
    assert {requirement.feature for requirement in requirements.values()} >= BUILT
    assert all(requirement.rule.endswith((".", ").")) for requirement in requirements.values())


def test_what_is_no_promise_is_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "requirements.tsv"
    path.write_text("head\na\tcore\tOne.\tpromise\nb\tcore\tTwo.\nc\tnot built\tThree.\n")
    assert list(refusals(read_list(path))) == ["b"]


@pytest.mark.parametrize(
    "line", ["a\tcore", "a\tcore\tOne.\tmore", "\tcore\tOne.", "a\t core\tOne.", "b\tcore\tTwo."]
)
def test_a_list_that_cannot_be_read_is_an_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "requirements.tsv"
    path.write_text(f"id\tfeature\trule\nb\tcore\tTwo.\n{line}\n")
    with pytest.raises(ValueError, match="line 3"):
        read_list(path)


def test_an_unknown_requirement_and_a_fourth_requirement_are_mistakes() -> None:
    assert mistake(["a", "b"], KNOWN) is None
    assert mistake([], KNOWN) is None
    assert "z" in (mistake(["a", "z"], KNOWN) or "")
    assert str(MOST) in (mistake(["a", "b", "c", "d"], KNOWN) or "")


def test_a_mistake_stops_the_collection(tmp_path: Path) -> None:
    with pytest.raises(
        pytest.UsageError, match=r"test_x names requirements that are not in requirements.tsv: z"
    ):
        run(tmp_path, ("f.py::test_x", ("z",), "passed"))


def test_where_several_processes_run_the_tests_a_mistake_fails_its_test(tmp_path: Path) -> None:
    worker = plugin_for(tmp_path, worker=True)
    fine, mistaken = item("f.py::test_x", ("a",), "in-process"), item("f.py::test_y", ("z",), "in-process")
    worker.pytest_collection_modifyitems([fine, mistaken])
    worker.pytest_runtest_setup(fine)
    with pytest.raises(
        pytest.fail.Exception, match=r"test_y names requirements that are not in requirements.tsv: z"
    ):
        worker.pytest_runtest_setup(mistaken)


@pytest.mark.parametrize("outcome", ["failed", "skipped", "unexpectedly passed", "left out"])
def test_only_what_passed_counts(tmp_path: Path, outcome: str) -> None:
    held = run(tmp_path, ("f.py::test_x", ("a",), "passed"), ("f.py::test_y", ("b",), outcome))
    assert held == {"a"}


def test_a_test_of_several_values_counts_when_it_passed_with_all_that_name_the_rule(tmp_path: Path) -> None:
    held = run(
        tmp_path,
        ("f.py::test_x[1]", ("a",), "passed"),
        ("f.py::test_x[2]", ("a",), "failed"),
        ("f.py::test_y[1]", ("b",), "passed"),
        ("f.py::test_y[2]", ("c",), "failed"),
    )
    assert held == {"b"}


def test_a_rule_may_be_held_by_another_test(tmp_path: Path) -> None:
    assert run(tmp_path, ("f.py::test_x", ("a",), "failed"), ("f.py::test_y", ("a",), "passed")) == {"a"}


@pytest.mark.parametrize("kind", ["integration", "marked"])
def test_results_of_in_process_and_integration_runs_add_up(tmp_path: Path, kind: str) -> None:
    run(tmp_path, ("f.py::test_x", ("a",), "passed"))
    assert run(tmp_path, ("g.py::test_x", ("b",), "passed"), kind=kind) == {"a", "b"}
    assert run(tmp_path, ("f.py::test_x", ("a",), "failed")) == {"b"}


def test_where_several_processes_run_the_tests_the_one_that_hears_of_all_of_them_reckons(
    tmp_path: Path,
) -> None:
    one, another, controller = (
        plugin_for(tmp_path, worker=True),
        plugin_for(tmp_path, worker=True),
        plugin_for(tmp_path),
    )
    for worker, tests in (
        (one, [("f.py::test_x[1]", ("a",), "passed"), ("f.py::test_y[1]", ("b",), "passed")]),
        (another, [("f.py::test_x[2]", ("a",), "failed"), ("f.py::test_y[2]", ("b",), "passed")]),
    ):
        for phase in reports_of(worker, *tests, kind="in-process"):
            worker.pytest_runtest_logreport(phase)
            controller.pytest_runtest_logreport(phase)
        worker.pytest_sessionfinish()
    assert set(read_seen(tmp_path)) == set()
    controller.pytest_sessionfinish()
    assert set(read_seen(tmp_path)) == {"b"}


def test_rules_of_features_that_are_not_built_wait() -> None:
    assert report(KNOWN, {"a", "b"}) == (["2 of 2 requirements"], True)
    assert report(KNOWN, {"a"}) == (["1 of 2 requirements", "no passing test: b"], False)
    assert report(KNOWN, {"a", "b", "z"}) == (["2 of 2 requirements", "not in requirements.tsv: z"], False)
