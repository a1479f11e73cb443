"""Claims about the person: from the ID token, and from userinfo where the ID token is not enough."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from oauth2_mw.audit import audit
from oauth2_mw.errors import ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.claim_sources import (
    KnownClaims,
    check_about_same,
    given_by,
    merge_claims,
    with_verification,
    without_protocol_claims,
)
from oauth2_mw.provider.dialects.dialect import Dialect, UserinfoRequest
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.discovery.metadata_cache import MetadataCache
from oauth2_mw.provider.endpoints.token import TokenResponse
from oauth2_mw.provider.endpoints.userinfo import below, get_resource
from oauth2_mw.provider.further_claims import FurtherClaims, further_claims
from oauth2_mw.provider.further_sources import Access
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.tokens.claim_checks import read_subject
from oauth2_mw.provider.tokens.id_token import validate_id_token, validate_refreshed_id_token
from oauth2_mw.provider.tokens.userinfo import validate_userinfo
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.provider.wanted_claims import WantedClaims
from oauth2_mw.settings.attribute_path import AttributePath
from oauth2_mw.settings.model import ProviderSettings

log = logging.getLogger(__name__)  # type: logging.Logger

_Failure = ProviderError | ProviderUnavailableError | TokenError
_FAILURES = (ProviderError, ProviderUnavailableError, TokenError)

#: The codes of a signed userinfo response that cannot be read.
_UNREADABLE = frozenset({"token_malformed"})


@dataclass(frozen=True, slots=True)
class UserClaims:
    """What the provider says about the person who signed in."""

    subject: str
    #: the claims of ID token and userinfo, without those of the protocol
    merged: dict[str, Any] = field(repr=False)
    #: the claims of the ID token alone; empty without an issuer
    id_token: dict[str, Any] = field(repr=False)
    #: the names of the claims that userinfo gave
    from_userinfo: frozenset[str]
    #: the names of claims that a source which failed would have given, so that they are not known to be absent
    unknown: frozenset[str]


class ClaimsReader:
    """Reads the claims that belong to the token responses of one provider. Safe for threads.

    Userinfo is asked if the ID token lacks a claim that is needed or wished for. If that fails, a claim that is wished
    for is absent; one that is needed is unknown, and nobody is signed in without it.

    :param dialect: how userinfo is asked.
    :param needs: the claims without which nobody can be signed in, beside the subject and those that ``allow`` reads.
    :param wishes: further claims for which userinfo is worth a request.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        transport: Transport,
        metadata: MetadataCache,
        *,
        dialect: Dialect,
        needs: frozenset[AttributePath],
        wishes: frozenset[AttributePath],
        clock: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._metadata = metadata
        self._dialect = dialect
        self._wanted = WantedClaims(provider, needs, wishes)
        self._clock = clock

    def for_code(
        self,
        response: TokenResponse,
        metadata: ProviderMetadata,
        *,
        nonce: str,
        issuer: str | None,
        acr_values: tuple[str, ...] = (),
    ) -> UserClaims:
        """Return the claims that belong to the response to a code.

        :param nonce: the one in the authorization request.
        :param issuer: that of the authorization response, if it named one.
        :param acr_values: those that were asked for in the place of the settings'.
        :raises ProviderUnavailableError: if keys, or userinfo that is needed, cannot be fetched in time.
        :raises ProviderError: ``no_subject``, or if keys, or userinfo that is needed, cannot be used.
        :raises TokenError: if the ID token or userinfo fails a check.
        """
        id_token: dict[str, Any] = {}
        userinfo = None
        unknown: frozenset[str] = frozenset()
        if self._provider.is_oidc:
            id_token = validate_id_token(
                response.id_token or "",
                self._validator(metadata, issuer, acr_values),
                nonce=nonce,
                access_token=response.access_token,
                now=self._clock(),
            )
            try:
                userinfo = self._userinfo_beside(id_token, response, metadata)
            except _FAILURES as error:
                self._go_on_without_userinfo(error, id_token)
                unknown = self._wanted.absent_from(id_token)
        else:
            url = metadata.endpoint("userinfo_endpoint")
            userinfo = self._userinfo(response, metadata, url, issuer=None)
        merged = self._merge(id_token, userinfo or {})
        subject = self._subject(merged)
        further = self._further_claims(merged, response, metadata, before={})
        return UserClaims(
            subject,
            without_protocol_claims({**merged, **further.claims}),
            id_token,
            given_by(userinfo) | further.claims.keys(),
            (unknown - further.claims.keys()) | further.unknown,
        )

    def for_refresh(
        self,
        response: TokenResponse,
        metadata: ProviderMetadata,
        *,
        subject: str,
        issuer: str | None,
        auth_time: int | None,
        nonce: str | None,
        known: KnownClaims,
    ) -> KnownClaims | None:
        """Return what is known after the response to a refresh token.

        A new ID token takes the place of the one before. Without one, the claims that userinfo never gave stay (OpenID
        Connect Core, section 12.2), and those that it gave and gives no more are gone.

        Return ``None`` if nothing new came, or if userinfo that is needed cannot be fetched in time: an exception would
        lose the new tokens, although the old ones have just been replaced.

        :param subject: that of the sign-in, as the other three.
        :param known: what was known before.
        :raises ProviderError: if userinfo that is needed refuses the access token, or its response cannot be used.
        :raises TokenError: if a token fails a check, or is about another person (``subject_changed``);
            ``refresh_without_id_token`` where the setting ``refresh_needs_id_token`` refuses that.
        """
        # Compared before the new access token is sent anywhere, as it is where an ID token has the subject.
        if self._provider.subject.get(response.claims) is not None:
            self._check_same_subject(response.claims, subject)
        id_token = self._refreshed_id_token(
            response,
            metadata,
            subject=subject,
            issuer=issuer,
            auth_time=auth_time,
            nonce=nonce,
            acr=known.claims.get("acr"),
        )
        # What userinfo gave before, it must say again.
        kept = known.proved_otherwise if self._provider.is_oidc else {}
        proved = kept if id_token is None else id_token
        try:
            userinfo = self._userinfo_after_refresh(
                id_token, response, metadata, known=known, subject=subject, issuer=issuer
            )
        except _FAILURES as error:
            if isinstance(error, ProviderUnavailableError) and self._wanted.lack_needed(proved):
                log.warning("after a refresh the claims stay what they were: %s", error.detail)
                return None
            self._go_on_without_userinfo(error, proved)
            if id_token is None:
                return None
            merged = self._merge(id_token, known.given_by_userinfo)
            refreshed = KnownClaims(merged, known.from_userinfo, self._wanted.absent_from(merged))
        else:
            if id_token is None and userinfo is None:
                return None
            both = (proved, userinfo or {}) if id_token is not None else (userinfo or {}, proved)
            refreshed = KnownClaims(self._merge(*both), given_by(userinfo))
        self._check_same_subject(refreshed.claims, subject)
        try:
            further = self._further_claims(refreshed.claims, response, metadata, before=known.claims)
        except ProviderUnavailableError as error:
            log.warning("after a refresh the claims stay what they were: %s", error.detail)
            return None
        claims = without_protocol_claims({**refreshed.claims, **further.claims})
        unknown = (refreshed.unknown - further.claims.keys()) | further.unknown
        return KnownClaims(claims, refreshed.from_userinfo | further.claims.keys(), unknown)

    def _refreshed_id_token(
        self,
        response: TokenResponse,
        metadata: ProviderMetadata,
        *,
        subject: str,
        issuer: str | None,
        auth_time: int | None,
        nonce: str | None,
        acr: Any,
    ) -> dict[str, Any] | None:
        """Return the claims of the ID token of a refresh, or ``None`` if there is none and need not be."""
        if not self._provider.is_oidc:
            return None
        if response.id_token is None:
            if self._provider.refresh_needs_id_token:
                raise TokenError(
                    "the refresh brought no ID token, and refresh_needs_id_token = true",
                    code="refresh_without_id_token",
                )
            return None
        id_token = validate_refreshed_id_token(
            response.id_token,
            self._validator(metadata, issuer, (acr,) if isinstance(acr, str) else ()),
            nonce=nonce,
            auth_time=auth_time,
            access_token=response.access_token,
            now=self._clock(),
        )
        # If the ID token has the subject, it is compared before the new access token is sent anywhere.
        if self._provider.subject.get(id_token) is not None:
            self._check_same_subject(id_token, subject)
        return id_token

    def _userinfo_after_refresh(
        self,
        id_token: dict[str, Any] | None,
        response: TokenResponse,
        metadata: ProviderMetadata,
        *,
        known: KnownClaims,
        subject: str,
        issuer: str | None,
    ) -> Mapping[str, Any] | None:
        """Return userinfo, or ``None`` if it is not worth a request."""
        if id_token is not None:
            return self._userinfo_beside(id_token, response, metadata)
        if not self._provider.is_oidc:
            return self._userinfo(response, metadata, metadata.endpoint("userinfo_endpoint"), issuer=None)
        if not self._wanted.are_worth_a_request({"sub": subject}):
            return None
        url = self._userinfo_endpoint()
        if url is None:
            return None
        userinfo = self._userinfo(response, metadata, url, issuer=issuer)
        if self._provider.subject.get(userinfo) is not None:
            self._check_same_subject(userinfo, subject)
        else:
            check_about_same(userinfo, known.claims)
        return userinfo

    def _userinfo_beside(
        self, id_token: Mapping[str, Any], response: TokenResponse, metadata: ProviderMetadata
    ) -> Mapping[str, Any] | None:
        """Return userinfo about the person of an ID token, or ``None`` if it is not worth a request."""
        if not self._wanted.are_worth_a_request(id_token):
            return None
        url = self._userinfo_endpoint()
        if url is None:
            return None
        userinfo = self._userinfo(response, metadata, url, issuer=id_token["iss"])
        check_about_same(userinfo, id_token)
        return userinfo

    def _userinfo_endpoint(self) -> str | None:
        return self._metadata.metadata("userinfo_endpoint").optional_endpoint("userinfo_endpoint")

    def _go_on_without_userinfo(self, error: _Failure, known: Mapping[str, Any]) -> None:
        """Note in the audit log that userinfo cannot be used, or raise *error* again.

        It is raised if a claim is needed that *known* lacks, and whenever userinfo is forged or somebody else's: only
        what cannot be read at all proves nothing.
        """
        is_forged = isinstance(error, TokenError) and error.code not in _UNREADABLE
        if is_forged or self._wanted.lack_needed(known):
            raise error
        audit("userinfo_unusable", code=error.code, provider=self._provider.name, detail=error.detail)

    def _merge(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims of both, as ``merge_claims`` does."""
        # Where the second says email_verified, nothing else is read as that of the first.
        is_said = second.get("email_verified") is not None
        return merge_claims(first if is_said else self._verified(first), second)

    def _further_claims(
        self,
        known: Mapping[str, Any],
        response: TokenResponse,
        metadata: ProviderMetadata,
        *,
        before: Mapping[str, Any],
    ) -> FurtherClaims:
        access = Access(
            self._provider,
            get=lambda url: get_resource(self._transport, url, response.access_token),
            below_userinfo=lambda path: below(metadata.endpoint("userinfo_endpoint"), path),
        )
        needed, wished = self._wanted.needed_names(), self._wanted.wished_names()
        return further_claims(known, access, needed=needed, wished=wished, before=before)

    def _userinfo(
        self, response: TokenResponse, metadata: ProviderMetadata, url: str, *, issuer: str | None
    ) -> Mapping[str, Any]:
        def read_signed(token: str) -> dict[str, Any]:
            return validate_userinfo(token, self._validator(metadata, issuer))

        userinfo = self._dialect.fetch_userinfo(
            UserinfoRequest(
                self._transport,
                url,
                response,
                quirk=self._provider.quirk,
                read_signed=read_signed if self._provider.is_oidc else None,
            )
        )
        if self._provider.tenants:
            # Whose tenant it is was proved by the ID token.
            userinfo.pop("tid", None)
        return self._verified(userinfo)

    def _verified(self, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        return with_verification(claims, self._provider.quirk)

    def _validator(
        self, metadata: ProviderMetadata, issuer: str | None, acr_values: tuple[str, ...] = ()
    ) -> TokenValidator:
        provider = self._provider.at(issuer)
        if provider.acr_values:
            # A sign-in for one page may have asked for another one than the settings do.
            provider = replace(provider, acr_values=(*provider.acr_values, *acr_values))
        return TokenValidator(provider, metadata, self._metadata.keys_for)

    def _subject(self, claims: Mapping[str, Any]) -> str:
        try:
            return read_subject(self._provider.subject, claims)
        except TokenError as error:
            raise ProviderError(
                f"the provider gives no usable subject at {self._provider.subject.text}: {error.detail}",
                code="no_subject",
            ) from error

    def _check_same_subject(self, claims: Mapping[str, Any], subject: str) -> None:
        """Check that the person is still the same (OpenID Connect Core, section 12.2)."""
        if self._subject(claims) != subject:
            raise TokenError(
                "the refresh token of one person was answered with claims about another",
                code="subject_changed",
            )
