"""A session as a store keeps it, with bounds in both directions.

Somebody else may be able to write into a store. All that they may achieve is that a session is gone: what is read back
is measured before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from oauth2_mw.audit import audit
from oauth2_mw.encoding import MAX_NUMBER, base64url
from oauth2_mw.errors import StoreUnavailableError

#: Characters of :attr:`Record.data` and :attr:`Record.summary`; sealed texts are ASCII, a byte each.
MAX_DATA = 256 * 1024
MAX_SUMMARY = 8 * 1024
#: Characters of a kept form: one of 1 MiB, sealed.
MAX_FORM = 1440 * 1024
#: Characters of a key, an index and every other name.
MAX_NAME = 200
#: Seconds for which what has expired is kept, because the clock of another host may be behind.
EXPIRY_GRACE = 3600


@dataclass(frozen=True, slots=True)
class Record:
    """One session as a store keeps it. Both texts are sealed: a store can lose them, but not read or change them."""

    #: 1 when added, one more at each replacement, which must be of the version before (a fence)
    version: int
    #: sealed with the session's own key; empty where the browser's cookie holds it
    data: str
    #: sealed with the key ring: user, device, times, for the lists of sessions
    summary: str
    #: the last use that was written down, in seconds since the epoch
    seen: int
    #: when the store forgets the record, in seconds since the epoch
    expires: int
    #: until when a worker refreshes the session's tokens, in seconds since the epoch; 0 if none does
    lease: int


def check(record: Record) -> Record:
    """Return *record*, which a store is about to write.

    :raises StoreUnavailableError: when :func:`read_back` would not accept it.
    """
    problem = _problem(record.version, record.data, record.summary, record.seen, record.expires, record.lease)
    if problem is not None:
        raise StoreUnavailableError(f"a session cannot be stored: {problem}; keep fewer claims or tokens")
    return record


def check_name(name: str) -> str:
    """Return *name*, which is about to become part of a store's key. A text from outside must be hashed first.

    :raises StoreUnavailableError: when it is empty, too long, or not visible ASCII.
    """
    if not (0 < len(name) <= MAX_NAME and name.isascii() and name.isprintable()):
        raise StoreUnavailableError(
            f"a name of {len(name)} characters cannot be stored: it must be 1 to {MAX_NAME} of visible ASCII"
        )
    return name


def read_back(
    key: object, version: object, data: object, summary: object, seen: object, expires: object, lease: object
) -> Record | None:
    """Return the record that a store found under *key*, or ``None``, with an audit line, if its values are invalid."""
    problem = _problem(version, data, summary, seen, expires, lease)
    if type(key) is not str:
        problem = "its key is not text"
    if problem is not None:
        audit("store_value_unusable", session=key, detail=f"{problem}; the session counts as ended")
        return None
    return Record(version, data, summary, seen, expires, lease)  # type: ignore[arg-type]  # just looked at


def namespace(app: str) -> str:
    """Return the prefix of every key of one application in a store that several share.

    :param app: ``public_url``.
    """
    return base64url(sha256(app.encode()).digest()[:12])


def is_valid_number(value: object) -> bool:
    """Return whether *value* can be a version or a time."""
    return type(value) is int and 0 <= value <= MAX_NUMBER


def _problem(
    version: object, data: object, summary: object, seen: object, expires: object, lease: object
) -> str | None:
    for name, value in (("version", version), ("seen", seen), ("expires", expires), ("lease", lease)):
        if not is_valid_number(value):
            return f"its {name} is not a whole number between 0 and {MAX_NUMBER}"
    for name, value, limit in (("data", data, MAX_DATA), ("summary", summary, MAX_SUMMARY)):
        if type(value) is not str:
            return f"its {name} is not text"
        if len(value) > limit:
            return f"its {name} is longer than {limit} characters"
        if not value.isascii():
            return f"its {name} is not ASCII"
    return None
