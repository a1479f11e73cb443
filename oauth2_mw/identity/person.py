"""What the rules judge by: the person of a session, as a condition reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from oauth2_mw.access.terms import Person
from oauth2_mw.identity.group_origin import listed_names
from oauth2_mw.identity.mapping import mapped_email
from oauth2_mw.identity.model import Identity, thaw
from oauth2_mw.identity.verification import is_verified, shown_verification
from oauth2_mw.settings.grammar import AllowTerm
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown


def person_of(
    identity: Identity,
    provider: ProviderSettings | None,
    *,
    via: str = "session",
    scopes: Collection[str] = (),
) -> Person:
    """Return the person that an identity stands for.

    The address is that of the latest sign-in: the directory does not say whether its own was ever verified.

    :param provider: the one of the sign-in, or ``None`` if it is not there any more; then no address counts.
    :param via: what said who it is, as the term ``via:`` has it.
    :param scopes: those of an access token.
    """
    email = None
    if provider is not None and is_verified(provider, "email", identity.claims) is not False:
        email = mapped_email(provider, identity.claims)
    return Person(
        identity.provider,
        identity.username,
        email,
        identity.groups,
        identity.organizations,
        identity.claims,
        identity.acr,
        via,
        scopes,
    )


def shown_person(identity: Identity, terms: Iterable[AllowTerm]) -> str:
    """Return what is known of a person in the fields that the terms read, for the operator."""
    known = {}
    for term in terms:
        match term.field:
            case "group":
                known["groups"] = listed_names(identity.groups)
            case "organization":
                known["organizations"] = listed_names(identity.organizations)
            case "claim":
                path, _ = term.claim()
                known[path.text] = _shown_claim(path.get(identity.claims))
            case "email" | "email_domain":
                known["email_verified"] = shown_verification(identity.claims)
            case "acr":
                known["acr"] = shown(identity.acr)
            case "provider":
                known["provider"] = identity.provider
    return "; ".join(f"{name}: {value}" for name, value in known.items())


def _shown_claim(value: Any) -> str:
    return "absent" if value is None else shown(value) if isinstance(value, str) else shown(thaw(value))[1:-1]
