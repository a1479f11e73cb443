"""The gate of the security core itself: what it lets pass, and that it cannot be led around."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.security.core import CORE, PACKAGE, holes

ROOT = PACKAGE.parent


def measured(**changed: Any) -> dict[str, Any]:
    """What coverage tells of a module without a hole, with *changed* members; ``None`` leaves one out."""
    found = {"missing_lines": [], "missing_branches": [], **changed}
    return {
        "files": {"oauth2_mw/a/b.py": {name: value for name, value in found.items() if value is not None}}
    }


def test_a_module_without_a_hole_passes() -> None:
    assert holes(measured(), ["a/b"]) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"missing_lines": [7, 9]}, "oauth2_mw/a/b.py: 7 9"),
        ({"missing_branches": [[3, 5], [8, -1]]}, "oauth2_mw/a/b.py: 3->5 8->exit"),
        ({"missing_branches": None}, "oauth2_mw/a/b.py: not measured, or without branches"),
    ],
)
def test_a_line_a_branch_and_branches_that_were_not_measured_are_holes(
    changed: dict[str, Any], line: str
) -> None:
    assert holes(measured(**changed), ["a/b"]) == [line]


def test_a_module_that_was_moved_or_not_measured_is_a_hole() -> None:
    assert holes({"files": {}}, ["a/b"]) == ["oauth2_mw/a/b.py: not measured, or without branches"]


@pytest.mark.parametrize("module", CORE)
def test_nothing_in_the_core_is_exempted(module: str) -> None:
    text = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert "pragma:" not in text


@pytest.mark.parametrize("tests", sorted({path for paths in CORE.values() for path in paths}))
def test_the_tests_that_hold_a_module_are_there(tests: str) -> None:
    assert Path(ROOT, tests).is_file()
