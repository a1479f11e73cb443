"""What we remember about a signed-in browser, and its compact form inside the session cookie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from oauth2_mw.identity.model import Identity, freeze, thaw

_read = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of one browser. All times in whole seconds since the epoch."""

    #: 128 random bits, fresh at every sign-in; what a logout revokes
    id: str
    identity: Identity
    #: ``id_token``, ``access_token``: those that ``keep_tokens`` names and that had room
    tokens: Mapping[str, str] = field(repr=False)
    created: int
    #: the end of the session, whatever its use
    expires: int
    #: the last moment of use that was written down
    seen: int
    #: seconds without use after which the session ends
    idle: int

    def alive(self, now: float) -> bool:
        """Whether neither the absolute nor the idle limit has passed."""
        return now < self.expires and now < self.seen + self.idle

    def renew_at(self) -> float:
        """From when a use is worth writing down: an eighth of the idle time, so that few responses set a cookie."""
        return self.seen + self.idle / 8

    def used(self, now: float) -> Session:
        """The same session, used now."""
        return replace(self, seen=int(now))

    def to_payload(self) -> bytes:
        """JSON with one-letter keys: a cookie's bytes travel with every request."""
        who = self.identity
        record = {
            "s": self.id,
            "u": who.id,
            "p": who.provider,
            "i": who.issuer,
            "b": who.subject,
            "n": who.username,
            "f": who.name,
            "e": who.email,
            "h": who.phone,
            "m": who.comment,
            "g": list(who.groups),
            "o": list(who.organizations),
            "r": who.acr,
            "a": who.auth_time,
            "c": thaw(who.claims),
            "t": dict(self.tokens),
            "0": self.created,
            "1": self.expires,
            "2": self.seen,
            "3": self.idle,
        }
        kept = {key: value for key, value in record.items() if value or value == 0}
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_payload(cls, payload: bytes) -> Session:
        """The inverse of :meth:`to_payload`.

        :raises ValueError, KeyError, TypeError: for a payload of another shape, such as another version's.
        """
        # What json.loads does beside, guessing an encoding and skipping blanks, is for texts that others wrote.
        text = payload.decode()
        record, end = _read(text)
        if type(record) is not dict or end != len(text):
            raise ValueError("a session is a JSON object")
        get = record.get
        identity = Identity(
            record["u"],
            record["p"],
            record["i"],
            record["b"],
            record["n"],
            get("f"),
            get("e"),
            get("h"),
            get("m"),
            tuple(get("g", ())),
            tuple(get("o", ())),
            get("r"),
            get("a"),
            freeze(get("c", {})),
        )
        # What is compared and counted later must be text and numbers: joining and adding up others is a TypeError.
        "".join((record["s"], record["u"], record["p"], record["i"], record["b"], record["n"]))
        _ = record["0"] + record["1"] + record["2"] + record["3"] + 0
        return cls(
            record["s"],
            identity,
            MappingProxyType(get("t", {})),
            record["0"],
            record["1"],
            record["2"],
            record["3"],
        )
