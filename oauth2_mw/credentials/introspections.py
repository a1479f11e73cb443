"""What one provider has said of access tokens (RFC 7662), remembered for a while, and how often it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass

from oauth2_mw.bounded_cache import BoundedCache
from oauth2_mw.credentials.strangers import Strangers
from oauth2_mw.errors import CredentialError, ProviderError, TokenError
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.tokens.access_token import AccessToken
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.settings.peers import Peer

#: An answer serves for so many times ``revocation_sync``.
SYNCS = 6
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

    :param client: returns the client of the provider.
    :param proxies: the setting ``trusted_peers``.
    :param sync: the setting ``revocation_sync``, in seconds.
    """

    def __init__(
        self,
        name: str,
        client: Callable[[], ProviderClient],
        *,
        proxies: Iterable[Peer],
        sync: int,
        clocks: Clocks,
    ) -> None:
        self._name = name
        self._client = client
        self._strangers = Strangers(proxies, clock=clocks.monotonic, refusal=self._too_many)
        self._lasts = sync * SYNCS
        self._clocks = clocks
        #: SHA-256 of a token -> what it is worth
        self._answers: BoundedCache[bytes, Answer] = BoundedCache(max_entries=MAX_ENTRIES)

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
        if known is None:
            self._strangers.check(address)
        client = self._client()
        with client.place():
            # Another request may have asked about the same while this one waited.
            known = self._answers.get(key)
            if known is not None and known.serves(self._clocks):
                return known
            try:
                with self._strangers.one_try(address) if known is None else nullcontext():
                    return self._ask(client, text, key)
            except (CredentialError, TokenError, ProviderError):
                self._answers.pop(key)
                raise

    def _ask(self, client: ProviderClient, text: str, key: bytes) -> Answer:
        token = client.introspect(text)
        if token is None:
            raise CredentialError(
                f"provider {self._name} says that it is not active: it has ended, was revoked, or is another's",
                code="token_inactive",
                message="The access token is not valid, or not any more.",
            )
        answer = Answer(token, self._clocks.monotonic() + self._lasts)
        self._answers.put(key, answer)
        return answer

    def _too_many(self, reason: str) -> CredentialError:
        return CredentialError(
            f"unknown tokens, about which provider {self._name} is asked: {reason}",
            code="token_tries",
            message="Too many tokens were wrong. Please try again in a minute.",
        )
