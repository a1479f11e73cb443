"""The only code that encrypts: AES-256-GCM around everything we hand to a browser to keep.

A sealed text is base64url, without padding, of ``version (1) | key id (8) | nonce (12) | ciphertext and tag``. The
additional data binds the application, the purpose, the version, the key and the name under which the text travels, so
that a text of another application, purpose or cookie cannot be opened. Nothing is compressed.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag

from oauth2_mw.encoding import base64url, base64url_octets
from oauth2_mw.session.keyring import ID_BYTES, Key, Keyring

VERSION = b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
_HEADER_BYTES = len(VERSION) + ID_BYTES + NONCE_BYTES
#: Characters of a sealed text up to the end of its nonce; no two that we seal begin alike so far.
DISTINCT_CHARACTERS = _HEADER_BYTES * 4 // 3


def sealed_length(payload: int) -> int:
    """Return how many characters a payload of that many bytes takes when sealed."""
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
        """Return whether a text was sealed with the key that seals now."""
        octets = base64url_octets(text)
        return octets is not None and octets[1 : 1 + ID_BYTES] == self.keyring.sealing_key().id

    def sealed_until(self, text: str) -> float:
        """Return when the key that a text was sealed with stopped sealing, in seconds since the epoch, or will."""
        # The version and the key's id end with a whole group of characters.
        octets = base64url_octets(text[: (len(VERSION) + ID_BYTES) * 4 // 3])
        return 0 if octets is None else self.keyring.sealed_until(octets[len(VERSION) :])

    def seal(self, purpose: str, name: str, payload: bytes, *, key: Key | None = None) -> str:
        """Encrypt *payload* for *purpose*, to travel under *name* (a cookie's name, or what stands for one).

        :param key: the key to seal with, if it is not the ring's.
        """
        key = key or self.keyring.sealing_key()
        # 96 random bits: safe for 2^32 seals a key, far beyond the logins of a key's life (NIST SP 800-38D, 8.3).
        nonce = os.urandom(NONCE_BYTES)
        header = VERSION + key.id
        sealed = key.aead(purpose).encrypt(nonce, payload, self._additional_data(header, purpose, name))
        return base64url(header + nonce + sealed)

    def open(self, purpose: str, name: str, text: str, *, key: Key | None = None) -> bytes | None:
        """Return the payload that :meth:`seal` was given, or ``None`` for whatever it did not seal for this purpose.

        :param key: the key that it was sealed with, if it is not one of the ring's.
        """
        octets = base64url_octets(text)
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
