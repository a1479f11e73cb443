"""The languages that a browser asks for: by weight, bounded, and nothing but language tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.web.http.languages import MAX_LANGUAGES, accepted_languages


def languages(header: str) -> tuple[str, ...]:
    return accepted_languages({"HTTP_ACCEPT_LANGUAGE": header})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("nb-NO,nb;q=0.9,no;q=0.8,en-US;q=0.6,en;q=0.5", "nb-NO nb no en-US en"),
        ("en;q=0.5, de;q=0.9,fr", "fr de en"),
        ("de ; q=1.000 , en\t;\tQ=0.1", "de en"),
        ("de;q=0.3,en;q=0.3", "de en"),
        ("de,DE;q=0.1,en", "de en"),
        (
            "zh-Hant-TW,sl-rozaj-biske-1994,de-CH-x-phonebk,es-419",
            "zh-Hant-TW sl-rozaj-biske-1994 de-CH-x-phonebk es-419",
        ),
        ("*;q=0.5,de", "de"),
        ("de;q=0,en;q=0.000", ""),
        ("", ""),
        (",,;,", ""),
    ],
)
def test_the_most_wanted_language_comes_first(header: str, expected: str) -> None:
    assert languages(header) == tuple(expected.split())


@pytest.mark.parametrize(
    "element",
    [
        "e",
        "x-private",
        "de_DE",
        "de-",
        "-de",
        "de--DE",
        "123",
        "de DE",
        "de&prompt=none",
        "d\u00e9",
        "\u212aa",
        "de\n",
        "a" * 9,
        "de" + "-abcde" * 6,
        "de;q=2",
        "de;q=1.1",
        "de;q=0.5555",
        "de;q=-1",
        "de;q=nan",
        "de;q=",
        "de;level=1",
        "de;q=1;q=1",
        "de;q=\u0661",
    ],
    ids=ascii,
)
def test_what_is_no_language_tag_is_left_out(element: str) -> None:
    assert languages(f"{element},nb;q=0.1") == ("nb",)


def test_a_header_is_read_to_a_limit() -> None:
    assert len(languages(",".join(f"d{chr(97 + number)}" for number in range(26)))) == MAX_LANGUAGES
    assert languages("de," + "x" * 2000) == ()
    assert accepted_languages({}) == ()


@given(st.text(alphabet="adeDEx-;q=.,* 019\u00e9", max_size=60))
def test_whatever_is_sent_yields_words_that_are_tags(header: str) -> None:
    found = languages(header)
    assert len(found) <= MAX_LANGUAGES
    assert all(re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", tag) for tag in found)
    assert len({tag.lower() for tag in found}) == len(found)
