"""What one sign-in asks of a provider beyond its settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What the person, or the page that they want to see, makes of a sign-in."""

    #: whether the provider is to let the person choose who they are
    another_account: bool = False
    #: classes of authentication of which one must be got (RFC 9470, section 5)
    acr_values: tuple[str, ...] = ()
    #: seconds ago at most that the provider must have authenticated the person
    max_age: int | None = None
    #: whether the provider is to ask who it is even if the person is signed in there
    asks_anew: bool = False

    @property
    def is_step_up(self) -> bool:
        """Whether a sign-in that does not bring it is of no use. A page that asks anew looks at what came by itself."""
        return bool(self.acr_values) or (self.max_age is not None and not self.asks_anew)


NO_DEMAND = Demand()
