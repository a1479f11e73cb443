"""The examples of docs/testing.rst are run as they stand there, each by a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*_example.py"))


@pytest.mark.deep
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_passes(example: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "oauth2_mw.testing.plugin",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "--noconftest", "--strict-markers", str(example)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_DATABASE": ":memory:"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_shows_every_example() -> None:
    page = (ROOT / "docs" / "testing.rst").read_text(encoding="utf-8")
    for example in EXAMPLES:
        assert f"literalinclude:: ../{example.relative_to(ROOT)}" in page


def test_a_view_of_the_flask_sample_is_tested_in_five_lines() -> None:
    text = (EXAMPLES[0].parent / "flask_example.py").read_text(encoding="utf-8")
    body = text.partition("def test_reports() -> None:\n")[2].partition("\n\n")[0]
    assert len(body.splitlines()) < 5
