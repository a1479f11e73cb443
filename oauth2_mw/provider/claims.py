"""Claims about the person: from the ID token, and from userinfo where the ID token is not enough."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.audit import audit
from oauth2_mw.errors import ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.discovery.metadata import MetadataCache, ProviderMetadata
from oauth2_mw.provider.endpoints.token import TokenResponse
from oauth2_mw.provider.endpoints.userinfo import fetch_userinfo
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.tokens.claim_checks import read_subject
from oauth2_mw.provider.tokens.id_token import validate_id_token, validate_refreshed_id_token
from oauth2_mw.provider.tokens.userinfo import validate_userinfo
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings

log = logging.getLogger(__name__)

# They are about the response and not about the person, and a nonce is a secret of the sign-in.
_PROTOCOL_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})

#: The codes of a signed userinfo response that cannot be read.
_UNREADABLE = frozenset({"token_malformed"})

#: A claim that proves another -> the one that it proves (OpenID Connect Core, section 5.1; Entra's optional claims).
_PROOFS = MappingProxyType(
    {"email_verified": "email", "xms_edov": "email", "phone_number_verified": "phone_number"}
)
#: What counts as a proof under any setting. Every other value speaks against an address, whichever source says it.
_PROVING = (True, "true", "1")


@dataclass(frozen=True, slots=True)
class UserClaims:
    """What the provider says about the person who signed in."""

    subject: str
    #: the claims of ID token and userinfo, without those of the protocol
    merged: dict[str, Any] = field(repr=False)
    #: the claims of the ID token alone; empty without an issuer
    id_token: dict[str, Any] = field(repr=False)


class ClaimsReader:
    """Reads the claims that belong to the token responses of one provider. Safe for threads.

    Userinfo is asked if the ID token lacks a claim that is needed or wished for. If that fails, a claim that is wished
    for is absent; one that is needed is unknown, and nobody is signed in without it.

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
        needs: frozenset[AttributePath],
        wishes: frozenset[AttributePath],
        clock: Callable[[], float],
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._metadata = metadata
        self._needs = needs | {provider.subject}
        self._wishes = wishes
        self._clock = clock

    def for_code(self, response: TokenResponse, metadata: ProviderMetadata, *, nonce: str) -> UserClaims:
        """Return the claims that belong to the response to a code.

        :param nonce: the one in the authorization request.
        :raises ProviderUnavailableError: if keys or userinfo cannot be fetched in time.
        :raises ProviderError: ``no_subject``, or if keys or userinfo cannot be used.
        :raises TokenError: if the ID token or userinfo fails a check.
        """
        id_token: dict[str, Any] = {}
        if self._provider.is_oidc:
            id_token = validate_id_token(
                response.id_token or "",
                self._validator(metadata),
                nonce=nonce,
                access_token=response.access_token,
                now=self._clock(),
            )
            merged = self._with_userinfo(id_token, response, metadata)
        else:
            merged = self._userinfo(response, metadata, metadata.endpoint("userinfo_endpoint"))
        return UserClaims(self._subject(merged), _without_protocol_claims(merged), id_token)

    def for_refresh(
        self,
        response: TokenResponse,
        metadata: ProviderMetadata,
        *,
        subject: str,
        auth_time: int | None,
        nonce: str | None,
    ) -> dict[str, Any] | None:
        """Return the claims that belong to the response to a refresh token.

        Return ``None`` if there are none, or if userinfo cannot be fetched in time: an exception would lose the new
        tokens, although the old ones have just been replaced.

        :param subject: that of the sign-in, as the other two.
        :raises ProviderError: if userinfo refuses the access token, or its response cannot be used.
        :raises TokenError: if a token fails a check, or is about another person (``subject_changed``).
        """
        id_token = None
        if self._provider.is_oidc and response.id_token is not None:
            id_token = validate_refreshed_id_token(
                response.id_token,
                self._validator(metadata),
                nonce=nonce,
                auth_time=auth_time,
                access_token=response.access_token,
                now=self._clock(),
            )
            # If the ID token has the subject, it is compared before the new access token is sent anywhere.
            if self._provider.subject.get(id_token) is not None:
                self._check_same_subject(id_token, subject)
        try:
            claims = self._refreshed_claims(id_token, response, metadata)
        except ProviderUnavailableError as error:
            log.warning("after a refresh the claims stay what they were: %s", error.detail)
            return None
        if claims is None:
            return None
        self._check_same_subject(claims, subject)
        return _without_protocol_claims(claims)

    def _refreshed_claims(
        self, id_token: dict[str, Any] | None, response: TokenResponse, metadata: ProviderMetadata
    ) -> dict[str, Any] | None:
        if id_token is not None:
            return self._with_userinfo(id_token, response, metadata)
        if not self._provider.is_oidc:
            return self._userinfo(response, metadata, metadata.endpoint("userinfo_endpoint"))
        url = metadata.optional_endpoint("userinfo_endpoint")
        if url is not None and self._is_worth_a_request({"sub": "known"}):
            return self._userinfo(response, metadata, url)
        return None

    def _with_userinfo(
        self, id_token: dict[str, Any], response: TokenResponse, metadata: ProviderMetadata
    ) -> dict[str, Any]:
        """Return the claims of an ID token, with those of userinfo if it is worth a request and can be used."""
        if not self._is_worth_a_request(id_token):
            return id_token
        try:
            url = metadata.optional_endpoint("userinfo_endpoint")
            if url is None:
                return id_token
            userinfo = self._userinfo(response, metadata, url)
            _check_about_same(userinfo, id_token)
        except (ProviderError, ProviderUnavailableError, TokenError) as error:
            self._go_on_without_userinfo(error, id_token)
            return id_token
        return _merge(id_token, userinfo)

    def _is_worth_a_request(self, known: Mapping[str, Any]) -> bool:
        if self._provider.userinfo != "when-needed":
            return self._provider.userinfo == "always"
        return any(path.get(known) is None for path in self._needed() | self._wishes)

    def _needed(self) -> frozenset[AttributePath]:
        # Not once and for all: allow may stand in a file that has changed.
        return self._needs | self._provider.deciding_claims

    def _go_on_without_userinfo(
        self, error: ProviderError | ProviderUnavailableError | TokenError, known: Mapping[str, Any]
    ) -> None:
        """Note in the audit log that userinfo cannot be used, or raise *error* again.

        It is raised if a claim is needed that *known* lacks, and whenever userinfo is forged or somebody else's: only
        what cannot be read at all proves nothing.
        """
        unknown = sorted(path.text for path in self._needed() if path.get(known) is None)
        if unknown or (isinstance(error, TokenError) and error.code not in _UNREADABLE):
            raise error
        audit("userinfo_unusable", code=error.code, provider=self._provider.name, detail=error.detail)

    def _userinfo(self, response: TokenResponse, metadata: ProviderMetadata, url: str) -> dict[str, Any]:
        def read_signed(token: str) -> dict[str, Any]:
            return validate_userinfo(token, self._validator(metadata))

        return fetch_userinfo(
            self._transport,
            url,
            response.access_token,
            quirk=self._provider.quirk,
            read_signed=read_signed if self._provider.is_oidc else None,
        )

    def _validator(self, metadata: ProviderMetadata) -> TokenValidator:
        return TokenValidator(self._provider, metadata, self._metadata.keys_for)

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


def _without_protocol_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in _PROTOCOL_CLAIMS}


def _check_about_same(userinfo: Mapping[str, Any], id_token: Mapping[str, Any]) -> None:
    """Check that userinfo is about the person of the ID token (OpenID Connect Core, section 5.3.2).

    :raises ProviderError: ``userinfo`` if it does not say whom it is about.
    :raises TokenError: ``userinfo_subject`` if it is about another person.
    """
    if "sub" not in userinfo:
        raise ProviderError(
            "userinfo names no sub, and is not used: it may be about anybody", code="userinfo"
        )
    if userinfo["sub"] != id_token["sub"]:
        raise TokenError("userinfo is about another subject than the ID token", code="userinfo_subject")


def _merge(id_token: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of both, those of the ID token first.

    A proof that one source gives counts for the value of the same source alone: the other may speak of another address.
    """
    merged = {**userinfo, **id_token}
    for proof, proven in _PROOFS.items():
        verdicts = (
            source[proof]
            for source in (id_token, userinfo)
            if source.get(proof) is not None
            and (source[proof] not in _PROVING or source.get(proven) == merged.get(proven))
        )
        merged[proof] = next(verdicts, None)
        if merged[proof] is None:
            del merged[proof]
    return merged
