"""The text of a personal token: what is shown once, sent by programs, and known by its beginning to secret scanners.

``omwpat_``, 16 characters that name the token, 32 that are its secret (160 random bits), and 8 check digits, all in
base32 in small letters (RFC 4648, section 6). The check digits refuse a token that was cut or mistyped without a look
into the database.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from zlib import crc32

from oauth2_mw.identity.authorization import TOKEN_PREFIX

_ID_OCTETS = 10
_SECRET_OCTETS = 20
#: CRC-32, in as many octets as fill whole characters.
_CHECK_OCTETS = 5
_TOKEN = re.compile(r"omwpat_(?P<id>[a-z2-7]{16})[a-z2-7]{32}[a-z2-7]{8}")
_CHECK_LENGTH = 8


@dataclass(frozen=True, slots=True)
class TokenText:
    """A well-formed token. Whether there is one like it only the database knows."""

    #: names the token in lists and in the audit log; not secret
    id: str
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """What is stored in the place of the token: its SHA-256, in hexadecimal."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @classmethod
    def make(cls) -> TokenText:
        """Return a token that nobody has seen before."""
        token_id = _base32(secrets.token_bytes(_ID_OCTETS))
        body = TOKEN_PREFIX + token_id + _base32(secrets.token_bytes(_SECRET_OCTETS))
        return cls(token_id, body + _check_digits(body))

    @classmethod
    def parse(cls, text: str) -> TokenText | None:
        """Return the token that *text* is, or ``None`` if it is not a token or its check digits do not fit."""
        match = _TOKEN.fullmatch(text)
        if match is None or _check_digits(text[:-_CHECK_LENGTH]) != text[-_CHECK_LENGTH:]:
            return None
        return cls(match["id"], text)


def _base32(octets: bytes) -> str:
    return b32encode(octets).decode("ascii").lower()


def _check_digits(body: str) -> str:
    return _base32(crc32(body.encode("ascii")).to_bytes(_CHECK_OCTETS))
