"""Who may enter, as it is written: terms with and between them, and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.model import Settings
from tests.support.settings.minimal import oidc, only_problem, service


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


# Beside the providers


CORP = oidc(issuer="https://id.example.com", username_prefix="c:")
GOOGLE = {"preset": "google", "client_id": "a", "client_secret": "b", "username_prefix": "g:"}


@pytest.mark.requirement("R-allow")
@pytest.mark.parametrize(
    "allow", ["provider:corp", "provider:corp and group:staff provider:corp and user:jane"]
)
def test_a_public_provider_needs_a_term_that_holds_for_its_people(allow: str) -> None:
    mapping = service(**{"allow": allow, "provider:corp": CORP, "provider:google": GOOGLE})
    found = only_problem(mapping)
    assert found.startswith(
        "[oauth2_mw] allow: lets nobody of provider google in, which anyone on earth can join"
    )
    for further in (" user:g:jane", " provider:google and user:g:jane"):
        Settings.from_mapping({**mapping, "allow": allow + further})
    Settings.from_mapping({**mapping, "provider:google": {**GOOGLE, "allow": "user:g:jane"}})


def test_a_providers_own_allow_is_not_about_another() -> None:
    mapping = service(**{"provider:corp": {**CORP, "allow": "user:c:jane provider:google"}})
    mapping["provider:google"] = {**GOOGLE, "allow": "*"}
    assert only_problem(mapping) == (
        "[provider:corp] allow: provider:google fits nobody: this allow is for provider corp alone"
    )


def test_an_item_of_a_list_may_join_terms() -> None:
    allow = ["group:Domain Users", "provider:default and group:staff"]
    read = Settings.from_mapping(service(**oidc(allow=allow))).allow
    assert read is not None
    assert [tuple(map(str, each)) for each in read.alternatives()] == [
        ("group:Domain Users",),
        ("provider:default", "group:staff"),
    ]
    found = only_problem(service(**oidc(allow=["group:Research and Development"])))
    assert "'Development' is not a valid term" in found


@pytest.mark.requirement("R-allow")
@pytest.mark.parametrize("text", ["group:a,group:b", '"group:a user:b"', '"group:a and user:b"'])
def test_a_term_inside_the_value_of_another_is_told(text: str) -> None:
    assert "holds another term: terms are separated by blanks" in only_problem(service(**oidc(allow=text)))
