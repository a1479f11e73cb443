"""Who may enter, as it is written: terms with and between them, and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.settings.allow_list import AllowList


def written(text: str, base: Path = Path()) -> str:
    return str(AllowList.parse(text, base))


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "user:jane",
        "user:jane group:staff",
        "provider:corp and group:staff",
        "user:a and group:b user:c and group:d",
    ],
)
def test_what_is_written_can_be_shown(text: str) -> None:
    assert written(text) == text


def test_terms_and_joined_terms_are_told_apart() -> None:
    alternatives = AllowList.parse('group:"a and b" user:x and group:y', Path()).alternatives()
    assert [[str(term) for term in each] for each in alternatives] == [
        ["group:a and b"],
        ["user:x", "group:y"],
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing is written"),
        ("and", "between two terms"),
        ("user:a and", "between two terms"),
        ("and user:a", "between two terms"),
        ("user:a and and user:b", "between two terms"),
        ("user:a or user:b", "alternatives"),
        ("user:a, user:b", "not by commas"),
        ("* user:a", "must be alone"),
        ("* and user:a", "not joined"),
        ("file:absent.txt", "cannot be read"),
        ("file:people.txt and user:a", "does not join files"),
        ("* file:people.txt", "must be alone"),
        ('user:"a', "not closed"),
        ("nonsense", "not a valid term"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "people.txt").write_text("user:jane\n")
    with pytest.raises(ValueError, match=why):
        AllowList.parse(text, tmp_path)


def test_a_file_has_a_line_for_each_alternative(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text(
        '# people\nuser:jane # the boss\n\n  group:"A #1" and provider:corp\nuser:a#b\n'
    )
    assert (
        written("user:x file:people.txt", tmp_path)
        == "user:x user:jane group:A #1 and provider:corp user:a#b"
    )


@pytest.mark.parametrize(
    "line", ["nonsense", "user:a user:b", "*", 'user:"a', "user:a,", "and user:a", "file:other.txt"]
)
def test_a_line_that_is_not_valid_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "people.txt").write_text(f"user:jane\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        AllowList.parse("file:people.txt", tmp_path)


def test_a_file_of_comments_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("# nobody yet\n")
    assert AllowList.parse("file:people.txt", tmp_path).alternatives() == ()
