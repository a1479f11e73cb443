"""What people get wrong in a file: the first line says what it is and what to do, and nothing is said that follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.cli.main import main
from tests.support.settings.broken_inis import BROKEN, GOOD, Broken


def check(folder: Path, broken: Broken, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(folder)
    Path("oauth2.ini").write_bytes(broken.octets())
    for name, text in broken.files.items():
        Path(name).write_text(text)
    return main(["check"])


def test_the_file_that_is_broken_starts_when_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, Broken("none", "", ""), monkeypatch) == 0
    assert len({broken.name for broken in BROKEN}) == len(BROKEN) >= 60


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_the_first_line_names_cause_and_cure_and_no_problem_follows_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: Broken
) -> None:
    assert check(tmp_path, broken, monkeypatch) == 1
    out, err = capsys.readouterr()
    first, *others = err.splitlines()
    assert out == ""
    assert first.startswith("oauth2.ini: [")
    assert broken.cause in first
    assert broken.cure in first
    assert len(others) == broken.problems, err
    assert GOOD["client_secret"] not in err
