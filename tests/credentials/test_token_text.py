"""The text of a personal token: hard to guess, easy to recognise, and refused at a glance when it is damaged."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.credentials.token_text import TokenText

TOKEN = TokenText.make()


def test_a_token_is_known_by_its_form() -> None:
    assert re.fullmatch(r"omwpat_[a-z2-7]{56}", TOKEN.text)
    assert TOKEN.text.startswith(f"omwpat_{TOKEN.id}")
    assert TokenText.parse(TOKEN.text) == TOKEN


def test_no_two_tokens_have_anything_in_common() -> None:
    tokens = [TokenText.make() for _ in range(200)]
    assert len({token.id for token in tokens}) == 200
    assert len({token.text[23:55] for token in tokens}) == 200


def test_the_digest_is_sha_256_of_the_whole_text() -> None:
    assert TOKEN.digest == hashlib.sha256(TOKEN.text.encode()).hexdigest()


def test_a_token_is_not_shown_by_accident() -> None:
    assert TOKEN.text[23:] not in repr(TOKEN)


@pytest.mark.parametrize("position", range(len(TOKEN.text)))
def test_one_wrong_character_is_noticed(position: int) -> None:
    wrong = "b" if TOKEN.text[position] == "a" else "a"
    assert TokenText.parse(TOKEN.text[:position] + wrong + TOKEN.text[position + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "omwpat_",
        TOKEN.text[:-1],
        TOKEN.text + "a",
        f" {TOKEN.text}",
        f"{TOKEN.text}\n",
        TOKEN.text.upper(),
    ],
    ids=["nothing", "no-token", "short", "long", "blank-before", "line-after", "capitals"],
)
def test_what_is_not_quite_a_token_is_none(text: str) -> None:
    assert TokenText.parse(text) is None


@given(st.text() | st.text("abcdefgh234567", min_size=56, max_size=56).map("omwpat_".__add__))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert TokenText.parse(text) is None
