"""Several paths for one field, and paths in front of other text."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from oauth2_mw.settings.attribute_path import AttributePath, FirstOf, alternatives, path_length

UPN, LOGIN, MAIL = map(AttributePath.parse, ("upn", "login", "mail"))
SEVERAL = FirstOf((UPN, LOGIN, MAIL))


@pytest.mark.parametrize(
    ("claims", "value", "chosen"),
    [
        ({"upn": "u", "login": "l", "mail": "m"}, "u", UPN),
        ({"upn": None, "login": "l", "mail": "m"}, "l", LOGIN),
        ({"upn": "", "login": "l"}, "l", LOGIN),
        ({"mail": "m"}, "m", MAIL),
        ({}, None, UPN),
        ({"other": "o"}, None, UPN),
    ],
)
def test_the_first_path_that_has_a_value_counts(
    claims: dict[str, Any], value: str | None, chosen: AttributePath
) -> None:
    assert SEVERAL.get(claims) == value
    assert SEVERAL.chosen(claims) == chosen
    assert chosen.chosen(claims) == chosen


def test_several_paths_are_named_as_they_are_written() -> None:
    assert SEVERAL.text == "upn or login or mail"
    assert alternatives(SEVERAL) == (UPN, LOGIN, MAIL)
    assert alternatives(UPN) == (UPN,)


def test_a_path_never_changes_and_shows_its_text_alone() -> None:
    for source, name in ((UPN, "text"), (SEVERAL, "paths")):
        with pytest.raises(FrozenInstanceError):
            setattr(source, name, "other")
    assert {UPN: 1, SEVERAL: 2}[FirstOf((UPN, LOGIN, MAIL))] == 2
    assert repr(UPN) == "AttributePath(text='upn')"


def test_an_item_is_the_one_of_its_number() -> None:
    assert AttributePath.parse("a[0]").get({"a": ["first", "second"]}) == "first"
    assert AttributePath.parse("a").get({"a": ["first", "second"]}) == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a=b", "a"),
        ("a.b[0]=c", "a.b[0]"),
        ("a[*].b=c", "a[*].b"),
        ("keys(a)=b", "keys(a)"),
        ("keys(a.b[*])=keys(c)", "keys(a.b[*])"),
        ('"x=y".b=c', '"x=y".b'),
        ("keys(a)", "keys(a)"),
    ],
)
def test_the_path_in_front_of_a_value_is_found(text: str, path: str) -> None:
    assert path_length(text) == len(path)
    assert AttributePath.parse(text[: path_length(text)]).text == path
