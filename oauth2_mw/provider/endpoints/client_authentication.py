"""Proving to the token endpoint that we are the client, by one method a request (RFC 6749, section 2.3)."""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.jose.client_key import ClientKey, parse_client_key
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.secret import MIN_SHARED_SECRET

#: RFC 7523, section 2.2
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: seconds; the longest that careful providers take
ASSERTION_LIFETIME = 60


class ClientAuthentication:
    """How the requests of one client are authenticated. Safe for threads.

    :param clock: seconds since the epoch.
    """

    def __init__(self, provider: ProviderSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._provider = provider
        self._clock = clock
        #: (the text of the key, the key made from it), replaced as a whole: to check an RSA key takes long
        self._known: tuple[str, ClientKey] | None = None

    def for_request(self, token_endpoint: str) -> tuple[dict[str, str], dict[str, str]]:
        """The headers and the form fields that authenticate one request. One that is repeated needs new ones.

        Secret and key are read anew each time.

        :returns: (headers, fields of the body); the proof is in one of them, and never in a URL.
        :raises ProviderError: ``client_secret`` or ``client_key`` when that one cannot be read or used.
        """
        method, named = self._provider.client_auth_method, {"client_id": self._provider.client_id}
        if method == "none":
            return {}, named
        if method == "client_secret_post":
            return {}, {**named, "client_secret": self._secret()}
        if method == "client_secret_jwt":
            return {}, {**named, **self._assertion_of_secret(token_endpoint)}
        if method == "private_key_jwt":
            return {}, {**named, **self._assertion_of_key(token_endpoint)}
        # RFC 6749, section 2.3.1: both are form-urlencoded first, or a colon in the id would end it.
        pair = f"{quote_plus(self._provider.client_id, safe='')}:{quote_plus(self._secret(), safe='')}"
        return {"Authorization": "Basic " + b64encode(pair.encode("ascii")).decode("ascii")}, {}

    def _assertion_of_secret(self, token_endpoint: str) -> dict[str, str]:
        from jwt import InvalidKeyError

        # OpenID Connect Core, section 10.1: the octets of the secret are the key.
        key = self._secret().encode("utf-8", "surrogatepass")
        # Long enough at the start, it may have been replaced since.
        if len(key) < MIN_SHARED_SECRET:
            raise ProviderError(
                f"client_secret is shorter than the {MIN_SHARED_SECRET} bytes that client_secret_jwt needs",
                code="client_secret",
            )
        try:
            return self._assertion(token_endpoint, key, alg="HS256", kid=None)
        except InvalidKeyError:
            raise ProviderError(
                "client_secret holds a key or a certificate: write it as client_key, with private_key_jwt",
                code="client_secret",
            ) from None

    def _assertion_of_key(self, token_endpoint: str) -> dict[str, str]:
        key = self._key()
        return self._assertion(token_endpoint, key.private, alg=key.alg, kid=key.kid)

    def _assertion(self, token_endpoint: str, key: Any, *, alg: str, kid: str | None) -> dict[str, str]:
        """The two fields of RFC 7523, section 2.2; claims as in its section 3 and OpenID Connect Core, section 9."""
        import jwt

        now = int(self._clock())
        claims = {
            "iss": self._provider.client_id,
            "sub": self._provider.client_id,
            # One text, and the issuer: an assertion for several, or for an address that somebody could have given
            # us, might be used elsewhere (RFC 7523, as revised).
            "aud": self._provider.issuer or token_endpoint,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        headers = {} if kid is None else {"kid": kid}
        assertion = jwt.encode(claims, key, algorithm=alg, headers=headers)
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}

    def _secret(self) -> str:
        provider = self._provider
        if provider.client_secret is None:
            raise ProviderError(
                f"{provider.client_auth_method} needs a client_secret, and none is set", code="client_secret"
            )
        try:
            return provider.client_secret.value()
        except OSError as error:
            raise ProviderError(f"client_secret cannot be read: {error}", code="client_secret") from error

    def _key(self) -> ClientKey:
        if self._provider.client_key is None:
            raise ProviderError("private_key_jwt needs a client_key, and none is set", code="client_key")
        known = self._known
        try:
            text = self._provider.client_key.value()
            if known is None or known[0] != text:
                known = self._known = (text, parse_client_key(text))
        except (OSError, ValueError) as error:
            raise ProviderError(f"client_key cannot be used: {error}", code="client_key") from None
        return known[1]
