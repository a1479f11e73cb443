"""The notation of the keys that seal cookies: in a setting, or in a key file that rotates them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from oauth2_mw.encoding import base64url, base64url_octets

_KEY_BYTES = 32
_KEY_TEXT = re.compile(r"[A-Za-z0-9_-]{43}=?")
_KID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NOT_BEFORE = "%Y-%m-%dT%H:%M:%SZ"
_NOT_BEFORE_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
#: 32 random bytes have fewer distinct values than this once in 10^16.
_LEAST_DISTINCT_BYTES = 16
#: Begins the line that says which sessions have ended with a key; no kid looks like that.
_ENDED = "!ended"
_MAKE_ONE = "make one with: oauth2-mw keygen"


def decode_key(text: str) -> bytes:
    """Decode a key of 32 bytes from base64url (RFC 4648, section 5), with or without padding.

    :raises ValueError: if length or spelling are wrong, or the bytes are obviously not random.
    """
    if _KEY_TEXT.fullmatch(text) is None:
        raise ValueError(f"a key is {_KEY_BYTES} random bytes in base64url, 43 characters; {_MAKE_ONE}")
    key = base64url_octets(text.rstrip("="))
    if key is None:
        raise ValueError(f"the last character of a key carries bits that belong to no byte; {_MAKE_ONE}")
    if _is_trivial(key):
        raise ValueError(f"a key must be random, and this one was made up; {_MAKE_ONE}")
    return key


def _is_trivial(key: bytes) -> bool:
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    printable = all(0x20 <= byte < 0x7F for byte in key)
    return len(steps) == 1 or printable or len(set(key)) < _LEAST_DISTINCT_BYTES


def parse_secret_keys(text: str) -> tuple[bytes, ...]:
    """Parse the literal form of ``secret_keys``: keys separated by white space, newest first.

    :raises ValueError: if there is no key, one is written twice, or with every one that is not valid.
    """
    keys: list[bytes] = []
    wrong: list[str] = []
    for position, word in enumerate(text.split(), start=1):
        try:
            if word.endswith(","):
                raise ValueError("keys are separated by spaces, not by commas: take the comma out")
            key = decode_key(word)
        except ValueError as error:
            wrong.append(f"key {position}: {error}")
            continue
        if key in keys:
            wrong.append(f"key {position} is written twice: each key once, newest first")
        keys.append(key)
    if wrong:
        raise ValueError("; ".join(wrong))
    if not keys:
        raise ValueError(f"there is no key; {_MAKE_ONE}")
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A line of a key file."""

    kid: str
    #: seconds since the epoch
    not_before: int
    key: bytes = field(repr=False)


def parse_key_file(text: str) -> tuple[KeyEntry, ...]:
    """Parse a key file: lines ``kid not-before key``, one of :func:`parse_ended`, and comments, which begin with ``#``.

    :raises ValueError: naming the line, if one is not valid, a kid or key is written twice, or there is no key.
    """
    entries: list[KeyEntry] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            if line.split()[0] == _ENDED:
                _parse_ended_line(line)
                continue
            entry = _parse_key_line(line)
            if any(entry.kid == other.kid for other in entries):
                raise ValueError(f"the kid {entry.kid} is written twice")
            if any(entry.key == other.key for other in entries):
                raise ValueError("this key is already there under another kid")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        entries.append(entry)
    if not entries:
        raise ValueError(f"the key file holds no key; {_MAKE_ONE}")
    return tuple(entries)


def parse_ended(text: str) -> int:
    """Return up to when the sessions began that have ended with a key, in seconds since the epoch; 0 if none have.

    That is the latest of a key file's lines ``!ended moment``.

    :raises ValueError: when one is not valid.
    """
    lines = (line for line in text.splitlines() if line.split()[:1] == [_ENDED])
    return max((_parse_ended_line(line) for line in lines), default=0)


def _parse_ended_line(line: str) -> int:
    words = line.split()
    if len(words) != 2:
        raise ValueError(f"the line is two words, like: {_ENDED} 2026-11-23T18:00:00Z")
    return _parse_moment(words[1], what="the moment")


def format_ended_line(moment: int) -> str:
    """Return the line of a key file that :func:`parse_ended` reads."""
    return f"{_ENDED} {_format_moment(moment)}"


def _parse_key_line(line: str) -> KeyEntry:
    words = line.split()
    if len(words) != 3:
        raise ValueError(
            "a line is three words, kid not-before key, like: k1 2026-11-23T18:00:00Z 43-characters"
        )
    kid, moment, key = words
    if _KID.fullmatch(kid) is None:
        raise ValueError("the kid is 1 to 32 letters, digits, - and _")
    return KeyEntry(kid, _parse_moment(moment, what="not-before"), decode_key(key))


def _parse_moment(text: str, *, what: str) -> int:
    try:
        if _NOT_BEFORE_TEXT.fullmatch(text) is None:
            raise ValueError
        moment = datetime.strptime(text, _NOT_BEFORE).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{what} is a moment in UTC like 2026-11-23T18:00:00Z") from None
    return int(moment.timestamp())


def _format_moment(moment: int) -> str:
    # Not strftime: it writes the years before 1000 with fewer than four digits.
    return f"{datetime.fromtimestamp(moment, tz=UTC).replace(tzinfo=None).isoformat()}Z"


def format_key_line(entry: KeyEntry) -> str:
    """Return the line of a key file that :func:`parse_key_file` reads as *entry*."""
    return f"{entry.kid} {_format_moment(entry.not_before)} {base64url(entry.key)}"
