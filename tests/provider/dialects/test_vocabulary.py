"""The words of a provider in those of the specification: an error is one under any name, and nobody is two people."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import OAuth2Error, ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.dialects.vocabulary import Vocabulary, check_same_person, rename_parameters
from oauth2_mw.provider.endpoints.client_request import LATER
from oauth2_mw.provider.http.messages import Response

WORDS = Vocabulary(
    error="errcode",
    description="errmsg",
    meanings={"40029": "invalid_grant", "-1": LATER, "busy": LATER},
    names={"accessToken": "access_token"},
    claims=("openid", "unionid"),
)
URL = "https://op.example/userinfo"
TOKEN = "the token+"


def refusal(document: Any, *, status: int = 200) -> OAuth2Error:
    with pytest.raises((ProviderError, ProviderUnavailableError)) as refused:
        read(document, status=status)
    return refused.value


def read(document: Any, *, status: int = 200) -> dict[str, Any]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return WORDS.read_userinfo(Response(status, "application/json", body, {}, URL), secrets=[TOKEN])


# Tokens


def test_members_get_their_standard_names_and_all_others_are_left_out() -> None:
    document = {
        "accessToken": "a",
        "openid": "o",
        "access_token": "evil",
        "errcode": 0,
        "errmsg": "ok",
        "x": 1,
    }
    assert WORDS.translate(document) == {"access_token": "a", "openid": "o"}


def test_the_claims_of_a_response_are_those_that_the_provider_has() -> None:
    assert WORDS.claims_in({"openid": "o", "access_token": "a"}) == {"openid": "o"}
    with pytest.raises(TypeError):
        WORDS.claims_in({})["openid"] = "o"  # type: ignore[index]  # read-only


def test_it_is_never_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        WORDS.error = "code"  # type: ignore[misc]  # frozen


# Errors


@pytest.mark.parametrize("code", [0, "0", None])
def test_a_code_that_stands_for_success_is_no_error(code: Any) -> None:
    assert WORDS.error_in({"errcode": code, "errmsg": "ok"}) == {}
    assert WORDS.error_in({"errcode": code, "error": "invalid_grant", "error_description": "old"}) == {
        "error": "invalid_grant",
        "error_description": "old",
    }


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (40029, "invalid_grant", "40029"),
        ("40029", "invalid_grant", "40029"),
        (-1, LATER, "-1"),
        (1, "1", "1"),
        ("00", "00", "00"),
        ("", "", ""),
        (False, "False", "False"),
        (True, "True", "True"),
        (0.0, "0.0", "0.0"),
        ([], "[]", "[]"),
        ({}, "{}", "{}"),
    ],
)
def test_any_other_code_is_an_error(code: Any, error: str, text: str) -> None:
    assert WORDS.error_in({"errcode": code}) == {"error": error, "error_description": f"errcode {text}"}
    described = WORDS.error_in({"errcode": code, "errmsg": "why", "error_description": "other", "error": "x"})
    assert described == {"error": error, "error_description": f"errcode {text}: why"}
    assert WORDS.error_in({"errcode": code, "error_description": "other"})["error_description"] == (
        f"errcode {text}: other"
    )


def test_an_error_beside_tokens_is_an_error() -> None:
    assert WORDS.translate({"accessToken": "a", "errcode": 40029})["error"] == "invalid_grant"
    assert WORDS.translate({"accessToken": "a", "error": "invalid_grant"})["error"] == "invalid_grant"


# Userinfo


def test_userinfo_is_read_with_what_it_holds() -> None:
    assert read({"errcode": 0, "openid": "o", "nickname": "Jane", "city": ""}) == {
        "errcode": 0,
        "openid": "o",
        "nickname": "Jane",
    }


@pytest.mark.parametrize(
    "document", [{"openid": "o", "errcode": 40001}, {"openid": "o", "error": "invalid_token"}]
)
def test_userinfo_that_holds_an_error_is_refused(document: dict[str, Any]) -> None:
    assert refusal(document).code == "userinfo_refused"


@pytest.mark.parametrize("code", [-1, "busy"])
def test_an_error_that_passes_by_itself_is_no_refusal(code: Any) -> None:
    assert isinstance(refusal({"errcode": code}), ProviderUnavailableError)


@pytest.mark.parametrize("error", ["a", "z", "temporarily_unavailabl", "temporarily_unavailable2"])
def test_every_other_error_is_a_refusal(error: str) -> None:
    assert refusal({"error": error}).code == "userinfo_refused"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_of_the_provider_passes_whatever_its_body_says(status: int) -> None:
    for document in ({"openid": "o"}, {"errcode": 40001}, b"<html>"):
        assert isinstance(refusal(document, status=status), ProviderUnavailableError)


@pytest.mark.parametrize("document", [b"", b"<html>", [], "o", 7, None])
def test_what_is_no_object_is_no_userinfo(document: Any) -> None:
    assert refusal(document).code == "userinfo"


def test_an_error_that_repeats_what_was_sent_tells_no_secret() -> None:
    detail = refusal({"errcode": 40001, "errmsg": "bad the token+, the+token%2B"}).detail
    assert "errcode 40001: bad [hidden], [hidden]" in detail


# Whose they are


@pytest.mark.requirement("R-dialects")
@pytest.mark.parametrize("name", ["openid", "unionid"])
def test_userinfo_about_another_person_than_the_token_is_refused(name: str) -> None:
    known = {"openid": "o", "unionid": "u"}
    with pytest.raises(TokenError) as refused:
        check_same_person({**known, name: "another"}, known)
    assert refused.value.code == "subject_changed"


def test_userinfo_adds_to_what_came_with_the_token() -> None:
    known = {"openid": "o", "unionid": "u"}
    assert check_same_person({"openid": "o", "nickname": "Jane"}, known) == {**known, "nickname": "Jane"}


# Addresses

NAMES = st.sampled_from(["client_id", "appid", "response_type", "state", "a b", "é"])


@given(st.lists(st.tuples(NAMES, st.text(max_size=5)), max_size=6))
def test_a_parameter_goes_by_its_new_name_alone(pairs: list[tuple[str, str]]) -> None:
    renaming = {"client_id": "appid", "response_type": None}
    renamed = rename_parameters(f"https://op.example/x?{urlencode(pairs)}", renaming)
    found = parse_qsl(urlsplit(renamed).query, keep_blank_values=True)
    assert [value for name, value in found if name == "appid"] == [
        value for name, value in pairs if name == "client_id"
    ]
    others = ("client_id", "appid", "response_type")
    assert [pair for pair in found if pair[0] != "appid"] == [pair for pair in pairs if pair[0] not in others]
