"""What we remember about a signed-in browser, and its compact form inside the session cookie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple
from zlib import crc32

from oauth2_mw.identity.model import Identity, freeze, thaw
from oauth2_mw.session.assembly import assembler

_read = json.JSONDecoder().raw_decode
_texts, _numbers = itemgetter(*"supbin"), itemgetter(*"0123")
_TEXT, _NUMBER = frozenset({str}), frozenset({int, float})


class SignInDetails(NamedTuple):
    """The circumstances of the sign-in that a session comes from."""

    #: when the user signed in: ``iat`` of the ID token, or else by our clock, in seconds since the epoch
    issued_at: int = 0
    #: the provider's name for its own session (OpenID Connect Back-Channel Logout 1.0, section 2.1)
    sid: str | None = None
    #: the browser, described for its user
    device: str | None = None
    #: the IP address of the browser
    remote_addr: str | None = None


class RefreshSchedule(NamedTuple):
    """When the tokens of a session are to be refreshed, in seconds since the epoch."""

    refresh_at: int
    #: the end of the access token; before it no request waits for the refresh
    token_expires_at: int

    @classmethod
    def of(cls, expires_at: int | None, *, now: float, session_id: str) -> RefreshSchedule | None:
        """Return the schedule of an access token that ends at *expires_at*, or ``None`` if its end is unknown.

        It is due at the latest a minute before its end, and at the earliest when a quarter of its life is left: each
        session has its own moment between the two, so that those who came together are not refreshed together.
        """
        if expires_at is None:
            return None
        earliest = max(expires_at - now, 0) / 4
        latest = min(60, earliest)
        share = crc32(session_id.encode()) / 2**32
        return cls(int(expires_at - latest - share * (earliest - latest)), expires_at)


class SessionRef(NamedTuple):
    """What is needed to end a session."""

    id: str
    #: the end of the session, however recently it was used
    expires_at: int


_UNKNOWN = SignInDetails()


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of one browser. All times in whole seconds since the epoch."""

    #: 128 random bits, new at every sign-in; what a logout revokes
    id: str
    identity: Identity
    #: ``id_token``, ``access_token``, ``refresh_token``: those that ``keep_tokens`` names, as far as there was room
    tokens: Mapping[str, str] = field(repr=False)
    created_at: int
    #: the end of the session, however recently it was used
    expires_at: int
    #: the latest use that was noted
    last_used_at: int
    #: seconds without use after which the session ends
    idle_timeout: int
    #: ``None`` if there is nothing to refresh
    refresh_schedule: RefreshSchedule | None = None
    sign_in: SignInDetails = _UNKNOWN
    #: the names of the claims that userinfo gave; kept for a refresh alone
    from_userinfo: tuple[str, ...] = ()

    @property
    def ref(self) -> SessionRef:
        """What is needed to end the session."""
        return SessionRef(self.id, self.expires_at)

    @property
    def ends_at(self) -> int:
        """When the lifetime or the idle timeout passes, whichever comes first."""
        return min(self.expires_at, self.last_used_at + self.idle_timeout)

    def is_alive(self, now: float) -> bool:
        """Return whether neither the lifetime nor the idle timeout has passed."""
        return now < self.ends_at

    def is_refresh_due(self, now: float) -> bool:
        """Return whether it is time to refresh the tokens."""
        return self.refresh_schedule is not None and now >= self.refresh_schedule.refresh_at

    def has_access_token_expired(self, now: float) -> bool:
        """Return whether the access token has expired. One of unknown lifetime counts as expired."""
        return self.refresh_schedule is None or now >= self.refresh_schedule.token_expires_at

    def renew_at(self) -> float:
        """Return from when a use is worth noting: an eighth of the idle timeout, so that few responses set a cookie."""
        return self.last_used_at + self.idle_timeout / 8

    def touched(self, now: float) -> Session:
        """Return the session with *now* as its latest use."""
        return replace(self, last_used_at=int(now))

    def to_payload(self) -> bytes:
        """Return the session as JSON, with short keys because a cookie travels with every request."""
        identity = self.identity
        record = {
            "s": self.id,
            "u": identity.id,
            "p": identity.provider,
            "i": identity.issuer,
            "b": identity.subject,
            "n": identity.username,
            "f": identity.name,
            "e": identity.email,
            "h": identity.phone,
            "m": identity.comment,
            "g": list(identity.groups),
            "o": list(identity.organizations),
            "r": identity.acr,
            "a": identity.auth_time,
            "c": thaw(identity.claims),
            "t": dict(self.tokens),
            "0": self.created_at,
            "1": self.expires_at,
            "2": self.last_used_at,
            "3": self.idle_timeout,
            "x": self.refresh_schedule,
            "w": _without_trailing_defaults(self.sign_in),
            "y": self.from_userinfo,
        }
        kept = {key: value for key, value in record.items() if value or value == 0}
        # A lone surrogate, which JSON can spell and UTF-8 cannot, becomes a question mark.
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")

    @classmethod
    def from_payload(cls, payload: bytes) -> Session:
        """Return the session that :meth:`to_payload` was called on.

        :raises ValueError, KeyError, TypeError: for a payload of another shape, such as another version's.
        """
        # json.loads would also guess an encoding and skip blanks, which our own texts do not need.
        text = payload.decode()
        record, end = _read(text)
        if type(record) is not dict or end != len(text):
            raise ValueError("a session is a JSON object")
        get = record.get
        identity = _assemble_identity(
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
        # The types of what is compared and counted with later.
        if not _TEXT.issuperset(map(type, _texts(record))) or not _NUMBER.issuperset(
            map(type, _numbers(record))
        ):
            raise TypeError("a session's texts or times are something else")
        sign_in = SignInDetails(*get("w", ()))
        if not isinstance(sign_in.issued_at, (int, float)):
            raise TypeError("a session's time of issue is not a number")
        return _assemble_session(
            record["s"],
            identity,
            MappingProxyType(get("t", {})),
            record["0"],
            record["1"],
            record["2"],
            record["3"],
            RefreshSchedule(*map(int, schedule)) if (schedule := get("x")) is not None else None,
            sign_in,
            tuple(map(str, record["y"])) if "y" in record else (),
        )


_assemble_identity, _assemble_session = assembler(Identity), assembler(Session)


def _without_trailing_defaults(values: Sequence[object]) -> list[object]:
    """Return *values* without trailing ``None`` and 0."""
    kept = list(values)
    while kept and kept[-1] in (None, 0):
        kept.pop()
    return kept
