"""What makes a published score stale, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.fingerprint import of_files, statements

SOURCE = '''"""What it is."""

# Why.
LIMIT = 7  # octets


def fits(text: str) -> bool:
    """Whether it fits."""
    return len(text) <= LIMIT and "#" not in text
'''
MEANING = """LIMIT = 7
def fits(text: str) -> bool:
    return len(text) <= LIMIT and "#" not in text"""


def test_words_about_the_code_are_left_out() -> None:
    assert statements(SOURCE) == MEANING
    assert (
        statements(SOURCE.replace("octets", "bytes").replace("Whether it fits.", "Two\n    lines."))
        == MEANING
    )


def test_lines_are_counted_as_python_counts_them() -> None:
    assert statements('a = "\u2028"  # one\nb = 2  # two\n') == 'a = "\u2028"\nb = 2'


@pytest.mark.parametrize(
    ("old", "new"), [("<=", "<"), ("7", "8"), ('"#"', '"# "'), ("    return", "    yield")]
)
def test_every_change_of_the_code_is_one_of_the_hash(tmp_path: Path, old: str, new: str) -> None:
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(SOURCE)
    after.write_text(SOURCE.replace(old, new))
    assert of_files([before]) != of_files([after])


def test_where_one_file_ends_and_the_next_begins_counts(tmp_path: Path) -> None:
    first, second, both, empty = (
        tmp_path / name for name in ("first.py", "second.py", "both.py", "empty.py")
    )
    first.write_text("a = 1\n")
    second.write_text("b = 2\n")
    both.write_text("a = 1\nb = 2\n")
    empty.write_text("")
    hashes = {of_files(paths) for paths in ([first, second], [second, first], [both], [both, empty], [first])}
    assert len(hashes) == 5
