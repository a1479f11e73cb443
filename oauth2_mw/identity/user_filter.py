"""Which users a list shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserFilter:
    """What is asked of a user. What is empty or ``None`` is not asked."""

    #: at one of which they sign in, by their own pair or a link
    issuers: tuple[str, ...] = ()
    organization: str | None = None
    group: str | None = None
    #: the earliest last sign-in, in seconds since the epoch
    since: int | None = None


EVERYBODY = UserFilter()
