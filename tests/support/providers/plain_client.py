"""An OAuth 2.0 client in fifty lines, written by hand: counterparts are proved with it before the middleware is.

It uses neither our package nor its libraries, so that a fault in them cannot hide one in a counterpart.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

from tests.support.providers.clients import Client


@dataclass(frozen=True)
class HttpResponse:
    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def http(
    method: str, url: str, *, body: str | None = None, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """One request to this machine, without redirects."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    try:
        target = parts.path + ("?" + parts.query if parts.query else "")
        connection.request(method, target, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        content_type = (response.getheader("Content-Type") or "").partition(";")[0]
        return HttpResponse(response.status, content_type, response.read())
    finally:
        connection.close()


@dataclass
class PlainClient:
    """One authorization code flow."""

    client: Client
    redirect_uri: str
    scope: str = "openid profile email"
    state: str = field(default_factory=secrets.token_urlsafe)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def authorization_url(self, endpoint: str, *, pkce: bool = True, **extra: str) -> str:
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        )
        given = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": self.state,
        }
        if pkce:
            given |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        return f"{endpoint}?{urlencode({**given, **extra})}"

    def redeem(
        self,
        endpoint: str,
        callback: str,
        *,
        pkce: bool = True,
        headers: Mapping[str, str] | None = None,
        **changed: str,
    ) -> HttpResponse:
        """Exchange the code of the callback's URL for tokens (RFC 6749, 4.1.3)."""
        query = parse_qs(urlsplit(callback).query)
        assert query.get("state") == [self.state], callback
        form = {
            "grant_type": "authorization_code",
            "code": query["code"][0],
            "redirect_uri": self.redirect_uri,
        }
        if pkce:
            form["code_verifier"] = self.verifier
        return self.post(endpoint, {**form, **changed}, headers=headers)

    def refresh(self, endpoint: str, refresh_token: str) -> HttpResponse:
        """Exchange a refresh token for new tokens (RFC 6749, 6)."""
        return self.post(endpoint, {"grant_type": "refresh_token", "refresh_token": refresh_token})

    def post(
        self, endpoint: str, given: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """A form, with the client's authentication (RFC 6749, 2.3)."""
        form: dict[str, str] = {}
        sent = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self.client.auth_method == "client_secret_basic":
            pair = f"{quote_plus(self.client.client_id)}:{quote_plus(self.client.client_secret)}"
            sent["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form["client_id"] = self.client.client_id
        if self.client.auth_method == "client_secret_post":
            form["client_secret"] = self.client.client_secret
        return http("POST", endpoint, body=urlencode({**form, **given}), headers={**sent, **(headers or {})})


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a JWS, unverified."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def userinfo(endpoint: str, access_token: str) -> HttpResponse:
    return http(
        "GET", endpoint, headers={"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
    )
