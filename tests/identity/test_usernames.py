"""Which usernames can be had, and which two a person would take for one."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.identity.usernames import MAX_USERNAME, fault, fault_alone, name_key, skeleton


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


# Names in other alphabets that look like Latin ones

SEO = "\u0441\u0435\u043e"  # Cyrillic es, ie, o
#: name -> the Latin one that it looks like
LOOK_ALIKES = {
    SEO: "ceo",
    SEO.upper(): "ceo",
    f"{SEO}@corp.example": "ceo@corp.example",
    f"{SEO}-1": "ceo-1",
    "\u0440\u0430\u0443\u0440\u0430\u04cf": "paypal",
    "\u0412\u0415\u0420\u0410": "bepa",
    "\u03bd\u03b1\u03bd": "vav",  # Greek
    "\u0570\u0585\u057d": "hou",  # Armenian
    "\u13df\u13ac\uab75": "cei",  # Cherokee
    "\ua4da\ua4f0\ua4f3": "ceo",  # Lisu
    "\u2ca5\u2c9f\u2ca3": "cop",  # Coptic
    "\u15ea\u15c5": "da",  # Canadian syllabics
    "\u0251dmin": "admin",  # letters of phonetics
    "\u1d04\u1d0f": "co",
    "user\u0967": "user1",  # Devanagari digit one
    "\u06f1\u06f2": "12",
    "\u0441\u0451\u043e": "c\u00ebo",
}


@pytest.mark.requirement("R-look-alike")
@pytest.mark.parametrize(("username", "latin"), LOOK_ALIKES.items(), ids=ascii)
def test_a_name_that_looks_latin_is_not_had_where_nothing_compares_it(username: str, latin: str) -> None:
    assert skeleton(username) == skeleton(latin) == latin
    assert "can be taken for Latin ones" in (fault_alone(username) or "")
    assert fault(username) is None
    assert fault_alone(latin) is None


@pytest.mark.parametrize(
    "username",
    [
        "\u0438\u0432\u0430\u043d\u043e\u0432",  # ivanov
        "\u0415\u0433\u043e\u0440",  # Yegor
        "\u0438\u0432\u0430\u043d \u0441\u0430\u0440\u0430",  # ivan sara: the whole name decides
        "\u039d\u03af\u03ba\u03bf\u03c2",  # Nikos
        "\u0561\u0580\u0561\u0574",  # aram, Armenian
        "\u0639\u0644\u064a\u0662",  # ali2, Arabic
        "\u6d4b\u8bd5",
        "\u0131\u015f\u0131k",  # Turkish
        "jos\u00e9",
        "stra\u00dfe",
        "jane-1",
    ],
)
def test_names_of_other_languages_can_be_had(username: str) -> None:
    assert fault_alone(username) is None
    assert fault(username) is None


@pytest.mark.parametrize(
    ("one", "other"), [("i", "l"), ("0", "o"), ("1", "l"), ("rn", "m"), ("jane", "j\u00e4ne")]
)
def test_latin_letters_and_digits_are_never_each_other(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@given(st.one_of(st.text(), st.text(alphabet="".join(LOOK_ALIKES) + "\u0301\u0131aI\uff21")))
def test_a_skeleton_is_its_own_and_the_name_of_a_latin_name(text: str) -> None:
    assert skeleton(skeleton(text)) == skeleton(text)
    if text.isascii():
        assert skeleton(text) == name_key(text)
    if skeleton(text).isascii():
        assert name_key(skeleton(text)) == skeleton(text)
