"""Base64url without padding (RFC 4648, section 5; RFC 7515, section 2), hashes of pairs, scalars, text as ASCII."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from decimal import Decimal
from typing import Any
from unicodedata import combining, normalize
from urllib.parse import quote

#: The largest whole number that JSON, Lua and every database count to without a loss (RFC 7493, section 2.2).
MAX_NUMBER = 2**53 - 1
#: What percent-encoding leaves as it is: all of ASCII but the percent sign, so that decoding gives the text again.
_KEPT = "".join(chr(octet) for octet in range(128) if chr(octet) != "%")
#: The last character of an unpadded text whose unused bits are zero: one spelling for one value.
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
_JSON_TYPES = {
    **dict.fromkeys((list, tuple), "a list"),
    **dict.fromkeys((int, float), "a number"),
    str: "a text",
    bool: "true or false",
    type(None): "null",
}
_PADDING = {0: b"", 2: b"==", 3: b"="}
#: base64url as the decoder reads it. The other alphabet's characters become one that it drops.
_ALPHABET = bytes.maketrans(b"-_+/", b"+/!!")


def base64url(octets: bytes) -> str:
    """Return *octets* in base64url without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def base64url_octets(text: str) -> bytes | None:
    """Return the octets of an unpadded base64url text, or ``None`` if it is malformed.

    Each value has only one accepted spelling: otherwise a copy spelt differently would get past a list of used ones.
    """
    remainder = len(text) & 3
    if remainder == 1 or (remainder and text[-1] not in _LAST[remainder]):
        return None
    try:
        octets = a2b_base64(text.encode("ascii").translate(_ALPHABET) + _PADDING[remainder])
    except ValueError:
        return None
    # The decoder drops characters that are not base64, so that the result is too short.
    return octets if len(octets) == len(text) * 3 // 4 else None


def pair_hash(issuer: str, name: str) -> str:
    """Return a hash of fixed length of an issuer and a name that is unique only at this issuer.

    No two pairs share one: the issuer's length goes into the hash. It tells pairs apart octet by octet, whichever texts
    a database's collation takes for equal.
    """
    pair = f"{len(issuer)}:{issuer}{name}".encode("utf-8", "surrogatepass")
    return base64url(hashlib.sha256(pair).digest())


def scalar_text(value: Any) -> str | None:
    """Return a text, a number or a boolean of JSON as text, or ``None`` if it is something else or has no plain form.

    It is the one form in which claims are compared with settings and handed to applications: ``true``, ``7``, ``0.5``.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    # Longer numbers cannot be written without an error or hundreds of digits; no claim means them.
    if isinstance(value, int) and value.bit_length() <= 256:
        return str(value)
    if isinstance(value, float) and abs(value) < 1e16:
        return f"{Decimal(repr(value)):f}"
    return None


def json_type(value: Any) -> str:
    """Return what kind of JSON value this is, for a message."""
    return _JSON_TYPES.get(type(value), "an object")


def ascii_form(text: str) -> str | None:
    """Return *text* without its accents, *zoe* for *zoé* (Unicode Standard Annex 15, NFKD).

    ``None`` if a character is left that ASCII does not have.
    """
    plain = "".join(char for char in normalize("NFKD", text) if not combining(char))
    return plain if plain.isascii() else None


def percent_form(text: str) -> str:
    """Return *text* with ``%`` and what ASCII does not have percent-encoded as UTF-8 (RFC 3986, section 2.1)."""
    return quote(text, safe=_KEPT)
