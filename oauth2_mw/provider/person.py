"""Who a grant is about, and what is said of them: the ID token, userinfo where that is not enough, and the subject."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from oauth2_mw.errors import ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.discovery.metadata import MetadataCache, ProviderMetadata
from oauth2_mw.provider.endpoints.token import TokenResponse
from oauth2_mw.provider.endpoints.userinfo import fetch_userinfo
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.tokens.claim_checks import read_subject
from oauth2_mw.provider.tokens.id_token import (
    validate_id_token,
    validate_refreshed_id_token,
)
from oauth2_mw.provider.tokens.userinfo import validate_userinfo
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings

log = logging.getLogger(__name__)

# They prove the answer, not the person, and a nonce is a secret of the sign-in.
_PROTOCOL_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})


class ClaimsReader:
    """Reads grants of one provider. Safe for threads.

    :param needs: the claims that somebody reads; userinfo is asked when the ID token lacks one of them.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        transport: Transport,
        metadata: MetadataCache,
        *,
        needs: frozenset[AttributePath],
        clock: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._metadata = metadata
        self._needs = needs
        self._clock = clock

    def first(
        self, grant: TokenResponse, metadata: ProviderMetadata, *, nonce: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The claims for a code, and those of the ID token alone (none without an issuer).

        :raises ProviderUnavailable, ProviderError, TokenError: when nothing is proven.
        """
        if not self._provider.is_oidc:
            return self._userinfo(grant, metadata, metadata.endpoint("userinfo_endpoint")), {}
        proven = validate_id_token(
            grant.id_token or "",
            self._validator(metadata),
            nonce=nonce,
            access_token=grant.access_token,
            now=self._clock(),
        )
        return self._completed(proven, grant, metadata), proven

    def again(
        self,
        grant: TokenResponse,
        metadata: ProviderMetadata,
        *,
        subject: str,
        auth_time: int | None,
        nonce: str | None,
    ) -> dict[str, Any] | None:
        """The claims for a refresh token; ``None``: nothing is said, or userinfo cannot be had in time.

        A missing answer is no error, because an exception here would lose the tokens that have just been replaced.

        :raises ProviderError: when userinfo refuses, or its answer is of no use.
        :raises TokenError: when the answer proves nothing, or is about somebody else (``subject_changed``).
        """
        claims = None
        if self._provider.is_oidc and grant.id_token is not None:
            claims = validate_refreshed_id_token(
                grant.id_token,
                self._validator(metadata),
                nonce=nonce,
                auth_time=auth_time,
                access_token=grant.access_token,
                now=self._clock(),
            )
            # Before the new access token is sent anywhere, if it can be known.
            if self._provider.subject.get(claims) is not None:
                self._check_same(claims, subject)
        try:
            claims = self._said_now(claims, grant, metadata)
        except ProviderUnavailableError as error:
            log.warning("after a refresh the claims stay what they were: %s", error.detail)
            return None
        if claims is not None:
            self._check_same(claims, subject)
        return claims

    def subject(self, claims: Mapping[str, Any]) -> str:
        """Who it is.

        :raises ProviderError: ``no_subject``.
        """
        try:
            return read_subject(self._provider.subject, claims)
        except TokenError as error:
            raise ProviderError(
                f"the provider gives no usable subject at {self._provider.subject.text}: {error.detail}",
                code="no_subject",
            ) from error

    def _check_same(self, claims: Mapping[str, Any], subject: str) -> None:
        if self.subject(claims) != subject:
            raise TokenError(
                "the refresh token of one person was answered with claims about another",
                code="subject_changed",
            )

    def _said_now(
        self, proven: dict[str, Any] | None, grant: TokenResponse, metadata: ProviderMetadata
    ) -> dict[str, Any] | None:
        if proven is not None:
            return self._completed(proven, grant, metadata)
        if not self._provider.is_oidc:
            return self._userinfo(grant, metadata, metadata.endpoint("userinfo_endpoint"))
        if metadata.userinfo_endpoint is not None and self._needs:
            return self._userinfo(grant, metadata, metadata.userinfo_endpoint)
        return None

    def _completed(
        self, proven: dict[str, Any], grant: TokenResponse, metadata: ProviderMetadata
    ) -> dict[str, Any]:
        """The claims of an ID token, with userinfo where they are not enough."""
        missing = any(path.get(proven) is None for path in (*self._needs, self._provider.subject))
        if metadata.userinfo_endpoint is None or not missing:
            return proven
        userinfo = self._userinfo(grant, metadata, metadata.userinfo_endpoint)
        # OpenID Connect Core, section 5.3.2: otherwise it may be another person's.
        if userinfo.get("sub") != proven["sub"]:
            raise TokenError("userinfo is about another subject than the ID token", code="userinfo_subject")
        return {**userinfo, **{name: value for name, value in proven.items() if value is not None}}

    def _validator(self, metadata: ProviderMetadata) -> TokenValidator:
        return TokenValidator(self._provider, metadata, self._metadata.keys_for)

    def _userinfo(self, grant: TokenResponse, metadata: ProviderMetadata, url: str) -> dict[str, Any]:
        def read_signed(token: str) -> dict[str, Any]:
            return validate_userinfo(token, self._validator(metadata))

        return fetch_userinfo(
            self._transport,
            url,
            grant.access_token,
            quirk=self._provider.quirk,
            read_signed=read_signed if self._provider.is_oidc else None,
        )


def told(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims that are about the person, for whoever asks."""
    return {name: value for name, value in claims.items() if name not in _PROTOCOL_CLAIMS}
