"""Which address is its owner's: what proves it, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.verification import (
    address_key,
    check_username_verified,
    counted_address,
    counts_addresses,
    is_verified,
    keep_verification,
    proven_address,
    shown_verification,
    verification_claims,
)
from oauth2_mw.settings.attribute_path import AttributePath, FirstOf, Source
from oauth2_mw.settings.model import ProviderSettings
from tests.support.settings.providers import provider_settings

JANE = "jane@corp.example"
#: what a provider may say in ``email_verified``, beside ``true``
NO_PROOFS = [False, "true", "True", "1", 1, "false", [], [True], {}, 1.0]


def path(text: str) -> Source:
    alternatives = tuple(map(AttributePath.parse, text.split()))
    return alternatives[0] if len(alternatives) == 1 else FirstOf(alternatives)


def provider(email_verified: str = "claim", **attribute_map: str) -> ProviderSettings:
    """A provider with those paths beside the username from ``email``."""
    paths = {"username": "email", "email": "email", **attribute_map}
    return provider_settings(
        email_verified=email_verified, attribute_map={name: path(text) for name, text in paths.items()}
    )


# Verified


@pytest.mark.parametrize("claims", [{}, {"email_verified": True}, {"email_verified": False}], ids=str)
def test_a_setting_may_settle_it(claims: dict[str, Any]) -> None:
    assert is_verified(provider("always"), "email", claims) is True
    assert is_verified(provider("never"), "email", claims) is False


def test_true_proves_the_claim_email_and_nothing_says_nothing() -> None:
    for setting in ("claim", "text"):
        assert is_verified(provider(setting), "email", {"email": JANE, "email_verified": True}) is True
        for absent in ({}, {"email_verified": None}):
            assert is_verified(provider(setting), "email", {"email": JANE, **absent}) is None


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize("said", NO_PROOFS, ids=repr)
def test_anything_but_true_speaks_against_every_address(said: Any) -> None:
    claims = {"email": JANE, "mail": JANE, "email_verified": said}
    assert is_verified(provider(), "email", claims) is False
    assert is_verified(provider(email="mail"), "email", claims) is False
    assert is_verified(provider("text"), "email", claims) is (said == "true")


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize("source", ["mail", "emails[0]", "user.email", "mail email"])
def test_true_proves_no_other_claim_than_email(source: str) -> None:
    claims = {"mail": JANE, "emails": [JANE], "user": {"email": JANE}, "email": JANE, "email_verified": True}
    assert is_verified(provider(email=source), "email", claims) is None
    assert proven_address(provider(email=source), claims) is None
    # Of several paths the one counts that the value is read from.
    assert is_verified(provider(email="mail email"), "email", {"email": JANE, "email_verified": True}) is True


def test_a_field_without_a_path_is_not_verified() -> None:
    assert is_verified(provider_settings(attribute_map={}), "email", {"email_verified": True}) is None
    assert (
        proven_address(provider_settings(attribute_map={}), {"email": JANE, "email_verified": True}) is None
    )


# Proven, so that a person becomes the user of another provider


def test_an_address_is_proven_in_its_one_spelling() -> None:
    claims = {"email": "Jane@CORP.example", "email_verified": True}
    for setting in ("claim", "text"):
        assert proven_address(provider(setting), claims) == address_key(JANE)
    assert address_key("jane@corp.example") == "jane@corp.example"


@pytest.mark.parametrize("said", [None, *NO_PROOFS], ids=repr)
@pytest.mark.parametrize("setting", ["claim", "text", "always", "never"])
def test_nothing_but_json_true_proves_an_address(setting: str, said: Any) -> None:
    assert proven_address(provider(setting), {"email": JANE, "email_verified": said}) is None


@pytest.mark.parametrize("setting", ["always", "never"])
def test_a_setting_proves_no_address(setting: str) -> None:
    assert proven_address(provider(setting), {"email": JANE, "email_verified": True}) is None


@pytest.mark.parametrize("email", [None, 7, [JANE], {}, "", "jane", "@corp.example", "a@b@c"], ids=repr)
def test_what_is_no_address_has_no_key(email: Any) -> None:
    assert address_key(email) is None
    assert proven_address(provider(), {"email": email, "email_verified": True}) is None


# Counted, so that a person takes the place that an operator has made


@pytest.mark.requirement("R-users-add")
def test_an_address_that_counts_is_told_in_its_one_spelling() -> None:
    claims = {"email": "Jane@CORP.example", "email_verified": True}
    assert counted_address(provider(), claims) == address_key(JANE)
    # What is no claim, but sorts before that of the standard.
    assert counted_address(provider(email="address"), {**claims, "address": JANE}) is None
    said = {"email": JANE, "email_verified": "true"}
    assert counted_address(provider("text"), said) == address_key(JANE)
    assert counted_address(provider("claim"), said) is None


@pytest.mark.requirement("R-users-add")
@pytest.mark.parametrize("said", [None, False, "True", 1], ids=repr)
def test_an_address_that_nothing_verifies_does_not_count(said: Any) -> None:
    for setting in ("claim", "text"):
        assert counted_address(provider(setting), {"email": JANE, "email_verified": said}) is None


@pytest.mark.requirement("R-users-add")
@pytest.mark.parametrize("setting", ["always", "never"])
def test_a_setting_makes_no_address_count(setting: str) -> None:
    assert not counts_addresses(provider(setting))
    assert counted_address(provider(setting), {"email": JANE, "email_verified": True}) is None


@pytest.mark.requirement("R-users-add")
def test_of_several_tenants_no_address_counts() -> None:
    one = replace(provider(), issuer="https://login.example/{tenantid}/v2.0", tenants=("a",))
    several = replace(one, tenants=("a", "b"))
    claims = {"email": JANE, "email_verified": True}
    assert (counts_addresses(one), counted_address(one, claims)) == (True, address_key(JANE))
    assert (counts_addresses(several), counted_address(several, claims)) == (False, None)


# A username that is an address


def refusal(settings: ProviderSettings, **claims: Any) -> AccessDeniedError | None:
    try:
        check_username_verified(settings, claims)
    except AccessDeniedError as refused:
        assert refused.code == "email_not_verified"
        return refused
    return None


@pytest.mark.requirement("R-verified")
@pytest.mark.parametrize("said", [None, False, "true", 1], ids=repr)
def test_an_address_that_is_not_verified_is_nobodys_name(said: Any) -> None:
    refused = refusal(provider(), email=JANE, email_verified=said)
    assert refused is not None
    assert f"email_verified is {shown_verification({'email_verified': said})}:" in refused.detail


def test_an_address_that_is_verified_is_a_name() -> None:
    assert refusal(provider(), email=JANE, email_verified=True) is None
    assert refusal(provider("always"), email=JANE) is None
    assert refusal(provider("text"), email=JANE, email_verified="true") is None


def test_a_name_that_is_no_address_need_not_be_verified() -> None:
    assert refusal(provider(username="login"), login="jane", email=JANE, email_verified=False) is None
    assert refusal(provider(username="login email"), login="jane", email=JANE) is None
    assert refusal(provider(username="login email"), email=JANE) is not None


@pytest.mark.parametrize(
    ("setting", "username", "asks"),
    [
        ("claim", "email", True),
        ("text", "email", True),
        ("always", "email", False),
        ("never", "email", False),
        ("claim", "login", False),
    ],
)
def test_userinfo_is_asked_where_it_decides_about_the_name(
    setting: str, username: str, *, asks: bool
) -> None:
    found = verification_claims(provider(setting, username=username))
    assert found == ({AttributePath.parse("email_verified")} if asks else frozenset())


# After a refresh


@pytest.mark.parametrize("kept", [True, False, "true"])
def test_a_poorer_answer_about_the_same_address_takes_nothing_back(kept: Any) -> None:
    previous = {"email": JANE, "email_verified": kept}
    for poorer in ({"email": JANE}, {"email": JANE, "email_verified": None}):
        assert keep_verification(poorer, previous) == {"email": JANE, "email_verified": kept}


@pytest.mark.parametrize(
    ("claims", "previous"),
    [
        ({"email": JANE, "email_verified": False}, {"email": JANE, "email_verified": True}),
        ({"email": "ceo@corp.example"}, {"email": JANE, "email_verified": True}),
        ({"name": "Jane"}, {"email": JANE, "email_verified": True}),
        ({"email": JANE}, {"email": JANE}),
        ({"email": JANE}, {"email": JANE, "email_verified": None}),
    ],
    ids=str,
)
def test_another_answer_or_address_counts_as_it_came(
    claims: dict[str, Any], previous: dict[str, Any]
) -> None:
    assert keep_verification(claims, previous) == claims


# For people


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (None, "absent"),
        (True, "true"),
        (False, "false"),
        ("true", "a text 'true', not a JSON boolean"),
        ("x" * 30, f"a text '{'x' * 20}', not a JSON boolean"),
        (1, "a number, not a JSON boolean"),
        ([], "a list, not a JSON boolean"),
    ],
    ids=repr,
)
def test_what_was_said_is_shown(said: Any, text: str) -> None:
    assert shown_verification({"email_verified": said}) == text


@given(st.text())
def test_whatever_was_said_is_shown_on_one_line(said: str) -> None:
    assert shown_verification({"email_verified": said}).isascii()
    assert shown_verification({"email_verified": said}).isprintable()
