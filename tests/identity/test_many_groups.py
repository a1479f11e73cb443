"""People with hundreds of groups sign in and stay signed in, and each group is kept once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts.guarded import guarded
from tests.support.providers.standin import StandIn

#: As long as the names of groups in a company's directory are.
NAMES = [f"department-{number:04}" for number in range(3000)]


def groups_of(provider: StandIn, groups: list[str], **settings: Any) -> tuple[str, dict[str, Any]]:
    """What the application is told of the groups, and the claims that it can read, at the second page."""
    provider.userinfo["groups"] = groups
    mapped = {"username": "sub", "groups": "groups"}
    with guarded(
        **{
            "issuer": provider.issuer,
            "environ": {"HTTP_X_GROUPS": "groups"},
            "attribute_map": mapped,
            **settings,
        }
    ) as site:
        browser = site.browser()
        assert browser.navigate(site.url + "/").status == 200
        assert browser.navigate(site.url + "/again").status == 200
        seen = site.app.seen[-1]
        return seen["environ"]["HTTP_X_GROUPS"], dict(seen["Identity"].claims)


def test_two_hundred_groups_fit_into_a_cookie(provider: StandIn) -> None:
    told, claims = groups_of(provider, NAMES[:200])
    assert told.split(",") == NAMES[:200]
    assert "groups" not in claims


def test_before_many_groups_meet_the_limits_of_servers_it_is_said_once(provider: StandIn) -> None:
    provider.userinfo["groups"] = NAMES[:200]
    mapped = {"username": "sub", "groups": "groups"}
    with guarded(issuer=provider.issuer, attribute_map=mapped) as site:
        for _ in range(2):
            page = site.browser().navigate(site.url + "/")
            assert page.status == 200
        (line,) = [line for line in site.audit if "session_large" in line]
        assert "group_filter" in line
    with guarded(issuer=provider.issuer, attribute_map=mapped, group_filter="department-000*") as site:
        site.browser().navigate(site.url + "/")
        assert not [line for line in site.audit if "session_large" in line]


@pytest.mark.parametrize("directory", ["", "a directory"])
def test_two_thousand_groups_fit_into_a_store(provider: StandIn, tmp_path: Path, directory: str) -> None:
    where = {"directory": f"sqlite:///{tmp_path}/users.db"} if directory else {}
    told, claims = groups_of(provider, NAMES[:2000], session=f"sqlite:///{tmp_path}/site.db", **where)
    assert told.split(",") == NAMES[:2000]
    assert "groups" not in claims


def test_a_filter_makes_thousands_of_groups_fit_into_a_cookie(provider: StandIn) -> None:
    told, _ = groups_of(provider, NAMES, group_filter="department-2*5 nobody")
    assert told.split(",") == [name for name in NAMES if name[11] == "2" and name.endswith("5")]


@pytest.mark.requirement("R-needed")
def test_a_group_that_decides_is_not_one_of_those_left_out(provider: StandIn, tmp_path: Path) -> None:
    store = {"session": f"sqlite:///{tmp_path}/site.db", "issuer": provider.issuer}
    mapped = {"attribute_map": {"username": "sub", "groups": "groups"}}
    provider.userinfo["groups"] = [*NAMES, "banned"]
    for rule, status in (("denied / if group:banned", 403), ("required / if group:banned", 200)):
        with guarded(access={"rules": rule}, **mapped, **store) as site:
            assert site.browser().navigate(site.url + "/").status == status


@pytest.mark.parametrize(
    "reader",
    [
        {"environ": {"HTTP_X_GROUPS": "claims.groups"}},
        {"allow": "claim:groups=department-0001"},
        {"attribute_map": {"username": "sub", "groups": "groups", "comment": "groups[0]"}},
    ],
    ids=str,
)
def test_the_claim_is_kept_where_something_reads_it(provider: StandIn, reader: dict[str, Any]) -> None:
    _, claims = groups_of(provider, NAMES[:3], **reader)
    assert list(claims["groups"]) == NAMES[:3]
