"""Who somebody is: accounts that are taken over by names, addresses and clever claims."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import ConfigError, OAuth2Error
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.model import Identity
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings import presets
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from tests.support.browser.jar import Browser
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import LEFT_OUT, StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import ORIGIN, make_settings
from tests.support.settings.people import ISSUER, NOW, attributes, provider


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn(client_id="app") as standin:
        yield standin


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(Secret.literal(f"sqlite:///{tmp_path / 'users.db'}"))


@pytest.fixture
def site(standin: StandIn, tmp_path: Path) -> Iterator[Guarded]:
    with guarded(issuer=standin.issuer, directory=f"sqlite:///{tmp_path / 'users.db'}") as site:
        yield site


def seen_by_the_application(browser: Browser, site: Guarded) -> Identity | None:
    page = browser.navigate(site.url + "/")
    return site.app.seen[-1]["Identity"] if page.status == 200 else None


@pytest.mark.requirement("N2.6.16", "V32", "3k.1")
@pytest.mark.parametrize(
    "same",
    [
        {"email": "jane@example.com", "email_verified": True},
        {"name": "Jane Doe", "phone_number": "7"},
        {"upn": "jane@example.com", "unique_name": "jane", "nickname": "jane"},
    ],
)
def test_two_people_are_two_users_whatever_they_share(
    site: Guarded, standin: StandIn, same: dict[str, Any]
) -> None:
    ids = []
    for number in (1, 2):
        standin.userinfo = {"sub": f"user-{number}", "preferred_username": f"jane{number}", **same}
        identity = seen_by_the_application(site.browser(), site)
        assert identity is not None
        ids.append(identity.id)
    assert ids[0] != ids[1]


@pytest.mark.requirement("N2.6.16", "V32")
def test_one_person_whose_every_claim_changed_is_one_user(site: Guarded, standin: StandIn) -> None:
    before = seen_by_the_application(site.browser(), site)
    standin.userinfo = {
        "sub": "user-1",
        "preferred_username": "joan",
        "email": "joan@other.example",
        "name": "Joan",
    }
    after = seen_by_the_application(site.browser(), site)
    assert before is not None
    assert after is not None
    assert (after.id, after.username) == (before.id, "joan")


@pytest.mark.requirement("3k.2", "V32")
@pytest.mark.parametrize(
    "claim",
    [
        "email",
        "preferred_username",
        "upn",
        "unique_name",
        "name",
        "login",
        "nickname",
        "phone_number",
        "EMAIL",
    ],
)
def test_a_claim_that_people_can_change_is_no_subject(claim: str) -> None:
    with pytest.raises(ConfigError, match="subject"):
        make_settings(issuer="https://id.example", subject=claim)


@pytest.mark.requirement("3k.3")
def test_a_person_of_a_microsoft_tenant_is_their_object_id() -> None:
    settings = Settings.from_mapping(
        {
            "public_url": ORIGIN,
            "secret_keys": text_key(),
            "preset": "microsoft",
            "issuer": "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000001/v2.0",
            "client_id": "app",
            "client_secret": "x",
            "directory": "sqlite:///users.db",
        }
    )
    microsoft = settings.providers["default"]
    assert microsoft.subject.text == "oid"
    assert "email" not in microsoft.attribute_map


@pytest.mark.requirement("3k.12")
@pytest.mark.parametrize("tenant", ["common", "organizations", "consumers"])
def test_an_issuer_that_stands_for_many_tenants_does_not_start(tenant: str) -> None:
    with pytest.raises(ConfigError, match="tenants"):
        make_settings(issuer=f"https://login.microsoftonline.com/{tenant}/v2.0")


@pytest.mark.requirement("3k.12")
@pytest.mark.parametrize(
    "preset", [name for name in presets.names() if presets.read(name, Path()).public and name != "microsoft"]
)
def test_a_provider_that_anyone_can_join_does_not_start_without_allow(preset: str) -> None:
    with pytest.raises(ConfigError, match="allow"):
        make_settings(preset=preset)


@pytest.mark.requirement("3k.5", "V31")
def test_subjects_that_look_alike_are_different_users(site: Guarded, standin: StandIn) -> None:
    subjects = ["abc", "ABC", "abc ", "caf\u00e9", "cafe\u0301", "a\u0131", "ai"]
    ids = set()
    for number, subject in enumerate(subjects):
        standin.claims = {"sub": subject}
        standin.userinfo = {"sub": subject, "preferred_username": f"user{number}"}
        identity = seen_by_the_application(site.browser(), site)
        assert identity is not None
        ids.add(identity.id)
    assert len(ids) == len(subjects)


@pytest.mark.requirement("3k.6")
@pytest.mark.parametrize(
    "name", ["jane", "JANE", "ｊａｎｅ", "ja\u200bne", "j\u0430ne", "jane\u202e", " jane"]
)
def test_nobody_takes_a_name_that_reads_like_anothers(site: Guarded, standin: StandIn, name: str) -> None:
    assert seen_by_the_application(site.browser(), site) is not None
    standin.claims = {"sub": "mallory"}
    standin.userinfo = {"sub": "mallory", "preferred_username": name}
    assert seen_by_the_application(site.browser(), site) is None


@pytest.mark.requirement("3k.9", "3k.1", "N2.6.16")
def test_an_existing_user_is_not_taken_over_by_an_address(directory: Directory) -> None:
    first = directory.record_sign_in(
        provider(),
        issuer=ISSUER,
        subject="1",
        attributes=attributes("jane", email="jane@x.example"),
        create=True,
        now=NOW,
    )
    second = directory.record_sign_in(
        provider(),
        issuer="https://other.example",
        subject="1",
        attributes=attributes("jane2", email="jane@x.example"),
        create=True,
        now=NOW,
    )
    assert first.id != second.id


@pytest.mark.requirement("3k.7")
def test_a_provider_that_was_pointed_elsewhere_under_its_old_name_brings_other_users(
    site: Guarded, standin: StandIn, tmp_path: Path
) -> None:
    before = seen_by_the_application(site.browser(), site)
    with (
        StandIn(client_id="app") as other,
        guarded(issuer=other.issuer, directory=f"sqlite:///{tmp_path / 'users.db'}") as moved,
    ):
        other.userinfo["preferred_username"] = "jane2"
        after = seen_by_the_application(moved.browser(), moved)
    assert before is not None
    assert after is not None
    assert before.id != after.id


@pytest.mark.requirement("3k.8", "V31")
def test_a_disabled_user_neither_stays_nor_comes_back(site: Guarded, standin: StandIn) -> None:
    browser = site.browser()
    identity = seen_by_the_application(browser, site)
    assert identity is not None
    directory = site.middleware._directory
    assert directory is not None
    directory.set_disabled(identity.id, disabled=True, now=NOW)
    site.middleware._sessions.revocations.next_sync_at = 0.0
    assert browser.fetch(site.url + "/").status == 401
    assert site.browser().navigate(site.url + "/").status == 403
    directory.set_disabled(identity.id, disabled=False, now=NOW)
    site.middleware._sessions.revocations.next_sync_at = 0.0
    assert site.browser().navigate(site.url + "/").status == 200


@pytest.mark.requirement("3k.10")
@pytest.mark.parametrize(
    "groups",
    [
        LEFT_OUT,
        None,
        [],
        "",
        "admins-not",
        ["admins-not", "Admins"],
        {"admins": True},
        [["admins"]],
        ["admins "],
        [1],
        7,
    ],
    ids=lambda groups: "left out" if groups is LEFT_OUT else repr(groups),
)
def test_only_the_group_itself_lets_in(standin: StandIn, groups: Any) -> None:
    if groups is not LEFT_OUT:
        standin.userinfo["groups"] = groups
    with guarded(issuer=standin.issuer, allow="group:admins") as site:
        assert site.browser().navigate(site.url + "/").status in (403, 502)
        assert site.app.calls == 0
        standin.userinfo["groups"] = ["admins"]
        assert site.browser().navigate(site.url + "/").status == 200


@pytest.mark.requirement("3k.10")
def test_groups_that_cannot_be_fetched_let_nobody_in(standin: StandIn) -> None:
    """Entra names another place when there are too many; we go nowhere, and nobody is in a group."""
    standin.userinfo.update(
        _claim_names={"groups": "src1"}, _claim_sources={"src1": {"endpoint": standin.url + "/groups"}}
    )
    with guarded(issuer=standin.issuer, allow="group:admins") as site:
        assert site.browser().navigate(site.url + "/").status == 403
    assert standin.asked("/groups") == []


@pytest.mark.requirement("3k.11")
def test_the_first_user_is_a_user_like_any_other(site: Guarded, standin: StandIn) -> None:
    people = []
    signed_in = int(time.time())
    for number in (1, 2):
        standin.claims = {"sub": f"user-{number}", "auth_time": signed_in}
        standin.userinfo = {"sub": f"user-{number}", "preferred_username": f"user{number}"}
        people.append(seen_by_the_application(site.browser(), site))
    first, second = people
    assert first is not None
    assert second is not None
    own = {"id", "subject", "username", "claims"}
    for name in {field.name for field in fields(Identity)} - own:
        assert getattr(first, name) == getattr(second, name), name
    assert (first.groups, first.organizations) == ((), ("DEFAULT",))


@pytest.mark.requirement("3l.3")
def test_fifty_first_sign_ins_at_once_make_one_user(directory: Directory) -> None:
    def sign_in(_: int) -> str:
        try:
            return directory.record_sign_in(
                provider(), issuer=ISSUER, subject="1", attributes=attributes("jane"), create=True, now=NOW
            ).id
        except OAuth2Error as error:
            return error.code

    with ThreadPoolExecutor(50) as pool:
        ids = list(pool.map(sign_in, range(50)))
    assert len(set(ids)) == 1
    assert len(list(directory.users())) == 1


@pytest.mark.requirement("3l.4")
def test_of_fifty_uses_of_one_attempt_at_once_one_counts(directory: Directory) -> None:
    store = SqlStore(directory.database, app="https://app.example")
    with ThreadPoolExecutor(50) as pool:
        uses = list(pool.map(lambda _: store.first_use("attempt:one", expires=4102444800), range(50)))
    assert sorted(uses) == [False] * 49 + [True]
