"""What one sign-in asks of a provider beyond its settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What the person, or the page that they want to see, makes of a sign-in."""

    #: whether the provider is to let the person choose who they are
    another_account: bool = False
    #: whether the provider is to ask who it is even if the person is signed in there
    asks_anew: bool = False
    #: seconds ago at most that the provider must have authenticated the person
    max_age: int | None = None


NO_DEMAND = Demand()
