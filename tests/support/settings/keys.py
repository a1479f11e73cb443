"""Keys for tests: always the same, and with nothing trivial about them."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode


def raw_key(number: int) -> bytes:
    """The 32 bytes of test key *number*."""
    return hashlib.sha256(f"oauth2_mw test key {number}".encode()).digest()


def text_key(number: int = 0) -> str:
    """The same as ``secret_keys`` takes it."""
    return urlsafe_b64encode(raw_key(number)).rstrip(b"=").decode()
