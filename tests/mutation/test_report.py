"""What a run of mutation testing leaves behind can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation import report
from tests.mutation.fingerprint import fingerprint
from tests.mutation.report import BEGIN, END, GOAL, PAGE, Score, explanations, read_scores, stale, with_score
from tests.security.core import CORE

SCORES = [*read_scores(PAGE.read_text(encoding="utf-8")).values()]
PACKAGE = Path(__file__).parents[2] / "oauth2_mw"


def test_a_score_takes_the_place_of_an_earlier_one_and_leaves_the_others() -> None:
    page = f"Before.\n\n{BEGIN}{END}\nAfter.\n"
    first, second = (
        Score("a/b", 10, 9, "2026-01-01, 0.1.0", "0a"),
        Score("c", 100, 100, "2026-01-02, 1", "1b"),
    )
    better = Score("a/b", 12, 12, "2026-02-01, 0.2.0", "2c")
    for score in (first, second, better):
        page = with_score(page, score)
    assert read_scores(page) == {"a/b": better, "c": second}
    assert page.startswith("Before.\n\n")
    assert page.endswith("\nAfter.\n")


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        with_score("text", Score("a", 1, 1, "2026-01-01, 0.1.0", "0a"))


def test_every_score_that_is_published_is_of_a_module() -> None:
    scores = read_scores(PAGE.read_text(encoding="utf-8"))
    assert scores
    for module, score in scores.items():
        assert (PACKAGE / f"{module}.py").is_file()
        assert score.killed <= score.mutants


@pytest.mark.every_case
@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.module)
def test_a_published_score_is_of_the_module_and_the_tests_that_are_there(score: Score) -> None:
    measure = f"measure it anew: make mutation MODULES={score.module}"
    assert score.of == fingerprint(score.module), f"it or its tests have changed since their score; {measure}"
    assert score.percent >= GOAL, f"the tests notice too little; {measure}"


def test_what_is_stale_is_what_has_no_score_or_another_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third, *_ = CORE
    monkeypatch.setattr(report, "CORE", (first, second, third))
    page = f"{BEGIN}{END}"
    for module in (second, third):
        page = with_score(page, Score(module, 9, 9, "2026-01-01, 0.1.0", fingerprint(module)))
    page = with_score(page, Score(second, 9, 9, "2026-01-01, 0.1.0", "0a"))
    path = tmp_path / "page.rst"
    path.write_text(page)
    assert stale(path) == [first, second]


def test_every_survivor_in_the_list_is_of_a_module_and_has_a_reason() -> None:
    for module in explanations():
        assert (PACKAGE / f"{module}.py").is_file()


def test_a_line_without_a_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "survivors.tsv"
    path.write_text("module\tsurvivor\twhy\na\tb\tc\na\tb\n")
    with pytest.raises(ValueError, match="line 3"):
        explanations(path)
