"""The header ``Authorization``: what a program sends to say who it is, and whether a token of ours is in it."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.boundary import normalised_key

#: What begins with it is a personal token, or is meant as one.
TOKEN_PREFIX = "omwpat_"  # noqa: S105 - the beginning of every token
#: Under these names, normalised, the header may stand in an environ.
AUTHORIZATION_FORMS = frozenset({"HTTP_AUTHORIZATION", "AUTHORIZATION", "REDIRECT_HTTP_AUTHORIZATION"})
_WORD = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_NOT_BASE64 = (re.compile(r"[^A-Za-z0-9+/]+"), re.compile(r"[^A-Za-z0-9_-]+"))
_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Authorization:
    """A header that can be read: ``Bearer`` (RFC 6750, section 2.1) or ``Basic`` (RFC 7617)."""

    #: in lower case
    scheme: str
    #: the token, or the password
    secret: str = field(repr=False)
    #: of ``Basic`` alone
    username: str | None = None

    @classmethod
    def parse(cls, value: str) -> Authorization | None:
        """Return what a header says, or ``None`` if it is of another scheme or malformed.

        A password has no colon in it, but a username may.
        """
        scheme, _, rest = value.strip(" \t").partition(" ")
        scheme, rest = scheme.lower(), rest.strip(" \t")
        if scheme == "bearer" and rest:
            return cls(scheme, rest)
        if scheme != "basic":
            return None
        try:
            pair = a2b_base64(rest.encode("ascii"), strict_mode=True)
            username, colon, password = pair.decode("utf-8").rpartition(":")
        except (Base64Error, UnicodeError):
            return None
        return cls(scheme, password, username) if colon else None


def is_bearer(header: str) -> bool:
    """Return whether a header is of the scheme ``Bearer``, whatever follows it."""
    return header.lstrip()[:7].lower().rstrip() == "bearer"


def carries_token(value: object) -> bool:
    """Return whether a personal token, whole or not, is in the value of a header: as it is, or in base64 as in Basic.

    Patient with spellings, because a program that reads the header may be.
    """
    text = str(value)
    if TOKEN_PREFIX in text:
        return True
    rest = text.lstrip().partition(" ")[2]
    # Some readers pass over what is not base64, each in the one of two alphabets that it knows.
    words = [*_WORD.findall(text), *(alien.sub("", rest) for alien in _NOT_BASE64)]
    return any(TOKEN_PREFIX.encode() in _decoded(word) for word in words)


def cut_authorization(environ: dict[Any, Any]) -> None:
    """Remove the header from an environ, in every spelling."""
    for key in [
        key for key in environ if isinstance(key, str) and normalised_key(key) in AUTHORIZATION_FORMS
    ]:
        del environ[key]


def _decoded(word: str) -> bytes:
    word = word.translate(_STANDARD)
    # A last character alone holds no octet.
    whole = word[:-1] if len(word) % 4 == 1 else word
    return a2b_base64(whole + "=" * (-len(whole) % 4))
