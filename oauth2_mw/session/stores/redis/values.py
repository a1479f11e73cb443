"""What a server sent, taken for what it is: somebody else may have written it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.observe import audit
from oauth2_mw.session.stores.record import Record, is_valid_number, read_back

_NUMBER = re.compile(rb"[0-9]{1,16}")
#: What ``store.RedisStore`` makes of the name of an index.
_HASHED = re.compile(r"[A-Za-z0-9_-]{24}")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a session knows of its own indexes."""

    #: their hashed names
    names: tuple[str, ...] = ()
    #: until when they are sure to list it
    until: int = 0


def number(value: object) -> int | None:
    """A version or a time."""
    found = int(value) if isinstance(value, bytes) and _NUMBER.fullmatch(value) else None
    return found if is_valid_number(found) else None


def text(value: object) -> str | None:
    """A text of ours, which is ASCII."""
    return value.decode("ascii") if isinstance(value, bytes) and value.isascii() else None


def texts(values: Iterable[object]) -> Iterator[str]:
    """Those that can be keys of ours."""
    for value in values:
        plain = text(value)
        if plain and plain.isprintable():
            yield plain


def listing(names: object, until: object) -> Listing:
    """The fields ``i`` and ``h`` of a session."""
    return Listing(
        tuple(name for name in (text(names) or "").split() if _HASHED.fullmatch(name)), number(until) or 0
    )


def session(key: str, answer: object) -> tuple[Record | None, Listing]:
    """The answer of a script that returns a session; what nobody of us wrote is none, with an audit line.

    :raises StoreUnavailable: for an answer that is none.
    """
    match answer:
        case [version, data, summary, seen, expires, lease, names, until]:
            record = read_back(
                key, number(version), text(data), text(summary), number(seen), number(expires), number(lease)
            )
            return record, listing(names, until)
        case [bytes(problem)]:
            unusable(key, problem)
            return None, Listing()
        case None:
            return None, Listing()
    raise strange()


def done(answer: object) -> None:
    """See that a script has come to its end.

    :raises StoreUnavailable: when its answer does not say so.
    """
    if answer != 1:
        raise strange()


def strange() -> StoreUnavailableError:
    """The refusal of an answer that no script of ours gives."""
    return StoreUnavailableError(
        "setting session: the server gave an answer that our scripts do not give; look for what stands between"
    )


def unusable(key: str, problem: bytes) -> None:
    """Say in the audit log that there is something else where a session was to be."""
    audit("store_value_unusable", session=key, detail=f"{words(problem)}; the session counts as ended")


def words(problem: bytes) -> str:
    """What a script said is wrong with a value."""
    return problem.decode("ascii", "replace")
