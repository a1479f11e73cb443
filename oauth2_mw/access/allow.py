"""Who may enter at all: the setting ``allow``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from oauth2_mw.boundary import contains_control
from oauth2_mw.encoding import scalar_text
from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.grammar import AllowTerm

# RFC 1035, section 2.3.4.
_MAX_DOMAIN = 253


def check_allowed(
    allow: AllowList | None,
    *,
    provider: str,
    username: str,
    email: str | None,
    email_counts: bool,
    groups: Collection[str],
    organizations: Collection[str],
    claims: Mapping[str, Any],
    origin: str = "",
) -> None:
    """Refuse a person to whom no alternative of ``allow`` applies; one that does is enough.

    :param allow: ``None`` lets in everybody whom a provider vouches for; an empty tuple nobody.
    :param email_counts: whether the address may be taken for the person's own.
    :param provider: its NAME.
    :param claims: those of the latest sign-in.
    :param origin: what the provider said and where, for the operator.
    :raises AccessDeniedError: ``not_allowed``.
    """
    if allow is None:
        return
    address = _address(email) if email is not None and email_counts else None
    person = _Person(provider, username, address, groups, organizations, claims)
    if any(all(_applies(term, person) for term in alternative) for alternative in allow.alternatives()):
        return
    terms = str(allow) or "it has no terms"
    hint = "" if email_counts else "; the e-mail address is not verified and does not count"
    raise AccessDeniedError(
        f"{username!a} may not enter: no term of allow applies ({terms}){hint}{origin}", code="not_allowed"
    )


@dataclass(frozen=True, slots=True)
class _Person:
    provider: str
    username: str
    #: local part and canonical domain
    address: tuple[str, str] | None
    groups: Collection[str]
    organizations: Collection[str]
    claims: Mapping[str, Any]


def _applies(term: AllowTerm, person: _Person) -> bool:
    match term.field:
        case "*":
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
            return person.address is not None and _address(term.value) == person.address
        case "email_domain":
            return person.address is not None and _domain(term.value) == person.address[1]
        case "claim":
            return _claim_is(term, person.claims)
        case _:
            # A field without a rule here lets nobody in.
            return False


def _claim_is(term: AllowTerm, claims: Mapping[str, Any]) -> bool:
    path, wanted = term.claim()
    value = path.get(claims)
    return wanted in map(scalar_text, value if isinstance(value, (list, tuple)) else (value,))


def _address(email: str) -> tuple[str, str] | None:
    """Return the local part and the domain, or ``None`` if the address can be read in more than one way."""
    local, _, domain = email.partition("@")
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
