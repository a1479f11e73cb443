"""What a request without a session is answered: a person is sent to sign in, a program gets a 401.

A program that follows a redirect ends at a login page of another origin, which it can neither read nor use. It gets the
address of the login instead, and no attempt is begun for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webob import Response

from oauth2_mw.boundary import browser_path
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.urls import Urls

Environ = Mapping[str, Any]


def is_navigation(environ: Environ) -> bool:
    """Return whether a person will look at the answer (Fetch Metadata, or the headers that older browsers send)."""
    if environ.get("HTTP_X_REQUESTED_WITH", "").lower() == "xmlhttprequest":
        return False
    if is_prefetch(environ):
        return False
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        destination = environ.get("HTTP_SEC_FETCH_DEST", "document")
        return mode == "navigate" and destination in ("document", "iframe", "frame")
    if "HTTP_UPGRADE" in environ:
        return False
    accepted = environ.get("HTTP_ACCEPT", "").lower()
    return "text/html" in accepted or "application/xhtml+xml" in accepted


def is_prefetch(environ: Environ) -> bool:
    """Return whether a browser asks ahead of the person, who may never follow (Fetch, ``Sec-Purpose``)."""
    purposes = (
        environ.get("HTTP_SEC_PURPOSE", ""),
        environ.get("HTTP_PURPOSE", ""),
        environ.get("HTTP_X_MOZ", ""),
    )
    return any("prefetch" in purpose.lower() for purpose in purposes)


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


def requested_destination(environ: Environ, urls: Urls, *, mount: str) -> str | None:
    """Return the destination that a browser requested, or ``None`` if it may not return to it."""
    script_name = environ.get("SCRIPT_NAME", "")
    if script_name not in ("", mount):
        return None
    path = browser_path(
        mount,
        environ.get("PATH_INFO", ""),
        environ.get("QUERY_STRING", ""),
        script_name=script_name,
        raw_uris=[environ.get(key) or "" for key in ("RAW_URI", "REQUEST_URI")],
    )
    return urls.asked_destination(path)


def unauthorized(urls: Urls, destination: str | None) -> Response:
    """Return the 401 for a program (RFC 9110, section 15.5.2; RFC 9457)."""
    login_url = urls.login(destination=destination)
    document = {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Sign in to use this address. Open login_url in a browser window.",
        "login_url": login_url,
    }
    challenge = challenge_header(urls, destination)
    return responses.problem(401, document, headers={"WWW-Authenticate": challenge})


def challenge_header(urls: Urls, destination: str | None) -> str:
    """Return the ``WWW-Authenticate`` that each of our 401s carries (RFC 9110, section 11.6.1)."""
    return f'OAuth2 realm="{urls.public_url}", login_url="{urls.login(destination=destination)}"'
