"""Which source says what about a person, and which of two says it where both do."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import ProviderError, TokenError
from oauth2_mw.provider.claim_sources import (
    KnownClaims,
    check_about_same,
    given_by,
    merge_claims,
    with_verification,
    without_protocol_claims,
)

ADDRESSES = st.sampled_from(["jane@corp.example", "ceo@corp.example", "", None])
VERDICTS: st.SearchStrategy[Any] = st.sampled_from(
    [True, False, None, "true", "false", "", "1", "0", 1, 0, 2, []]
)
SOURCES = st.fixed_dictionaries(
    {}, optional={"email": ADDRESSES, "email_verified": VERDICTS, "sub": ADDRESSES}
)
PROOFS = [("email_verified", "email"), ("xms_edov", "email"), ("phone_number_verified", "phone_number")]


def test_each_claim_has_one_source() -> None:
    known = KnownClaims(
        {"sub": "1", "email": "a", "name": "Jane"}, from_userinfo=frozenset({"email", "picture"})
    )
    assert known.proved_otherwise == {"sub": "1", "name": "Jane"}
    assert known.given_by_userinfo == {"email": "a"}


def test_what_is_known_is_in_no_repr_and_never_changed() -> None:
    known = KnownClaims({"email": "jane@corp.example"})
    assert "jane" not in repr(known)
    with pytest.raises(FrozenInstanceError):
        known.claims = {}  # type: ignore[misc]  # frozen


def test_what_is_about_the_response_is_not_about_the_person() -> None:
    of_person = {"sub": "1", "email": "a", "auth_time": 7}
    of_response = {"nonce": "n", "at_hash": "a", "c_hash": "c", "s_hash": "s"}
    assert without_protocol_claims(of_person | of_response) == of_person


def test_userinfo_gives_all_that_it_holds_but_the_subject() -> None:
    assert given_by({"sub": "1", "email": "a", "name": None}) == {"email", "name"}
    assert given_by({}) == set()
    assert given_by(None) == set()


@pytest.mark.parametrize("sub", ["other", "", None, 1, ["1"], "1 "])
def test_userinfo_about_somebody_else_is_refused(sub: Any) -> None:
    with pytest.raises(TokenError) as refused:
        check_about_same({"sub": sub}, {"sub": "1"})
    assert refused.value.code == "userinfo_subject"


def test_userinfo_about_the_same_person_is_not_refused() -> None:
    check_about_same({"sub": "1", "email": "a"}, {"sub": "1"})


def test_userinfo_that_does_not_say_whom_it_is_about_is_not_used() -> None:
    for known in ({"sub": "1"}, {}):
        with pytest.raises(ProviderError) as refused:
            check_about_same({"email": "a"}, known)
        assert refused.value.code == "userinfo"


def test_the_first_source_counts_where_both_say_something() -> None:
    merged = merge_claims({"sub": "1", "name": "Jane"}, {"sub": "2", "name": "Joe", "picture": "x"})
    assert merged == {"sub": "1", "name": "Jane", "picture": "x"}


@pytest.mark.parametrize(("proof", "proven"), PROOFS)
@pytest.mark.parametrize("said", [True, "true", "1", 1])
def test_a_proof_is_for_the_value_of_its_own_source(proof: str, proven: str, said: Any) -> None:
    """Values are tried in both orders: none is proved by sorting before the other."""
    for one, other in (("a", "b"), ("b", "a")):
        first, second = {proven: one}, {proven: other, proof: said}
        assert merge_claims(first, second) == {proven: one}
        assert merge_claims(second, first) == {proven: other, proof: said}
    assert merge_claims({proven: "a"}, {proven: "a", proof: said}) == {proven: "a", proof: said}
    assert merge_claims({}, {proven: "a", proof: said}) == {proven: "a", proof: said}
    assert merge_claims({proven: "a", proof: said}, {}) == {proven: "a", proof: said}


@pytest.mark.parametrize(("proof", "proven"), PROOFS)
@pytest.mark.parametrize("said", [False, "false", 0, 2, "yes", []])
def test_whatever_speaks_against_a_value_counts_from_any_source(proof: str, proven: str, said: Any) -> None:
    against, silent = {proven: "b", proof: said}, {proven: "a"}
    assert merge_claims(silent, against) == {proven: "a", proof: said}
    assert merge_claims(against, silent) == {proven: "b", proof: said}


def test_the_verdict_of_the_first_source_counts_before_that_of_the_second() -> None:
    address = {"email": "a"}
    assert merge_claims({**address, "email_verified": False}, {**address, "email_verified": True}) == {
        **address,
        "email_verified": False,
    }
    assert merge_claims({**address, "email_verified": None}, {**address, "email_verified": True}) == {
        **address,
        "email_verified": True,
    }


@given(first=SOURCES, second=SOURCES)
def test_no_address_is_verified_but_by_a_source_that_has_it(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    merged = merge_claims(first, second)
    if merged.get("email_verified") in (True, "true", "1"):
        assert any(
            source.get("email_verified") == merged["email_verified"]
            and source.get("email") == merged.get("email")
            for source in (first, second)
        )


@pytest.mark.parametrize(
    ("claims", "verified"),
    [
        ({"xms_edov": True}, True),
        ({"xms_edov": 1}, True),
        ({"xms_edov": "1"}, True),
        ({"xms_edov": "true"}, True),
        ({"xms_edov": False}, False),
        ({"xms_edov": 0}, False),
        ({"xms_edov": "0"}, False),
        ({"xms_edov": "yes"}, False),
        ({"xms_edov": [True]}, False),
        ({"xms_edov": True, "email_verified": False}, False),
        ({"xms_edov": False, "email_verified": True}, True),
        ({"xms_edov": True, "email_verified": None}, True),
        ({"xms_edov": None}, None),
        ({}, None),
    ],
)
def test_entra_says_by_another_claim_that_an_address_is_verified(
    claims: dict[str, Any], *, verified: bool | None
) -> None:
    assert with_verification(claims, "entra").get("email_verified") is verified


@pytest.mark.parametrize("quirk", [None, "github"])
def test_nobody_else_says_it_so(quirk: Any) -> None:
    assert with_verification({"xms_edov": True}, quirk) == {"xms_edov": True}
