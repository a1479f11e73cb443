"""The only code that encrypts: AES-256-GCM around everything we hand to a browser to keep.

A sealed text is base64url, without padding, of ``version (1) | key id (8) | nonce (12) | ciphertext and tag``. The
additional data binds the application, the purpose, the version, the key and the name under which the text travels, so
that a text of another application, another use or another cookie is no text at all. Nothing is compressed.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from binascii import a2b_base64

from cryptography.exceptions import InvalidTag

from oauth2_mw.session.keyring import ID_BYTES, Key, Keyring

VERSION = b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
_HEADER_BYTES = len(VERSION) + ID_BYTES + NONCE_BYTES
#: The last character of an unpadded text whose unused bits are zero: one spelling for one value.
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
_PADDING = {0: b"", 2: b"==", 3: b"="}
#: base64url as the decoder reads it. The other alphabet's characters become one that it drops.
_ALPHABET = bytes.maketrans(b"-_+/", b"+/!!")


def _decode(text: str) -> bytes | None:
    """The octets of an unpadded base64url text, or ``None`` when it could be spelt in another way."""
    remainder = len(text) & 3
    if remainder == 1 or (remainder and text[-1] not in _LAST[remainder]):
        return None
    try:
        octets = a2b_base64(text.encode("ascii").translate(_ALPHABET) + _PADDING[remainder])
    except ValueError:
        return None
    # The decoder drops what is not base64; then something is missing at the end.
    return octets if len(octets) == len(text) * 3 // 4 else None


def sealed_length(payload: int) -> int:
    """How many characters a payload of that many bytes takes when sealed."""
    octets = _HEADER_BYTES + payload + TAG_BYTES
    return (octets * 4 + 2) // 3


class Sealer:
    """Seals and opens texts for one application.

    :param app_id: ``public_url``; two applications that share a key cannot read each other's texts.
    """

    def __init__(self, keyring: Keyring, *, app_id: str) -> None:
        self.keyring = keyring
        self._app = self._counted(app_id)
        self._bound: dict[str, bytes] = {}

    @staticmethod
    def _counted(text: str) -> bytes:
        octets = text.encode()
        return len(octets).to_bytes(4, "big") + octets

    def _additional_data(self, header: bytes, purpose: str, name: str) -> bytes:
        bound = self._bound.get(purpose)
        if bound is None:
            bound = self._bound[purpose] = self._app + self._counted(purpose)
        return header + bound + name.encode()

    def is_current(self, text: str) -> bool:
        """Whether a sealed text was made with the key that seals now."""
        octets = _decode(text)
        return octets is not None and octets[1 : 1 + ID_BYTES] == self.keyring.sealing_key().id

    def seal(self, purpose: str, name: str, payload: bytes, *, key: Key | None = None) -> str:
        """Encrypt *payload* for *purpose*, to travel under *name* (a cookie's name, or what stands for one).

        :param key: a key of its own in place of the ring's.
        """
        key = key or self.keyring.sealing_key()
        # 96 random bits: safe for 2^32 seals a key, far beyond the logins of a key's life (NIST SP 800-38D, 8.3).
        nonce = os.urandom(NONCE_BYTES)
        header = VERSION + key.id
        sealed = key.aead(purpose).encrypt(nonce, payload, self._additional_data(header, purpose, name))
        return urlsafe_b64encode(header + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, purpose: str, name: str, text: str, *, key: Key | None = None) -> bytes | None:
        """What :meth:`seal` was given, or ``None`` for anything that it did not make for just this use.

        :param key: the key of its own that it was sealed with.
        """
        octets = _decode(text)
        if octets is None or len(octets) < _HEADER_BYTES + TAG_BYTES or octets[:1] != VERSION:
            return None
        header = octets[: 1 + ID_BYTES]
        if key is None:
            key = self.keyring.find(header[1:])
        if key is None or key.id != header[1:]:
            return None
        try:
            return key.aead(purpose).decrypt(
                octets[1 + ID_BYTES : _HEADER_BYTES],
                octets[_HEADER_BYTES:],
                self._additional_data(header, purpose, name),
            )
        except InvalidTag:
            return None
