"""What providers say at further addresses: asked where it is read, whole or unknown, and never cut in silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.further_claims import FurtherClaims, further_claims
from oauth2_mw.provider.further_sources import MAX_PAGES, Access
from oauth2_mw.provider.http.messages import Response
from tests.support.settings.providers import provider_settings

GRAPH = "https://graph.microsoft.com/v1.0/me/transitiveMemberOf?$select=id&$top=999"
OVERAGE = {
    "_claim_names": {"groups": "src1"},
    "_claim_sources": {"src1": {"endpoint": "https://evil.example"}},
}
ENTRA = {"quirk": "entra", "issuer": "https://login.microsoftonline.com/t/v2.0"}
SSO = "required; url=https://github.com/orgs/acme/sso?authorization_request=x"


class Provider:
    """Answers addresses with JSON, a status and headers, and notes what was asked."""

    def __init__(self, answers: Mapping[str, Any] | Callable[[str], Any]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def get(self, url: str) -> Response:
        self.asked.append(url)
        found = self._answers(url) if callable(self._answers) else self._answers.get(url)
        body, status, headers = (
            found if isinstance(found, tuple) else (found, 404 if found is None else 200, {})
        )
        return Response(status, "application/json", json.dumps(body).encode(), headers, url)

    def claims(
        self,
        known: Mapping[str, Any],
        *,
        needed: str = "",
        wished: str = "groups",
        before: Any = None,
        **settings: Any,
    ) -> FurtherClaims:
        access = Access(
            provider_settings(**settings), self.get, lambda path: f"https://api.github.com/user{path}"
        )
        return further_claims(
            known, access, needed=needed.split(), wished=wished.split(), before=before or {}
        )


def github(
    orgs: Any = (),
    teams: Any = (),
    *,
    scopes: str | None = "read:org, user:email",
    sso: str = "",
    status: int = 200,
) -> Provider:
    headers = ({} if scopes is None else {"x-oauth-scopes": scopes}) | ({"x-github-sso": sso} if sso else {})

    def answer(url: str) -> Any:
        parts = urlsplit(url)
        entries = {"/user/orgs": orgs, "/user/teams": teams}[parts.path]
        if not isinstance(entries, (list, tuple)):
            return entries, status, headers
        page = int(dict(parse_qsl(parts.query))["page"])
        return list(entries[100 * (page - 1) : 100 * page]), status, headers

    return Provider(answer)


ACME = {"login": "acme"}
TEAM = {"slug": "core", "name": "Core Team", "organization": ACME}


# GitHub


@pytest.mark.requirement("R-github")
def test_organizations_and_teams_are_groups() -> None:
    provider = github([ACME, {"login": "octo"}], [TEAM])
    found = provider.claims({}, quirk="github")
    assert found == FurtherClaims({"groups": ["acme", "octo", "acme/core"]}, frozenset())
    assert all(url.startswith("https://api.github.com/user/") for url in provider.asked)


def test_every_page_is_read() -> None:
    orgs = [{"login": f"org-{number}"} for number in range(250)]
    found = github(orgs, [TEAM]).claims({}, quirk="github")
    assert found.claims["groups"] == [*(each["login"] for each in orgs), "acme/core"]


def test_what_is_no_organization_or_team_is_no_group() -> None:
    orgs = [None, "acme", {}, {"login": 7}, {"login": None}]
    teams = [
        None,
        {},
        {"slug": "x"},
        {"slug": "x", "organization": None},
        {"organization": ACME},
        {**TEAM, "slug": ""},
    ]
    assert github(orgs, teams).claims({}, quirk="github").claims == {"groups": []}


@pytest.mark.requirement("R-github")
@pytest.mark.parametrize("scopes", ["", "user:email", "read:organization", "repo, user", "READ:ORG"])
def test_without_its_scope_the_groups_are_unknown(scopes: str, caplog: pytest.LogCaptureFixture) -> None:
    provider = github([], [], scopes=scopes)
    found = provider.claims({}, quirk="github")
    assert found == FurtherClaims({}, frozenset({"groups"}))
    assert "event=userinfo_unusable code=groups_unknown " in caplog.text
    assert "read:org" in caplog.text
    with pytest.raises(ProviderError) as refusal:
        provider.claims({}, quirk="github", needed="groups")
    assert refusal.value.code == "groups_unknown"


@pytest.mark.parametrize("scopes", ["read:org", "admin:org, user", "write:org", None])
def test_a_scope_that_opens_organizations_is_enough(scopes: str | None) -> None:
    """A GitHub before these headers, or one behind a proxy, names no scopes at all."""
    assert github([ACME], scopes=scopes).claims({}, quirk="github").claims == {"groups": ["acme"]}


@pytest.mark.requirement("R-github")
def test_single_sign_on_that_is_asked_for_leaves_the_groups_unknown(caplog: pytest.LogCaptureFixture) -> None:
    provider = github({"message": "Resource protected"}, sso=SSO, status=403)
    assert provider.claims({}, quirk="github") == FurtherClaims({}, frozenset({"groups"}))
    assert "https://github.com/orgs/acme/sso" in caplog.text
    with pytest.raises(ProviderError) as refusal:
        provider.claims({}, quirk="github", needed="groups")
    assert refusal.value.code == "groups_unknown"


@pytest.mark.requirement("R-github")
def test_partial_results_are_no_whole_answer(caplog: pytest.LogCaptureFixture) -> None:
    sso = "partial-results; organizations=21955855,20582480"
    provider = github([ACME], sso=sso)
    found = provider.claims({}, quirk="github", needed="groups")
    assert found == FurtherClaims({"groups": ["acme"]}, frozenset({"groups"}))
    assert "21955855" in caplog.text
    with pytest.raises(ProviderError):
        github([], sso=sso).claims({}, quirk="github", needed="groups")


@pytest.mark.requirement("R-github")
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
@pytest.mark.parametrize("body", [{"message": "no"}, [ACME]])
def test_a_failed_answer_leaves_the_groups_unknown(status: int, body: Any) -> None:
    provider = github(body, status=status)
    assert provider.claims({}, quirk="github").unknown == {"groups"}
    with pytest.raises((ProviderError, ProviderUnavailableError)):
        provider.claims({}, quirk="github", needed="groups")


@pytest.mark.parametrize("body", [{}, None, "text", 7, {"groups": []}])
def test_what_is_no_list_leaves_the_groups_unknown(body: Any) -> None:
    for provider in (github(body), github([], body)):
        assert provider.claims({}, quirk="github").unknown == {"groups"}


def test_what_is_unknown_stays_what_it_was() -> None:
    found = github([], scopes="").claims({}, quirk="github", before={"groups": ["acme"], "x": 1})
    assert found == FurtherClaims({"groups": ["acme"]}, frozenset({"groups"}))


def test_a_list_without_end_is_left() -> None:
    provider = github([ACME] * 100 * (MAX_PAGES + 5))
    assert provider.claims({}, quirk="github").unknown == {"groups"}
    assert len(provider.asked) == MAX_PAGES


# Discord


def guilds(count: int) -> Provider:
    every = [{"id": str(number), "name": "admins"} for number in range(1000, 1000 + count)]

    def answer(url: str) -> Any:
        after = int(dict(parse_qsl(urlsplit(url).query)).get("after", 0))
        return [each for each in every if int(each["id"]) > after][:200]

    return Provider(answer)


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (199, 1), (200, 2), (450, 3)])
def test_guilds_are_groups_by_their_ids(count: int, requests: int) -> None:
    provider = guilds(count)
    found = provider.claims({}, quirk="discord")
    assert found == FurtherClaims({"groups": [str(1000 + each) for each in range(count)]}, frozenset())
    assert len(provider.asked) == requests


def test_guilds_without_end_are_left() -> None:
    assert guilds(200 * (MAX_PAGES + 1)).claims({}, quirk="discord").unknown == {"groups"}


def test_a_page_without_ids_is_the_last() -> None:
    assert Provider(lambda _: [{}] * 200).claims({}, quirk="discord").claims == {"groups": []}


# Entra


def group(name: str) -> dict[str, str]:
    return {"@odata.type": "#microsoft.graph.group", "id": name}


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    ("host", "graph"),
    [
        ("login.microsoftonline.com", "graph.microsoft.com"),
        ("login.microsoftonline.us", "graph.microsoft.us"),
        ("login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"),
        ("login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn"),
    ],
)
def test_groups_of_an_overage_are_asked_of_graph_in_the_issuers_cloud(host: str, graph: str) -> None:
    provider = Provider({GRAPH.replace("graph.microsoft.com", graph): {"value": [group("a"), group("b")]}})
    settings = {**ENTRA, "issuer": f"https://{host}/t/v2.0"}
    assert provider.claims(OVERAGE, **settings) == FurtherClaims({"groups": ["a", "b"]}, frozenset())


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example/t/v2.0",
        "https://login.microsoftonline.com.evil.example/t",
        "https://evil.example/login.microsoftonline.com",
        "https://acme.b2clogin.com/t/v2.0",
    ],
)
def test_graph_is_asked_for_issuers_of_entra_alone(issuer: str) -> None:
    provider = Provider({})
    assert provider.claims(OVERAGE, quirk="entra", issuer=issuer).unknown == {"groups"}
    assert not provider.asked


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "known",
    [
        {},
        {"groups": ["a"]},
        {"groups": ["a"], **OVERAGE},
        {"_claim_names": "groups"},
        {"_claim_names": ["groups"]},
        {"_claim_sources": {"groups": {"endpoint": "https://evil.example"}}},
        {"hasgroups": False},
        {"hasgroups": "yes"},
    ],
    ids=str,
)
def test_graph_is_asked_for_groups_that_are_elsewhere_alone(known: dict[str, Any]) -> None:
    provider = Provider({GRAPH: {"value": [group("x")]}})
    assert provider.claims(known, **ENTRA) == FurtherClaims({}, frozenset())
    assert not provider.asked


@pytest.mark.requirement("R-entra", "R-needed")
@pytest.mark.parametrize("quirk", [None, "entra", "adfs"])
def test_what_is_elsewhere_and_not_followed_is_unknown(quirk: str | None) -> None:
    known = {"_claim_names": {"roles": "src1", "email": "src1", "tid": None}, "email": "x", "roles": []}
    settings: dict[str, Any] = {**ENTRA, "quirk": quirk}
    before = {"roles": ["r"], "email": "y"}
    unknown = frozenset({"roles", "tid"})
    provider = Provider({})
    assert provider.claims(known, **settings) == FurtherClaims({}, unknown)
    assert provider.claims(known, before=before, **settings) == FurtherClaims({"roles": ["r"]}, unknown)
    # What decides does not stay what it was because somebody has more of it now.
    assert provider.claims(known, before=before, needed="roles", **settings) == FurtherClaims({}, unknown)
    assert not provider.asked


@pytest.mark.parametrize(
    "known",
    [
        OVERAGE,
        {"hasgroups": True},
        {"hasgroups": "true"},
        {**OVERAGE, "groups": []},
        {**OVERAGE, "groups": ()},
    ],
    ids=str,
)
def test_an_overage_is_said_in_several_ways(known: dict[str, Any]) -> None:
    assert Provider({GRAPH: {"value": [group("x")]}}).claims(known, **ENTRA).claims == {"groups": ["x"]}


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("entries", [[], [{"@odata.type": "#microsoft.graph.directoryRole", "id": "r"}]])
def test_no_groups_in_place_of_too_many_are_unknown(entries: list[Any]) -> None:
    """Graph lists less, and no error, to whom a permission is missing."""
    provider = Provider({GRAPH: {"value": entries}})
    assert provider.claims(OVERAGE, **ENTRA) == FurtherClaims({}, frozenset({"groups"}))
    with pytest.raises(ProviderError) as refusal:
        provider.claims(OVERAGE, needed="groups", **ENTRA)
    assert refusal.value.code == "groups_unknown"


def test_graph_is_not_asked_for_groups_that_nothing_reads() -> None:
    provider = Provider({})
    provider.claims(OVERAGE, wished="name email", **ENTRA)
    assert not provider.asked


def test_roles_of_the_directory_are_no_groups() -> None:
    others = [
        {"@odata.type": "#microsoft.graph.directoryRole", "id": "r"},
        {"id": "untyped"},
        {"@odata.type": "#microsoft.graph.group", "id": 7},
        None,
        "g",
    ]
    provider = Provider({GRAPH: {"value": [*others, group("g")]}})
    assert provider.claims(OVERAGE, **ENTRA).claims == {"groups": ["g"]}


def test_pages_of_graph_are_followed_at_graph() -> None:
    second = f"{GRAPH}&$skiptoken=x"
    pages = {GRAPH: {"value": [group("a")], "@odata.nextLink": second}, second: {"value": [group("b")]}}
    assert Provider(pages).claims(OVERAGE, **ENTRA).claims == {"groups": ["a", "b"]}


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/me/transitiveMemberOf?$skiptoken=x",
        "https://graph.microsoft.com.evil.example/v1.0/me/transitiveMemberOf?",
        "http://graph.microsoft.com/v1.0/me/transitiveMemberOf?$skiptoken=x",
        "https://graph.microsoft.com@evil.example/v1.0/me/transitiveMemberOf?",
        "https://graph.microsoft.com/v1.0/me/messages?$skiptoken=x",
        "/v1.0/me/transitiveMemberOf?$skiptoken=x",
        "",
        7,
        [],
    ],
)
def test_a_page_of_graph_at_another_place_leaves_the_groups_unknown(link: Any) -> None:
    provider = Provider(lambda _url: {"value": [group("a")], "@odata.nextLink": link})
    assert provider.claims(OVERAGE, **ENTRA) == FurtherClaims({}, frozenset({"groups"}))
    assert provider.asked == [GRAPH]


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "answer",
    [({"error": "x"}, 401, {}), ({}, 403, {}), ({}, 500, {}), {}, [], {"value": {}}, {"value": None}],
    ids=str,
)
def test_a_graph_that_does_not_answer_leaves_the_groups_unknown(answer: Any) -> None:
    provider = Provider({GRAPH: answer})
    assert provider.claims(OVERAGE, **ENTRA).unknown == {"groups"}
    with pytest.raises((ProviderError, ProviderUnavailableError)):
        provider.claims(OVERAGE, needed="groups", **ENTRA)


def test_pages_of_graph_without_end_are_left() -> None:
    provider = Provider(lambda _url: {"value": [group("a")], "@odata.nextLink": f"{GRAPH}&$skiptoken=x"})
    assert provider.claims(OVERAGE, **ENTRA).unknown == {"groups"}
    assert len(provider.asked) == MAX_PAGES
