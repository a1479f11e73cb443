"""One identity provider as the rest of the package sees it: where to send the browser, and who came back.

The authorization code flow with state, nonce and PKCE, for OpenID Connect (with an issuer) and plain OAuth
2.0. Nothing is fetched or loaded before the first call.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from oauth2_mw.errors import ConfigError, OAuth2Error, Problem, ProviderError, StateError, TokenError
from oauth2_mw.provider.authentication import ClientAuthentication
from oauth2_mw.provider.documents import shown
from oauth2_mw.provider.exchange import DEFAULT_TIMEOUTS, Timeouts
from oauth2_mw.provider.grant import Grant, redeem_code
from oauth2_mw.provider.metadata import MetadataCache, ProviderMetadata
from oauth2_mw.provider.quirks import QUIRKS
from oauth2_mw.provider.tokens import check_subject, validate_id_token, validate_userinfo
from oauth2_mw.provider.transport import Transport
from oauth2_mw.provider.userinfo import fetch_userinfo
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings

# They prove the answer, not the person, and a nonce is a secret of the sign-in.
_PROTOCOL_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in brought along."""

    id_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    access_token: str = field(repr=False)
    #: when the access token ends, in seconds since the epoch, if the provider says so
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person, proven by the provider: who it is (issuer and subject), and what is said of them (claims)."""

    issuer: str
    subject: str
    claims: dict[str, Any] = field(repr=False)
    tokens: Tokens


class ProviderClient:
    """Talks to one provider. One for the life of a process; safe for threads and across forks.

    :param redirect_uri: our callback for this provider, as registered there.
    :param insecure_http: whether plain http endpoints are accepted off loopback.
    :param needs: the claims that somebody reads; userinfo is asked when the ID token lacks one of them.
    :param clock: seconds since the epoch.
    :param timeouts: how long the provider may keep a worker waiting.
    :raises ConfigError: when the provider's preset asks for a quirk that does not exist.
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
        _check_quirk(provider)
        self.provider = provider
        self.redirect_uri = redirect_uri
        self._needs = needs
        self._clock = clock
        self._transport = Transport(
            ca_bundle=provider.ca_bundle,
            proxy=provider.proxy,
            trust_env=provider.trust_env,
            insecure_http=insecure_http,
            timeouts=timeouts,
        )
        self._metadata = MetadataCache(provider, self._transport, clock)
        self._authentication = ClientAuthentication(provider, clock=clock)

    def authorization_url(
        self, *, state: str, nonce: str, code_verifier: str, login_hint: str | None = None
    ) -> str:
        """Where to send the browser (RFC 6749, section 4.1.1; OpenID Connect Core, section 3.1.2.1).

        :raises ProviderUnavailable, ProviderError: when the provider's metadata cannot be had.
        """
        from requests_oauthlib import OAuth2Session

        provider = self.provider
        metadata = self._metadata.metadata()
        parameters = self._parameters(nonce=nonce, login_hint=login_hint)
        if provider.pkce:
            _check_pkce(metadata)
            parameters["code_challenge"] = _base64url(hashlib.sha256(code_verifier.encode("ascii")).digest())
            parameters["code_challenge_method"] = "S256"
        ours = {"response_type", "client_id", "redirect_uri", "scope", "state", *parameters}
        endpoint = _with_query(
            metadata.endpoint("authorization_endpoint"), provider.auth_params, without=ours
        )
        session = OAuth2Session(
            provider.client_id, scope=list(provider.scope) or None, redirect_uri=self.redirect_uri
        )
        # oauthlib refuses every http address, loopback included; this one has been judged already.
        scheme, _, rest = endpoint.partition(":")
        url: str = session.authorization_url(f"https:{rest}", state=state, **parameters)[0]
        return scheme + url.removeprefix("https")

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

    def redeem(self, *, code: str, nonce: str, code_verifier: str) -> SignIn:
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
        if self.provider.is_oidc:
            claims = self._proven_claims(grant, metadata, nonce=nonce)
        else:
            claims = self._userinfo(grant, metadata, metadata.endpoint("userinfo_endpoint"))
        return SignIn(
            issuer=self.provider.user_issuer,
            subject=self._subject(claims),
            claims={name: value for name, value in claims.items() if name not in _PROTOCOL_CLAIMS},
            tokens=Tokens(
                id_token=grant.id_token,
                refresh_token=grant.refresh_token,
                access_token=grant.access_token,
                expires_at=None if grant.expires_in is None else int(self._clock()) + grant.expires_in,
            ),
        )

    def logout_endpoint(self) -> str | None:
        """Where the browser goes to sign out at the provider, or ``None``. Never raises: no logout is refused."""
        if self.provider.logout_endpoint is not None:
            return self.provider.logout_endpoint
        try:
            return self._metadata.metadata().end_session_endpoint
        except OAuth2Error:
            return None

    def _parameters(self, *, nonce: str, login_hint: str | None) -> dict[str, str]:
        provider = self.provider
        optional = {
            "nonce": nonce if provider.is_oidc else None,
            # Left out, it means the query (OAuth 2.0 Multiple Response Types, section 2.1).
            "response_mode": None if provider.response_mode == "query" else provider.response_mode,
            "prompt": provider.prompt,
            # As a text: oauthlib leaves out the number 0, which asks for a fresh sign-in.
            "max_age": None if provider.max_age is None else str(provider.max_age),
            "acr_values": " ".join(provider.acr_values),
            "ui_locales": provider.ui_locales,
            "login_hint": login_hint,
        }
        return {name: value for name, value in optional.items() if value}

    def _proven_claims(self, grant: Grant, metadata: ProviderMetadata, *, nonce: str) -> dict[str, Any]:
        claims = validate_id_token(
            grant.id_token or "",
            provider=self.provider,
            metadata=metadata,
            keys=self._metadata.keys_for,
            nonce=nonce,
            access_token=grant.access_token,
            now=self._clock(),
        )
        missing = any(path.get(claims) is None for path in (*self._needs, self.provider.subject))
        if metadata.userinfo_endpoint is None or not missing:
            return claims
        userinfo = self._userinfo(grant, metadata, metadata.userinfo_endpoint)
        # OpenID Connect Core, section 5.3.2: otherwise it may be another person's.
        if userinfo.get("sub") != claims["sub"]:
            raise TokenError("userinfo is about another subject than the ID token", code="userinfo_subject")
        return {**userinfo, **{name: value for name, value in claims.items() if value is not None}}

    def _userinfo(self, grant: Grant, metadata: ProviderMetadata, url: str) -> dict[str, Any]:
        def read_signed(token: str) -> dict[str, Any]:
            return validate_userinfo(
                token, provider=self.provider, metadata=metadata, keys=self._metadata.keys_for
            )

        return fetch_userinfo(
            self._transport,
            url,
            grant.access_token,
            quirk=self.provider.quirk,
            read_signed=read_signed if self.provider.is_oidc else None,
        )

    def _subject(self, claims: Mapping[str, Any]) -> str:
        subject = self.provider.subject.get(claims)
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        try:
            return check_subject(subject)
        except TokenError as error:
            raise ProviderError(
                f"the provider gives no usable subject at {self.provider.subject.text}: {error.detail}",
                code="no_subject",
            ) from error


def _check_quirk(provider: ProviderSettings) -> None:
    # Presets are files that anybody may write; the strategies they name are on this floor.
    if provider.quirk is not None and provider.quirk not in QUIRKS:
        text = f"its quirk {shown(provider.quirk)} does not exist: there are {', '.join(sorted(QUIRKS))}"
        raise ConfigError([Problem(provider.section, "preset", text)])


def _check_pkce(metadata: ProviderMetadata) -> None:
    offered = metadata.code_challenge_methods_supported
    if offered is not None and "S256" not in offered:
        raise ProviderError(
            f"the provider offers PKCE with {shown(' '.join(offered))} and not with S256: set pkce = off",
            code="pkce",
        )


def _with_query(url: str, parameters: Mapping[str, str], *, without: set[str]) -> str:
    """*url* with its own query and *parameters*; what we set ourselves is set once (RFC 6749, 3.1)."""
    parts = urlsplit(url)
    written = [*parse_qsl(parts.query, keep_blank_values=True), *parameters.items()]
    kept = [(name, value) for name, value in written if name not in without]
    return parts._replace(query=urlencode(kept)).geturl()


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
