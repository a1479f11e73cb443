"""The values in a server's answers, checked: somebody else may have written them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oauth2_mw.audit import audit
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.record import Record, is_valid_number, read_back

_NUMBER = re.compile(rb"[0-9]{1,16}")
#: An index's name as ``store.RedisStore`` hashes it.
_HASHED = re.compile(r"[A-Za-z0-9_-]{24}")


@dataclass(frozen=True, slots=True)
class Listing:
    """The indexes that list a session."""

    #: their hashed names
    names: tuple[str, ...] = ()
    #: until when they list it at least, in seconds since the epoch
    until: int = 0


def number(value: object) -> int | None:
    """Return *value* as a version or a time, or ``None`` if it is neither."""
    parsed = int(value) if isinstance(value, bytes) and _NUMBER.fullmatch(value) else None
    return parsed if is_valid_number(parsed) else None


def text(value: object) -> str | None:
    """Return *value* as a text, or ``None`` if it is not ASCII."""
    return value.decode("ascii") if isinstance(value, bytes) and value.isascii() else None


def texts(values: Iterable[object]) -> Iterator[str]:
    """Return the *values* that can be keys of sessions."""
    for value in values:
        key = text(value)
        if key and key.isprintable():
            yield key


def listing(names: object, until: object) -> Listing:
    """Return the fields ``i`` and ``h`` of a session as a value."""
    hashed = tuple(name for name in (text(names) or "").split() if _HASHED.fullmatch(name))
    return Listing(hashed, number(until) or 0)


def session(key: str, answer: object) -> tuple[Record | None, Listing]:
    """Return the session that a script answered with, or no record, with an audit line, if its values are invalid.

    :raises StoreUnavailableError: for an answer that none of the scripts gives.
    """
    match answer:
        case [version, data, summary, seen, expires, lease, names, until]:
            record = read_back(
                key, number(version), text(data), text(summary), number(seen), number(expires), number(lease)
            )
            return record, listing(names, until)
        case [bytes(problem)]:
            audit_invalid(key, problem)
            return None, Listing()
        case None:
            return None, Listing()
    raise unexpected_answer()


def require_done(answer: object) -> None:
    """Check that a script has come to its end.

    :raises StoreUnavailableError: when its answer does not say so.
    """
    if answer != 1:
        raise unexpected_answer()


def unexpected_answer() -> StoreUnavailableError:
    """Return the error for an answer that none of the scripts gives."""
    return StoreUnavailableError(
        "setting session: the server gave an answer that oauth2_mw's scripts do not give; check for a proxy in between"
    )


def audit_invalid(key: str, problem: bytes) -> None:
    """Write an audit line about a value that is not a session."""
    audit("store_value_unusable", session=key, detail=f"{message(problem)}; the session counts as ended")


def message(problem: bytes) -> str:
    """Return a script's own message about a value as text."""
    return problem.decode("ascii", "replace")
