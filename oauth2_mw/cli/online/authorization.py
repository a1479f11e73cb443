"""What the authorization endpoint makes of our request: whether it knows the client and its redirect URI.

No specification says what a provider shows for a redirect URI that is not registered (RFC 6749, section 4.1.2.1, only
forbids to go there), so the same request with an address that certainly is not shows what that looks like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Literal
from urllib.parse import parse_qs, urljoin, urlsplit

from oauth2_mw.cli.online.finding import Finding, failure
from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.text import shown

#: bytes of a page that are read
_PAGE = 1024 * 1024
#: characters of an error page that are quoted
_QUOTED = 160
_NOT_REGISTERED = "https://not-registered.invalid/oauth2-mw-check"
_TAGS = re.compile(r"<(script|style|title)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_ABOUT_REDIRECT = re.compile(
    r"redirect[\s_-]*ur[il]|callback[\s_-]*ur[il]|redirect_uri_mismatch|reply (?:url|address)"
)
_REFUSING = re.compile(r"mismatch|invalid|not\s+(?:registered|allowed|match|valid)|unregistered|error")
_ABOUT_CLIENT = re.compile(r"client|application|app[\s_]id")


@dataclass(frozen=True, slots=True)
class _Reply:
    """How the provider went on."""

    kind: Literal["came back", "went on", "refused"]
    #: what it says, as far as it says something
    text: str = ""


def check_authorization(
    what: str, transport: Transport, url_for: Callable[[str], str], *, redirect_uri: str
) -> Iterator[Finding]:
    """Yield whether the redirect URI and the client seem to be known.

    :param url_for: makes the URL of the authorization request, given a redirect URI.
    """
    about_uri, about_client = f"{what}: redirect URI", f"{what}: client_id"
    try:
        reply = _ask(transport, url_for(redirect_uri), redirect_uri)
        if reply.kind == "refused":
            yield _refused(about_uri, about_client, reply, redirect_uri)
            return
        if reply.text:
            yield Finding(
                f"{what}: authorization request",
                "problem",
                f"the provider sends the browser back with {reply.text}",
                "let this client have what is asked for: the authorization code flow, and what scope names",
            )
        other = _ask(transport, url_for(_NOT_REGISTERED), _NOT_REGISTERED)
    except (ProviderError, ProviderUnavailableError) as error:
        yield failure(f"{what}: authorization endpoint", error)
        return
    if other.kind == "refused":
        yield Finding(
            about_uri, "ok", f"{redirect_uri} seems to be registered: another one is refused, and this is not"
        )
    else:
        yield Finding(
            about_uri,
            "unknown",
            "an address that is not registered gets the same answer: only a sign-in will tell",
            f"see that {redirect_uri} is registered to the letter",
        )


def _refused(about_uri: str, about_client: str, reply: _Reply, redirect_uri: str) -> Finding:
    says = f"the provider refuses the authorization request: {reply.text}"
    text = reply.text.lower()
    if _ABOUT_REDIRECT.search(text):
        return Finding(
            about_uri,
            "problem",
            f"seems not to be registered: {says}",
            f"register exactly {redirect_uri} at the provider, with the slash at its end, and check client_id",
        )
    if _ABOUT_CLIENT.search(text):
        return Finding(
            about_client,
            "problem",
            f"seems not to be known: {says}",
            "write client_id as the provider shows it",
        )
    return Finding(
        about_uri,
        "problem",
        f"{says}; that is what most do for a redirect URI or a client that they do not know",
        f"register exactly {redirect_uri} there, and check client_id",
    )


def _ask(transport: Transport, url: str, redirect_uri: str) -> _Reply:
    """Send the authorization request as a browser would, without one.

    :raises ProviderUnavailableError, ProviderError: if nothing usable came.
    """
    response = transport.get_json(url, limit=_PAGE, headers={"Accept": "text/html,*/*;q=0.5"})
    if 300 <= response.status < 400:
        target = urljoin(response.url, response.headers.get("location", ""))
        if target.startswith(redirect_uri):
            return _Reply("came back", _error_of(target))
        if re.search(r"error", urlsplit(target).path + urlsplit(target).query, re.IGNORECASE):
            return _Reply("refused", f"it leads to {shown(target[:_QUOTED])}")
        return _Reply("went on")
    response_text = _visible(response)
    if response.status >= 500 or response.status == 429:
        response.check_available()
    if response.status >= 400:
        return _Reply("refused", f"HTTP {response.status}, {shown(_excerpt(response_text))}")
    if _ABOUT_REDIRECT.search(response_text.lower()) and _REFUSING.search(response_text.lower()):
        return _Reply("refused", shown(_excerpt(response_text)))
    return _Reply("went on")


def _error_of(target: str) -> str:
    """Return the error in an authorization response (RFC 6749, section 4.1.2.1), or an empty text."""
    members = parse_qs(urlsplit(target).query)
    found = [members[name][0] for name in ("error", "error_description") if name in members]
    return ", ".join(map(shown, found))


def _visible(response: Response) -> str:
    """Return the text of a page that a person would see, or what a JSON error says."""
    text = response.body.decode("utf-8", "replace")
    return " ".join(unescape(_TAGS.sub(" ", text)).split())


def _excerpt(text: str) -> str:
    """Return what a page says around the word that tells what it is about."""
    found = _ABOUT_REDIRECT.search(text.lower())
    start = max(0, found.start() - _QUOTED // 2) if found else 0
    return text[start : start + _QUOTED].strip()
