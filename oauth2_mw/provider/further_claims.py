"""Claims that some providers give at addresses of their own, beside ID token and userinfo: strategies for presets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from oauth2_mw.audit import audit
from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.endpoints.userinfo import read_resource
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.presets import QuirkName


@dataclass(frozen=True, slots=True)
class Access:
    """What a strategy asks with: the access token of a sign-in, which is sent to fixed addresses alone."""

    provider: ProviderSettings
    #: asks an address; raises if no answer comes, and not because of its status
    get: Callable[[str], Response]
    #: returns the address of a path below the userinfo endpoint
    below_userinfo: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class FurtherSource:
    """A further address of a provider, and the claims that it gives."""

    gives: frozenset[str]
    #: Returns the claims, given those that are known. Raises as ``read_resource`` does.
    ask: Callable[[Mapping[str, Any], Access], Mapping[str, Any]]


def further_claims(
    known: Mapping[str, Any],
    access: Access,
    *,
    needed: Collection[str],
    wished: Collection[str],
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the claims that the provider's further addresses give, as far as they are needed or wished for.

    What an address would have said is unknown if that fails. What is only wished for then stays what it was, with a
    line in the audit log.

    :param known: the claims of ID token and userinfo.
    :param needed: the names of the claims that decide.
    :param before: the claims before a refresh; none at a sign-in.
    :raises ProviderUnavailableError, ProviderError: if an address fails that gives one of them.
    """
    found: dict[str, Any] = {}
    provider = access.provider
    for source in FURTHER_SOURCES.get(provider.quirk, ()) if provider.quirk is not None else ():
        if source.gives.isdisjoint({*needed, *wished}):
            continue
        try:
            found |= source.ask(known, access)
        except (ProviderError, ProviderUnavailableError) as error:
            if not source.gives.isdisjoint(needed):
                raise
            audit("userinfo_unusable", code=error.code, provider=provider.name, detail=error.detail)
            found |= {name: before[name] for name in source.gives if name in before}
    return found


def _github_address(known: Mapping[str, Any], access: Access) -> Mapping[str, Any]:
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
    return {"email": chosen[0], "email_verified": True} if chosen else {}


#: quirk -> the addresses that are asked, in their order
FURTHER_SOURCES: Mapping[QuirkName, tuple[FurtherSource, ...]] = MappingProxyType(
    {"github": (FurtherSource(frozenset({"email", "email_verified"}), _github_address),)}
)
