"""``link_by = verified_email``: whose accounts at two providers become one user, and whose do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.model import Identity
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.warnings import warnings
from tests.support.hosts.guarded import guarded
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET, oidc, problems, service
from tests.support.settings.people import NOW

ISSUERS = {"corp": "https://corp.example", "partner": "https://partner.example"}
ADDRESS = "jane@mail.example"
PROVEN: dict[str, Any] = {"email": ADDRESS, "email_verified": True}
EMAIL_MAP = '{"username": "preferred_username", "email": "contact"}'


def link_settings(*, link_by: str = "verified_email", partner: Any = None, **keys: Any) -> dict[str, Any]:
    providers = {f"provider:{name}": oidc(issuer=issuer) for name, issuer in ISSUERS.items()}
    providers["provider:partner"] |= partner or {}
    return service(directory="sqlite:////nowhere.db", link_by=link_by, **keys, **providers)


class People:
    """Sign-ins of people at two providers, into one directory."""

    def __init__(self, directory: Directory, **keys: Any) -> None:
        self.settings = Settings.from_mapping(link_settings(**keys))
        self.directory = directory
        self.admission = Admission(self.settings, directory)

    def sign_in(
        self, provider: str, subject: str, username: str, *, again: bool = False, **claims: Any
    ) -> Identity:
        admit = self.admission.admit_again if again else self.admission.admit
        return admit(
            self.settings.providers[provider],
            issuer=ISSUERS[provider],
            subject=subject,
            claims={"sub": subject, "preferred_username": username, **claims},
            now=NOW,
        )


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(Secret.literal(f"sqlite:///{tmp_path / 'users.db'}"))


@pytest.mark.requirement("R-link")
def test_one_person_at_two_providers_is_one_user(directory: Directory) -> None:
    people = People(directory)
    jane = people.sign_in("corp", "1", "jane", email=ADDRESS, email_verified=True)
    linked = people.sign_in("partner", "77", "jane.doe", email=ADDRESS, email_verified=True)
    assert (linked.id, linked.issuer, linked.subject) == (jane.id, ISSUERS["partner"], "77")
    assert len([*directory.users()]) == 1


@pytest.mark.requirement("R-link")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("verified", [None, False, "true", "TRUE", 1, "1", [True], {"value": True}])
@pytest.mark.parametrize("mode", ["claim", "text"])
def test_only_json_true_links_on_either_side(
    directory: Directory, verified: Any, mode: str, *, first: bool
) -> None:
    people = People(directory, partner={"email_verified": mode})
    claims = [{"email": ADDRESS, "email_verified": verified}, {"email": ADDRESS, "email_verified": True}]
    weak, strong = claims if first else reversed(claims)
    one = people.sign_in("partner", "1", "jane", **weak)
    other = people.sign_in("corp", "77", "jane.doe", **strong)
    assert one.id != other.id


@pytest.mark.requirement("R-link")
@pytest.mark.parametrize(
    ("partner", "claims"),
    [
        ({"email_verified": "never"}, {"email": ADDRESS, "email_verified": True}),
        # The proof is about the claim email, and about no other.
        ({"attribute_map": EMAIL_MAP}, {"contact": ADDRESS, "email_verified": True}),
        (
            {"attribute_map": EMAIL_MAP},
            {"contact": ADDRESS, "email": "x@mail.example", "email_verified": True},
        ),
        (
            {"attribute_map": EMAIL_MAP},
            {"contact": "x@mail.example", "email": ADDRESS, "email_verified": True},
        ),
    ],
)
def test_what_the_settings_do_not_count_links_nobody(
    directory: Directory, partner: dict[str, str], claims: dict[str, Any]
) -> None:
    people = People(directory, partner=partner)
    jane = people.sign_in("corp", "1", "jane", email=ADDRESS, email_verified=True)
    assert people.sign_in("partner", "77", "joan", **claims).id != jane.id


@pytest.mark.requirement("R-link")
def test_a_stranger_with_somebodys_address_unproven_is_linked_to_nobody_now_or_later(
    directory: Directory,
) -> None:
    """The account that waits for its victim (pre-hijacking): its address was never proven."""
    people = People(directory)
    stranger = people.sign_in("partner", "evil", "eve", email=ADDRESS)
    jane = people.sign_in("corp", "1", "jane", email=ADDRESS, email_verified=True)
    assert jane.id != stranger.id
    # Nor does a later visit of hers, or a refresh, that changes her account.
    assert people.sign_in("partner", "evil", "eve", email=ADDRESS).id == stranger.id


@pytest.mark.requirement("R-link")
@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("Jane@Mail.Example", True),
        (" jane@mail.example ", False),
        ("jane@mail.example.", False),
        ("jane+x@mail.example", False),
        ("j.ane@mail.example", False),
        ("jan\uff45@mail.example", False),
        ("jan\u0435@mail.example", False),
        ("jane@m\u0430il.example", False),
        ("jane@evil.example@mail.example", False),
        ("jane@mail.example\x00", False),
        ("@mail.example", False),
    ],
)
def test_addresses_are_one_where_no_letter_of_another_alphabet_decides(
    directory: Directory, address: str, *, same: bool
) -> None:
    people = People(directory)
    jane = people.sign_in("corp", "1", "jane", email=ADDRESS, email_verified=True)
    other = people.sign_in("partner", "77", "joan", email=address, email_verified=True)
    assert (other.id == jane.id) is same


def test_the_spellings_of_a_domain_are_one_address(directory: Directory) -> None:
    people = People(directory)
    jane = people.sign_in("corp", "1", "jane", email="jane@b\u00fccher.example", email_verified=True)
    email = "jane@xn--bcher-kva.example"
    assert people.sign_in("partner", "77", "joan", email=email, email_verified=True).id == jane.id


def test_the_letters_that_fold_to_ascii_are_not_ascii(directory: Directory) -> None:
    """GitHub's and Django's password resets took the Kelvin sign for a k, and a dotless i for an i."""
    people = People(directory)
    mike = people.sign_in("corp", "1", "mike", email="mike@mail.example", email_verified=True)
    for number, address in enumerate(
        ("mi\u212ae@mail.example", "m\u0131ke@mail.example", "m\u0130ke@mail.example")
    ):
        other = people.sign_in("partner", f"7{number}", f"x{number}", email=address, email_verified=True)
        assert other.id != mike.id


def test_nobody_is_linked_by_default_or_by_a_refresh(directory: Directory) -> None:
    jane = People(directory, link_by="none").sign_in("corp", "1", "jane", **PROVEN)
    with pytest.raises(AccessDeniedError) as refusal:
        People(directory).sign_in("partner", "77", "joan", again=True, **PROVEN)
    assert refusal.value.code == "user_unknown"
    assert People(directory, link_by="none").sign_in("partner", "77", "joan", **PROVEN).id != jane.id


def test_who_is_linked_needs_no_create_users(directory: Directory) -> None:
    people = People(directory, create_users="false")
    jane = People(directory).sign_in("corp", "1", "jane", **PROVEN)
    assert people.sign_in("partner", "77", "joan", **PROVEN).id == jane.id
    with pytest.raises(AccessDeniedError):
        people.sign_in("partner", "78", "joan", email="x@mail.example", email_verified=True)


@pytest.mark.requirement("R-link")
def test_judged_is_the_user_who_is_linked(directory: Directory) -> None:
    """And who may not enter leaves no link."""
    jane = People(directory).sign_in("corp", "1", "jane", **PROVEN)
    with pytest.raises(AccessDeniedError) as refusal:
        People(directory, partner={"allow": "group:admin"}).sign_in(
            "partner", "77", "joan", groups=["admin"], **PROVEN
        )
    assert refusal.value.code == "not_allowed"
    assert directory.links(jane.id) == []


@pytest.mark.requirement("R-link")
def test_who_was_unlinked_is_judged_and_signed_in_as_somebody_else(directory: Directory) -> None:
    jane = People(directory).sign_in("corp", "1", "jane", groups=["admin"], **PROVEN)
    people = People(directory)
    assert people.sign_in("partner", "77", "joan", **PROVEN).id == jane.id
    directory.unlink(ISSUERS["partner"], "77")
    with pytest.raises(AccessDeniedError) as refusal:
        People(directory, partner={"allow": "group:admin"}).sign_in("partner", "77", "joan", **PROVEN)
    assert refusal.value.code == "not_allowed"
    assert len([*directory.users()]) == 1
    assert people.sign_in("partner", "77", "eve", **PROVEN).id != jane.id


# Settings


@pytest.mark.requirement("R-link")
def test_an_address_that_counts_by_a_setting_alone_links_nobody() -> None:
    (found,) = problems(link_settings(partner={"email_verified": "always"}))
    assert "[provider:partner] email_verified: always is wrong with link_by = verified_email" in found


def test_linking_needs_a_directory() -> None:
    (found,) = problems(service(link_by="verified_email", **oidc()))
    assert "link_by: needs a directory" in found


def test_what_linking_means_is_put_in_words() -> None:
    found = [line for line in warnings(Settings.from_mapping(link_settings())) if "link_by" in line]
    assert len(found) == 1
    assert "each provider decides by its word alone" in found[0]


# The whole way


def test_two_sign_ins_of_one_person_at_two_providers_are_one_user_to_the_application(tmp_path: Path) -> None:
    with StandIn(client_id="app") as corp, StandIn(client_id="app") as partner:
        for number, provider in enumerate((corp, partner)):
            provider.userinfo = {"sub": f"{number}", "preferred_username": "jane", **PROVEN}
            provider.claims = {"sub": f"{number}", "preferred_username": "jane", **PROVEN}
        providers = {
            f"provider:{name}": {"issuer": each.issuer, "client_id": "app", "client_secret": CLIENT_SECRET}
            for name, each in (("corp", corp), ("partner", partner))
        }
        url = f"sqlite:///{tmp_path}/users.db"
        keys = {"client_id": None, "client_secret": None, "directory": url, "link_by": "verified_email"}
        with guarded(**keys, **providers) as site:
            for name in ("corp", "partner"):
                site.browser().navigate(f"{site.url}/auth/oauth2/login/{name}/")
        (user,) = Directory(Secret.literal(url)).users()
        identities = [seen["Identity"] for seen in site.app.seen]
        assert [each.provider for each in identities] == ["corp", "partner"]
        assert {each.id for each in identities} == {user.id}
        assert [line for line in site.audit if "event=user_linked" in line]
