"""Checks of the settings about access tokens: whether what may be sent somewhere can be judged, and by whom.

Every problem is noted in the :class:`~oauth2_mw.settings.sections.Section` that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from types import MappingProxyType

from oauth2_mw.settings.addresses import origin_of
from oauth2_mw.settings.sections import Section
from oauth2_mw.settings.tenants import PLACEHOLDER, filled, is_tenant

_JWTS = ("jwt", "jwt-untyped")
#: setting of a provider -> the kinds of access tokens, one of which it needs
_OF_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("token_audiences", "token_audience_claim", "token_issuers", "token_scopes"),
            (*_JWTS, "introspection"),
        ),
        "introspection_endpoint": ("introspection",),
    }
)


def check_accepted(section: Section) -> None:
    """Check what a provider's access tokens are judged by."""
    if not section.is_valid("accept_tokens"):
        return
    accepted: tuple[str, ...] = section["accept_tokens"]
    for key, kinds in _OF_KINDS.items():
        if key in section.written_keys and section.is_valid(key) and not set(kinds) & set(accepted):
            cure = " or ".join(kinds)
            section.add_problem(
                key, f"means nothing without accept_tokens = {cure}: write that, or take this out"
            )
    if jwts := [kind for kind in accepted if kind in _JWTS]:
        if section["issuer"] is None and section.is_valid("issuer"):
            section.add_problem(
                "accept_tokens",
                f"{jwts[0]} needs an issuer, whose keys tell its tokens: write it, or introspection",
            )
        if not section["token_audiences"] and section.is_valid("token_audiences"):
            section.add_problem(
                "token_audiences",
                f"is missing: {jwts[0]} takes the tokens that are for this application; write the audience that the "
                "provider puts into them, like https://api.example.com",
            )
    if "introspection" in accepted:
        _check_introspection(section)


def _check_introspection(section: Section) -> None:
    unknown = section["issuer"] is None and section["introspection_endpoint"] is None
    if unknown and section.is_valid("issuer", "introspection_endpoint"):
        section.add_problem(
            "introspection_endpoint",
            "is missing: without an issuer nothing else says where the provider is asked about a token",
        )
    if section["client_auth_method"] == "none":
        section.add_problem(
            "accept_tokens",
            "introspection needs a client that proves itself, and client_auth_method = none does not: choose another "
            "method, or write jwt",
        )


def check_bearer(main: Section, providers: Mapping[str, Section]) -> None:
    """Check that access tokens can be judged where they are to serve.

    :param providers: the enabled ones by NAME.
    """
    sections = list(providers.values())
    if (
        main["bearer_paths"]
        and providers
        and not any(each["accept_tokens"] or not each.is_valid("accept_tokens") for each in sections)
    ):
        main.add_problem(
            "bearer_paths",
            "needs accept_tokens in a provider, which says whose tokens serve there: write it, or take this out",
        )
    asked = [name for name, each in providers.items() if "introspection" in (each["accept_tokens"] or ())]
    for name in asked[1:]:
        providers[name].add_problem(
            "accept_tokens",
            f"introspection is written for provider {asked[0]} already, and a token that does not say whose it is "
            "would be shown to both: write jwt here, or take it out there",
        )
    issuers = {each["issuer"]: name for name, each in providers.items() if each["issuer"] is not None}
    for name, each in providers.items():
        for issuer in each["token_issuers"] or ():
            if issuers.get(issuer, name) != name:
                each.add_problem("token_issuers", f"{issuer} is provider {issuers[issuer]}: take it out here")
    _check_audiences(providers)


def _check_audiences(providers: Mapping[str, Section]) -> None:
    """Check that no signed token could be judged by either of two providers, each with an ``allow`` of its own."""
    owners: dict[tuple[str, str], str] = {}
    for name, each in providers.items():
        if set(_JWTS).isdisjoint(each["accept_tokens"] or ()):
            continue
        taken = [
            pair for pair in product(speaking_for(each), each["token_audiences"] or ()) if pair in owners
        ]
        for issuer, audience in taken[:1]:
            each.add_problem(
                "token_audiences",
                f"{audience} is an audience of provider {owners[issuer, audience]} already, whose tokens come from "
                f"{issuer} too: write it at one of them",
            )
        owners |= dict.fromkeys(product(speaking_for(each), each["token_audiences"] or ()), name)


def speaking_for(section: Section) -> Mapping[str, str]:
    """Return which issuers access tokens may name, and the issuer of their users for each."""
    own = section["issuer"] or origin_of(section["token_endpoint"] or "")
    found: dict[str, str] = {}
    for tenant in section["tenants"] or (_tenant_of(own),):
        issuer = filled(own, tenant or "")
        further = (each for each in section["token_issuers"] or () if tenant or PLACEHOLDER not in each)
        found |= {filled(each, tenant or ""): issuer for each in (*further, own)}
    return MappingProxyType(found)


def _tenant_of(issuer: str) -> str | None:
    return next(filter(is_tenant, issuer.split("/")), None)
