"""Proving to the token endpoint that we are the client, by one method a request (RFC 6749, section 2.3)."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote_plus

from oauth2_mw.errors import ProviderError
from oauth2_mw.settings.model import ProviderSettings


def client_authentication(provider: ProviderSettings) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the form fields that authenticate one request. The secret is read anew each time.

    :returns: (headers, fields of the body); the secret is in one of them, and never in a URL.
    :raises ProviderError: ``client_secret`` when the secret cannot be read.
    """
    method = provider.client_auth_method
    if method == "none":
        return {}, {"client_id": provider.client_id}
    secret = _secret(provider)
    if method == "client_secret_post":
        return {}, {"client_id": provider.client_id, "client_secret": secret}
    # RFC 6749, section 2.3.1: both are form-urlencoded first, or a colon in the id would end it.
    pair = f"{quote_plus(provider.client_id, safe='')}:{quote_plus(secret, safe='')}"
    return {"Authorization": "Basic " + b64encode(pair.encode("ascii")).decode("ascii")}, {}


def _secret(provider: ProviderSettings) -> str:
    if provider.client_secret is None:
        raise ProviderError(
            f"{provider.client_auth_method} needs a client_secret, and none is set", code="client_secret"
        )
    try:
        return provider.client_secret.value()
    except OSError as error:
        raise ProviderError(f"client_secret cannot be read: {error}", code="client_secret") from error
