"""Remembering who is signed in: from a ``Cookie`` header to a session, and from a sign-in to ``Set-Cookie``.

:meth:`Sessions.look_up` runs on every request. It works on the header's text alone: one dictionary look-up when the
same header was seen before, otherwise a split, one opening and one ``json.loads``.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from oauth2_mw.errors import LoginError, ProviderError
from oauth2_mw.identity.environ import EnvironWriter
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.observe import audit
from oauth2_mw.session.cookies import MAX_COPIES, Cookies, Sent
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.model import Session
from oauth2_mw.session.revocation import Revocations, RevocationSource
from oauth2_mw.session.sealing import Sealer, sealed_length
from oauth2_mw.settings.model import ProviderSettings, Settings

log = logging.getLogger(__name__)

_PURPOSE = "session"
#: What the cache of opened sessions may hold in each worker.
CACHE_ENTRIES = 2000
CACHE_BYTES = 8 * 1024 * 1024
#: What an opened session takes, its key included, in terms of the header that it came from.
_ENTRY_FACTOR = 10


@dataclass(slots=True)
class Known:
    """What a ``Cookie`` header said, worked out once and never changed (freezing it would show in every opening)."""

    #: ``None``: nobody is signed in by it
    session: Session | None
    #: what the application finds in its environ for that session
    plain: dict[str, str] = field(repr=False)
    #: the header without our cookies
    rest: str | None = field(repr=False)
    #: our cookies
    sent: Sent = field(repr=False)
    #: a session cookie was there and is none of ours
    broken: bool


#: What a request without any cookie of ours says.
NOTHING = Known(None, {}, None, Sent({}, None), broken=False)


class _Opened:
    """The headers worked out with one ring of keys, bounded. Reading takes no lock: the dictionary's operations hold.

    Another ring gets another one of these, so what was begun with old keys never ends up among the new.
    """

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._bytes = 0
        self._writing = threading.Lock()
        self.get = self._known.get

    def put(self, header: str, known: Known) -> None:
        # It is only a cache: nobody waits for it, least of all a process forked while another thread held the lock.
        if not self._writing.acquire(blocking=False):
            return
        try:
            if header in self._known:
                return
            self._known[header] = known
            self._bytes += len(header) * _ENTRY_FACTOR
            while len(self._known) > CACHE_ENTRIES or self._bytes > CACHE_BYTES:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._bytes -= len(oldest) * _ENTRY_FACTOR
        finally:
            self._writing.release()

    def __len__(self) -> int:
        return len(self._known)


class Sessions:
    """The sessions of one application, kept in sealed cookies.

    :raises ValueError: at construction, when the keys cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        revocation_source: RevocationSource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self.cookies = Cookies(settings.cookie_name, secure=settings.secure)
        self._keyring = Keyring(settings.secret_keys, sync=settings.revocation_sync, clock=clock)
        self.sealer = Sealer(self._keyring, app_id=settings.public_url)
        self.revocations = Revocations(revocation_source, sync=settings.revocation_sync)
        self._writer = EnvironWriter(settings.environ)
        self._issuers = {name: provider.user_issuer for name, provider in settings.providers.items()}
        self._mark = self.cookies.session
        self._opened = _Opened()
        self._generation = self._keyring.generation

    def now(self) -> float:
        """The clock by which sessions live, in seconds since the epoch."""
        return self._clock()

    # Reading

    def look_up(self, header: str) -> Known | None:
        """What a ``Cookie`` header says; ``None`` when none of our cookies is in it.

        :raises StoreUnavailable: when it cannot be known whether the session was ended elsewhere.
        """
        self._keyring.refresh()
        if self._generation != self._keyring.generation:
            self._generation, self._opened = self._keyring.generation, _Opened()
        opened = self._opened
        known = opened.get(header)
        if known is None:
            if self._mark not in header:
                return None
            known = self._work_out(header)
            if known.session is not None:
                opened.put(header, known)
        session = known.session
        if session is None:
            return known
        if not session.alive(self._clock()) or self.revocations.ended(session.id, session.identity.id):
            return replace(known, session=None, broken=True)
        return known

    def without_ours(self, header: str) -> str | None:
        """A ``Cookie`` header as the application may see it; ``None``: nothing is left of it."""
        if self._mark not in header:
            return header
        known = self._opened.get(header)
        return known.rest if known is not None else self.cookies.read(header).rest

    def _work_out(self, header: str) -> Known:
        sent = self.cookies.read(header)
        session = self._open(sent)
        if session is not None:
            try:
                plain = self._writer.plain(session.identity, session.tokens)
                return Known(session, plain, sent.rest, sent, broken=False)
            except ProviderError as error:
                log.warning("a session was left aside: %s", error.detail)
        return Known(None, {}, sent.rest, sent, broken=bool(self.cookies.session_names(sent)))

    def _open(self, sent: Sent) -> Session | None:
        found: Session | None = None
        for tries, (count, text) in enumerate(self.cookies.session_values(sent)):
            if tries > MAX_COPIES:
                break
            payload = self.sealer.open(_PURPOSE, self.cookies.session, text)
            # The number of chunks stands inside: a text cannot be cut short or carried on.
            if not payload or payload[0] != count:
                continue
            try:
                session = Session.from_payload(payload[1:])
            except (ValueError, KeyError, TypeError):
                log.info("a session cookie of another version was left aside")
                continue
            # A provider that was taken away, or now points elsewhere, signs nobody in any more.
            if self._issuers.get(session.identity.provider) != session.identity.issuer:
                continue
            if found is not None and found.id != session.id:
                # Somebody else's session was slipped in beside this one: nobody can tell which is meant.
                return None
            found = session
        return found

    # Writing

    def create(
        self,
        provider: ProviderSettings,
        identity: Identity,
        tokens: Mapping[str, str],
        *,
        mapped: Iterable[str],
    ) -> Session:
        """A fresh session, cut down to what fits into ``session_max_bytes``.

        :param mapped: the names of the claims that settings refer to; they go last.
        :raises LoginError: code ``session_too_big``, when even the least does not fit.
        """
        now = int(self._clock())
        session = Session(
            id=secrets.token_urlsafe(16),
            identity=identity,
            tokens={
                kind: text
                for kind, text in tokens.items()
                if kind.removesuffix("_token") in self._settings.keep_tokens
            },
            created=now,
            expires=now + provider.session_lifetime,
            seen=now,
            idle=provider.session_idle,
        )
        dropped = []
        for what, cut in (
            ("access_token", _without_token("access_token")),
            ("id_token", _without_token("id_token")),
            ("unmapped claims", _without_claims(frozenset(mapped))),
        ):
            if self._fits(session):
                break
            smaller = cut(session)
            if smaller != session:
                dropped.append(what)
            session = smaller
        if dropped:
            audit("session_reduced", provider=provider.name, user=identity.id, dropped=", ".join(dropped))
        if not self._fits(session):
            raise LoginError(
                f"the session of user {identity.id} exceeds session_max_bytes = {self._settings.session_max_bytes}: "
                "configure a session store, or have the provider send fewer claims",
                code="session_too_big",
                message="Your sign-in carries more information than this application can keep.",
            )
        return session

    def _fits(self, session: Session) -> bool:
        return sealed_length(1 + len(session.to_payload())) <= self._settings.session_max_bytes

    def set_cookies(self, session: Session, sent: Sent) -> list[str]:
        """``Set-Cookie`` values that carry *session*."""
        payload = session.to_payload()
        count = self.cookies.chunk_count(sealed_length(1 + len(payload)))
        text = self.sealer.seal(_PURPOSE, self.cookies.session, bytes([count]) + payload)
        return self.cookies.set_session(text, sent)

    def renewal(self, known: Known) -> list[str]:
        """``Set-Cookie`` values that write down that the session is in use; empty while that was done lately."""
        session, now = known.session, self._clock()
        if session is None or now < session.renew_at():
            return []
        return self.set_cookies(session.used(now), known.sent)

    def end(self, session: Session) -> None:
        """Make a session count no more, also where its cookie was copied.

        :raises StoreUnavailable: when other hosts could not be told.
        """
        self.revocations.revoke(session.id, expires=session.expires)


def _without_token(kind: str) -> Callable[[Session], Session]:
    return lambda session: replace(session, tokens={k: v for k, v in session.tokens.items() if k != kind})


def _without_claims(mapped: frozenset[str]) -> Callable[[Session], Session]:
    def cut(session: Session) -> Session:
        claims = {name: value for name, value in session.identity.claims.items() if name in mapped}
        return replace(session, identity=replace(session.identity, claims=freeze(claims)))

    return cut
