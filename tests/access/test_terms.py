"""What a term says of a person, and when two spellings are one address."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from oauth2_mw.access.terms import MAX_ADDRESS, Person, applies, canonical_address, holds
from oauth2_mw.settings.grammar import AllowTerm


def person(**changes: Any) -> Person:
    known: dict[str, Any] = {
        "provider": "corp",
        "username": "jane",
        "email": "jane@example.com",
        "groups": ("staff",),
        "organizations": (),
        "claims": {},
        "acr": "silver",
    }
    return Person(**{**known, **changes})


def test_a_person_is_a_value() -> None:
    with pytest.raises(FrozenInstanceError):
        person().username = "bob"  # type: ignore[misc]


@pytest.mark.requirement("3k.4")
@pytest.mark.parametrize(
    "text", ["@example.com", "jane@", "jane", "@", "", "a@b@example.com", "ja\0ne@example.com"]
)
def test_what_is_no_address_is_nobodys(text: str) -> None:
    assert canonical_address(text) is None
    assert not applies(AllowTerm("email_domain", "example.com"), person(email=text))


def test_an_address_has_an_end() -> None:
    assert MAX_ADDRESS == 320
    fits = "a" * (MAX_ADDRESS - len("@example.com")) + "@example.com"
    assert canonical_address(fits) == (fits.partition("@")[0], "example.com")
    assert canonical_address("a" + fits) is None


@pytest.mark.parametrize(
    ("acr", "passes"), [("silver", True), ("gold", False), ("tin", False), ("", False), (None, False)]
)
def test_an_acr_is_compared_exactly(acr: str | None, passes: Any) -> None:
    assert applies(AllowTerm("acr", "silver"), person(acr=acr)) is passes


@pytest.mark.parametrize(("scopes", "passes"), [(("read", "write"), True), (("Read",), False), ((), False)])
def test_a_scope_is_one_of_those_of_the_token(scopes: tuple[str, ...], passes: Any) -> None:
    assert applies(AllowTerm("scope", "read"), person(scopes=scopes)) is passes
    assert not applies(AllowTerm("scope", "read"), person())


def test_one_alternative_of_which_every_term_applies_suffices() -> None:
    staff, bob = AllowTerm("group", "staff"), AllowTerm("user", "bob")
    assert holds([[bob], [staff]], person())
    assert not holds([[bob, staff]], person())
    assert not holds([], person())
