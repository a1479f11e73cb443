"""One identity provider as the rest of the package sees it: where to send the browser, and who came back.

The authorization code flow with state, nonce and PKCE, for OpenID Connect (with an issuer) and plain OAuth
2.0. Nothing is fetched or loaded before the first call.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.errors import OAuth2Error, StateError, TokenError
from oauth2_mw.provider.discovery.metadata import MetadataCache
from oauth2_mw.provider.endpoints.authorization import authorization_url
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.revocation import REVOCATION_TIMEOUTS, RevocableKind, revoke_token
from oauth2_mw.provider.endpoints.token import TokenResponse, redeem_code, redeem_refresh_token
from oauth2_mw.provider.http.messages import DEFAULT_TIMEOUTS, Timeouts
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.person import ClaimsReader, told
from oauth2_mw.provider.tokens.id_token import read_nonce, read_sid
from oauth2_mw.provider.tokens.logout_token import LogoutToken, validate_logout_token
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in brought along, or a refresh. After a refresh ``None`` means unchanged: what was there stays."""

    id_token: str | None = field(repr=False)
    #: after a refresh it takes the place of the one that was redeemed, which may be worth nothing any more
    refresh_token: str | None = field(repr=False)
    access_token: str = field(repr=False)
    #: when the access token ends, in seconds since the epoch, if the provider says so
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Authentication:
    """A person, proven by the provider: who it is (issuer and subject), and what is said of them (claims)."""

    issuer: str
    subject: str
    claims: dict[str, Any] = field(repr=False)
    tokens: Tokens
    #: the session at the provider, which a logout there names; only an ID token can tell it
    sid: str | None = None
    #: when the ID token was issued, in seconds since the epoch
    issued: int | None = None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh token was worth."""

    tokens: Tokens
    #: What is said of the person now, in place of what was said before. When the answer had no ID token it is userinfo
    #: alone. ``None``: nothing is said, because there was nobody to ask or no answer in time.
    claims: dict[str, Any] | None = field(repr=False)


class ProviderClient:
    """Talks to one provider. One for the life of a process; safe for threads and across forks.

    :param redirect_uri: our callback for this provider, as registered there.
    :param insecure_http: whether plain http endpoints are accepted off loopback.
    :param needs: the claims that somebody reads; userinfo is asked when the ID token lacks one of them.
    :param clock: seconds since the epoch.
    :param timeouts: how long the provider may keep a worker waiting.
    """

    def __init__(
        self,
        provider: ProviderSettings,
        *,
        redirect_uri: str,
        insecure_http: bool = False,
        needs: frozenset[AttributePath] = frozenset(),
        clock: Callable[[], float] = time.time,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self.provider = provider
        self.redirect_uri = redirect_uri
        self._clock = clock
        self._transport = _transport(provider, insecure_http=insecure_http, timeouts=timeouts)
        self._hurried_transport = _transport(
            provider, insecure_http=insecure_http, timeouts=timeouts.at_most(REVOCATION_TIMEOUTS)
        )
        self._metadata = MetadataCache(provider, self._transport, clock)
        self._person = ClaimsReader(provider, self._transport, self._metadata, needs=needs, clock=clock)
        self._authentication = ClientAuthentication(provider, clock=clock)

    def authorization_url(
        self, *, state: str, nonce: str, code_verifier: str, login_hint: str | None = None
    ) -> str:
        """Where to send the browser (RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2.1).

        :raises ProviderUnavailable, ProviderError: when the provider's metadata cannot be had.
        """
        return authorization_url(
            self.provider,
            self._metadata.metadata(),
            redirect_uri=self.redirect_uri,
            state=state,
            nonce=nonce,
            code_verifier=code_verifier,
            login_hint=login_hint,
        )

    def authorization_endpoint(self) -> str:
        """The address that :meth:`authorization_url` adds a query to; errors as there."""
        return self._metadata.metadata().endpoint("authorization_endpoint")

    def check_issuer(self, iss: str | None) -> None:
        """Refuse an answer that came from somebody else (RFC 9207, section 2.4). For errors as well as codes.

        :raises StateError: ``issuer`` when *iss* is another issuer, or missing though the provider always
            sends it.
        :raises ProviderUnavailable, ProviderError: when the metadata is needed and cannot be had.
        """
        expected = self.provider.issuer
        if expected is None:
            return
        if iss is not None:
            if not hmac.compare_digest(iss.encode("utf-8", "surrogatepass"), expected.encode()):
                raise StateError(
                    f"the answer comes from issuer {shown(iss)} instead of {expected}", code="issuer"
                )
        elif self._metadata.metadata().authorization_response_iss_parameter_supported:
            raise StateError(f"the answer does not say that it comes from {expected}", code="issuer")

    def redeem(self, *, code: str, nonce: str, code_verifier: str) -> Authentication:
        """Exchange the code and find out who signed in.

        :raises ProviderUnavailable: when the provider does not answer in time.
        :raises ProviderError: when it refuses, or its answer is of no use.
        :raises TokenError: when its answer proves nothing.
        """
        metadata = self._metadata.metadata()
        grant = redeem_code(
            self._transport,
            self.provider,
            metadata,
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=code_verifier if self.provider.pkce else None,
            authentication=self._authentication,
        )
        claims, proven = self._person.first(grant, metadata, nonce=nonce)
        return Authentication(
            issuer=self.provider.user_issuer,
            subject=self._person.subject(claims),
            claims=told(claims),
            tokens=self._tokens(grant),
            sid=read_sid(proven),
            issued=int(proven["iat"]) if proven else None,
        )

    def refresh(
        self, refresh_token: str, *, subject: str, auth_time: int | None, id_token: str | None = None
    ) -> Refreshed:
        """Exchange a refresh token for new tokens and claims (RFC 6749, section 6; OpenID Connect Core, section 12).

        Never call it twice with one token: a provider that rotates them takes the second use for a theft and ends the
        sign-in. Userinfo is asked as at a sign-in: when the ID token lacks a claim that somebody reads, when none came,
        and always without an issuer. When it cannot be had in time, nothing is said of the person, and the tokens are
        not lost.

        :param subject: who signed in: :attr:`Authentication.subject`.
        :param auth_time: the claim of the first ID token, if it was there; another one is refused.
        :param id_token: the latest ID token, if it was kept: a nonce in the new one must be the nonce in it.
        :raises ProviderUnavailable: when the provider does not answer in time; the refresh token may still be good.
        :raises ProviderError: ``invalid_grant`` when the token is spent; others when the provider refuses, or its
            answer is of no use.
        :raises TokenError: when the answer proves nothing, or is about somebody else (``subject_changed``).
        """
        metadata = self._metadata.metadata()
        if self.provider.is_oidc:
            # Now, because a provider that replaced the refresh token will not do so again.
            self._metadata.load_keys()
        grant = redeem_refresh_token(
            self._transport,
            self.provider,
            metadata,
            refresh_token=refresh_token,
            authentication=self._authentication,
        )
        claims = self._person.again(
            grant,
            metadata,
            subject=subject,
            auth_time=auth_time,
            nonce=None if id_token is None else read_nonce(id_token),
        )
        return Refreshed(self._tokens(grant), None if claims is None else told(claims))

    def revoke(self, token: str, *, kind: RevocableKind) -> bool:
        """Tell the provider that a token is not needed any more (RFC 7009). It takes four seconds at most, unless the
        metadata must be fetched first.

        :returns: whether it was revoked; False: the provider does not offer that.
        :raises ProviderUnavailable: when the provider does not answer in time.
        :raises ProviderError: when it refuses.
        """
        return revoke_token(
            self._hurried_transport,
            self.provider,
            self._metadata.metadata(),
            token=token,
            kind=kind,
            authentication=self._authentication,
        )

    def read_logout_token(self, text: str) -> LogoutToken:
        """Check a logout token that somebody sent us (OpenID Connect Back-Channel Logout 1.0, section 2.6).

        Whether its ``jti`` came before is for the caller to know.

        :raises TokenError: when it orders nothing.
        :raises ProviderUnavailable, ProviderError: when the provider's keys cannot be had.
        """
        if not self.provider.is_oidc:
            raise TokenError(
                f"provider {self.provider.name} has no issuer, and so no logout tokens", code="token_issuer"
            )
        return validate_logout_token(
            text,
            TokenValidator(self.provider, self._metadata.metadata(), self._metadata.keys_for),
            now=self._clock(),
        )

    def logout_endpoint(self) -> str | None:
        """Where the browser goes to sign out at the provider, or ``None``. Never raises: no logout is refused."""
        if self.provider.logout_endpoint is not None:
            return self.provider.logout_endpoint
        try:
            return self._metadata.metadata().end_session_endpoint
        except OAuth2Error:
            return None

    def _tokens(self, grant: TokenResponse) -> Tokens:
        return Tokens(
            id_token=grant.id_token,
            refresh_token=grant.refresh_token,
            access_token=grant.access_token,
            expires_at=None if grant.expires_in is None else int(self._clock()) + grant.expires_in,
        )


def _transport(provider: ProviderSettings, *, insecure_http: bool, timeouts: Timeouts) -> Transport:
    return Transport(
        ca_bundle=provider.ca_bundle,
        proxy=provider.proxy,
        trust_env=provider.trust_env,
        insecure_http=insecure_http,
        timeouts=timeouts,
    )
