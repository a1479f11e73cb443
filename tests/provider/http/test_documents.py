"""The readers of a provider's documents are strict and bounded, and no bytes surprise them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.provider.http.documents import (
    DocumentError,
    present_members,
    read_form,
    read_json,
    read_object,
)


def nested(depth: int, opening: str, closing: str) -> bytes:
    return (opening * depth + closing * depth).encode()


@pytest.mark.requirement("3h.2")
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-8-sig"), "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 41 + b"}", "digits"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (nested(21, "[", "]"), "20 levels"),
        (nested(100_000, "[", ""), "20 levels"),
        (b'{"a":' * 21 + b"1" + b"}" * 21, "20 levels"),
        (json.dumps(["x"] * 5001).encode(), "5000 items"),
        (json.dumps({f"m{n}": n for n in range(5001)}).encode(), "5000 members"),
        (json.dumps(["x" * 65537]).encode(), "65536 characters"),
    ],
)
def test_a_document_outside_the_rules_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(DocumentError, match=why):
        read_json(body)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        {"a": [1, 1.5, True, None, "ü€😀"]},
        {"a": '[[[[[[[[[[[[[[[[[[[[[[[[ " \\ {{{{{{{{{{{{{{{{{{{{{{{{{'},
        ["x"] * 5000,
        {f"m{n}": n for n in range(5000)},
        [[[]]] * 50,
        "x" * 65536,
        int("9" * 40),
    ],
)
def test_a_document_within_the_rules_is_read(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_object(json.dumps({"a": value}).encode()) == {"a": value}


def test_twenty_levels_are_read() -> None:
    assert read_json(nested(20, "[", "]"))


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null"])
def test_an_object_is_not_any_json(body: bytes) -> None:
    with pytest.raises(DocumentError, match="not an object"):
        read_object(body)


@pytest.mark.requirement("3h.6")
@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b"[]", b'["'])
def test_the_depth_of_hostile_bytes_is_found_in_linear_time(piece: bytes) -> None:
    started = time.process_time()
    with pytest.raises(DocumentError):
        read_json(piece * (512 * 1024 // len(piece)))
    assert time.process_time() - started < 5


@given(st.binary(max_size=300))
def test_no_bytes_get_more_than_a_refusal(body: bytes) -> None:
    for read in (read_json, read_object, read_form):
        try:
            read(body)
        except DocumentError:
            continue


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(codec="utf-8")),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=5)
        ),
        max_leaves=15,
    )
)
def test_what_is_json_and_small_comes_back_as_it_was(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


def test_a_form_is_read() -> None:
    assert read_form(b"access_token=a%20b&scope=&token_type=bearer") == {
        "access_token": "a b",
        "scope": "",
        "token_type": "bearer",
    }


@pytest.mark.parametrize(
    "body", [b"", b"text", b"a=1&a=2", b"a=%ff", b"a=\xff", b"&".join(b"f%d=1" % n for n in range(101))]
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(DocumentError):
        read_form(body)


def test_null_and_an_empty_text_say_nothing_and_everything_else_does() -> None:
    said = {"false": False, "zero": 0, "list": [], "object": {}, "blank": " ", "null in a list": [None]}
    assert present_members({"null": None, "empty": "", **said}) == said
