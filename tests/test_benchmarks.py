"""The benchmark around what it measures: its table, its file of results and its picture; the measuring is not timed."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from benchmarks import __main__ as bench
from benchmarks.figures import Figure, Section
from benchmarks.growth import SIZES
from benchmarks.instructions import instructions
from benchmarks.login import login
from benchmarks.plots import growth_plot

PAGE = Path(__file__).parents[1] / "docs" / "performance.rst"


def parsed(text: str) -> Element:
    return ElementTree.fromstring(text)  # noqa: S314 (our own)


def test_a_goal_is_the_most_or_the_least_that_is_wanted() -> None:
    for values, goal, is_floor, is_met in (
        ([1.0, 1.2, 9.0], 1.2, False, True),
        ([1.0, 1.3, 1.3], 1.2, False, False),
        ([1.0, 1.2, 9.0], 1.2, True, True),
        ([1.0, 1.1, 1.2], 1.2, True, False),
    ):
        figure = Figure.of("x_over_y", values, goal, is_floor=is_floor)
        assert figure.is_met is is_met
        assert ("missed" in str(figure)) is not is_met
    assert Figure.of("x_over_y", [9.0]).is_met


def test_a_section_that_is_measured_again_leaves_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        "one": Section([Figure.of("a_over_b", [1.0, 2.0, 3.0], 1.5)], {"a": [1.0]}),
        "two": Section([Figure.of("c_over_d", [4.0])], {"c": [4.0]}, {"rules": [(10, 1.0), (100, 1.1)]}),
    }
    sections = {name: lambda *, name=name, **_: found[name] for name in found}
    monkeypatch.setattr(bench, "SECTIONS", sections)
    results, plot = tmp_path / "results.json", tmp_path / "growth.svg"
    assert bench.main([], results=results, plot=plot) == 0
    assert "missed" in capsys.readouterr().out
    assert bench.main(["two", "--strict"], results=results, plot=plot) == 0
    assert bench.main(["one", "--strict"], results=results, plot=plot) == 1
    document = json.loads(results.read_text())
    assert document["ratios"] == {"a_over_b": 2.0, "c_over_d": 4.0}
    assert document["rounds"] == {"one": {"a": [1.0]}, "two": {"c": [4.0]}}
    assert parsed(plot.read_text()).tag.endswith("svg")
    with pytest.raises(SystemExit) as ended:
        bench.main(["three"], results=results, plot=plot)
    assert ended.value.code == 2


def test_the_picture_is_well_formed_and_names_every_curve() -> None:
    curves = {kind: [(size, 1.0) for size in sizes] for kind, sizes in SIZES.items()}
    drawn = parsed(growth_plot(curves, goal=1.2))
    words = {element.text for element in drawn.iter() if element.tag.endswith("text")}
    assert words >= SIZES.keys()
    heights = [
        float(point.partition(",")[2])
        for element in drawn.iter()
        if element.tag.endswith("polyline")
        for point in element.attrib["points"].split()
    ]
    assert all(0 <= height <= 320 for height in heights)


def test_the_sizes_are_a_decade_apart() -> None:
    for sizes in SIZES.values():
        assert [larger // smaller for smaller, larger in pairwise(sizes)] == [10, 10]


def test_without_valgrind_nothing_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert instructions(calls=1, rounds=1) == Section([], {})
    assert "valgrind" in capsys.readouterr().out


def test_without_authlib_no_login_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.login.find_spec", lambda _name: None)
    assert login(calls=1, rounds=1) == Section([], {})
    assert "Authlib" in capsys.readouterr().out


def test_the_documentation_names_every_section_and_the_goals() -> None:
    page = PAGE.read_text()
    for name in bench.SECTIONS:
        assert f"``{name}``" in page
    assert set(re.findall(r"``growth_([a-z]+)``", page)) == SIZES.keys()
