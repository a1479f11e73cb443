"""A provider inside the test's own process: OpenID Connect without a socket, with faults that a test switches on.

It proves what the middleware makes of a provider, and not that a client is who it says: it asks for no password, and
believes every client.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from wsgiref.types import WSGIApplication

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from oauth2_mw.encoding import base64url
from oauth2_mw.errors import ProviderUnavailableError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.provider.http.messages import DEFAULT_TIMEOUTS, Request, Response, Timeouts
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.testing.guarding import SettingsSource, default_settings, find_middleware, guard

_ALGORITHM = "RS256"
_KEY_ID = "development"


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code or a token stands for."""

    username: str
    scope: str
    #: when the person signed in, which no refresh changes (OpenID Connect Core, section 12.2)
    auth_time: int
    nonce: str | None = None
    challenge: str | None = None
    redirect_uri: str | None = None


@dataclass(kw_only=True)
class DevelopmentProvider:
    """The provider; its fields may change while it is in use.

    :raises TypeError: for ``users`` of another shape.
    :raises ValueError: by :meth:`protect`, for settings with which it cannot stand in for the provider.
    """

    #: username -> the claims of that person, as a provider sends them; ``sub`` and ``preferred_username`` are the
    #: username, and ``email_verified`` is true where there is an ``email``, unless they are written
    users: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"jane": {"name": "Jane Doe", "email": "jane@example.com"}}
    )
    #: whether it answers ``access_denied`` to whoever would sign in
    declines: bool = False
    #: seconds until it answers; when the middleware would have given up, it does so at once. ``True``: it never answers
    slow: float | bool = 0
    #: whether nothing can be reached
    down: bool = False
    #: whether it takes no refresh token (``invalid_grant``)
    refresh_fails: bool = False
    #: how long access tokens serve, in seconds
    expires_in: int = 3600
    #: the requests that the middleware has sent: method and URL
    requests: list[tuple[str, str]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        users: Any = self.users
        if not (isinstance(users, Mapping) and all(isinstance(each, Mapping) for each in users.values())):
            raise TypeError('users has the claims of each username, {"jane": {"email": "jane@example.com"}}')
        self._grants: dict[str, _Grant] = {}

    def protect(
        self, app: WSGIApplication, settings: SettingsSource | None = None, **keys: Any
    ) -> WSGIApplication:
        """Return *app* behind a middleware whose providers are this one; no request leaves the process.

        :param app: a WSGI application. Behind the middleware already, it comes back as it is, its provider replaced.
        :param settings: for an application without it: whatever ``OAuth2Middleware`` takes.
        :param keys: single settings instead, ``protect = "required"`` where they say nothing else.
        :raises TypeError: for *settings* and *keys* at once.
        """
        if keys and settings is not None:
            raise TypeError("settings or single keys are taken, not both")
        if settings is None and (keys or find_middleware(app) is None):
            settings = default_settings(**{"protect": "required", **keys})
        guarded, middleware = guard(app, settings)
        self.stand_in(middleware)
        return guarded

    def stand_in(self, middleware: OAuth2Middleware) -> None:
        """Answer whatever *middleware* asks of its providers from now on."""
        for name, provider in middleware._settings.providers.items():
            if provider.dialect is not None or provider.response_mode == "form_post":
                raise ValueError(f"the provider {name} speaks in a way that DevelopmentProvider does not")
            client = middleware._site()._clients.get(name)
            # Nothing in the package leads here from a setting: the test puts this in the place of the network.
            for transport in (client._transport, client._refresh_transport, client._revocation_transport):
                transport._client = _InProcess(self, provider)  # type: ignore[assignment]  # in place of the network
            for cache in (client._metadata._documents, client._metadata._keys):
                # A fault that the test has taken back is over.
                cache._cool_down = 0

    def follow(self, authorization_url: str, provider: ProviderSettings, username: str) -> str:
        """Return where the browser of that person is sent that came to *authorization_url*."""
        if username not in self.users:
            raise ValueError(f"there is no user {username!r} at this provider, but {', '.join(self.users)}")
        asked = dict(parse_qsl(urlsplit(authorization_url).query))
        if asked.get("client_id") != provider.client_id or asked.get("response_type") != "code":
            raise ValueError(f"not an authorization request of this client: {authorization_url}")
        answer = {"state": asked["state"]}
        if self.declines:
            answer["error"] = "access_denied"
        else:
            answer["code"] = self._grant(
                username=username,
                scope=asked.get("scope", ""),
                auth_time=int(time.time()),
                nonce=asked.get("nonce"),
                challenge=asked.get("code_challenge"),
                redirect_uri=asked["redirect_uri"],
            )
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def _grant(self, **members: Any) -> str:
        code = secrets.token_urlsafe()
        self._grants[code] = _Grant(**members)
        return code

    def answer(self, request: Request, provider: ProviderSettings) -> Response:
        """Answer a request of the middleware.

        :raises ProviderUnavailableError: when it is ``down``, or too ``slow``.
        """
        self.requests.append((request.method, request.url))
        host = urlsplit(request.url).netloc
        if self.down:
            raise ProviderUnavailableError(f"no connection to {host}: the development provider is down")
        if self.slow is True or self.slow >= DEFAULT_TIMEOUTS.read:
            raise ProviderUnavailableError(f"{host} fell silent: the development provider is too slow")
        time.sleep(self.slow)
        status, body = self._route(request, provider)
        return Response(
            status=status,
            content_type="application/json",
            body=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            url=request.url,
        )

    def _route(self, request: Request, provider: ProviderSettings) -> tuple[int, Mapping[str, Any]]:
        endpoints = endpoints_of(provider)
        if request.url == endpoints["token_endpoint"]:
            return self._token(dict(parse_qsl((request.body or b"").decode())), provider)
        if request.url == endpoints["userinfo_endpoint"]:
            grant = self._grants.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
            return (401, {}) if grant is None else (200, self._claims(grant.username))
        if request.url == endpoints["jwks_uri"]:
            return 200, {"keys": [self._jwk]}
        if request.url == endpoints["revocation_endpoint"]:
            return 200, {}
        if "/.well-known/" in request.url or request.url == provider.metadata_url:
            return 200, {
                "issuer": provider.issuers[0],
                **endpoints,
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [_ALGORITHM],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": [provider.client_auth_method],
            }
        return 404, {}

    def _token(self, form: Mapping[str, str], provider: ProviderSettings) -> tuple[int, Mapping[str, Any]]:
        refreshes = form.get("grant_type") == "refresh_token"
        # A code and a refresh token serve once.
        grant = self._grants.pop(form.get("refresh_token" if refreshes else "code", ""), None)
        if (
            grant is None
            or (refreshes and self.refresh_fails)
            or (not refreshes and _is_foreign(grant, form))
        ):
            return 400, {"error": "invalid_grant"}
        given = {"username": grant.username, "scope": grant.scope, "auth_time": grant.auth_time}
        answer = {
            "access_token": self._grant(**given),
            "refresh_token": self._grant(**given),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": grant.scope,
        }
        if provider.is_oidc:
            answer["id_token"] = self._id_token(grant, provider)
        return 200, answer

    def _id_token(self, grant: _Grant, provider: ProviderSettings) -> str:
        now = int(time.time())
        claims = {
            **self._claims(grant.username),
            "iss": provider.issuers[0],
            "aud": provider.client_id,
            "iat": now,
            "exp": now + 300,
            "auth_time": grant.auth_time,
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": _KEY_ID})

    def _claims(self, username: str) -> dict[str, Any]:
        written = self.users[username]
        verified = {"email_verified": True} if "email" in written else {}
        return {"sub": username, "preferred_username": username, "id": username, **verified, **written}

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def _jwk(self) -> Mapping[str, Any]:
        public = jwt.get_algorithm_by_name(_ALGORITHM).to_jwk(self._key.public_key(), as_dict=True)
        return {**public, "kid": _KEY_ID, "alg": _ALGORITHM, "use": "sig"}


class _InProcess:
    """Stands in the place of the HTTP client of one provider."""

    def __init__(self, development: DevelopmentProvider, provider: ProviderSettings) -> None:
        self.development = development
        self.provider = provider

    def deadline(self, _timeouts: Timeouts) -> None:
        """Nothing has to be cut off."""

    def send(self, request: Request, _deadline: None) -> Response:
        """Have the provider answer."""
        return self.development.answer(request, self.provider)


def provider_behind(middleware: OAuth2Middleware, provider: ProviderSettings) -> DevelopmentProvider | None:
    """Return what :meth:`DevelopmentProvider.stand_in` has put behind that provider, or ``None``."""
    client: object = middleware._site()._clients.get(provider.name)._transport.__dict__.get("_client")
    return client.development if isinstance(client, _InProcess) else None


def endpoints_of(provider: ProviderSettings) -> dict[str, str]:
    """Return the addresses at which a provider is asked: those of the settings, or below its issuer."""
    base = provider.user_issuers[0].rstrip("/")
    return {
        "authorization_endpoint": provider.authorization_endpoint or f"{base}/authorize",
        "token_endpoint": provider.token_endpoint or f"{base}/token",
        "userinfo_endpoint": provider.userinfo_endpoint or f"{base}/userinfo",
        "jwks_uri": provider.jwks_uri or f"{base}/jwks",
        "end_session_endpoint": provider.logout_endpoint or f"{base}/logout",
        "revocation_endpoint": f"{base}/revoke",
    }


def _is_foreign(grant: _Grant, form: Mapping[str, str]) -> bool:
    """Return whether a code is redeemed by somebody else than who asked for it (RFC 6749, 4.1.3; RFC 7636, 4.6)."""
    verifier = form.get("code_verifier")
    challenge = None if verifier is None else base64url(hashlib.sha256(verifier.encode()).digest())
    return grant.redirect_uri != form.get("redirect_uri") or grant.challenge != challenge
