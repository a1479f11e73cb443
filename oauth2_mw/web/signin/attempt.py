"""One attempt to sign in, from the redirect to the provider until its answer comes back.

An attempt lives in two places, both sealed. The ``state`` parameter goes through the provider and says which attempt
an answer belongs to; the attempt's own cookie stays in the browser and holds what must not leave it. Only an answer
whose ``state`` and cookie agree is acted upon (RFC 6749, section 10.12; RFC 9700, section 4.7). Every tab has a cookie
of its own, so tabs do not disturb each other.

The nonce (OpenID Connect Core, section 3.1.2.1) and the PKCE verifier (RFC 7636, section 4.1) are both derived from
one random seed, which keeps the cookie small.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.encoding import base64url, base64url_octets
from oauth2_mw.provider.demand import NO_DEMAND, Demand
from oauth2_mw.session.cookies import MAX_COOKIE, Cookies, RequestCookies
from oauth2_mw.session.model import SessionRef
from oauth2_mw.session.sealing import Sealer, sealed_length

#: Seconds in which an answer must come back.
VALID_FOR = 600
#: Seconds for which the cookie stays, so that a late answer still finds its destination.
KEPT_FOR = 3600
#: The last characters of the cookies' names. A browser has at most one attempt for each, even if it begins several at
#: once, before it can send the cookies of any.
SLOTS = "abcdefgh"
#: Octets of a request's header that our cookies may take. Servers read 8190 of one line, applications need some.
MAX_COOKIE_BYTES = 7600
#: So many sign-ins within so many seconds, none of which has left a session, are a loop.
LOOP_SIGN_INS = 3
LOOP_SECONDS = 60
#: Seconds by which the clocks of two of our own hosts may differ.
CLOCK_SKEW = 60

#: Octets of an attempt beside its destination, with the longest NAME of a provider, a seed and a session's id.
_MAX_RECORD_BYTES = 180

_STATE = "state"
_ATTEMPT = "attempt"


@dataclass(frozen=True, slots=True)
class State:
    """The content of a ``state`` parameter."""

    #: the slot, and 72 random bits
    id: str
    #: seconds since the epoch
    started: int
    provider: str
    #: how often this sign-in was begun anew because an answer did not fit
    restarts: int

    @property
    def slot(self) -> str:
        """The last character of the cookie's name."""
        return self.id[:1]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The content of an attempt's cookie."""

    state: State
    #: 32 random octets; empty once the attempt is used
    seed: bytes = field(repr=False)
    #: the validated local path to return to
    destination: str
    #: whether an answer was acted upon; the attempt is kept for its destination only
    used: bool = False
    #: whether that answer has led to a session
    signed_in: bool = False
    #: the session that the browser had at the beginning, where the answer will come without its cookie
    previous_session: SessionRef | None = None
    #: what the provider is asked for beyond its settings
    demand: Demand = NO_DEMAND

    @property
    def nonce(self) -> str:
        """256 bits that come back inside the ID token."""
        return base64url(hashlib.sha256(b"nonce" + self.seed).digest())

    @property
    def code_verifier(self) -> str:
        """43 characters that prove to the token endpoint who began."""
        return base64url(hashlib.sha256(b"verifier" + self.seed).digest())

    def is_pending(self, now: float) -> bool:
        """Return whether an answer may still be acted upon."""
        return not self.used and -CLOCK_SKEW <= now - self.state.started < VALID_FOR


class Attempts:
    """Begins attempts, finds them again and closes them.

    :param consume: takes the one use of an attempt in the directory, for all processes: ``(id, expires=...)``, returns
        whether it was the first. Without it each process remembers its own, and across processes the provider's
        single-use code decides.
    :param form_post: the providers whose answers come as a form.
    """

    def __init__(
        self,
        sealer: Sealer,
        cookies: Cookies,
        *,
        consume: Callable[..., bool] | None = None,
        form_post: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sealer = sealer
        self._cookies = cookies
        self._clock = clock
        self._consume = consume or LocalReplayCache(clock=clock).consume
        self._form_post = frozenset(form_post)

    def begin(
        self,
        provider: str,
        destination: str,
        cookies: RequestCookies,
        *,
        restarts: int = 0,
        previous_session: SessionRef | None = None,
        demand: Demand = NO_DEMAND,
    ) -> tuple[Attempt, str, list[str]]:
        """Return a new attempt, its ``state``, and the ``Set-Cookie`` values that keep it and make room for it.

        :param previous_session: the browser's present session. The attempt remembers it where answers come as a form:
            browsers send the session's cookie, which is ``SameSite=Lax``, with no form of another site.
        """
        others = self._open_all(cookies)
        state = State(_slot(others) + base64url(os.urandom(9)), int(self._clock()), provider, restarts)
        if provider not in self._form_post:
            previous_session = None
        attempt = Attempt(
            state, os.urandom(32), destination, previous_session=previous_session, demand=demand
        )
        session_bytes = self._cookies.session_bytes(cookies)
        sealed = self._sealed_to_fit(attempt, session_bytes)
        room = MAX_COOKIE_BYTES - session_bytes - len(sealed)
        evicted = self._evict(others, cookies, writing=state.slot, room=room)
        return attempt, self._seal_state(state), [self._set(attempt, sealed), *evicted]

    def _sealed_to_fit(self, attempt: Attempt, session_bytes: int) -> str:
        sealed = self._seal_attempt(attempt)
        if self._fits(len(sealed), session_bytes):
            return sealed
        # Better to end at the front page than at a server that refuses so long a header.
        return self._seal_attempt(replace(attempt, destination=""))

    def has_room(self, destination: str, cookies: RequestCookies) -> bool:
        """Return whether a new attempt of that browser, at whichever provider, keeps its destination."""
        length = sealed_length(len(destination) + _MAX_RECORD_BYTES)
        return self._fits(length, self._cookies.session_bytes(cookies))

    def _fits(self, length: int, session_bytes: int) -> bool:
        longest = MAX_COOKIE - len(self._cookies.attempt_prefix) - len("a")
        return length <= longest and session_bytes + length <= MAX_COOKIE_BYTES

    def _open_all(self, cookies: RequestCookies) -> dict[str, Attempt]:
        """Return the attempts of a browser by slot, without those that do not open or are past their time."""
        now = self._clock()
        attempts = (
            (slot, self._open_attempt(slot, sealed))
            for slot, sealed in self._cookies.attempts(cookies).items()
        )
        return {
            slot: attempt
            for slot, attempt in attempts
            if attempt is not None and now - attempt.state.started < KEPT_FOR
        }

    def _evict(
        self, attempts: dict[str, Attempt], cookies: RequestCookies, *, writing: str, room: int
    ) -> list[str]:
        """Return ``Set-Cookie`` values that expire what exceeds *room*: used attempts first, then the oldest.

        :param writing: the slot that the response sets.
        """
        sealed = self._cookies.attempts(cookies)
        keep = {self._cookies.attempt_prefix + writing}
        others = attempts.keys() - {writing}
        for slot in sorted(others, key=lambda slot: (attempts[slot].used, -attempts[slot].state.started)):
            room -= len(self._cookies.attempt_prefix) + len(sealed[slot]) + 4
            if room < 0:
                break
            keep.add(self._cookies.attempt_prefix + slot)
        return self._expire_others(cookies, keep)

    def open_state(self, text: str) -> State | None:
        """Return the content of a ``state`` parameter, or ``None`` if it is not ours."""
        payload = self._sealer.open(_STATE, "", text)
        try:
            return None if payload is None else _read_state(json.loads(payload))
        except (ValueError, TypeError):
            # Made by another version of this package.
            return None

    def find(self, state: State, cookies: RequestCookies) -> Attempt | None:
        """Return this browser's attempt of that state, or ``None`` if its cookie is missing or another attempt's."""
        sealed = self._cookies.attempts(cookies).get(state.slot)
        attempt = self._open_attempt(state.slot, sealed) if sealed is not None else None
        return attempt if attempt is not None and attempt.state == state else None

    def consume(self, attempt: Attempt) -> bool:
        """Take the one use that an attempt has. Return whether it was still there.

        :raises StoreUnavailableError: when the directory cannot be reached.
        """
        return self._consume(attempt.state.id, expires=int(self._clock()) + KEPT_FOR)

    def close_failed(self, attempt: Attempt, cookies: RequestCookies) -> list[str]:
        """Return ``Set-Cookie`` values that reduce an attempt to its destination."""
        return self._close(attempt, cookies, self._cookies.session_bytes(cookies))

    def close_signed_in(self, attempt: Attempt, cookies: RequestCookies, session_bytes: int) -> list[str]:
        """Return ``Set-Cookie`` values that reduce an attempt to its destination, and make room for its session.

        :param session_bytes: the octets that the cookies of the new session take.
        """
        return self._close(replace(attempt, signed_in=True), cookies, session_bytes)

    def _close(self, attempt: Attempt, cookies: RequestCookies, session_bytes: int) -> list[str]:
        closed = replace(attempt, seed=b"", used=True, previous_session=None)
        sealed = self._sealed_to_fit(closed, session_bytes)
        room = MAX_COOKIE_BYTES - session_bytes - len(sealed)
        evicted = self._evict(self._open_all(cookies), cookies, writing=attempt.state.slot, room=room)
        return [self._set(attempt, sealed), *evicted]

    def expire_unusable(self, cookies: RequestCookies) -> list[str]:
        """Return ``Set-Cookie`` values that expire the attempts that do not open or are past their time."""
        usable = {self._cookies.attempt_prefix + slot for slot in self._open_all(cookies)}
        return self._expire_others(cookies, usable)

    def _expire_others(self, cookies: RequestCookies, keep: Collection[str]) -> list[str]:
        return [
            self._cookies.expire(name) for name in self._cookies.attempt_names(cookies) if name not in keep
        ]

    def destinations(self, cookies: RequestCookies) -> list[str]:
        """Return where the attempts of this browser lead."""
        return [attempt.destination for attempt in self._open_all(cookies).values()]

    def is_login_loop(self, cookies: RequestCookies) -> bool:
        """Return whether this browser has just signed in several times, without a session that lasted."""
        since = self._clock() - LOOP_SECONDS
        attempts = self._open_all(cookies).values()
        return sum(each.signed_in and each.state.started > since for each in attempts) >= LOOP_SIGN_INS

    def has_just_met(self, demand: Demand, cookies: RequestCookies, *, signed_in_at: float) -> bool:
        """Return whether the session that this browser has had since then is what came of that demand just now."""
        now = self._clock()
        attempts = self._open_all(cookies).values()
        return now - signed_in_at < LOOP_SECONDS and any(
            each.signed_in and each.demand == demand and each.state.started > signed_in_at - VALID_FOR
            for each in attempts
        )

    def _set(self, attempt: Attempt, sealed: str) -> str:
        cross_site = attempt.state.provider in self._form_post
        return self._cookies.set_attempt(attempt.state.slot, sealed, max_age=KEPT_FOR, cross_site=cross_site)

    def _seal_state(self, state: State) -> str:
        return self._sealer.seal(_STATE, "", json.dumps(_write_state(state), separators=(",", ":")).encode())

    def _seal_attempt(self, attempt: Attempt) -> str:
        progress = int(attempt.used) + int(attempt.signed_in)
        record = [_write_state(attempt.state), base64url(attempt.seed), attempt.destination, progress]
        record += attempt.previous_session or ()
        if attempt.demand != NO_DEMAND:
            record.append(_write_demand(attempt.demand))
        name = self._cookies.attempt_prefix + attempt.state.slot
        return self._sealer.seal(_ATTEMPT, name, json.dumps(record, separators=(",", ":")).encode())

    def _open_attempt(self, slot: str, sealed: str) -> Attempt | None:
        payload = self._sealer.open(_ATTEMPT, self._cookies.attempt_prefix + slot, sealed)
        if payload is None:
            return None
        try:
            state, encoded_seed, destination, progress, *session = json.loads(payload)
            demand = session.pop() if session and isinstance(session[-1], dict) else {}
            if tuple(map(type, (encoded_seed, destination, *session))) not in (
                (str, str),
                (str, str, str, int),
            ):
                raise TypeError("an attempt of another version")
            seed = base64url_octets(encoded_seed)
            if seed is None:
                raise ValueError("an attempt of another version")
            return Attempt(
                _read_state(state),
                seed,
                destination,
                used=progress > 0,
                signed_in=progress > 1,
                previous_session=SessionRef(*session) if session else None,
                demand=_read_demand(demand),
            )
        except (ValueError, TypeError):
            return None


def _slot(attempts: dict[str, Attempt]) -> str:
    """Return a slot for one more attempt: a free one, else that of a used attempt, else that of the oldest.

    Chance decides among the free ones: tabs that start at once do not know of each other.
    """
    free = [slot for slot in SLOTS if slot not in attempts]
    if free:
        return secrets.choice(free)
    return min(attempts, key=lambda slot: (not attempts[slot].used, attempts[slot].state.started))


def _write_state(state: State) -> list[Any]:
    return [state.id, state.started, state.provider, state.restarts]


def _read_state(record: Iterable[Any]) -> State:
    state = State(*record)
    if tuple(map(type, _write_state(state))) != (str, int, str, int):
        raise TypeError("a state of another version")
    return state


def _write_demand(demand: Demand) -> dict[str, Any]:
    return {
        "account": int(demand.another_account),
        "acr": demand.acr_values,
        "age": demand.max_age,
        "anew": int(demand.asks_anew),
    }


def _read_demand(record: dict[str, Any]) -> Demand:
    acr_values, max_age = record.get("acr", ()), record.get("age")
    if max_age is not None and not isinstance(max_age, int):
        raise TypeError("an attempt of another version")
    return Demand(
        another_account=bool(record.get("account")),
        acr_values=tuple(map(str, acr_values)),
        max_age=max_age,
        asks_anew=bool(record.get("anew")),
    )


class LocalReplayCache:
    """The attempts whose answers this process has acted upon."""

    #: An entry costs about 200 bytes. Beyond this the oldest go; the provider's single-use code still decides.
    MAX_ENTRIES = 20_000

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        #: attempt id -> end of the attempt, in seconds since the epoch
        self._used: BoundedCache[str, int] = BoundedCache(
            max_entries=self.MAX_ENTRIES, is_expired=lambda expires: expires < clock()
        )

    def consume(self, attempt_id: str, *, expires: int) -> bool:
        """Return whether this is the first use of that id."""
        return self._used.add(attempt_id, expires)
