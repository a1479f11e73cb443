"""Client authentication, by one method in each request (RFC 6749, section 2.3)."""

from __future__ import annotations

import json
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.jose.assertion_key import AssertionKeyReader
from oauth2_mw.provider.jose.jws import jws_library
from oauth2_mw.provider.quirks import assertion_quirk
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.secret import MIN_SHARED_SECRET

#: RFC 7523, section 2.2
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: seconds; the longest that strict providers accept
ASSERTION_LIFETIME = 60


class ClientAuthentication:
    """Authenticates the requests of one client. Safe for threads.

    :param clock: seconds since the epoch.
    """

    def __init__(self, provider: ProviderSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.provider = provider
        self._clock = clock
        self._keys = AssertionKeyReader(provider)

    def for_request(
        self, endpoint: str, *, token_endpoint: str | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the headers and the form fields that authenticate one request. The next request needs new ones.

        The secret or the key is read anew each time. It is never put into a URL.

        :param endpoint: the address that is asked.
        :param token_endpoint: that of the token endpoint, if it is another.
        :raises ProviderError: ``client_secret``, ``client_key`` or ``client_certificate`` if that cannot be read or
            used.
        """
        audience = self._audience(endpoint, token_endpoint or endpoint)
        method, client_id = self.provider.client_auth_method, {"client_id": self.provider.client_id}
        if method == "none":
            return {}, client_id
        if method == "client_secret_post":
            return {}, {**client_id, "client_secret": self._secret()}
        if method == "client_secret_jwt":
            return {}, {**client_id, **self._secret_assertion(audience)}
        if method == "private_key_jwt":
            return {}, {**client_id, **self._key_assertion(audience)}
        # RFC 6749, section 2.3.1: both are form-urlencoded first, so that the id may hold a colon.
        pair = f"{quote_plus(self.provider.client_id, safe='')}:{quote_plus(self._secret(), safe='')}"
        return {"Authorization": "Basic " + b64encode(pair.encode("ascii")).decode("ascii")}, {}

    def _secret_assertion(self, audience: str) -> dict[str, str]:
        from jwt import InvalidKeyError

        # OpenID Connect Core, section 10.1: the octets of the secret are the key.
        key = self._secret().encode("utf-8", "surrogatepass")
        # It was long enough at the start, but may have been replaced since.
        if len(key) < MIN_SHARED_SECRET:
            raise ProviderError(
                f"client_secret is shorter than the {MIN_SHARED_SECRET} bytes that client_secret_jwt needs",
                code="client_secret",
            )
        try:
            return self._assertion(audience, key, alg="HS256", header={})
        except InvalidKeyError:
            raise ProviderError(
                "client_secret holds a key or a certificate: write it as client_key, with private_key_jwt",
                code="client_secret",
            ) from None

    def _key_assertion(self, audience: str) -> dict[str, str]:
        key = self._keys.read()
        return self._assertion(audience, key.private, alg=key.alg, header=key.header)

    def _audience(self, endpoint: str, token_endpoint: str) -> str:
        provider = self.provider
        # By default the issuer alone: an assertion for several audiences, or for an endpoint that an attacker made us
        # use, could be replayed elsewhere (draft-ietf-oauth-rfc7523bis).
        # A template is nobody's issuer.
        names_issuer = provider.client_assertion_audience == "issuer" and not provider.tenants
        if provider.issuer is not None and names_issuer:
            return provider.issuer
        return endpoint if assertion_quirk(provider.quirk).audience_is_asked_endpoint else token_endpoint

    def _assertion(self, audience: str, key: Any, *, alg: str, header: Mapping[str, str]) -> dict[str, str]:
        """Return the fields of RFC 7523, section 2.2, with the claims of OpenID Connect Core, section 9."""
        now = int(self._clock())
        claims = {
            "iss": self.provider.client_id,
            "sub": self.provider.client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        payload = json.dumps(claims, separators=(",", ":")).encode()
        assertion = jws_library().encode(payload, key, algorithm=alg, headers=dict(header))
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}

    def _secret(self) -> str:
        provider = self.provider
        if provider.client_secret is None:
            raise ProviderError(
                f"{provider.client_auth_method} needs a client_secret, and none is set", code="client_secret"
            )
        try:
            return provider.client_secret.value()
        except OSError as error:
            raise ProviderError(f"client_secret cannot be read: {error}", code="client_secret") from error
