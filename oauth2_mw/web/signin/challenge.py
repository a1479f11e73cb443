"""What a request without a session is answered: a person is sent to sign in, a program gets a 401.

A program that follows a redirect ends at a login page of another origin, which it can neither read nor use. It gets the
address of the login instead, and no attempt is begun for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from webob import Response
from webob.acceptparse import create_accept_header

from oauth2_mw.boundary import browser_path
from oauth2_mw.credentials.credential_paths import CredentialPaths
from oauth2_mw.credentials.fetch_metadata import may_offer_basic
from oauth2_mw.errors import CredentialError, OAuth2Error
from oauth2_mw.identity.authorization import is_bearer
from oauth2_mw.identity.environ import HIDDEN_AUTHORIZATION
from oauth2_mw.sentences import sentence
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.urls import FORM, Urls

Environ = Mapping[str, Any]

#: The methods by which browsers navigate.
_METHODS = ("GET", "HEAD", "POST")
#: What browsers want as much as HTML.
_OF_BROWSERS = frozenset({"application/xhtml+xml", "application/xml", "application/signed-exchange"})
#: What the person reads who has sent something without being signed in.
NOT_TAKEN = sentence(
    "What you have just sent was not taken, because you are not signed in. Please send it again when you are."
)
_BEARER_ERRORS: Mapping[int, str] = MappingProxyType(
    {400: "invalid_request", 401: "invalid_token", 403: "insufficient_scope"}
)
#: Characters.
_MAX_ACCEPT = 2000


def is_navigation(environ: Environ) -> bool:
    """Return whether a person will look at the answer (Fetch Metadata, or the headers that older browsers send).

    Where a browser says that it navigates, that counts. Otherwise only a request that wants HTML more than all else
    does: pip and feed readers take HTML too, if there is nothing better.
    """
    if environ.get("HTTP_X_REQUESTED_WITH", "").lower() == "xmlhttprequest":
        return False
    if is_prefetch(environ):
        return False
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        destination = environ.get("HTTP_SEC_FETCH_DEST", "document")
        return mode == "navigate" and destination in ("document", "iframe", "frame")
    if any(key in environ for key in ("HTTP_UPGRADE", "HTTP_AUTHORIZATION", HIDDEN_AUTHORIZATION)):
        return False
    method = environ.get("REQUEST_METHOD", "GET")
    if "HTTP_ORIGIN" in environ and method != "POST":
        # Of what navigates, forms alone carry one (Fetch, section 3.2).
        return False
    return method in _METHODS and _wants_html(environ.get("HTTP_ACCEPT", ""))


def _wants_html(accept: str) -> bool:
    """Return whether nothing that a program reads is wanted as much as HTML (RFC 9110, section 12.5.1)."""
    parsed = create_accept_header(accept[:_MAX_ACCEPT]).parsed or ()
    weights = {each.partition(";")[0].strip().lower(): weight for each, weight, _, _ in parsed}
    html = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    others = (
        weight
        for media_range, weight in weights.items()
        if media_range.startswith("application/") and media_range not in _OF_BROWSERS
    )
    return html > 0 and html > max(others, default=0.0) and html >= max(weights.values())


def is_prefetch(environ: Environ) -> bool:
    """Return whether a browser asks ahead of the person, who may never follow (Fetch, ``Sec-Purpose``)."""
    purposes = (
        environ.get("HTTP_SEC_PURPOSE", ""),
        environ.get("HTTP_X_SEC_PURPOSE", ""),
        environ.get("HTTP_PURPOSE", ""),
        environ.get("HTTP_X_PURPOSE", ""),
        environ.get("HTTP_X_MOZ", ""),
    )
    return "HTTP_NEXT_ROUTER_PREFETCH" in environ or any(
        word in purpose.lower() for purpose in purposes for word in ("prefetch", "preview")
    )


def is_top_level(environ: Environ) -> bool:
    """Return whether the answer will fill the window, so that a redirect to a provider can work."""
    return not is_prefetch(environ) and bool(
        environ.get("HTTP_SEC_FETCH_MODE", "navigate") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document"
    )


def is_foreign_frame(environ: Environ) -> bool:
    """Return whether another site shows the answer in a frame, where browsers keep no cookie of ours."""
    return (
        environ.get("HTTP_SEC_FETCH_DEST") in ("iframe", "frame")
        and environ.get("HTTP_SEC_FETCH_SITE") == "cross-site"
    )


def sends(environ: Environ) -> bool:
    """Return whether a request sends something, which is lost when it is answered by a sign-in."""
    return environ.get("REQUEST_METHOD", "GET") not in ("GET", "HEAD")


def requested_destination(environ: Environ, urls: Urls, *, mount: str) -> str | None:
    """Return the destination that a browser requested, or ``None`` if it may not return to it.

    Of a form that is the page that it was on, if the browser says so and it is ours, or else the start page. Its own
    address may do something else by GET than what the person has sent, or nothing.
    """
    if sends(environ):
        return urls.destination(environ.get("HTTP_REFERER")) or urls.home_path
    return requested_address(environ, urls, mount=mount)


def requested_address(environ: Environ, urls: Urls, *, mount: str, form_id: str | None = None) -> str | None:
    """Return the destination that stands for a request's own address, or ``None`` if a browser may not return to it.

    :param form_id: of the kept form that is to be offered there.
    """
    query = environ.get("QUERY_STRING", "")
    if form_id is not None:
        query += ("&" if query else "") + f"{FORM}={form_id}"
    script_name = environ.get("SCRIPT_NAME", "")
    if script_name not in ("", mount):
        return None
    path = browser_path(
        mount,
        environ.get("PATH_INFO", ""),
        query,
        script_name=script_name,
        raw_uris=[environ.get(key) or "" for key in ("RAW_URI", "REQUEST_URI")],
    )
    return urls.asked_destination(path)


def unauthorized(urls: Urls, destination: str | None, *, challenge: str | None = None) -> Response:
    """Return the 401 for a program (RFC 9457).

    RFC 9110, section 15.5.2, would have a challenge in every 401. Where no registered scheme serves there is none,
    because programs fail hard at one that does not work: a known departure from it.

    :param challenge: ``WWW-Authenticate``, where there is a scheme by which the program can say who it is.
    """
    return responses.problem(
        401,
        challenge=challenge,
        detail="Sign in to use this address. Open login_url in a browser window.",
        login_url=urls.login(destination=destination),
    )


def program_challenge(environ: Environ, urls: Urls, serving: CredentialPaths) -> str | None:
    """Return the challenge for a program, where one of its credentials serves, or ``None`` (RFC 7617; RFC 6750).

    Nothing stands beside ``Basic``: most calendar clients take the first or the last scheme of several, and fail.
    """
    path = environ.get("PATH_INFO", "")
    if path in serving.personal_tokens:
        if is_bearer(environ.get("HTTP_AUTHORIZATION") or environ.get(HIDDEN_AUTHORIZATION, "")):
            # Whoever sends one has chosen the scheme, and it was of no use.
            return f'Bearer realm="{urls.public_url}", error="invalid_token"'
        return f'Basic realm="{urls.public_url}", charset="UTF-8"' if may_offer_basic(environ) else None
    return f'Bearer realm="{urls.public_url}"' if path in serving.access_tokens else None


def token_challenge(
    environ: Environ, urls: Urls, serving: CredentialPaths, error: OAuth2Error, authorization: str
) -> str | None:
    """Return the challenge beside the refusal of a personal token, or ``None`` (RFC 6750, section 3).

    :param authorization: the header that carried it.
    """
    if is_bearer(authorization):
        word = "invalid_token" if error.status == HTTPStatus.UNAUTHORIZED else "insufficient_scope"
        return f'Bearer realm="{urls.public_url}", error="{word}"'
    return program_challenge(environ, urls, serving) if error.status == HTTPStatus.UNAUTHORIZED else None


def bearer_challenge(urls: Urls, error: OAuth2Error) -> str | None:
    """Return the challenge beside the refusal of an access token, or ``None`` (RFC 6750, section 3.1)."""
    word = _BEARER_ERRORS.get(error.status)
    scopes = error.scopes if isinstance(error, CredentialError) else ()
    if word is None or (error.status == HTTPStatus.FORBIDDEN and not scopes):
        # No other token of the same program would help.
        return None
    wanted = f', scope="{" ".join(scopes)}"' if scopes else ""
    return f'Bearer realm="{urls.public_url}", error="{word}"{wanted}'
