"""Groups that a provider tells at another address: read where they decide, and unknown rather than none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.minimal import make_settings

MAP = '{"username": "login", "groups": "groups"}'
ORGS, TEAMS = "/userinfo/orgs", "/userinfo/teams"


@pytest.fixture
def github() -> Iterator[StandIn]:
    with StandIn(client_id="app", oidc=False) as github:
        github.userinfo = {"id": 7, "login": "jane"}
        github.resources = {
            ORGS: listed([{"login": "acme"}]),
            TEAMS: listed([{"slug": "core", "organization": {"login": "acme"}}]),
        }
        yield github


def listed(entries: list[Any], *, scopes: str = "read:org, read:user", **headers: str) -> Answer:
    return Answer(json.dumps(entries).encode(), headers=(("X-OAuth-Scopes", scopes), *headers.items()))


def keys(github: StandIn, **more: Any) -> dict[str, Any]:
    endpoints = {
        f"{name}_endpoint": f"{github.url}/{path}"
        for name, path in (("authorization", "authorize"), ("token", "token"), ("userinfo", "userinfo"))
    }
    preset = {"preset": "github", "client_auth_method": "client_secret_basic"}
    return {**preset, **endpoints, "attribute_map": MAP, "allow": "*", **more}


def groups_of(site: Guarded) -> tuple[str, ...] | None:
    page = site.browser().navigate(site.url + "/")
    return site.app.seen[-1]["Identity"].groups if page.status == 200 else None


def test_organizations_and_teams_let_in(github: StandIn) -> None:
    for allow in ("group:acme", "group:acme/core", "claim:groups=acme/core"):
        with guarded(**keys(github, allow=allow)) as site:
            assert groups_of(site) == ("acme", "acme/core")
    with guarded(**keys(github, allow="group:acme/ops")) as site:
        assert groups_of(site) is None


@pytest.mark.requirement("R-github")
@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({}, True),
        ({"attribute_map": '{"username": "login", "groups": ["teams", "groups"]}'}, True),
        ({"attribute_map": '{"username": "login"}'}, False),
        ({"attribute_map": '{"username": "login", "groups": "roles"}'}, False),
        ({"attribute_map": '{"username": "login"}', "allow": "claim:groups=acme"}, True),
        ({"attribute_map": '{"username": "login"}', "environ": {"REMOTE_ORGS": "claims.groups[0]"}}, True),
        ({"attribute_map": '{"username": "login"}', "environ": {"REMOTE_GROUPS": "groups"}}, False),
    ],
    ids=str,
)
def test_organizations_are_asked_for_where_a_setting_reads_them(
    github: StandIn, more: dict[str, Any], *, asked: bool
) -> None:
    with guarded(**keys(github, **more)) as site:
        assert ("read:org" in site.settings.providers["default"].scope) is asked
        assert groups_of(site) is not None
    assert bool(github.asked(ORGS)) is asked


def test_a_scope_that_is_written_is_not_asked_for_twice() -> None:
    settings = make_settings(preset="github", attribute_map=MAP, allow="*", scope="read:org read:user")
    assert settings.providers["default"].scope == ("read:org", "read:user")
    settings = make_settings(
        preset="discord", attribute_map='{"username": "id", "groups": "groups"}', allow="*"
    )
    assert settings.providers["default"].scope == ("identify", "guilds")


UNKNOWN: dict[str, Answer] = {
    "no scope": listed([], scopes="read:user"),
    "single sign-on": Answer(
        b"{}", 403, headers=(("X-GitHub-SSO", "required; url=https://github.com/orgs/acme/sso"),)
    ),
    "partial": listed([], **{"X-GitHub-SSO": "partial-results; organizations=1"}),
    "refused": Answer(b"{}", 403),
    "down": Answer(b"{}", 503),
    "garbage": Answer(b"<html>"),
}


@pytest.mark.requirement("R-github")
@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_groups_let_nobody_in_and_take_nobody_out(github: StandIn, tmp_path: Path, name: str) -> None:
    directory = {"directory": f"sqlite:///{tmp_path}/users.db", "group_sync": "always"}
    whole = dict(github.resources)
    with guarded(**keys(github, **directory)) as site:
        assert groups_of(site) == ("acme", "acme/core")
        github.resources = {ORGS: UNKNOWN[name], TEAMS: listed([])}
        assert groups_of(site) == ("acme", "acme/core")
        assert any("event=userinfo_unusable " in line for line in site.audit)
        github.resources = whole
        assert groups_of(site) == ("acme", "acme/core")
        github.resources = {ORGS: listed([]), TEAMS: listed([])}
        assert groups_of(site) == ()
    github.resources = {ORGS: UNKNOWN[name], TEAMS: listed([])}
    with guarded(**keys(github, allow="group:acme")) as site:
        page = site.browser().navigate(site.url + "/")
        assert (page.status, site.app.calls) == (503 if name == "down" else 502, 0)


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("sync", ["first", "always"])
def test_who_first_came_while_groups_were_unknown_gets_them_later(
    github: StandIn, tmp_path: Path, name: str, sync: str
) -> None:
    whole = dict(github.resources)
    github.resources = {ORGS: UNKNOWN[name], TEAMS: listed([])}
    with guarded(**keys(github, directory=f"sqlite:///{tmp_path}/users.db", group_sync=sync)) as site:
        for _ in range(2):
            assert groups_of(site) == ()
        github.resources = whole
        assert groups_of(site) == ("acme", "acme/core")
        github.resources = {ORGS: listed([]), TEAMS: listed([])}
        assert groups_of(site) == (() if sync == "always" else ("acme", "acme/core"))


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize(
    "more",
    [
        {"access": {"rules": "denied / if group:acme/banned"}},
        {"access": {"rules": "denied / if claim:groups=acme/banned"}},
        {
            "access": {"rules": "denied / if group:acme/banned"},
            "attribute_map": '{"username": "login", "groups": ["teams", "groups"]}',
        },
    ],
    ids=str,
)
def test_groups_of_which_some_are_unknown_get_nobody_past_a_rule_that_denies(
    github: StandIn, name: str, more: dict[str, Any]
) -> None:
    seen = listed([{"login": "acme"}], **{"X-GitHub-SSO": "partial-results; organizations=1"})
    github.resources = {ORGS: seen if name == "partial" else UNKNOWN[name], TEAMS: listed([])}
    with guarded(**keys(github, **more)) as site:
        page = site.browser().navigate(site.url + "/")
        assert (page.status in (502, 503), site.app.calls) == (True, 0)


@pytest.mark.requirement("R-github")
def test_who_may_not_enter_is_told_that_the_organization_has_to_approve(github: StandIn) -> None:
    link = f"{github.url}/settings/connections/applications/app"
    github.resources = {ORGS: listed([]), TEAMS: listed([])}
    with guarded(**keys(github, allow="group:acme")) as site:
        page = site.browser().navigate(site.url + "/")
        assert page.status == 403
        assert link in page.visible_text
        assert any("code=not_allowed" in line and link in line for line in site.audit)
    with guarded(**keys(github, attribute_map='{"username": "login"}', allow="user:bob")) as site:
        assert link not in site.browser().navigate(site.url + "/").visible_text


# What any provider may say


@pytest.mark.parametrize("names", [{"groups": "src1"}, {"groups": None}])
def test_groups_that_are_elsewhere_are_said_and_not_followed(names: dict[str, Any]) -> None:
    with StandIn(client_id="app") as standin:
        bait = f"{standin.url}/groups"
        standin.claims = {"_claim_names": names, "_claim_sources": {"src1": {"endpoint": bait}}}
        sentence = "_claim_names says that groups is to be had elsewhere"
        with guarded(issuer=standin.issuer, allow="group:admins") as site:
            assert site.browser().navigate(site.url + "/").status == 403
            assert any("code=not_allowed " in line and sentence in line for line in site.audit)
        mapped = '{"username": "preferred_username", "groups": "groups"}'
        with guarded(issuer=standin.issuer, attribute_map=mapped) as site:
            assert site.browser().navigate(site.url + "/").status == 200
            assert any("event=attribute_unusable " in line and sentence in line for line in site.audit)
        assert not standin.asked("/groups")


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize("groups", [{}, {"groups": None}, {"groups": []}], ids=str)
def test_groups_that_are_elsewhere_get_nobody_past_a_rule_that_denies(groups: dict[str, Any]) -> None:
    mapped = '{"username": "preferred_username", "groups": "groups"}'
    for term in ("group:banned", "claim:groups=banned"):
        with StandIn(client_id="app") as standin:
            standin.claims = {"_claim_names": {"groups": "src1"}, **groups}
            access = {"rules": f"denied / if {term}"}
            with guarded(issuer=standin.issuer, attribute_map=mapped, access=access) as site:
                assert site.browser().navigate(site.url + "/").status == 502
                assert any("code=groups_unknown " in line for line in site.audit)
                standin.claims = {"groups": ["staff"]}
                assert groups_of(site) == ("staff",)


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize(("rule", "status"), [("denied / if group:banned", 502), ("required /", 200)])
def test_groups_that_go_elsewhere_at_a_refresh_stay_what_they_were_or_end_the_session(
    rule: str, status: int
) -> None:
    mapped = '{"username": "preferred_username", "groups": "groups"}'
    clocks = ShiftedClocks()
    keys = {
        "attribute_map": mapped,
        "keep_tokens": "id refresh",
        "session_idle": "8h",
        "clocks": clocks.clocks,
    }
    with (
        StandIn(client_id="app", claims={"groups": ["staff"]}) as standin,
        guarded(issuer=standin.issuer, access={"rules": rule}, **keys) as site,
    ):
        browser = site.browser()
        assert browser.navigate(site.url + "/").status == 200
        standin.claims = {"_claim_names": {"groups": "src1"}}
        clocks.ahead = 3700
        assert browser.navigate(site.url + "/").status == status
        assert site.app.seen[-1]["Identity"].groups == ("staff",)
        withdrawn = [line for line in site.audit if "event=access_withdrawn" in line]
        assert bool(withdrawn) is (status == 502)


@pytest.mark.parametrize("groups", [{}, {"groups": None}, {"groups": []}], ids=str)
def test_groups_that_are_elsewhere_take_nobody_out_of_a_group(tmp_path: Path, groups: dict[str, Any]) -> None:
    directory = {"directory": f"sqlite:///{tmp_path}/users.db", "group_sync": "always"}
    mapped = '{"username": "preferred_username", "groups": "groups"}'
    with StandIn(client_id="app") as standin:
        standin.claims = {"groups": ["staff"]}
        with guarded(issuer=standin.issuer, attribute_map=mapped, **directory) as site:
            assert groups_of(site) == ("staff",)
            standin.claims = {"_claim_names": {"groups": "src1"}, **groups}
            assert groups_of(site) == ("staff",)
            assert any("event=attribute_unusable " in line and "elsewhere" in line for line in site.audit)
            standin.claims = {"groups": []}
            assert groups_of(site) == ()


def test_userinfo_that_fails_takes_nobody_out_of_a_group(tmp_path: Path) -> None:
    directory = {"directory": f"sqlite:///{tmp_path}/users.db", "group_sync": "always"}
    mapped = '{"username": "preferred_username", "groups": "groups"}'
    with StandIn(client_id="app", claims={"preferred_username": "jane"}) as standin:
        standin.userinfo["groups"] = ["staff"]
        with guarded(issuer=standin.issuer, attribute_map=mapped, **directory) as site:
            assert groups_of(site) == ("staff",)
            standin.answers["userinfo"] = Answer(b"{}", 403)
            assert groups_of(site) == ("staff",)
            del standin.answers["userinfo"]
            del standin.userinfo["groups"]
            assert groups_of(site) == ()
