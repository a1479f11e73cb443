"""Claims of somebody who is not here: read from a file, and made into the person that the rules judge."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oauth2_mw.access.terms import Person, holds
from oauth2_mw.cli.terminal import CommandError, printable
from oauth2_mw.identity.mapping import map_claims
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.identity.person import person_of
from oauth2_mw.identity.usernames import bad_username, fault_alone
from oauth2_mw.identity.verification import check_username_verified
from oauth2_mw.provider.claim_sources import with_verification
from oauth2_mw.settings.model import ProviderSettings, Settings

CLAIMS_HELP = "a JSON file with the claims of a sign-in; - reads them from stdin"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has signed in, or tries to."""

    identity: Identity
    #: why they cannot, or an empty text
    barred: str = ""
    #: the fields of terms that read what is not known of them
    unknown: frozenset[str] = frozenset()
    #: what says who they are, as the term ``via:`` has it, and the scopes of an access token
    via: str = "session"
    scopes: tuple[str, ...] = ()

    def person(self, provider: ProviderSettings | None) -> Person:
        """Return what the rules judge by."""
        return person_of(self.identity, provider, via=self.via, scopes=self.scopes)


def read_claims(path: Path) -> dict[str, Any]:
    """Return the claims in a file, ``-`` being stdin.

    :raises CommandError: naming line and column of what is not JSON.
    """
    source = "stdin" if str(path) == "-" else printable(str(path))
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        claims = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        hint = (
            ": this is a token, and claims are what stands in it; oauth2-mw login --json prints them"
            if data.startswith(b"eyJ")
            else f": line {error.lineno}, column {error.colno}: {error.msg}"
        )
        raise CommandError(f"{source} is not JSON{hint}") from None
    except RecursionError:
        raise CommandError(f"{source} is not JSON that claims are made of: it is nested too deeply") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CommandError(f"{source} is not UTF-8: look at line {line}, and save it as UTF-8") from None
    except ValueError:
        # Python reads no number of more than 4300 digits.
        raise CommandError(f"{source} is not JSON that claims are made of: a number is too long") from None
    if not isinstance(claims, Mapping):
        raise CommandError(f'{source}: claims are a JSON object, like {{"sub": "4711", "name": "Jane"}}')
    return dict(claims)


def find_provider(name: str | None, settings: Settings) -> ProviderSettings:
    """Return the enabled provider of that NAME, or the first one.

    :raises CommandError: if there is none.
    """
    name = name or next(iter(settings.providers), "")
    if not name:
        raise CommandError("no provider is enabled: write one into the file, or enabled = true")
    if name not in settings.providers:
        there = ", ".join(settings.providers) or "none"
        raise CommandError(f"there is no enabled provider {printable(name)}: there is {there}")
    return settings.providers[name]


def visitor_of(claims: Mapping[str, Any], provider: ProviderSettings, settings: Settings) -> Visitor:
    """Return the person whom a first sign-in with *claims* brings.

    :raises ProviderError: if the claims hold no usable username.
    :raises AccessDeniedError: if it is an address that nothing proves, or not to be told from another name.
    """
    claims = with_verification(claims, provider.quirk)
    attributes = map_claims(provider, claims)
    check_username_verified(provider, claims)
    if settings.directory is None and (reason := fault_alone(attributes.username)) is not None:
        raise bad_username(provider.name, reason)
    acr = claims.get("acr")
    identity = Identity(
        id="",
        provider=provider.name,
        issuer=provider.user_issuers[0],
        subject="",
        username=attributes.username,
        name=attributes.name,
        email=attributes.email,
        phone=attributes.phone,
        comment=attributes.comment,
        groups=attributes.groups,
        organizations=provider.organization if settings.directory is not None else (),
        acr=acr if isinstance(acr, str) else None,
        claims=freeze(claims),
    )
    allow = provider.allow
    may_enter = allow is None or holds(allow.alternatives(), person_of(identity, provider))
    return Visitor(
        identity, "" if may_enter else f"because no term of allow applies ({printable(str(allow))})"
    )
