"""The userinfo endpoint (OpenID Connect Core, section 5.3), asked with a bearer token (RFC 6750, section 2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.http.documents import DocumentError, present_members, read_json
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.quirks import QUIRKS
from oauth2_mw.settings.presets import QuirkName

#: bytes
USERINFO_LIMIT = 512 * 1024
#: characters; servers accept no longer header
MAX_ACCESS_TOKEN = 16 * 1024

#: Validates a signed response and returns its claims.
ReadSigned = Callable[[str], dict[str, Any]]


def fetch_userinfo(
    transport: Transport,
    url: str,
    access_token: str,
    *,
    quirk: QuirkName | None,
    read_signed: ReadSigned | None,
) -> dict[str, Any]:
    """Return the claims that the userinfo endpoint gives for *access_token*, without those that have no value.

    :param quirk: the name in ``quirks.QUIRKS`` of what is made of the response, or ``None``.
    :param read_signed: reads a response of ``application/jwt``; ``None`` if there are no keys to validate it with.
    :raises ProviderUnavailableError: if no response comes, or 429 or 5xx.
    :raises ProviderError: ``userinfo_refused`` for any other 4xx; ``userinfo`` for a response that is not an object.
    :raises TokenError: if a signed response fails a check.
    """
    claims = as_claims(
        read_resource(get_resource(transport, url, access_token), read_signed=read_signed), url=url
    )
    return claims if quirk is None else present_members(QUIRKS[quirk](claims))


def get_resource(transport: Transport, url: str, access_token: str) -> Response:
    """Return the response of *url* to *access_token* (RFC 6750, section 2.1), whatever its status.

    :raises ProviderUnavailableError: if no response comes.
    :raises ProviderError: ``userinfo`` if the token is too long for a header.
    """
    check_length(access_token, url=url)
    # No redirect is followed: the token is sent to the configured address alone.
    return transport.get_json(url, limit=USERINFO_LIMIT, headers={"Authorization": f"Bearer {access_token}"})


def check_length(access_token: str, *, url: str) -> None:
    """Raise ProviderError ``userinfo`` for an access token that *url* would not take."""
    if len(access_token) > MAX_ACCESS_TOKEN:
        raise ProviderError(
            f"the access token is {len(access_token)} characters long, and {url} is asked with at most "
            f"{MAX_ACCESS_TOKEN}: have the provider put less into it, such as fewer groups",
            code="userinfo",
        )


def as_claims(value: Any, *, url: str) -> dict[str, Any]:
    """Return the members of *value* that say something, or raise ProviderError ``userinfo`` unless it is an object."""
    if not isinstance(value, dict):
        raise ProviderError(f"the answer of {url} is JSON, but not an object", code="userinfo")
    return present_members(value)


def read_resource(response: Response, *, read_signed: ReadSigned | None = None) -> Any:
    """Return what a response says in JSON, or the claims of a signed one; raises as :func:`fetch_userinfo` does."""
    url = response.url
    response.check_available()
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
                f"{url} answers with a signed token, which cannot be validated without an issuer: switch signing "
                "off for this client at the provider, or set issuer",
                code="userinfo",
            )
        return read_signed(response.body.decode("ascii", "replace"))
    try:
        return read_json(response.body)
    except DocumentError as error:
        raise ProviderError(f"the answer of {url} cannot be used: {error}", code="userinfo") from error


def below(url: str, path: str) -> str:
    """Return the address of *path* below an endpoint, without its query."""
    parts = urlsplit(url)
    return parts._replace(path=parts.path.rstrip("/") + path, query="").geturl()
