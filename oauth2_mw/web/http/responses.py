"""The responses of our own: one place that knows WebOb's ``Response`` and the headers each must carry.

Whatever is sent from here may hold or lead to something private, so none of it is stored, framed (but by a provider
that signs somebody out), sniffed or named in a ``Referer`` (RFC 9700, sections 4.2 and 4.16).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from webob import Response

from oauth2_mw.web.http.urls import Location

_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action {form_action}; frame-ancestors "
    "{frame_ancestors}; base-uri 'none'"
)


def _finish(
    response: Response,
    *,
    cookies: Iterable[str],
    referrer: str = "no-referrer",
    form_action: str = "'none'",
    frame_ancestors: str = "'none'",
) -> Response:
    headers = response.headers
    headers["Cache-Control"] = "no-store"
    headers["Referrer-Policy"] = referrer
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = _CSP.format(form_action=form_action, frame_ancestors=frame_ancestors)
    if frame_ancestors == "'none'":
        # It can name no origin (RFC 7034, section 2.1), and says the same as the policy otherwise.
        headers["X-Frame-Options"] = "DENY"
    headers["Vary"] = "Cookie"
    return add_cookies(response, cookies)


def add_cookies(response: Response, cookies: Iterable[str]) -> Response:
    """Set more cookies of ours; one that *response* sets or deletes already stays as it is."""
    taken = {cookie.partition("=")[0] for cookie in response.headers.getall("Set-Cookie")}
    for cookie in cookies:
        if cookie.partition("=")[0] not in taken:
            response.headers.add("Set-Cookie", cookie)
    return response


def page(
    html: str, *, status: int = 200, cookies: Iterable[str] = (), retry_after: int | None = None
) -> Response:
    """A page without forms.

    :param retry_after: seconds after which a failure may be over.
    """
    response = Response(html, status=status, content_type="text/html", charset="utf-8")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return _finish(response, cookies=cookies)


def form_page(html: str, *, status: int, plain_http: bool) -> Response:
    """A page with a form.

    :param plain_http: whether what follows the form may be reached over plain http.
    """
    response = Response(html, status=status, content_type="text/html", charset="utf-8")
    # Under no-referrer Chromium sends "Origin: null" with forms, which says nothing about where they come from.
    # It also holds every redirect that follows a form to form-action, and a provider's logout may lead over hosts
    # that nobody here knows: the scheme alone can be named.
    form_action = "'self' https: http:" if plain_http else "'self' https:"
    return _finish(response, cookies=(), referrer="same-origin", form_action=form_action)


def framed(html: str, *, ancestors: Collection[str], cookies: Iterable[str] = ()) -> Response:
    """A page without forms that others may show in a frame.

    :param ancestors: the origins of those who may.
    """
    response = Response(html, content_type="text/html", charset="utf-8")
    return _finish(response, cookies=cookies, frame_ancestors=" ".join(ancestors))


def done() -> Response:
    """200 and nothing to read, for a program that asked for something to be done."""
    return _finish(Response(status=200, content_type="text/plain", charset="utf-8"), cookies=())


def refused(status: int, *, error: str, description: str, retry_after: int | None = None) -> Response:
    """An error for a program that speaks OAuth (RFC 6749, section 5.2).

    :param retry_after: seconds after which the same request may work.
    """
    document = {"error": error, "error_description": description}
    response = Response(json.dumps(document).encode(), status=status, content_type="application/json")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return _finish(response, cookies=())


def redirect(location: Location, *, cookies: Iterable[str] = ()) -> Response:
    """303, so that nothing that was sent here is sent on (RFC 9700, section 4.12)."""
    response = Response(status=303, content_type="text/plain", charset="utf-8")
    response.headers["Location"] = location
    return _finish(response, cookies=cookies)


def problem(
    status: int, document: Mapping[str, Any], *, headers: Mapping[str, str], cookies: Iterable[str] = ()
) -> Response:
    """An error for a program (RFC 9457)."""
    response = Response(json.dumps(document).encode(), status=status, content_type="application/problem+json")
    for name, value in headers.items():
        response.headers[name] = value
    return _finish(response, cookies=cookies)


def asset(data: bytes, content_type: str) -> Response:
    """A picture or a style sheet."""
    response = Response(data)
    response.headers["Content-Type"] = content_type
    return _finish(response, cookies=())


def method_not_allowed(html: str, *, allow: str) -> Response:
    """405 with the methods that are answered here."""
    response = page(html, status=405)
    response.headers["Allow"] = allow
    return response
