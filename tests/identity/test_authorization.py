"""The header ``Authorization``: read strictly, and searched for tokens patiently."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.identity.authorization import Authorization, carries_token, cut_authorization


def basic(pair: str | bytes) -> str:
    octets = pair.encode() if isinstance(pair, str) else pair
    return "Basic " + b64encode(octets).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer abc", Authorization("bearer", "abc")),
        ("bEARER   abc ", Authorization("bearer", "abc")),
        (basic("jane:abc"), Authorization("basic", "abc", "jane")),
        (basic("corp:jane:abc"), Authorization("basic", "abc", "corp:jane")),
        (basic("jürgen:abc"), Authorization("basic", "abc", "jürgen")),
        (basic(":"), Authorization("basic", "", "")),
        (basic("no colon"), None),
        (basic(b"j\xfcrgen:abc"), None),
        (basic("jane:abc")[:-2] + "!!", None),
        ("Basic", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Digest x", None),
        ("", None),
        ("Basic \xff", None),
    ],
)
def test_a_header_is_read_strictly(value: str, expected: Authorization | None) -> None:
    assert Authorization.parse(value) == expected


def test_a_secret_is_not_shown_by_accident() -> None:
    assert "s3cret" not in repr(Authorization.parse("Bearer s3cret"))


@given(st.text(), st.binary(max_size=20), st.binary(max_size=20))
def test_a_token_is_found_wherever_it_is(before: str, first: bytes, last: bytes) -> None:
    assert carries_token(before + "omwpat_")
    assert carries_token(basic(first + b"omwpat_" + last))
    assert carries_token(basic(first + b"omwpat_" + last).rstrip("="))


@given(st.text() | st.binary())
def test_no_value_breaks_the_reader(value: str | bytes) -> None:
    carries_token(value)
    if isinstance(value, str):
        Authorization.parse(value)


def test_the_header_is_cut_in_every_spelling_and_nothing_else_is() -> None:
    environ = {
        "HTTP_AUTHORIZATION": "a",
        "Authorization": "b",
        "http-authorization": "c",
        "REDIRECT_HTTP_AUTHORIZATION": "d",
        "_HTTP__AUTHORIZATION": "e",
        "HTTP_PROXY_AUTHORIZATION": "f",
        "HTTP_X_AUTHORIZATION_X": "g",
        ("other",): "h",
    }
    cut_authorization(environ)
    assert list(environ.values()) == ["f", "g", "h"]
