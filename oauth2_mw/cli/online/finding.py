"""What one look came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oauth2_mw.errors import OAuth2Error

Result = Literal["ok", "warning", "problem", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report."""

    #: what was looked at, like ``provider corp: keys``
    what: str
    #: ``unknown`` if it could not be found out
    result: Result
    #: what was found
    says: str
    #: what to do; empty where there is nothing to do
    cure: str = ""


def failure(what: str, error: OAuth2Error, *, cure: str = "") -> Finding:
    """Return the finding that *error* is: its detail mostly ends with what to do.

    :param cure: what to do, if more is known of it.
    """
    says, _, last = error.detail.rpartition(": ")
    return Finding(
        what, "problem", error.detail if cure or not says else says, cure or (last if says else "")
    )
