"""For which claims userinfo is worth a request, which of them decide, and which are to be had elsewhere."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.provider.wanted_claims import WantedClaims
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.attribute_path import AttributePath, FirstOf
from tests.support.settings.providers import provider_settings

#: userinfo is no source of these: they have an address of their own, where the person has too many for a token
OVERAGE = {"_claim_names": {"groups": "src1"}}
ENTRA = {"quirk": "entra", "issuer": "https://login.microsoftonline.com/t/v2.0"}


def paths(text: str) -> frozenset[AttributePath]:
    return frozenset(map(AttributePath.parse, text.split()))


def wanted(*, needs: str = "", wishes: str = "", allow: str | None = None, **settings: Any) -> WantedClaims:
    if allow is not None:
        settings["allow"] = AllowList.parse(allow, Path())
    return WantedClaims(provider_settings(**settings), paths(needs), paths(wishes))


def test_the_subject_what_is_needed_and_what_allow_reads_decide() -> None:
    found = wanted(needs="login.name", wishes="picture", allow="claim:plan.tier=gold")
    assert found.needed() == paths("login.name sub plan.tier")
    assert found.needed_names() == {"login", "sub", "plan"}


def test_what_decides_is_read_anew_from_a_file_of_allow(tmp_path: Path) -> None:
    file = tmp_path / "allow"
    file.write_text("claim:plan=gold\n", encoding="utf-8")
    found = wanted(allow=f"file:{file}")
    assert found.needed_names() == {"sub", "plan"}
    file.write_text("claim:department=sales\n", encoding="utf-8")
    assert found.needed_names() == {"sub", "department"}


@pytest.mark.parametrize(
    ("has_written_map", "names"), [(True, {"picture", "upn", "email", "groups"}), (False, {"picture"})]
)
def test_a_further_address_is_asked_for_every_path_of_a_written_map(
    *, has_written_map: bool, names: set[str]
) -> None:
    attribute_map = {
        "username": FirstOf((AttributePath.parse("upn"), AttributePath.parse("email"))),
        "groups": AttributePath.parse("groups"),
    }
    found = wanted(wishes="picture.large", attribute_map=attribute_map, has_written_map=has_written_map)
    assert found.wished_names() == names


@pytest.mark.parametrize(
    ("known", "lacks"),
    [
        ({"sub": "1", "name": "Jane"}, False),
        ({"sub": "1", "name": "Jane", "picture": None}, False),
        ({"sub": "1", "picture": "x"}, True),
        ({"sub": "1", "name": ""}, True),
        ({"name": "Jane"}, True),
        ({}, True),
    ],
)
def test_what_decides_is_lacking_while_one_claim_of_it_is(known: dict[str, Any], *, lacks: bool) -> None:
    assert wanted(needs="name", wishes="picture").lack_needed(known) is lacks


@pytest.mark.parametrize(
    ("known", "asks"),
    [
        ({"sub": "1", "name": "Jane", "picture": "x"}, False),
        ({"sub": "1", "name": "Jane"}, True),
        ({"sub": "1", "picture": "x"}, True),
        ({}, True),
    ],
)
def test_userinfo_is_asked_when_a_claim_is_lacking(known: dict[str, Any], *, asks: bool) -> None:
    assert wanted(needs="name", wishes="picture").are_worth_a_request(known) is asks


@pytest.mark.parametrize(("userinfo", "asks"), [("always", True), ("never", False)])
@pytest.mark.parametrize("known", [{}, {"sub": "1", "name": "Jane"}])
def test_the_setting_decides_where_it_says_always_or_never(
    userinfo: str, known: dict[str, Any], *, asks: bool
) -> None:
    assert wanted(needs="name", userinfo=userinfo).are_worth_a_request(known) is asks


def test_the_names_of_all_claims_that_are_lacking_are_told() -> None:
    found = wanted(needs="login.name email", wishes="picture.large locale")
    known = {"sub": "1", "email": "jane@corp.example", "locale": "en", "login": {}}
    assert found.absent_from(known) == {"login", "picture"}
    assert found.absent_from({}) == {"sub", "login", "email", "picture", "locale"}
    assert found.absent_from({**known, "login": {"name": "jane"}, "picture": {"large": "x"}}) == set()


@pytest.mark.parametrize("needs", ["groups", "groups[0]"])
def test_userinfo_is_not_asked_for_what_has_an_address_of_its_own(needs: str) -> None:
    known = {"sub": "1", **OVERAGE}
    found = wanted(needs=needs, **ENTRA)
    assert not found.lack_needed(known)
    assert not found.are_worth_a_request(known)


def test_userinfo_is_asked_for_the_rest_beside_what_has_an_address_of_its_own() -> None:
    found = wanted(needs="groups name", wishes="picture", **ENTRA)
    assert found.lack_needed({"sub": "1", **OVERAGE})
    assert not found.lack_needed({"sub": "1", "name": "Jane", **OVERAGE})
    assert found.are_worth_a_request({"sub": "1", "name": "Jane", **OVERAGE})


def test_groups_that_nobody_says_to_be_elsewhere_are_asked_of_userinfo() -> None:
    assert wanted(needs="groups", **ENTRA).lack_needed({"sub": "1"})
    assert wanted(needs="groups").lack_needed({"sub": "1", **OVERAGE})


def test_the_address_that_entra_vouches_for_in_its_own_words_is_not_asked_for_again() -> None:
    known = {"sub": "1", "xms_edov": 1}
    assert not wanted(needs="email_verified", **ENTRA).are_worth_a_request(known)
    assert wanted(needs="email_verified").are_worth_a_request(known)


def test_it_is_never_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        wanted().needs = frozenset()  # type: ignore[misc]  # frozen
