"""Validation that is the same for every kind of token: signature, issuer and audience."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms
from oauth2_mw.provider.jose.jwks import SigningKey
from oauth2_mw.provider.jose.jws import KeySource, TokenKind, VerifiedToken, read_jws, verify_jws
from oauth2_mw.provider.tokens.claim_checks import check_audience, check_authorized_party, check_issuer
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.tenants import speaks_for
from oauth2_mw.settings.text import shown


@dataclass(frozen=True, slots=True)
class TokenValidator:
    """What the tokens of one provider are validated against."""

    provider: ProviderSettings
    metadata: ProviderMetadata
    keys: KeySource

    def verify(self, token: str, kind: TokenKind) -> VerifiedToken:
        """Verify that the provider issued *token* for this client (OpenID Connect Core, section 3.1.3.7, steps 2 to 8).

        :raises TokenError: with a code ``token_...`` that names the failed check.
        :raises ProviderUnavailableError, ProviderError: if the provider's keys cannot be fetched.
        """
        verified = self.verify_signature(token, kind)
        check_issuer(verified, self.provider)
        check_audience(verified, self.provider)
        check_authorized_party(verified, self.provider)
        return verified

    def verify_signature(self, token: str, kind: TokenKind) -> VerifiedToken:
        """Verify that the provider signed *token*, for whomever (steps 6 to 8).

        Raises as :meth:`verify` does.
        """
        algorithms = allowed_algorithms(self.provider, self.metadata)
        return verify_jws(token, kind, algorithms=algorithms, keys=self._keys_of_issuer(token, kind))

    def _keys_of_issuer(self, token: str, kind: TokenKind) -> KeySource:
        """Return the keys that may have signed *token*: those that name no issuer, or that of the token.

        What the token says is not verified yet, and only leaves fewer keys to verify it with. A signed userinfo
        response may leave ``iss`` out: it is then that of the one tenant whose person has signed in.
        """
        issuers = self.provider.issuers
        iss = read_jws(token, kind)[1].get("iss", issuers[0])
        if isinstance(iss, str):
            iss = self.provider.token_issuers.get(iss, iss)

        def fitting(kid: str | None, alg: str) -> Iterator[SigningKey]:
            others = []
            for key in self.keys(kid, alg):
                # A token of no issuer of ours is refused for that, which says more than that it has no key.
                if key.issuer is None or iss not in issuers or speaks_for(key.issuer, iss):
                    yield key
                else:
                    others.append(key.issuer)
            if others:
                raise TokenError(
                    f"no key of {iss} signed the {kind.name}: those that fit are of {shown(others[0])}",
                    code="token_key",
                )

        return fitting
