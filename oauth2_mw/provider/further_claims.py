"""Claims that a provider gives at addresses of their own, beside ID token and userinfo."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.audit import audit
from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.further_sources import FURTHER_SOURCES, Access, FurtherSource
from oauth2_mw.settings.model import ProviderSettings


@dataclass(frozen=True, slots=True)
class FurtherClaims:
    """What a provider's further addresses gave."""

    claims: dict[str, Any] = field(repr=False)
    #: the names of claims that may be others, or hold more
    unknown: frozenset[str]


def further_claims(
    known: Mapping[str, Any],
    access: Access,
    *,
    needed: Collection[str],
    wished: Collection[str],
    before: Mapping[str, Any],
) -> FurtherClaims:
    """Return the claims that the provider's further addresses give, as far as they are needed or wished for.

    What an address would have said is unknown if that fails, or if only the provider names it: such an address is never
    asked. What is only wished for then stays what it was, with a line in the audit log.

    :param known: the claims of ID token and userinfo.
    :param needed: the names of the claims that decide.
    :param before: the claims before a refresh; none at a sign-in.
    :raises ProviderUnavailableError, ProviderError: if an address fails that gives one of them.
    """
    found: dict[str, Any] = {}
    unknown: set[str] = set()
    provider = access.provider
    for source in _sources(provider, known):
        if source.gives.isdisjoint({*needed, *wished}):
            continue
        try:
            answer = source.ask(known, access)
            if answer.incomplete and source.gives.isdisjoint(_present(answer.claims)):
                raise ProviderError(answer.incomplete, code="groups_unknown")
        except (ProviderError, ProviderUnavailableError) as error:
            if not source.gives.isdisjoint(needed):
                raise
            code, detail = error.code, error.detail
            found |= {name: before[name] for name in source.gives if name in before}
        else:
            found |= answer.claims
            code, detail = "groups_unknown", answer.incomplete
        if detail:
            unknown |= source.gives
            audit("userinfo_unusable", code=code, provider=provider.name, detail=detail)
    not_followed = _names_not_followed({**known, **found})
    found |= {name: before[name] for name in not_followed - {*needed} if name in before}
    unknown |= not_followed
    return FurtherClaims(found, frozenset(unknown))


def names_elsewhere(provider: ProviderSettings, known: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the claims for which a further address is asked, and not userinfo."""
    return frozenset(name for source in _sources(provider, known) for name in source.gives)


def _names_not_followed(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of claims that are said to be at another address, and are not here (Core, section 5.6.2)."""
    names = claims.get("_claim_names")
    if not isinstance(names, Mapping):
        return frozenset()
    return frozenset(name for name in names if claims.get(name) in (None, [], ()))


def _sources(provider: ProviderSettings, known: Mapping[str, Any]) -> Iterator[FurtherSource]:
    sources = FURTHER_SOURCES.get(provider.quirk, ()) if provider.quirk is not None else ()
    return (source for source in sources if source.applies(known))


def _present(claims: Mapping[str, Any]) -> set[str]:
    return {name for name, value in claims.items() if value}
