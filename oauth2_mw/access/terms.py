"""What a term says of a person: in ``allow``, and in the conditions of rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oauth2_mw.boundary import contains_control
from oauth2_mw.encoding import scalar_text
from oauth2_mw.settings.grammar import AllowTerm

# RFC 1035, section 2.3.4.
_MAX_DOMAIN = 253
#: characters: more than any mail server takes (RFC 5321, section 4.5.3.1), and few enough for the index of a database
MAX_ADDRESS = 320


@dataclass(frozen=True, slots=True)
class Person:
    provider: str
    username: str
    #: an address that may be taken for the person's own
    email: str | None
    groups: Collection[str]
    organizations: Collection[str]
    claims: Mapping[str, Any]
    acr: str | None = None
    #: what said who it is: ``session``, ``token`` or ``bearer``
    via: str = "session"
    #: those of an access token
    scopes: Collection[str] = ()

    @property
    def address(self) -> tuple[str, str] | None:
        """The address in its one spelling, if it has one."""
        return None if self.email is None else canonical_address(self.email)


def holds(condition: Iterable[Iterable[AllowTerm]], person: Person) -> bool:
    """Return whether all terms of some alternative apply."""
    return any(all(applies(term, person) for term in alternative) for alternative in condition)


def applies(term: AllowTerm, person: Person) -> bool:
    """Return whether a term applies to a person who is signed in."""
    match term.field:
        case "*" | "signed-in":
            return True
        case "user":
            return term.value == person.username
        case "provider":
            return term.value == person.provider
        case "group":
            return term.value in person.groups
        case "organization":
            return term.value in person.organizations
        case "email":
            address = person.address
            return address is not None and canonical_address(term.value) == address
        case "email_domain":
            address = person.address
            return address is not None and _domain(term.value) == address[1]
        case "acr":
            return term.value == person.acr
        case "via":
            return term.value == person.via
        case "scope":
            return term.value in person.scopes
        case "claim":
            return _claim_is(term, person.claims)
        case _:
            # A field without a rule here lets nobody in.
            return False


def _claim_is(term: AllowTerm, claims: Mapping[str, Any]) -> bool:
    path, wanted = term.claim()
    value = path.get(claims)
    return wanted in map(scalar_text, value if isinstance(value, (list, tuple)) else (value,))


def canonical_address(email: str) -> tuple[str, str] | None:
    """Return the local part and the domain in their one spelling, or ``None`` if there is more than one way to read it.

    Upper and lower case are one, and so are a domain and its form in ASCII (RFC 5890). Letters that look alike are not.
    """
    local, _, domain = email.partition("@")
    if len(email) > MAX_ADDRESS:
        return None
    if not local or not domain or "@" in domain or contains_control(email):
        return None
    local_part, canonical = _lower(local), _domain(domain)
    return None if local_part is None or canonical is None else (local_part, canonical)


def _lower(text: str) -> str | None:
    # The Kelvin sign is small k, and one capital I has an i inside: another person's name in plain ASCII.
    lowered = text.lower()
    return lowered if sum(map(str.isascii, lowered)) == sum(map(str.isascii, text)) else None


def _domain(text: str) -> str | None:
    """Return the domain in lower case and in ASCII (RFC 5890), or ``None`` if that would make it another one."""
    if len(text) > _MAX_DOMAIN:
        return None
    lowered = _lower(text)
    if lowered is None or lowered.isascii():
        return lowered
    try:
        encoded = lowered.encode("idna")
        # Python's codec is that of 2003, which folds sharp s to ss and full-width letters to plain ones.
        return encoded.decode("ascii") if encoded.decode("idna") == lowered else None
    except UnicodeError:
        return None
