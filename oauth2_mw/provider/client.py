"""One identity provider, as the rest of the package sees it.

It is used by the authorization code flow with state, nonce and PKCE: OpenID Connect with an issuer, else plain OAuth
2.0. Nothing is fetched or loaded before the first call.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from oauth2_mw.errors import OAuth2Error, ProviderUnavailableError, StateError, TokenError
from oauth2_mw.provider.claim_sources import NOTHING_KNOWN, KnownClaims
from oauth2_mw.provider.claims import ClaimsReader
from oauth2_mw.provider.demand import NO_DEMAND, Demand
from oauth2_mw.provider.dialects import make_dialect
from oauth2_mw.provider.dialects.dialect import CodeGrant
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.discovery.metadata_cache import MetadataCache
from oauth2_mw.provider.endpoints.authorization import AuthorizationRequest
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.introspection import INTROSPECTION_TIMEOUTS, introspect
from oauth2_mw.provider.endpoints.revocation import REVOCATION_TIMEOUTS, RevocableKind, revoke_token
from oauth2_mw.provider.endpoints.token import TokenResponse
from oauth2_mw.provider.http.call_gate import PLACES, CallGate
from oauth2_mw.provider.http.kept_connections import KeptConnections
from oauth2_mw.provider.http.messages import DEFAULT_TIMEOUTS, Timeouts
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.tokens.access_token import AccessToken, read_introspection, validate_access_token
from oauth2_mw.provider.tokens.id_token import read_nonce, read_sid
from oauth2_mw.provider.tokens.logout_token import LogoutToken, validate_logout_token
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a sign-in or a refresh. After a refresh, ``None`` means that the previous one stays valid."""

    id_token: str | None = field(repr=False)
    #: after a refresh it replaces the redeemed one, which may not be valid any more
    refresh_token: str | None = field(repr=False)
    #: empty from a provider that gives none to a person
    access_token: str = field(repr=False)
    #: when the access token expires, in seconds since the epoch, or ``None`` if neither the provider nor
    #: ``access_token_lifetime`` says
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Authentication:
    """A person whom the provider authenticated, identified by issuer and subject."""

    issuer: str
    subject: str
    claims: dict[str, Any] = field(repr=False)
    tokens: Tokens
    #: the session at the provider, which a logout there names; ``None`` without an ID token that has it
    sid: str | None = None
    #: when the ID token was issued, in seconds since the epoch; ``None`` without an ID token
    issued_at: int | None = None
    #: the names of the claims that userinfo gave
    from_userinfo: frozenset[str] = frozenset()
    #: the names of claims that a source which failed would have given, so that they are not known to be absent
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What the provider gave for a refresh token."""

    tokens: Tokens
    #: The claims that replace the previous ones: what is new, with what stays. ``None`` if the provider gave none in
    #: time, or has no userinfo endpoint.
    claims: Mapping[str, Any] | None = field(repr=False)
    #: the names of those that userinfo gave
    from_userinfo: frozenset[str]
    #: as in :class:`Authentication`
    unknown: frozenset[str] = frozenset()


class ProviderClient:
    """The client at one provider. One serves a whole process; it is safe for threads and across forks.

    :param redirect_uri: our callback for this provider, as registered there.
    :param insecure_http: whether plain http endpoints are accepted off loopback.
    :param needs: the claims without which nobody can be signed in; userinfo is asked if the ID token lacks one.
    :param wishes: further claims for which it is asked, and that are absent if that fails.
    :param clock: seconds since the epoch.
    :param timeouts: how long the provider may keep a worker waiting.
    :param refresh_timeout: for how many seconds the answer to a refresh token is waited for; the setting
        ``refresh_timeout``. ``None``: as long as for any other.
    :param max_calls: how many calls to it may be under way in a process; the setting ``provider_calls``.
    :param connections: where connections wait for their next request; shared with the clients of other providers.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        *,
        redirect_uri: str,
        insecure_http: bool = False,
        needs: frozenset[AttributePath] = frozenset(),
        wishes: frozenset[AttributePath] = frozenset(),
        clock: Callable[[], float] = time.time,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        refresh_timeout: float | None = None,
        max_calls: int = PLACES,
        connections: KeptConnections[Any] | None = None,
    ) -> None:
        self.provider = provider
        self.redirect_uri = redirect_uri
        self._clock = clock
        self._gate = CallGate(provider.name, places=max_calls)
        kept = KeptConnections[Any]() if connections is None else connections

        def transport(limits: Timeouts) -> Transport:
            return Transport(
                name=provider.name,
                gate=self._gate,
                ca_bundle=provider.ca_bundle,
                proxy=provider.proxy,
                trust_env=provider.trust_env,
                insecure_http=insecure_http,
                timeouts=limits,
                connections=kept,
            )

        self._transport = transport(timeouts)
        patience = timeouts.total if refresh_timeout is None else refresh_timeout
        self._refresh_transport = transport(replace(timeouts, read=patience, total=patience))
        self._revocation_transport = transport(timeouts.at_most(REVOCATION_TIMEOUTS))
        self._introspection_transport = transport(timeouts.at_most(INTROSPECTION_TIMEOUTS))
        self._metadata = MetadataCache(
            provider,
            self._transport,
            clock,
            uses_userinfo=bool(needs or wishes) and provider.userinfo != "never",
        )
        self._dialect = make_dialect(provider.dialect, clock)
        self._claims = ClaimsReader(
            provider,
            self._transport,
            self._metadata,
            dialect=self._dialect,
            needs=needs,
            wishes=wishes,
            clock=clock,
        )
        self._authentication = ClientAuthentication(provider, clock=clock)

    def place(self) -> AbstractContextManager[None]:
        """Hold a place for calls that belong together.

        :raises ProviderUnavailableError: ``provider_busy`` if none is free in time.
        """
        return self._gate.place()

    def authorization_url(
        self,
        *,
        state: str,
        nonce: str,
        code_verifier: str,
        login_hint: str | None = None,
        languages: tuple[str, ...] = (),
        interactive: bool = False,
        demand: Demand = NO_DEMAND,
    ) -> str:
        """Return the URL to send the browser to (RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2.1).

        :param languages: those that the person reads, the most wanted first; sent where ``ui_locales`` says so.
        :param interactive: whether the provider may show the person a page in spite of ``prompt = none``.
        :param demand: what is asked for beyond the settings.
        :raises ProviderUnavailableError: if the provider's metadata cannot be fetched.
        :raises ProviderError: if the metadata cannot be used; ``pkce`` if the provider does not offer S256.
        """
        request = AuthorizationRequest(
            self.redirect_uri, state, nonce, code_verifier, login_hint, languages, interactive, demand
        )
        return self._dialect.authorization_url(self.provider, self._metadata.metadata(), request)

    def authorization_endpoint(self) -> str:
        """Return the address that :meth:`authorization_url` adds a query to; it raises the same errors."""
        return self._metadata.metadata().endpoint("authorization_endpoint")

    def check_issuer(self, iss: str | None) -> None:
        """Check the ``iss`` of an authorization response, be it a code or an error (RFC 9207, section 2.4).

        :raises StateError: ``issuer`` if *iss* is another issuer, or missing although the provider always sends it.
        :raises ProviderUnavailableError, ProviderError: if the metadata is needed and cannot be fetched or used.
        """
        if not self.provider.is_oidc:
            return
        expected = self.provider.at(iss).issuers[0]
        if iss is not None:
            if not hmac.compare_digest(iss.encode("utf-8", "surrogatepass"), expected.encode()):
                raise StateError(
                    f"the answer comes from issuer {shown(iss)} instead of {self.provider.issuer}",
                    code="issuer",
                )
        elif self._metadata.metadata().authorization_response_iss_parameter_supported:
            raise StateError(
                f"the answer does not say that it comes from {self.provider.issuer}", code="issuer"
            )

    def redeem(
        self,
        *,
        code: str,
        nonce: str,
        code_verifier: str,
        issuer: str | None = None,
        demand: Demand = NO_DEMAND,
    ) -> Authentication:
        """Exchange a code for tokens and claims (RFC 6749, section 4.1.3; OpenID Connect Core, section 3.1.3).

        :param issuer: the ``iss`` of the authorization response, which :meth:`check_issuer` has passed, or ``None``.
        :param demand: what :meth:`authorization_url` was told; the caller checks what came of it.
        :raises ProviderUnavailableError: if the provider does not answer in time.
        :raises ProviderError: if the provider refuses, or its answer cannot be used.
        :raises TokenError: if the ID token or userinfo fails a check.
        """
        grant = CodeGrant(
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=code_verifier if self.provider.pkce else None,
        )
        # One place for all calls, so that no code is redeemed whose claims then find none.
        with self._gate.place():
            metadata = self._metadata.metadata()
            response = self._dialect.redeem_code(self._authenticated_client(metadata), grant)
            claims = self._claims.for_code(
                response, metadata, nonce=nonce, issuer=issuer, acr_values=demand.acr_values
            )
        return Authentication(
            issuer=claims.id_token["iss"] if claims.id_token else self.provider.user_issuers[0],
            subject=claims.subject,
            claims=claims.merged,
            tokens=self._tokens(response),
            sid=read_sid(claims.id_token),
            issued_at=int(claims.id_token["iat"]) if claims.id_token else None,
            from_userinfo=claims.from_userinfo,
            unknown=claims.unknown,
        )

    def refresh(
        self,
        refresh_token: str,
        *,
        subject: str,
        auth_time: int | None,
        issuer: str | None = None,
        id_token: str | None = None,
        known: KnownClaims = NOTHING_KNOWN,
    ) -> RefreshResult:
        """Exchange a refresh token for new tokens and claims (RFC 6749, section 6; OpenID Connect Core, section 12).

        Never call it twice with one token: a provider that rotates refresh tokens takes the second use for a theft and
        ends the sign-in. Userinfo is fetched as at a sign-in: if the ID token lacks a claim that is needed, if none
        came, and always without an issuer. If it cannot be fetched in time, the tokens are returned without claims.

        :param subject: the :attr:`Authentication.subject` of the sign-in.
        :param auth_time: the claim of the first ID token, or ``None`` if it was missing.
        :param issuer: the :attr:`Authentication.issuer` of the sign-in; needed where a provider has several.
        :param id_token: the latest ID token, if it was kept: a nonce in the new one must be the same.
        :param known: the claims so far, some of which stay if no ID token comes.
        :raises ProviderUnavailableError: if the provider does not answer in time; the refresh token may still be valid,
            and ``is_sent`` says whether it may have left.
        :raises ProviderError: ``invalid_grant`` if the refresh token is not valid any more; others if the provider
            refuses, or its answer cannot be used.
        :raises TokenError: if a token fails a check, or is about another person (``subject_changed``).
        """
        with self._gate.place():
            try:
                metadata = self._metadata.metadata()
                if self.provider.is_oidc:
                    # Beforehand: once the refresh token is used up, a missing key would lose the new one.
                    self._metadata.load_keys()
            except ProviderUnavailableError as error:
                # That of the metadata, and not of the refresh token.
                error.is_sent = False
                raise
            client = AuthenticatedClient(self._refresh_transport, metadata, self._authentication)
            response = self._dialect.redeem_refresh_token(client, refresh_token)
            refreshed = self._claims.for_refresh(
                response,
                metadata,
                subject=subject,
                issuer=issuer,
                auth_time=auth_time,
                nonce=None if id_token is None else read_nonce(id_token),
                known=known,
            )
        tokens = self._tokens(response)
        if refreshed is None:
            return RefreshResult(tokens, None, frozenset())
        return RefreshResult(tokens, refreshed.claims, refreshed.from_userinfo, refreshed.unknown)

    def revoke(self, token: str, *, kind: RevocableKind) -> bool:
        """Revoke a token (RFC 7009), within four seconds unless the metadata must be fetched first.

        :returns: True if it was revoked; False if the provider does not revoke tokens of this kind.
        :raises ProviderUnavailableError: if the provider does not answer in time.
        :raises ProviderError: if the provider refuses.
        """
        metadata = self._metadata.metadata("revocation_endpoint")
        client = AuthenticatedClient(self._revocation_transport, metadata, self._authentication)
        return revoke_token(client, token, kind=kind)

    def read_logout_token(self, text: str) -> LogoutToken:
        """Validate a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6).

        The caller checks that its ``jti`` is new.

        :raises TokenError: if it fails a check, or the provider has no issuer.
        :raises ProviderUnavailableError, ProviderError: if the provider's keys cannot be fetched or used.
        """
        if not self.provider.is_oidc:
            raise TokenError(
                f"provider {self.provider.name} has no issuer, and so no logout tokens", code="token_issuer"
            )
        validator = TokenValidator(self.provider, self._metadata.metadata(), self._metadata.keys_for)
        return validate_logout_token(text, validator, now=self._clock())

    def read_access_token(self, text: str) -> AccessToken:
        """Validate an access token that is a JWT.

        :raises TokenError: if it fails a check.
        :raises ProviderUnavailableError, ProviderError: if the provider's keys cannot be fetched or used.
        """
        validator = TokenValidator(self.provider, self._metadata.metadata(), self._metadata.keys_for)
        return validate_access_token(text, validator, now=self._clock())

    def introspect(self, text: str) -> AccessToken | None:
        """Ask the provider about an access token, and return ``None`` if it is not active.

        :raises TokenError: if it is active, and does not serve here.
        :raises ProviderUnavailableError: if the provider does not answer in time.
        :raises ProviderError: if the provider refuses, or its answer cannot be used.
        """
        metadata = self._metadata.metadata("introspection_endpoint")
        client = AuthenticatedClient(self._introspection_transport, metadata, self._authentication)
        claims = introspect(client, text)
        return None if claims is None else read_introspection(claims, self.provider, now=self._clock())

    def logout_endpoint(self) -> str | None:
        """Return where the browser signs out at the provider, or ``None`` if that is unknown. Never raises."""
        if self.provider.logout_endpoint is not None:
            return self.provider.logout_endpoint
        try:
            return self._metadata.metadata("end_session_endpoint").end_session_endpoint
        except OAuth2Error:
            return None

    def _authenticated_client(self, metadata: ProviderMetadata) -> AuthenticatedClient:
        return AuthenticatedClient(self._transport, metadata, self._authentication)

    def _tokens(self, response: TokenResponse) -> Tokens:
        expires_in = response.expires_in or self.provider.access_token_lifetime
        return Tokens(
            id_token=response.id_token,
            refresh_token=response.refresh_token,
            access_token=response.access_token,
            expires_at=None if expires_in is None else int(self._clock()) + expires_in,
        )
