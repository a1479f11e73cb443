"""What a browser says of a request that asks for a password, or brings one (Fetch Metadata).

Once a person has typed a token into the browser's own box, the browser sends it along with every request to us, those
that other sites' pages make too. So the box is never asked for, and what other sites send along does not count.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

_FETCH_METADATA = ("HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_DEST", "HTTP_SEC_FETCH_USER")


def may_offer_basic(environ: Mapping[str, Any]) -> bool:
    """Return whether a 401 may offer ``Basic``: to programs alone, and to calendars that are built on a browser."""
    if environ.get("HTTP_X_REQUESTED_WITH", "").lower() == "xmlhttprequest":
        return False
    if _is_beyond_pages(environ):
        return True
    if "HTTP_ORIGIN" in environ:
        return False
    return not any(key in environ for key in _FETCH_METADATA) or _is_bare_read(environ)


def is_cross_site(environ: Mapping[str, Any], *, origin: str) -> bool:
    """Return whether a page of another site, or of another host of this one, made the request.

    :param origin: our own, for browsers and requests without Fetch Metadata (WebSockets).
    """
    if _is_beyond_pages(environ):
        return False
    is_foreign = environ.get("HTTP_ORIGIN", origin) != origin
    return is_foreign or environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site")


def is_foreign_upgrade(environ: Mapping[str, Any], origins: Container[str]) -> bool:
    """Return whether a page of another origin opens a WebSocket: cookies of the same site come along.

    :param origins: ours, and those that may.
    """
    origin = environ.get("HTTP_ORIGIN")
    return "HTTP_UPGRADE" in environ and origin is not None and origin not in origins


def _is_beyond_pages(environ: Mapping[str, Any]) -> bool:
    """Return whether no page could have made the request, whatever its Fetch Metadata say.

    Without another mode than ``no-cors`` a page sends three methods alone (Fetch, section 2.2.1). Thunderbird sends
    ``PROPFIND`` and ``REPORT`` so.
    """
    return (
        environ.get("HTTP_SEC_FETCH_MODE") == "no-cors"
        and environ.get("HTTP_SEC_FETCH_DEST") == "empty"
        and environ.get("REQUEST_METHOD", "GET") not in ("GET", "HEAD", "POST")
    )


def _is_bare_read(environ: Mapping[str, Any]) -> bool:
    """Return whether a read is Thunderbird's own: a page's would name the page or bring its cookies."""
    return (
        environ.get("REQUEST_METHOD", "GET") in ("GET", "HEAD")
        and environ.get("HTTP_SEC_FETCH_SITE") in ("same-origin", "none")
        # A page's navigation from a bookmark is bare as well, and shows what it gets to a person.
        and environ.get("HTTP_SEC_FETCH_MODE") != "navigate"
        and "HTTP_COOKIE" not in environ
        and "HTTP_REFERER" not in environ
    )
