"""What one look came to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from oauth2_mw.errors import OAuth2Error

#: a detail that says what to do at its end
_CURE = re.compile(r"(.*)[:;] ((?:check|set|write|have|make|install|run|name|if its)\b.*)", re.DOTALL)
_LATER = "try again; if it stays so, ask who runs that server"

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
    found = None if cure else _CURE.fullmatch(error.detail)
    says, found_cure = found.groups() if found else (error.detail, cure or _LATER)
    return Finding(what, "problem", says, found_cure)
