"""Where the groups of a sign-in came from, and what may have hidden some of them: for messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from oauth2_mw.settings.addresses import origin_of
from oauth2_mw.settings.attribute_path import alternatives
from oauth2_mw.settings.model import ProviderSettings

# How many names an error shows, and how many characters of each: they come from outside.
_NAMES_SHOWN = 40
_NAME_LENGTH_SHOWN = 40


def shown_groups(provider: ProviderSettings, groups: tuple[str, ...], claims: Mapping[str, Any]) -> str:
    """Return which groups a sign-in brought and from where, for a message."""
    source = provider.attribute_map.get("groups")
    if source is None:
        return "no groups are mapped"
    elsewhere = "".join(f"; {each}" for each in claims_elsewhere(provider, "groups", claims))
    link = approval_link(provider)
    approval = (
        f"; an organization that is missing may have to approve this application: {link}" if link else ""
    )
    return f"groups came from {source.text}: {listed_names(groups)}{elsewhere}{approval}"


def listed_names(names: Sequence[str]) -> str:
    """Return names from outside for a message, as many as fit."""
    shown = [ascii(name[:_NAME_LENGTH_SHOWN])[1:-1] for name in names[:_NAMES_SHOWN]]
    return ", ".join(shown) + (", ..." if len(names) > _NAMES_SHOWN else "") or "none"


def claims_elsewhere(provider: ProviderSettings, field: str, claims: Mapping[str, Any]) -> list[str]:
    """Return a sentence if the claim of *field* is absent because the provider has put it at another address.

    Such addresses are never asked because a token says so (OpenID Connect Core, section 5.6.2).
    """
    source, names = provider.attribute_map.get(field), claims.get("_claim_names")
    if source is None or source.get(claims) not in (None, [], ()) or not isinstance(names, Mapping):
        return []
    roots = sorted(root for path in alternatives(source) for root in path.roots if root in names)
    return (
        [f"_claim_names says that {roots[0]} is to be had elsewhere, which is not followed"] if roots else []
    )


def approval_link(provider: ProviderSettings) -> str | None:
    """Return where somebody asks their organizations at GitHub to approve this application, if groups are read."""
    source = provider.attribute_map.get("groups")
    if (
        provider.quirk != "github"
        or source is None
        or all("groups" not in p.roots for p in alternatives(source))
    ):
        return None
    origin = origin_of(provider.authorization_endpoint or "")
    return f"{origin}/settings/connections/applications/{quote(provider.client_id, safe='')}"
