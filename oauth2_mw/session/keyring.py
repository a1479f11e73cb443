"""The keys that seal and open our cookies, and how a new one takes over without logging anybody out.

Every key opens from the moment it is read. Only one seals: the newest that every worker has had a minute to read, so
that no worker receives a cookie whose key it does not have yet.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Collection, Iterable, Sequence
from math import inf
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from oauth2_mw.audit import audit
from oauth2_mw.encoding import base64url
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.settings.keys import parse_ended, parse_key_file, parse_secret_keys
from oauth2_mw.settings.secret import Secret

log = logging.getLogger(__name__)  # type: logging.Logger

#: Seconds between a key's not-before and its first use for sealing.
SEAL_DELAY = 60
#: Least seconds between two looks at the file that an unknown key id provokes.
UNKNOWN_KEY_PAUSE = 1.0

ID_BYTES = 8

_Item = TypeVar("_Item")


def latest_first(dated: Iterable[tuple[int, _Item]]) -> list[tuple[int, _Item]]:
    """Return dated keys in the order in which they are considered for sealing.

    :param dated: each key with the time from which it seals, in seconds since the epoch.
    """
    return sorted(dated, key=lambda item: item[0], reverse=True)


def sealing(dated: Sequence[tuple[int, _Item]], now: float) -> _Item:
    """Return the key that seals at the time *now*: the latest that is old enough, or the oldest if none is.

    :param dated: as :func:`latest_first` returns them.
    """
    return next((key for since, key in dated if since <= now), dated[-1][1])


def _derive(root: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(root)


class Key:
    """One root key, and the sub-keys derived from it, one for each purpose (HKDF, RFC 5869)."""

    __slots__ = ("_aeads", "_root", "id")

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._aeads: dict[str, AESGCM] = {}
        #: Names the key inside what it sealed. Derived, so that it says nothing about the key.
        self.id = _derive(root, b"oauth2_mw key id", ID_BYTES)  # type: bytes

    def aead(self, purpose: str) -> AESGCM:
        """Return the AES-256-GCM cipher of this key for *purpose*."""
        aead = self._aeads.get(purpose)
        if aead is None:
            aead = self._aeads[purpose] = AESGCM(
                _derive(self._root, b"oauth2_mw seal " + purpose.encode(), 32)
            )
        return aead

    def mac(self, purpose: str, text: str) -> str:
        """Return a hash of *text* that tells nothing to whoever lacks the key (HMAC-SHA-256, RFC 2104)."""
        secret = _derive(self._root, b"oauth2_mw name " + purpose.encode(), 32)
        digest = hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256")
        return base64url(digest)

    def __repr__(self) -> str:
        return f"<Key {self.id.hex()}>"


class _Ring:
    """One reading of the source: replaced as a whole, so that a request sees the old keys or the new ones."""

    __slots__ = ("by_id", "ended", "sealing")

    def __init__(self, dated: list[tuple[int, Key]], *, ended: int = 0) -> None:
        #: up to when the sessions began that have ended with a key, in seconds since the epoch
        self.ended = ended
        self.by_id = {key.id: key for _, key in dated}
        #: (time from which it seals, key), latest first; the last seals if none is old enough
        self.sealing = latest_first(dated)


class Keyring:
    """The key ring of one application.

    :param source: the setting ``secret_keys``: a list of keys, newest first, or a key file.
    :param sync: seconds between two looks at the file.
    :raises ValueError: at construction, when the source cannot be read.
    """

    def __init__(self, source: Secret, *, sync: int, clocks: Clocks = SYSTEM_CLOCKS) -> None:
        self._source = source
        self._sync = sync
        self._wall = clocks.wall
        self._monotonic = clocks.monotonic
        self._reading = ProcessLock()
        self._text = source.value()
        self._ring = self._parse(self._text)
        #: grows with every change of the keys; what was opened with an earlier ring must be opened again
        self.generation = 0  # type: int
        self._unknown_pause = 0.0
        #: monotonic time from which the file is looked at again; infinite for keys that are not in a file
        self.next_look = self._monotonic() + sync if source.path is not None else float("inf")  # type: float

    def _parse(self, text: str) -> _Ring:
        if self._source.path is None:
            keys = parse_secret_keys(text)
            # Newest first, all of them known to every worker since it started: no delay.
            return _Ring([(-position, Key(key)) for position, key in enumerate(keys)])
        entries = parse_key_file(text)
        dated = [(entry.not_before + SEAL_DELAY, Key(entry.key)) for entry in entries]
        return _Ring(dated, ended=parse_ended(text))

    def refresh(self) -> None:
        """Look at the file if it is time to."""
        if self._monotonic() >= self.next_look:
            self.look()

    def look(self) -> None:
        """Read the key file again if it has changed. If it cannot be used, the previous keys stay in force."""
        # While another request reads, this one goes on with the previous keys.
        if self._reading.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._reading.release()

    def _read(self) -> None:
        try:
            text = self._source.fresh_value()
            if text != self._text:
                ring = self._parse(text)
                self._text, self._ring = text, ring
                self.generation += 1
                log.info("the key file has changed: %d keys", len(ring.by_id))
        except (OSError, ValueError) as error:
            audit("key_file_unusable", detail=f"{error}; the keys read before stay in force")
        finally:
            self.next_look = self._monotonic() + self._sync

    def find(self, key_id: bytes) -> Key | None:
        """Return the key of that id, or ``None``. An unknown id makes the ring read the file, at most once a second."""
        key = self._ring.by_id.get(key_id)
        if key is None and self._source.path is not None:
            # A request that comes with a new key while another one reads the file waits, so as not to lose its session.
            with self._reading:
                key = self._ring.by_id.get(key_id)
                if key is None and self._monotonic() >= self._unknown_pause:
                    self._read()
                    self._unknown_pause = self._monotonic() + UNKNOWN_KEY_PAUSE
                    key = self._ring.by_id.get(key_id)
        return key

    @property
    def ended(self) -> int:
        """Up to when the sessions began that have ended with a key, in seconds since the epoch; 0 if none have."""
        return self._ring.ended

    def sealed_until(self, key_id: bytes) -> float:
        """Return when the next key took over from that one, in seconds since the epoch; infinite if none will."""
        if self._source.path is None:
            # Nobody knows since when a key stands in a setting.
            return inf
        until = inf
        for since, key in self._ring.sealing:
            if key.id == key_id:
                break
            until = since
        return until

    def keys(self) -> Collection[Key]:
        """Return all keys that open."""
        return self._ring.by_id.values()

    def sealing_key(self) -> Key:
        """Return the key that seals now."""
        self.refresh()
        return sealing(self._ring.sealing, self._wall())
