"""The name in Apple's form: read when it is plain, and nothing else with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.provider.endpoints.form_user import MAX_FIELD, MAX_PART, fields, read_name
from oauth2_mw.provider.http.documents import DocumentError

LONGEST = "x" * MAX_PART


def test_the_field_belongs_to_one_provider() -> None:
    assert fields("apple") == {"user"}
    assert fields("github") == fields(None) == frozenset()


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (
            {"name": {"firstName": "Jane", "lastName": "Doe"}, "email": "jane@privaterelay.appleid.com"},
            "Jane Doe",
        ),
        ({"name": {"firstName": "Jane"}}, "Jane"),
        ({"name": {"firstName": "", "lastName": " Doe "}}, "Doe"),
        ({"name": {"firstName": None, "lastName": "D\u00f6\u4e16"}}, "D\u00f6\u4e16"),
        ({"name": {"firstName": LONGEST, "lastName": LONGEST}}, f"{LONGEST} {LONGEST}"),
        ({"name": {"middleName": "Eve"}}, None),
        ({"name": {}}, None),
        ({"name": None}, None),
        ({"email": "jane@mail.example"}, None),
        ({}, None),
    ],
)
def test_the_name_is_of_two_parts(user: Any, name: str | None) -> None:
    assert read_name({"user": json.dumps(user)}) == name
    assert read_name({"user": json.dumps(user, ensure_ascii=False)}) == name


def test_a_form_without_the_field_says_no_name() -> None:
    assert read_name({}) is None
    assert read_name({"user": ""}) is None


@pytest.mark.requirement("R-apple")
@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        '"Jane Doe"',
        "7",
        "Jane",
        "{",
        '{"name": "Jane Doe"}',
        '{"name": ["Jane"]}',
        '{"name": true}',
        '{"name": {"firstName": 7}}',
        '{"name": {"firstName": ["Jane"]}}',
        '{"name": {"firstName": {"x": "Jane"}}}',
        '{"name": {"firstName": true}}',
        '{"name": {"firstName": "Jane\\u0000"}}',
        '{"name": {"firstName": "Jane\\nDoe"}}',
        '{"name": {"firstName": "Jane\\u2028"}}',
        '{"name": {"firstName": "\\ud800"}}',
        '{"name": {"firstName": "Jane", "firstName": "Eve"}}',
        '{"name": {"firstName": "Jane"}, "name": {"firstName": "Eve"}}',
        '{"name": {"firstName": NaN}}',
        json.dumps({"name": {"firstName": "x" * (MAX_PART + 1)}}),
        json.dumps({"name": {"firstName": "Jane"}, "x": "x" * MAX_FIELD}),
        "[" * 2000,
        '{"name":' * 200,
    ],
)
def test_a_hostile_field_says_no_name(text: str) -> None:
    with pytest.raises(DocumentError):
        read_name({"user": text})


@given(st.text())
def test_any_field_can_be_read(text: str) -> None:
    try:
        assert read_name({"user": text.encode("utf-8", "replace").decode()}) is None
    except DocumentError as error:
        assert str(error)
