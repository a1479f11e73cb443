"""What a store keeps of a session, and the bounds of it, in both directions.

Nobody but us writes into a store, as far as we know. Whoever else can must not get more out of it than a session
that is gone: what comes back is measured before anybody works with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from oauth2_mw.encoding import MAX_NUMBER, base64url
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.observe import audit

#: Characters of :attr:`Record.data` and :attr:`Record.summary`; sealed texts are ASCII, a byte each.
MAX_DATA = 256 * 1024
MAX_SUMMARY = 8 * 1024
#: Characters of a key, an index and every other name.
MAX_NAME = 200
#: Seconds for which a store keeps what has expired, because the clock of another host may be behind.
KEPT_LONGER = 3600


@dataclass(frozen=True, slots=True)
class Record:
    """One session as a store holds it. Both texts are sealed: a store can lose them, not read or change them."""

    #: 1 when added, one more at each replace: who replaces a record must have seen the one before (the fence)
    version: int
    #: sealed with the session's own key; empty where the browser's cookie holds it
    data: str
    #: sealed with the key ring: user, device, times, for the lists of sessions
    summary: str
    #: the last moment of use that was written down, in seconds since the epoch
    seen: int
    #: seconds since the epoch; the store forgets the record then
    expires: int
    #: until when somebody refreshes the session's tokens, in seconds since the epoch; 0: nobody does
    lease: int


def check(record: Record) -> Record:
    """*record*, which a store is about to write.

    :raises StoreUnavailable: when it is larger than what :func:`read_back` accepts.
    """
    problem = _problem(record.version, record.data, record.summary, record.seen, record.expires, record.lease)
    if problem is not None:
        raise StoreUnavailableError(f"a session cannot be stored: {problem}; keep fewer claims or tokens")
    return record


def check_name(name: str) -> str:
    """*name*, which is about to become part of a store's key: of our own making, so that it is short and plain.

    :raises StoreUnavailable: when it is not. A text from outside has to be hashed first.
    """
    if not (0 < len(name) <= MAX_NAME and name.isascii() and name.isprintable()):
        raise StoreUnavailableError(
            f"a name of {len(name)} characters cannot be stored: it must be 1 to {MAX_NAME} of visible ASCII"
        )
    return name


def read_back(
    key: object,
    version: object,
    data: object,
    summary: object,
    seen: object,
    expires: object,
    lease: object,
) -> Record | None:
    """The record that a store found under *key*; ``None``, with an audit line, when nobody of us wrote it."""
    problem = _problem(version, data, summary, seen, expires, lease)
    if type(key) is not str:
        problem = "its key is no text"
    if problem is not None:
        audit("store_value_unusable", session=key, detail=f"{problem}; the session counts as ended")
        return None
    return Record(version, data, summary, seen, expires, lease)  # type: ignore[arg-type]  # just looked at


def namespace(app: str) -> str:
    """What stands before every key of one application in a store that several share.

    :param app: ``public_url``.
    """
    return base64url(sha256(app.encode()).digest()[:12])


def usable_number(value: object) -> bool:
    """Whether *value* can be a version or a time."""
    return type(value) is int and 0 <= value <= MAX_NUMBER


def _problem(
    version: object, data: object, summary: object, seen: object, expires: object, lease: object
) -> str | None:
    for name, value in (("version", version), ("seen", seen), ("expires", expires), ("lease", lease)):
        if not usable_number(value):
            return f"its {name} is no whole number between 0 and {MAX_NUMBER}"
    for name, value, most in (("data", data, MAX_DATA), ("summary", summary, MAX_SUMMARY)):
        if type(value) is not str:
            return f"its {name} is no text"
        if len(value) > most:
            return f"its {name} is longer than {most} characters"
        if not value.isascii():
            return f"its {name} is not ASCII"
    return None
