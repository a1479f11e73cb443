"""The identity of the person who is signed in, as the application sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.encoding import pair_hash


def _no_claims() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Identity:
    """The signed-in person; the value of ``environ["oauth2_mw.identity"]``.

    A user is (issuer, subject), never a name (OpenID Connect Core, section 5.7). ``id`` stands for the user;
    everything else may change from one sign-in to the next. ``issuer`` and ``subject`` are those of this sign-in:
    where an administrator has linked several pairs to one user, the id is the same for each.
    """

    id: str
    provider: str
    issuer: str
    subject: str
    username: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    comment: str | None = None
    groups: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    #: How the provider authenticated the person, in its own words. An access token tells neither this nor when.
    acr: str | None = None
    #: When the provider last authenticated the person, in seconds since the epoch, or ``None`` if it does not say.
    auth_time: int | None = None
    #: The provider's claims at the latest sign-in or refresh, read-only at every depth.
    claims: Mapping[str, Any] = field(default_factory=_no_claims)


#: What stands for a provider's NAME in the identity of a user who is a program; no provider can be called so.
SERVICE_PROVIDER = ":service"


@dataclass(frozen=True, slots=True)
class User:
    """One user as the directory holds it. Groups and organizations are sorted."""

    id: str
    issuer: str
    subject: str
    username: str
    name: str | None
    email: str | None
    phone: str | None
    comment: str | None
    groups: tuple[str, ...]
    organizations: tuple[str, ...]
    disabled: bool
    #: whether the call that returned this user has just added it
    created: bool
    #: seconds since the epoch, or ``None`` if the user is not disabled
    disabled_since: int | None = None
    #: whether not only access tokens have said who this is
    has_signed_in: bool = True
    #: whether an operator has added the user, whose first sign-in is still to come and gives the username
    awaited: bool = False


def user_key(issuer: str, subject: str) -> str:
    """Return a fixed-length key for (issuer, subject) that every database compares byte by byte."""
    return pair_hash(issuer, subject)


_NESTING = frozenset({dict, list})


def freeze(value: Any) -> Any:
    """Return a read-only copy of parsed JSON: objects become mapping proxies, arrays become tuples."""
    # Exact types: json.loads makes no others, and isinstance with abstract ones costs more than the copy.
    kind = type(value)
    if kind is dict:
        is_flat = _NESTING.isdisjoint(map(type, value.values()))
        return MappingProxyType(
            value.copy() if is_flat else {key: freeze(item) for key, item in value.items()}
        )
    if kind is list:
        return tuple([freeze(item) for item in value])
    return value


def thaw(value: Any) -> Any:
    """Return the inverse of :func:`freeze`: plain dictionaries and lists, as ``json.dumps`` takes them."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [thaw(item) for item in value]
    return value
