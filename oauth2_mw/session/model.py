"""What we remember about a signed-in browser, and its compact form inside the session cookie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from oauth2_mw.identity.model import Identity, freeze, thaw

_read = json.JSONDecoder().raw_decode


class SignInDetails(NamedTuple):
    """Where a session comes from."""

    #: the moment of the sign-in by the provider's clock (``iat`` of the ID token), else by ours
    issued_at: int = 0
    #: the provider's name for its own session (OpenID Connect Back-Channel Logout 1.0, section 2.1)
    sid: str | None = None
    #: the browser, in words for its owner
    device: str | None = None
    #: the address that the sign-in came from
    remote_addr: str | None = None


class RefreshSchedule(NamedTuple):
    """When the tokens of a session are to be refreshed, in seconds since the epoch."""

    refresh_at: int
    #: the end of the access token; until then nobody has to wait
    token_expires_at: int

    @classmethod
    def of(cls, expires_at: int | None, *, now: float) -> RefreshSchedule | None:
        """When an access token is due that ends at *expires_at*; ``None``: never, because nobody knows its end."""
        if expires_at is None:
            return None
        # A minute ahead, and a quarter of the life of what is short-lived.
        return cls(int(expires_at - min(60, max(expires_at - now, 0) / 4)), expires_at)


class SessionRef(NamedTuple):
    """What it takes to end a session."""

    id: str
    #: the end of the session, whatever its use
    expires_at: int


_UNKNOWN = SignInDetails()


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of one browser. All times in whole seconds since the epoch."""

    #: 128 random bits, fresh at every sign-in; what a logout revokes
    id: str
    identity: Identity
    #: ``id_token``, ``access_token``, ``refresh_token``: those that ``keep_tokens`` names and that had room
    tokens: Mapping[str, str] = field(repr=False)
    created_at: int
    #: the end of the session, whatever its use
    expires_at: int
    #: the last moment of use that was written down
    last_used_at: int
    #: seconds without use after which the session ends
    idle_timeout: int
    #: ``None``: there is nothing to refresh
    refresh_schedule: RefreshSchedule | None = None
    sign_in: SignInDetails = _UNKNOWN

    @property
    def ref(self) -> SessionRef:
        """What it takes to end it."""
        return SessionRef(self.id, self.expires_at)

    def is_alive(self, now: float) -> bool:
        """Whether neither the absolute nor the idle limit has passed."""
        return now < self.expires_at and now < self.last_used_at + self.idle_timeout

    def is_refresh_due(self, now: float) -> bool:
        """Return whether the tokens are to be refreshed by now."""
        return self.refresh_schedule is not None and now >= self.refresh_schedule.refresh_at

    def is_access_token_over(self, now: float) -> bool:
        """Return whether the access token has ended, as far as its end is known."""
        return self.refresh_schedule is None or now >= self.refresh_schedule.token_expires_at

    def renew_at(self) -> float:
        """From when a use is worth writing down: an eighth of the idle time, so that few responses set a cookie."""
        return self.last_used_at + self.idle_timeout / 8

    def touched(self, now: float) -> Session:
        """The same session, used now."""
        return replace(self, last_used_at=int(now))

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
            "0": self.created_at,
            "1": self.expires_at,
            "2": self.last_used_at,
            "3": self.idle_timeout,
            "x": self.refresh_schedule,
            "w": _without_end(self.sign_in),
        }
        kept = {key: value for key, value in record.items() if value or value == 0}
        # No text may break it: half a character, which JSON can spell, becomes a question mark.
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")

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
        origin = SignInDetails(*get("w", ()))
        _ = record["0"] + record["1"] + record["2"] + record["3"] + origin.issued_at
        return cls(
            record["s"],
            identity,
            MappingProxyType(get("t", {})),
            record["0"],
            record["1"],
            record["2"],
            record["3"],
            RefreshSchedule(*map(int, due)) if (due := get("x")) is not None else None,
            origin,
        )


def _without_end(values: Sequence[object]) -> list[object]:
    """*values* without those missing at its end."""
    kept = list(values)
    while kept and kept[-1] in (None, 0):
        kept.pop()
    return kept
