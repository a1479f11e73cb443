"""The further addresses of some providers, and the claims that each gives: strategies that a preset names.

What an answer cannot tell is *unknown*, and never *absent*: a list that was cut, or that the access token does not
open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.endpoints.userinfo import read_resource
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.presets import QuirkName
from oauth2_mw.settings.text import shown

#: how many pages of a list are read
MAX_PAGES = 20
#: The host of an issuer -> that of Microsoft Graph in the same cloud (https://learn.microsoft.com/en-us/graph/deployments).
_GRAPH: Mapping[str, str] = MappingProxyType(
    {
        "login.microsoftonline.com": "graph.microsoft.com",
        "login.microsoftonline.us": "graph.microsoft.us",
        "login.chinacloudapi.cn": "microsoftgraph.chinacloudapi.cn",
        "login.partner.microsoftonline.cn": "microsoftgraph.chinacloudapi.cn",
        "sts.windows.net": "graph.microsoft.com",
        "sts.chinacloudapi.cn": "microsoftgraph.chinacloudapi.cn",
    }
)
#: Scopes of GitHub that open the list of organizations.
_ORGANIZATION_SCOPES = frozenset({"read:org", "write:org", "admin:org"})


@dataclass(frozen=True, slots=True)
class Access:
    """What a strategy asks with: the access token of a sign-in, which is sent to fixed addresses alone."""

    provider: ProviderSettings
    #: asks an address; raises if no answer comes, and not because of its status
    get: Callable[[str], Response]
    #: returns the address of a path below the userinfo endpoint
    below_userinfo: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a further address gave."""

    claims: Mapping[str, Any]
    #: why there may be more of it, a sentence; empty if it is whole
    incomplete: str = ""


@dataclass(frozen=True, slots=True)
class FurtherSource:
    """A further address of a provider, and the claims that it gives."""

    gives: frozenset[str]
    #: Returns what it found, given the claims that are known. Raises as ``read_resource`` does, and ProviderError
    #: ``groups_unknown``.
    ask: Callable[[Mapping[str, Any], Access], Found]
    #: whether the claims are to be had there, given those that are known
    applies: Callable[[Mapping[str, Any]], bool] = lambda _known: True


def _github_address(known: Mapping[str, Any], access: Access) -> Found:
    """Return the address that GitHub has verified: the primary one, else that of the profile.

    The profile shows what its owner wants to show; ``/user/emails`` alone says what is verified.
    """
    emails = read_resource(access.get(access.below_userinfo("/emails")))
    verified = [
        entry
        for entry in (emails if isinstance(emails, list) else ())
        if isinstance(entry, dict) and entry.get("verified") is True and isinstance(entry.get("email"), str)
    ]
    chosen = [entry["email"] for entry in verified if entry.get("primary") is True]
    chosen += [entry["email"] for entry in verified if entry["email"] == known.get("email")]
    return Found({"email": chosen[0], "email_verified": True} if chosen else {})


def _github_groups(_known: Mapping[str, Any], access: Access) -> Found:
    """Return organizations as ``org`` and teams as ``org/team``.

    Neither list has organizations that have not approved the application, or whose single sign-on the person has not
    passed with it. GitHub says the latter alone (https://docs.github.com/en/rest/authentication/authenticating-to-the-
    rest-api#using-single-sign-on).
    """
    groups: list[str] = []
    hidden = ""
    for path, name in (("/orgs", _organization), ("/teams", _team)):
        for response, entries in _github_pages(access, path):
            hidden = hidden or response.headers.get("x-github-sso", "")
            groups += filter(None, map(name, entries))
    incomplete = f"some organizations ask for their single sign-on first: {shown(hidden)}" if hidden else ""
    return Found({"groups": groups}, incomplete)


def _github_pages(access: Access, path: str) -> Iterator[tuple[Response, list[Any]]]:
    for number in range(1, MAX_PAGES + 1):
        response = access.get(f"{access.below_userinfo(path)}?per_page=100&page={number}")
        sso = response.headers.get("x-github-sso")
        if response.status == 403 and sso is not None:
            raise ProviderError(
                f"{response.url} asks for an organization's single sign-on first: {shown(sso)}",
                code="groups_unknown",
            )
        entries = _list(read_resource(response), response.url)
        scopes = response.headers.get("x-oauth-scopes")
        if scopes is not None and _ORGANIZATION_SCOPES.isdisjoint(scopes.replace(",", " ").split()):
            raise ProviderError(
                f"the access token has the scopes {shown(scopes)} at {response.url}, and not read:org: the person has "
                "to grant it at the next sign-in",
                code="groups_unknown",
            )
        yield response, entries
        if len(entries) < 100:
            return
    raise _too_many(access.below_userinfo(path))


def _organization(entry: Any) -> str | None:
    login = entry.get("login") if isinstance(entry, dict) else None
    return login if isinstance(login, str) else None


def _team(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    organization, slug = _organization(entry.get("organization")), entry.get("slug")
    return f"{organization}/{slug}" if organization and isinstance(slug, str) and slug else None


def _discord_groups(_known: Mapping[str, Any], access: Access) -> Found:
    """Return the ids of guilds: their names are anybody's."""
    groups: list[str] = []
    after = ""
    for _ in range(MAX_PAGES):
        url = access.below_userinfo("/guilds") + after
        entries = _list(read_resource(access.get(url)), url)
        ids = [
            entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)
        ]
        groups += ids
        if len(entries) < 200 or not ids:
            return Found({"groups": groups})
        after = f"?after={quote(ids[-1], safe='')}"
    raise _too_many(access.below_userinfo("/guilds"))


def _has_group_overage(known: Mapping[str, Any]) -> bool:
    """Return whether Entra says that there are more groups than a token holds (OpenID Connect Core, section 5.6.2)."""
    names = known.get("_claim_names")
    is_elsewhere = isinstance(names, Mapping) and "groups" in names
    # An empty list beside that says nothing.
    is_absent = known.get("groups") in (None, [], ())
    return is_absent and (is_elsewhere or known.get("hasgroups") in (True, "true"))


def _entra_groups(_known: Mapping[str, Any], access: Access) -> Found:
    """Return the object ids of the person's groups, nested ones among them, as Microsoft Graph has them.

    Its address is fixed: what the token says of another place is never followed. The permission is User.Read
    (https://learn.microsoft.com/en-us/graph/api/user-list-transitivememberof).
    """
    graph = _GRAPH.get(urlsplit(access.provider.issuer or "").hostname or "")
    if graph is None:
        raise ProviderError(
            f"there are more groups than the ID token holds, and at {access.provider.issuer} no place is known to ask "
            "for them: have fewer put into the token",
            code="groups_unknown",
        )
    listed = f"https://{graph}/v1.0/me/transitiveMemberOf?"
    url, groups = f"{listed}$select=id&$top=999", []
    for _ in range(MAX_PAGES):
        page = read_resource(access.get(url))
        entries = _list(page.get("value") if isinstance(page, dict) else None, url)
        groups += [
            entry["id"]
            for entry in entries
            if isinstance(entry, dict)
            and entry.get("@odata.type") == "#microsoft.graph.group"
            and isinstance(entry.get("id"), str)
        ]
        url = page.get("@odata.nextLink")
        if url is None and not groups:
            raise ProviderError(
                f"{listed} names no groups, although there are more than the ID token holds: consent to the permission "
                "User.Read, or GroupMember.Read.All, is missing",
                code="groups_unknown",
            )
        if url is None:
            return Found({"groups": groups})
        if not isinstance(url, str) or not url.startswith(listed):
            raise ProviderError(f"{listed} continues at another place: {shown(url)}", code="groups_unknown")
    raise _too_many(listed)


def _list(value: Any, url: str) -> list[Any]:
    if not isinstance(value, list):
        raise ProviderError(f"the answer of {url} is not a list", code="userinfo")
    return value


def _too_many(url: str) -> ProviderError:
    return ProviderError(f"{url} has more than {MAX_PAGES} pages, which are not read", code="groups_unknown")


_GROUPS = frozenset({"groups"})
#: quirk -> the addresses that are asked, in their order
FURTHER_SOURCES: Mapping[QuirkName, tuple[FurtherSource, ...]] = MappingProxyType(
    {
        "discord": (FurtherSource(_GROUPS, _discord_groups),),
        "entra": (FurtherSource(_GROUPS, _entra_groups, _has_group_overage),),
        "github": (
            FurtherSource(frozenset({"email", "email_verified"}), _github_address),
            FurtherSource(_GROUPS, _github_groups),
        ),
    }
)
