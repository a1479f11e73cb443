"""Validation that is the same for every kind of token: signature, issuer and audience."""

from __future__ import annotations

from dataclasses import dataclass

from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms
from oauth2_mw.provider.jose.jws import KeySource, TokenKind, VerifiedToken, verify_jws
from oauth2_mw.provider.tokens.claim_checks import check_audience, check_authorized_party, check_issuer
from oauth2_mw.settings.model import ProviderSettings


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
        return verify_jws(token, kind, algorithms=algorithms, keys=self.keys)
