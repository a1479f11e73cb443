"""Claims that a sign-in does not tell: unknown is neither absent nor a proof that a person is not denied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from oauth2_mw.errors import AccessDeniedError, ProviderError
from oauth2_mw.settings.attribute_path import AttributePath, alternatives
from oauth2_mw.settings.grammar import AllowTerm
from oauth2_mw.settings.model import ProviderSettings


def without_unknown_groups(provider: ProviderSettings, unknown: frozenset[str]) -> ProviderSettings:
    """Return the settings for a sign-in that brought no answer to where the groups stand: it takes none away."""
    if provider.group_sync != "always" or not are_groups_unknown(provider, unknown):
        return provider
    return replace(provider, group_sync="first")


def are_groups_unknown(provider: ProviderSettings, unknown: frozenset[str]) -> bool:
    """Return whether the groups that settings read may be others than what a sign-in brought."""
    return provider.group_sync != "never" and _is_unknown(_mapped(provider, "groups"), unknown)


def check_denials(provider: ProviderSettings, unknown: frozenset[str], *, reads_groups: bool) -> None:
    """Refuse a person of whom it is unknown whether a rule denies them something.

    Where a rule asks for a group, whoever is not known to be in it stays out. Where it denies one, they would pass.

    :param unknown: the names of claims that may be others, or hold more.
    :param reads_groups: whether the groups are those of this sign-in, and not what the directory remembers.
    :raises ProviderError: ``groups_unknown``.
    """
    for term in provider.denying_terms():
        sources = _read_by(term, provider, reads_groups=reads_groups)
        names = sorted({root for paths in sources for path in paths for root in path.roots} & unknown)
        if names:
            raise ProviderError(
                f"a rule denies {term}, and {' and '.join(names)} may hold more than provider {provider.name} said: an "
                "audit line before this one tells why",
                code="groups_unknown",
            )


def check_denials_of_token(
    provider: ProviderSettings, claims: Mapping[str, Any], *, reads_groups: bool
) -> None:
    """Refuse an access token that does not say whether a rule denies its user something.

    It holds fewer claims than a sign-in has, so that one which is absent there need not be absent.

    :param reads_groups: whether the groups are those of the token, and not what the directory remembers.
    :raises AccessDeniedError: ``claims_unknown``.
    """
    for term in provider.denying_terms():
        for paths in _read_by(term, provider, reads_groups=reads_groups):
            roots = sorted({root for path in paths for root in path.roots})
            is_proof = roots == ["email_verified"] and term.field != "claim"
            if is_proof and provider.email_verified not in ("claim", "text"):
                continue
            if roots and claims.keys().isdisjoint(roots):
                raise AccessDeniedError(
                    f"a rule denies {term}, and the access token does not say {' or '.join(roots)}: have provider "
                    f"{provider.name} put that into it",
                    code="claims_unknown",
                )


def _read_by(
    term: AllowTerm, provider: ProviderSettings, *, reads_groups: bool
) -> Iterator[tuple[AttributePath, ...]]:
    """Yield what a term reads: for each value the paths at which it may stand."""
    match term.field:
        case "claim":
            yield (term.claim()[0],)
        case "group" if reads_groups:
            yield _mapped(provider, "groups")
        case "email" | "email_domain":
            yield _mapped(provider, "email")
            yield (AttributePath.parse("email_verified"),)


def _mapped(provider: ProviderSettings, field: str) -> tuple[AttributePath, ...]:
    source = provider.attribute_map.get(field)
    return () if source is None else alternatives(source)


def _is_unknown(paths: tuple[AttributePath, ...], unknown: frozenset[str]) -> bool:
    return any(not unknown.isdisjoint(path.roots) for path in paths)
