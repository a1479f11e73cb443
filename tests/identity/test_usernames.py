"""Which usernames can be had, and which two a person would take for one."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.identity.usernames import MAX_USERNAME, fault, name_key


@pytest.mark.requirement("3k.6")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("admin", "ADMIN"),
        ("admin", "ＡＤＭＩＮ"),
        ("admin", "ⓐⓓⓜⓘⓝ"),
        ("admin", "𝐚𝐝𝐦𝐢𝐧"),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("ﬁnn", "finn"),
        ("jane doe", "jane  doe"),
        ("jane doe", "jane\u3000doe"),
        ("ὈΔΥΣΣΕΎΣ", "ὀδυσσεύς"),
    ],
)
def test_names_that_read_the_same_are_one_name(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(("one", "other"), [("jane", "janet"), ("i", "ı"), ("jane", "jäne"), ("a.b", "a-b")])
def test_names_that_read_differently_are_different(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


@given(st.text())
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)


@given(st.text())
def test_neither_case_nor_unicode_form_makes_another_username(text: str) -> None:
    assert name_key(normalize("NFKD", text).casefold()) == name_key(text)
    assert {name_key(normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")} == {name_key(text)}


@pytest.mark.parametrize(
    "username",
    [
        "jane",
        "j",
        "jane.doe@x.example",
        "Jane Doe",
        "O'Brien",
        "Иван",
        "иванов@corp.example",
        "测试",
        "jane-測試",
        "ジェーン99",
        "q\u0301ax",
    ],
)
def test_ordinary_names_can_be_had(username: str) -> None:
    assert fault(username) is None


@pytest.mark.requirement("3k.6")
@pytest.mark.parametrize(
    ("username", "text"),
    [
        (None, "empty"),
        ("", "empty"),
        ("x" * (MAX_USERNAME + 1), "longer than 255"),
        ("\ufdfa" * 20, "longer than 255"),
        ("ja\nne", "control, formatting or invisible"),
        ("jane\0", "control, formatting or invisible"),
        ("ja\x85ne", "control, formatting or invisible"),
        ("ja\u200bne", "control, formatting or invisible"),
        ("ja\u200dne", "control, formatting or invisible"),
        ("\u202ejane", "control, formatting or invisible"),
        ("ja\u2066ne", "control, formatting or invisible"),
        ("ja\u2028ne", "control, formatting or invisible"),
        ("ja\ue000ne", "control, formatting or invisible"),
        ("ja\ud800ne", "control, formatting or invisible"),
        ("ja\ufe0fne", "control, formatting or invisible"),
        ("ja\u3164ne", "control, formatting or invisible"),
        ("ja\u034fne", "control, formatting or invisible"),
        ("ja\u00adne", "control, formatting or invisible"),
        ("ja\u00a0ne", "control, formatting or invisible"),
        (" jane", "blank"),
        ("jane ", "blank"),
        ("аdmin", "mixes alphabets"),
        ("admіn@corp.example", "mixes alphabets"),
        ("αdmin", "mixes alphabets"),
        # A mark that stands on a letter ends no word.
        ("q\u0301\u0430x", "mixes alphabets"),
    ],
)
def test_a_name_that_hides_something_is_refused(username: str | None, text: str) -> None:
    reason = fault(username)
    assert reason is not None
    assert text in reason


@given(st.text(max_size=300))
def test_a_name_that_can_be_had_is_shown_as_it_is(text: str) -> None:
    if fault(text) is None:
        assert text.isprintable()
        assert text == text.strip()
        assert 0 < len(name_key(text)) <= MAX_USERNAME
