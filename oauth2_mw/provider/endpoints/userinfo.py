"""Asking the userinfo endpoint who the access token is for (OpenID Connect Core, section 5.3; RFC 6750)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.http.documents import DocumentError, read_json
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.quirks import QUIRKS
from oauth2_mw.settings.presets import QuirkName

#: bytes
USERINFO_LIMIT = 512 * 1024


#: Checks a signed answer and returns its claims.
ReadSigned = Callable[[str], dict[str, Any]]


def fetch_userinfo(
    transport: Transport,
    url: str,
    access_token: str,
    *,
    quirk: QuirkName | None,
    read_signed: ReadSigned | None,
) -> dict[str, Any]:
    """The claims that the userinfo endpoint gives for *access_token*.

    :param quirk: a name in ``quirks.QUIRKS`` that is applied to the answer.
    :param read_signed: for answers of ``application/jwt``; ``None``: there are no keys to check one with.
    :raises ProviderUnavailable: when no answer comes, or a 5xx.
    :raises ProviderError: ``userinfo_refused`` for a 4xx; ``userinfo`` for an answer that is no JSON object.
    :raises TokenError: when a signed answer does not prove what it must.
    """
    claims = fetch(transport, url, access_token, read_signed=read_signed)
    if not isinstance(claims, dict):
        raise ProviderError(f"the answer of {url} is JSON, but not an object", code="userinfo")
    if quirk is None:
        return claims
    return dict(QUIRKS[quirk](claims, lambda path: fetch(transport, _below(url, path), access_token)))


def fetch(transport: Transport, url: str, access_token: str, *, read_signed: ReadSigned | None = None) -> Any:
    """One GET with the access token in the header, and no redirect: the token goes where it was meant to go."""
    response = transport.get_json(
        url, limit=USERINFO_LIMIT, headers={"Authorization": f"Bearer {access_token}"}
    )
    if response.status == 429 or response.status >= 500:
        raise ProviderUnavailableError(
            f"{url} was answered with HTTP {response.status}: the provider has a fault of its own"
        )
    if response.status >= 400:
        raise ProviderError(
            f"{url} was answered with HTTP {response.status}: check userinfo_endpoint, and that scope allows it",
            code="userinfo_refused",
        )
    if response.status != 200:
        raise ProviderError(
            f"{url} was answered with HTTP {response.status} instead of 200: set userinfo_endpoint to its final "
            "address",
            code="userinfo",
        )
    if response.content_type == "application/jwt":
        if read_signed is None:
            raise ProviderError(
                f"{url} answers with a signed token, and without an issuer there is no key to check it with: "
                "switch that off for this client, or write the issuer",
                code="userinfo",
            )
        return read_signed(response.body.decode("ascii", "replace"))
    try:
        return read_json(response.body)
    except DocumentError as error:
        raise ProviderError(f"the answer of {url} cannot be used: {error}", code="userinfo") from error


def _below(url: str, path: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=parts.path.rstrip("/") + path, query="").geturl()
