"""One attempt to sign in, from the redirect to the provider until its answer comes back.

An attempt lives in two places, both sealed. The ``state`` parameter goes through the provider and says which attempt
an answer means; the attempt's own cookie stays in the browser and holds what must not leave it. Only an answer whose
``state`` and cookie agree is acted upon (RFC 6749, section 10.12; RFC 9700, section 4.7). Every tab has a cookie of
its own, so tabs do not disturb each other.

The nonce (OpenID Connect Core, section 3.1.2.1) and the PKCE verifier (RFC 7636, section 4.1) are both derived from
one random seed: what a browser sends with each request stays small.
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
from oauth2_mw.session.cookies import Cookies, RequestCookies
from oauth2_mw.session.model import SessionRef
from oauth2_mw.session.sealing import Sealer

#: Seconds in which an answer must come back.
VALID_FOR = 600
#: Seconds for which the cookie stays, so that a late answer still finds its destination.
KEPT_FOR = 3600
#: What the cookies of one browser are called at the end: so many attempts live at a time, even if it starts more at
#: once than it can tell us about.
SLOTS = "abcdefgh"
#: Octets that our cookies may take of a request's header. Servers read 8190 of one line, applications need some.
MOST_BYTES = 7600
#: As many sign-ins within that many seconds, none of which has left a session, are a circle.
MOST_ROUNDS = 3
ROUND_TIME = 60
#: Seconds by which the clocks of two of our own hosts may differ.
CLOCK_SKEW = 60

_STATE = "state"
_ATTEMPT = "attempt"


@dataclass(frozen=True, slots=True)
class State:
    """What the ``state`` parameter says, once opened."""

    #: the slot, and 72 random bits
    id: str
    started: int
    provider: str
    #: how often this sign-in was begun anew because an answer did not fit
    restarts: int

    @property
    def slot(self) -> str:
        """The end of the cookie's name."""
        return self.id[:1]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the browser's cookie says, once opened."""

    state: State
    seed: bytes = field(repr=False)
    #: the validated local path to return to
    destination: str
    #: whether an answer to it was acted upon; kept for its destination only
    spent: bool = False
    #: whether that answer has led to a session
    signed_in: bool = False
    #: the session that the browser had when it began, where the answer will come without its cookie
    before: SessionRef | None = None

    @property
    def nonce(self) -> str:
        """256 bits that come back inside the ID token."""
        return base64url(hashlib.sha256(b"nonce" + self.seed).digest())

    @property
    def code_verifier(self) -> str:
        """43 characters that prove to the token endpoint who began."""
        return base64url(hashlib.sha256(b"verifier" + self.seed).digest())

    def fresh(self, now: float) -> bool:
        """Whether an answer may still be acted upon."""
        return not self.spent and -CLOCK_SKEW <= now - self.state.started < VALID_FOR


class Attempts:
    """Begins attempts and finds them again.

    :param consume: where the directory remembers used attempts: ``(id, expires=...) -> first use?``. Without
        one each process remembers its own, and across processes the provider's single-use code decides.
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
        sent: RequestCookies,
        *,
        restarts: int = 0,
        before: SessionRef | None = None,
    ) -> tuple[Attempt, str, list[str]]:
        """A new attempt, its ``state`` parameter, and the ``Set-Cookie`` values that keep it and make room for it.

        :param before: the session that the browser has by now. With a provider whose answers come as a form the
            attempt remembers it: browsers send the session's cookie, which is ``SameSite=Lax``, along with no form
            of another site.
        """
        known = self._known(sent)
        state = State(_slot(known) + base64url(os.urandom(9)), int(self._clock()), provider, restarts)
        attempt = Attempt(
            state, os.urandom(32), destination, before=before if provider in self._form_post else None
        )
        text = self._seal_attempt(attempt)
        taken = self._cookies.session_bytes(sent)
        if taken + len(text) > MOST_BYTES:
            # Better to end at the front page than at a server that reads no such header.
            text = self._seal_attempt(replace(attempt, destination=""))
        leaving = self._leaving(known, sent, but=state.slot, room=MOST_BYTES - taken - len(text))
        return attempt, self._seal_state(state), [self._set(attempt, text), *leaving]

    def _known(self, sent: RequestCookies) -> dict[str, Attempt]:
        """The attempts of this browser that still serve for something, by slot; every other slot stands for none."""
        now = self._clock()
        found = (
            (slot, self._open_attempt(slot, text)) for slot, text in self._cookies.attempts(sent).items()
        )
        return {
            slot: attempt
            for slot, attempt in found
            if attempt is not None and now - attempt.state.started < KEPT_FOR
        }

    def _leaving(self, known: dict[str, Attempt], sent: RequestCookies, *, but: str, room: int) -> list[str]:
        """``Set-Cookie`` values that expire what does not fit into *room*: spent ones first, then the oldest.

        :param but: the slot that is being written.
        """
        texts = self._cookies.attempts(sent)
        staying = {self._cookies.attempt_prefix + but}
        others = known.keys() - {but}
        for slot in sorted(others, key=lambda slot: (known[slot].spent, -known[slot].state.started)):
            room -= len(self._cookies.attempt_prefix) + len(texts[slot]) + 4
            if room < 0:
                break
            staying.add(self._cookies.attempt_prefix + slot)
        return [
            self._cookies.expire(name) for name in self._cookies.attempt_names(sent) if name not in staying
        ]

    def open_state(self, text: str) -> State | None:
        """What a ``state`` parameter says; ``None``: it is not ours."""
        payload = self._sealer.open(_STATE, "", text)
        try:
            return None if payload is None else _read_state(json.loads(payload))
        except (ValueError, TypeError):
            # Made by another version of this package.
            return None

    def find(self, state: State, sent: RequestCookies) -> Attempt | None:
        """This browser's attempt of that state; ``None``: it was begun elsewhere, or its cookie is gone."""
        sealed = self._cookies.attempts(sent).get(state.slot)
        attempt = self._open_attempt(state.slot, sealed) if sealed is not None else None
        return attempt if attempt is not None and attempt.state == state else None

    def use(self, attempt: Attempt) -> bool:
        """Take the one use that an attempt has; ``False``: it was taken before.

        :raises StoreUnavailable: when the directory cannot tell.
        """
        return self._consume(attempt.state.id, expires=int(self._clock()) + KEPT_FOR)

    def spend(self, attempt: Attempt, sent: RequestCookies, *, session_bytes: int | None = None) -> list[str]:
        """``Set-Cookie`` values that leave nothing of *attempt* but its destination.

        :param session_bytes: what the session takes that the attempt has led to, for which others make room; ``None``:
            it has led to none.
        """
        signed_in = session_bytes is not None
        text = self._seal_attempt(replace(attempt, seed=b"", spent=True, signed_in=signed_in, before=None))
        taken = session_bytes if session_bytes is not None else self._cookies.session_bytes(sent)
        room = MOST_BYTES - taken - len(text)
        leaving = self._leaving(self._known(sent), sent, but=attempt.state.slot, room=room)
        return [self._set(attempt, text), *leaving]

    def broken(self, sent: RequestCookies) -> list[str]:
        """``Set-Cookie`` values that expire the attempt cookies that serve for nothing."""
        serving = {self._cookies.attempt_prefix + slot for slot in self._known(sent)}
        return [
            self._cookies.expire(name) for name in self._cookies.attempt_names(sent) if name not in serving
        ]

    def going_round(self, sent: RequestCookies) -> bool:
        """Whether this browser has just signed in several times, and still nobody is signed in."""
        soonest = self._clock() - ROUND_TIME
        rounds = [a for a in self._known(sent).values() if a.signed_in and a.state.started > soonest]
        return len(rounds) >= MOST_ROUNDS

    def _set(self, attempt: Attempt, text: str) -> str:
        cross_site = attempt.state.provider in self._form_post
        return self._cookies.set_attempt(attempt.state.slot, text, max_age=KEPT_FOR, cross_site=cross_site)

    def _seal_state(self, state: State) -> str:
        return self._sealer.seal(_STATE, "", json.dumps(_write_state(state), separators=(",", ":")).encode())

    def _seal_attempt(self, attempt: Attempt) -> str:
        progress = int(attempt.spent) + int(attempt.signed_in)
        record = [_write_state(attempt.state), base64url(attempt.seed), attempt.destination, progress]
        record += attempt.before or ()
        name = self._cookies.attempt_prefix + attempt.state.slot
        return self._sealer.seal(_ATTEMPT, name, json.dumps(record, separators=(",", ":")).encode())

    def _open_attempt(self, slot: str, sealed: str) -> Attempt | None:
        payload = self._sealer.open(_ATTEMPT, self._cookies.attempt_prefix + slot, sealed)
        if payload is None:
            return None
        try:
            state, seed, destination, progress, *before = json.loads(payload)
            if type(destination) is not str or tuple(map(type, before)) not in ((), (str, int)):
                raise TypeError("an attempt of another version")
            octets = base64url_octets(seed)
            if octets is None:
                raise TypeError("an attempt of another version")
            return Attempt(
                _read_state(state),
                octets,
                destination,
                spent=progress > 0,
                signed_in=progress > 1,
                before=SessionRef(*before) if before else None,
            )
        except (ValueError, TypeError):
            return None


def _slot(known: dict[str, Attempt]) -> str:
    """A slot for one more attempt: a free one, else that of a spent one, else that of the oldest.

    Among the free ones chance decides: tabs that start at once do not know of each other.
    """
    free = [slot for slot in SLOTS if slot not in known]
    if free:
        return secrets.choice(free)
    return min(known, key=lambda slot: (not known[slot].spent, known[slot].state.started))


def _write_state(state: State) -> list[Any]:
    return [state.id, state.started, state.provider, state.restarts]


def _read_state(record: Iterable[Any]) -> State:
    state = State(*record)
    if tuple(map(type, _write_state(state))) != (str, int, str, int):
        raise TypeError("a state of another version")
    return state


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
