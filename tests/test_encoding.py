"""base64url has one spelling for each value, and no two pairs share a hash."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from types import MappingProxyType
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.encoding import (
    MAX_NUMBER,
    ascii_form,
    base64url,
    base64url_octets,
    json_type,
    pair_hash,
    percent_form,
    scalar_text,
)

ALPHABET = string.ascii_letters + string.digits + "-_"


# RFC 4648, section 10.
@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foobar", "Zm9vYmFy"),
        (b"\xfb\xff", "-_8"),
    ],
)
def test_the_vectors_of_the_rfc(octets: bytes, text: str) -> None:
    assert base64url(octets) == text
    assert base64url_octets(text) == octets


@given(st.binary(max_size=80))
def test_what_is_written_can_be_read(octets: bytes) -> None:
    assert base64url_octets(base64url(octets)) == octets


@given(st.text(ALPHABET + "+/=. \n\u00e9", max_size=12) | st.text(max_size=12))
def test_a_text_is_read_only_if_it_is_what_would_be_written(text: str) -> None:
    octets = base64url_octets(text)
    assert octets is None or base64url(octets) == text


@given(st.text(ALPHABET, max_size=12))
def test_no_spelling_of_the_standard_is_refused(text: str) -> None:
    padded = text + "=" * (-len(text) % 4)
    canonical = len(text) % 4 != 1 and urlsafe_b64encode(urlsafe_b64decode(padded)).decode() == padded
    assert (base64url_octets(text) is not None) == canonical


@pytest.mark.parametrize(
    "text", ["Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm9v\n", " Zm9v", "A", "\u00e9\u00e9", "Zm9v="]
)
def test_any_other_spelling_is_refused(text: str) -> None:
    assert base64url_octets(text) is None


def test_two_pairs_whose_texts_run_together_alike_have_different_hashes() -> None:
    assert pair_hash("https://a", "b1") != pair_hash("https://a1", "b")
    assert pair_hash("https://ab", "1") != pair_hash("https://a", "b1")
    assert len(pair_hash("", "")) == len(pair_hash("https://a" * 100, "\ud800")) == 43


def test_the_highest_number_is_the_last_that_json_carries_to_the_letter() -> None:
    assert float(MAX_NUMBER) == MAX_NUMBER
    assert float(MAX_NUMBER) + 1 == MAX_NUMBER + 1
    assert float(MAX_NUMBER + 2) != MAX_NUMBER + 2


# Scalars of JSON


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("Jane", "Jane"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (2**255, str(2**255)),
        (2**256 - 1, str(2**256 - 1)),
        (2**256, None),
        (-(2**256), None),
        (0.5, "0.5"),
        (1.0, "1.0"),
        (1e-05, "0.00001"),
        (-9.5e15, "-9500000000000000.0"),
        (1e16, None),
        (-1e16, None),
        (float("inf"), None),
        (float("nan"), None),
        (None, None),
        ([], None),
        ({"a": 1}, None),
    ],
    ids=repr,
)
def test_a_scalar_has_one_form_as_text_or_none(value: object, text: str | None) -> None:
    assert scalar_text(value) == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("x", "a text"),
        (True, "true or false"),
        (7, "a number"),
        (0.5, "a number"),
        (None, "null"),
        ([], "a list"),
        ((), "a list"),
        ({}, "an object"),
        (MappingProxyType({}), "an object"),
    ],
    ids=repr,
)
def test_every_value_of_json_has_a_name_for_messages(value: object, kind: str) -> None:
    assert json_type(value) == kind


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("zoe", "zoe"),
        ("Zo\u00e9", "Zoe"),
        ("zoe\u0301", "zoe"),
        ("\u1eaf", "a"),
        ("\ufb01", "fi"),
        ("", ""),
        ("\u0301", ""),
        ("stra\u00dfe", None),
        ("\u0441\u0435\u043e", None),
        ("caf\u00e9 \u00f8", None),
    ],
    ids=ascii,
)
def test_a_text_loses_its_accents_or_has_no_form_in_ascii(text: str, plain: str | None) -> None:
    assert ascii_form(text) == plain


@given(st.text())
def test_no_two_texts_share_a_form_in_percent_signs(text: str) -> None:
    form = percent_form(text)
    assert form.isascii()
    assert unquote(form, errors="strict") == text


def test_only_what_ascii_does_not_have_and_the_percent_sign_are_encoded() -> None:
    ordinary = "".join(map(chr, range(128))).replace("%", "")
    assert percent_form(ordinary) == ordinary
    assert percent_form("100%\x80\u00e9") == "100%25%C2%80%C3%A9"
