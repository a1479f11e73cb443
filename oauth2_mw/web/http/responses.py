"""Our own responses: the one place that makes them and sets the headers that each must carry.

Any of them may hold something private or lead to it. So none is stored, sniffed or named in a ``Referer``, and none may
be framed but two that hold nothing to steal a click for: one for a provider that signs somebody out, and one that leads
out of another site's frame (RFC 9700, sections 4.2 and 4.16).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Self
from wsgiref.types import StartResponse, WSGIEnvironment

from webob import Response

from oauth2_mw.web.http.urls import Location

_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action {form_action}; frame-ancestors "
    "{frame_ancestors}; base-uri 'none'"
)


Environ = Mapping[str, Any]


class Html(str):
    """A page in English, which can be had in the language of whoever it is sent to.

    :param speak: returns the language for a request and the page in it.
    :param script: the URL of the one script that it may run.
    """

    __slots__ = ("script", "speak")

    speak: Callable[[Environ], tuple[str, str]]
    script: str | None

    def __new__(
        cls, text: str, *, speak: Callable[[Environ], tuple[str, str]], script: str | None = None
    ) -> Self:
        page = super().__new__(cls, text)
        page.speak, page.script = speak, script
        return page


class _Page(Response):
    """A response with a page, which chooses the language when it is sent."""

    def __init__(self, html: str, *, status: int) -> None:
        super().__init__(html, status=status, content_type="text/html", charset="utf-8")
        self._html = html
        self.script = html.script if isinstance(html, Html) else None
        self.headers["Content-Language"] = "en"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if isinstance(self._html, Html):
            language, self.text = self._html.speak(environ)
            self.headers["Content-Language"] = language
        return super().__call__(environ, start_response)


def _finish(
    response: Response,
    *,
    cookies: Iterable[str],
    referrer: str = "no-referrer",
    form_action: str = "'none'",
    frame_ancestors: str = "'none'",
) -> Response:
    headers = response.headers
    script = response.script if isinstance(response, _Page) else None
    headers["Cache-Control"] = "no-store"
    headers["Referrer-Policy"] = referrer
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = _CSP.format(form_action=form_action, frame_ancestors=frame_ancestors)
    if script is not None:
        headers["Content-Security-Policy"] += f"; script-src {script}"
    if frame_ancestors == "'none'":
        # The header cannot name an origin (RFC 7034, section 2.1), so it only repeats the strict policy.
        headers["X-Frame-Options"] = "DENY"
    headers["Vary"] = "Cookie"
    if isinstance(response, _Page):
        headers["Vary"] += ", Accept-Language"
    return add_cookies(response, cookies)


def add_cookies(response: Response, cookies: Iterable[str]) -> Response:
    """Add ``Set-Cookie`` values to a response, but none for a cookie that it already sets or deletes."""
    names = {cookie.partition("=")[0] for cookie in response.headers.getall("Set-Cookie")}
    for cookie in cookies:
        if cookie.partition("=")[0] not in names:
            response.headers.add("Set-Cookie", cookie)
    return response


def page(
    html: str,
    *,
    status: int = 200,
    cookies: Iterable[str] = (),
    retry_after: int | None = None,
) -> Response:
    """Return a page without forms.

    :param retry_after: seconds after which the request may be repeated.
    """
    response = _Page(html, status=status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return _finish(response, cookies=cookies)


def form_page(html: str, *, status: int, plain_http: bool) -> Response:
    """Return a page with a form, which only a signed-in person is shown.

    :param plain_http: whether the redirects that follow the form may lead over plain http.
    """
    response = _Page(html, status=status)
    # Under no-referrer Chromium sends "Origin: null" with forms, which does not tell where they come from.
    # It also applies form-action to every redirect that follows a form, and a provider's logout may lead over hosts
    # that nobody here knows: only the scheme can be named.
    form_action = "'self' https: http:" if plain_http else "'self' https:"
    # A page that opened this one in a window of its own keeps no hold on it. A page or a redirect on the way of a
    # sign-in must not say so: an application that signs in by a popup would lose sight of it.
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return _finish(response, cookies=(), referrer="same-origin", form_action=form_action)


def frameable_page(
    html: str,
    *,
    ancestors: Collection[str],
    status: int = 200,
    cookies: Iterable[str] = (),
) -> Response:
    """Return a page without forms that other origins may show in a frame.

    :param ancestors: those origins, or ``*`` where there is nothing that a click could be stolen for.
    """
    response = _Page(html, status=status)
    return _finish(response, cookies=cookies, frame_ancestors=" ".join(ancestors))


def empty_ok(headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    """Return a 200 without content, for a program whose request was carried out.

    :param headers: further ones, as native strings (PEP 3333).
    """
    response = Response(status=200, content_type="text/plain", charset="utf-8")
    for name, value in headers.items():
        response.headers[name] = value
    return _finish(response, cookies=())


def open_to_origin(response: Response, origin: str | None) -> Response:
    """Let scripts of an origin read a response, their cookies included (Fetch, section 3.3.3).

    :param origin: ``None`` if it may not; then too the response depends on who asks.
    """
    response.headers.add("Vary", "Origin")
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


def preflight(*, origin: str, method: str, headers: str) -> Response:
    """Return the leave to send a request, which browsers remember for ten minutes (Fetch, section 3.3.3)."""
    response = open_to_origin(_finish(Response(status=204), cookies=()), origin)
    response.headers["Access-Control-Allow-Methods"] = method
    if headers:
        response.headers["Access-Control-Allow-Headers"] = headers
    response.headers["Access-Control-Max-Age"] = "600"
    return response


def oauth_error(status: int, *, error: str, description: str, retry_after: int | None = None) -> Response:
    """Return an error for a program that speaks OAuth (RFC 6749, section 5.2).

    :param retry_after: seconds after which the request may be repeated.
    """
    document = {"error": error, "error_description": description}
    response = Response(json.dumps(document).encode(), status=status, content_type="application/json")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return _finish(response, cookies=())


def redirect(location: Location, *, cookies: Iterable[str] = ()) -> Response:
    """Return a 303, so that the browser does not repeat a form at *location* (RFC 9700, section 4.12)."""
    response = Response(status=303, content_type="text/plain", charset="utf-8")
    response.headers["Location"] = location
    return _finish(response, cookies=cookies)


def with_location(response: Response, location: Location) -> Response:
    """Say where a response that is no redirect leads, for a proxy that makes one of it."""
    response.headers["Location"] = location
    return response


def problem(
    status: int, *, retry_after: int | None = None, challenge: str | None = None, **members: Any
) -> Response:
    """Return an error for a program (RFC 9457).

    :param retry_after: seconds after which the request may be repeated.
    :param challenge: ``WWW-Authenticate``, where there is a scheme by which the program can say who it is.
    :param members: further ones of the document.
    """
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, **members}
    response = Response(json.dumps(document).encode(), status=status, content_type="application/problem+json")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if challenge is not None:
        response.headers["WWW-Authenticate"] = challenge
    return _finish(response, cookies=())


def document(members: Mapping[str, Any], *, status: int = 200) -> Response:
    """Return a JSON object for a script."""
    response = Response(json.dumps(members).encode(), status=status, content_type="application/json")
    return _finish(response, cookies=())


def asset(data: bytes, content_type: str) -> Response:
    """Return an icon or a style sheet."""
    response = Response(data)
    response.headers["Content-Type"] = content_type
    return _finish(response, cookies=())


def clear_site_data(response: Response, kinds: Iterable[str]) -> Response:
    """Have the browser forget what it keeps of this origin (Clear Site Data, section 3.1).

    :param kinds: any of ``cache``, ``cookies`` and ``storage``; without one the response stays as it is.
    """
    if value := ", ".join(f'"{kind}"' for kind in sorted(kinds)):
        response.headers["Clear-Site-Data"] = value
    return response


def what_is_kept(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those headers of a response that say what the browser is to keep and to forget."""
    return [header for header in headers if header[0].lower() in ("set-cookie", "clear-site-data")]


def in_place_of(headers: Iterable[tuple[str, str]], response: Response) -> Response:
    """Return a response that is sent in place of one with those *headers*, with what that has the browser keep.

    Browsers follow such headers in their order, so that ours have the last word.
    """
    response.headerlist = [*what_is_kept(headers), *response.headerlist]
    return response


def method_not_allowed(html: str, *, allow: str) -> Response:
    """Return a 405 with the methods that the URL answers."""
    response = page(html, status=405)
    response.headers["Allow"] = allow
    return response
