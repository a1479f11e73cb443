"""What one provider has said of access tokens (RFC 7662), remembered for a while, and how often it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.credentials.strangers import PERIOD, Strangers
from oauth2_mw.errors import CredentialError, ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.process_local import ProcessLocal
from oauth2_mw.provider.tokens.access_token import AccessToken
from oauth2_mw.session.clocks import Clocks

#: An answer serves for so many times ``revocation_sync``.
SYNCS = 6
#: Calls in flight, and seconds that another one waits for its turn.
MAX_CALLS = 4
MAX_WAIT = 2.0
#: Seconds after a failure in which nobody tries again.
COOL_DOWN = 5
MAX_ENTRIES = 2000


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider has said of a token that is active."""

    token: AccessToken
    #: monotonic time up to which this serves
    fresh_until: float

    def serves(self, clocks: Clocks) -> bool:
        """Return whether this still holds. A machine that slept has stopped one of its clocks alone."""
        return clocks.monotonic() < self.fresh_until and clocks.wall() < self.token.expires_at


class Introspections:
    """Asks one provider. Safe for threads; each process has its own.

    :param ask: asks the provider about a token, and returns ``None`` for one that is not active.
    :param sync: the setting ``revocation_sync``, in seconds.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[str], AccessToken | None],
        strangers: Strangers,
        *,
        sync: int,
        clocks: Clocks,
    ) -> None:
        self._name = name
        self._ask = ask
        self._strangers = strangers
        self._lasts = sync * SYNCS
        self._clocks = clocks
        #: SHA-256 of a token -> what it is worth
        self._answers: BoundedCache[bytes, Answer] = BoundedCache(max_entries=MAX_ENTRIES)
        self._calls = ProcessLocal(lambda: threading.BoundedSemaphore(MAX_CALLS))
        #: the last failure, and its monotonic time
        self._failure: tuple[ProviderUnavailableError, float] | None = None

    def read(self, text: str, key: bytes, *, address: str | None) -> Answer:
        """Return what a token is worth.

        :param key: its SHA-256.
        :param address: that of the client, if it is known.
        :raises CredentialError: if it is not active, or too many were not.
        :raises TokenError: if it is, and does not serve here.
        :raises ProviderUnavailableError: if the provider does not answer in time.
        :raises ProviderError: if its answer cannot be used.
        """
        known = self._answers.get(key)
        if known is not None and known.serves(self._clocks):
            return known
        # Whose token served a moment ago is no stranger.
        if known is None and not self._strangers.may_ask(address):
            error = CredentialError(
                f"too many unknown tokens came within a minute: provider {self._name} is not asked about another",
                code="token_tries",
                message="Too many tokens were wrong. Please try again in a minute.",
            )
            error.status, error.retry_after = 429, PERIOD
            raise error
        try:
            return self._read(text, key)
        except (CredentialError, TokenError, ProviderError):
            self._answers.pop(key)
            self._strangers.note_failure(address)
            raise

    def _read(self, text: str, key: bytes) -> Answer:
        failed = self._failure
        if failed is not None and self._clocks.monotonic() < failed[1] + COOL_DOWN:
            raise copy(failed[0])
        calls = self._calls.get()
        if not calls.acquire(timeout=MAX_WAIT):
            raise ProviderUnavailableError(
                f"provider {self._name} is being asked about {MAX_CALLS} tokens already, and answers slowly"
            )
        try:
            # Another request may have asked about the same while this one waited.
            known = self._answers.get(key)
            if known is not None and known.serves(self._clocks):
                return known
            token = self._ask(text)
        except ProviderUnavailableError as error:
            self._failure = (copy(error), self._clocks.monotonic())
            raise
        finally:
            calls.release()
        self._failure = None
        if token is None:
            raise CredentialError(
                f"provider {self._name} says that it is not active: it has ended, was revoked, or is another's",
                code="token_inactive",
                message="The access token is not valid, or not any more.",
            )
        answer = Answer(token, self._clocks.monotonic() + self._lasts)
        self._answers.put(key, answer)
        return answer
