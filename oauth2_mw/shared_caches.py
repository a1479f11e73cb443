"""What the headers of an application's response say to caches when the response is for one person alone.

A cache in front of the application, of a proxy or a content delivery network, must not show one person's page to
another, and neither must the browser's own cache after a sign-out (RFC 9111; RFC 9110, section 12.5.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

Headers = list[tuple[str, str]]
#: What makes of the headers of a response those with which it begins.
FinishHeaders = Callable[[Headers], Headers]
#: The names of directives, in lower case, with their values: ``None`` without one.
Directives = list[tuple[str, str | None]]

#: What caches of one kind obey in the place of ``Cache-Control`` (RFC 9213; nginx, Akamai).
_TARGETED = frozenset({"surrogate-control", "edge-control", "x-accel-expires"})
_TARGETED_SUFFIX = "cdn-cache-control"
#: The last characters of the names that matter here: most headers are told apart by them alone.
_LAST_CHARACTERS = frozenset("lLyYsS")

_DIRECTIVE = re.compile(
    r"""[ \t]*+(?:(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)
    (?:[ \t]*+=[ \t]*+(?P<value>[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*"))?[ \t]*+)?(?:,|\Z)""",
    re.VERBOSE,
)


def personal_headers(headers: Headers, cookies: Sequence[str] = (), *, respect: bool) -> Headers:
    """Return the headers of a response to one person, with more cookies, and closed to everybody else's caches.

    :param cookies: ``Set-Cookie`` values.
    :param respect: whether the application may open the response to shared caches.
    """
    closed = [*headers, ("Cache-Control", "private"), ("Vary", "Cookie")]
    for name, _ in headers:
        if name[-1:] in _LAST_CHARACTERS:
            caching, varying, others = _split(headers, keep_targeted=respect)
            closed = [
                *others,
                ("Cache-Control", _cache_control(caching, respect=respect) if caching else "private"),
                ("Vary", _vary(varying) if varying else "Cookie"),
            ]
            break
    if cookies:
        closed += [("Set-Cookie", cookie) for cookie in cookies]
    return closed


def beginning(start_response: StartResponse, finish: FinishHeaders) -> StartResponse:
    """Return the callable that begins a response with other headers."""

    def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        headers = finish(headers)
        return (
            start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)
        )

    return start


def finished(
    headers: Headers,
    *,
    cookies: Callable[[], list[str]] | None,
    respect: bool,
    must_set_cookie: bool = False,
) -> Headers:
    """Keep a user's page out of everybody else's caches, and add cookies of ours.

    A response that shared caches may keep carries no cookie.

    :param cookies: returns ``Set-Cookie`` values when the response begins.
    :param respect: whether the application may open its response to shared caches.
    :param must_set_cookie: whether the cookies cannot wait for another response: they close this one.
    """
    added: list[str] = []
    keep_open = respect
    if cookies is not None and (must_set_cookie or not (respect and is_shared(headers))):
        added = cookies()
        keep_open = respect and not (must_set_cookie and added)
    return personal_headers(headers, added, respect=keep_open)


def is_shared(headers: Headers) -> bool:
    """Return whether an application opens its response to shared caches."""
    caching, _, _ = _split(headers, keep_targeted=True)
    directives = parse_cache_control(caching)
    return directives is not None and _opens(directives)


def parse_cache_control(values: Sequence[str]) -> Directives | None:
    """Return the directives of ``Cache-Control`` headers, or ``None`` if any of them is malformed."""
    directives: Directives = []
    for text in values:
        position = 0
        while position < len(text):
            match = _DIRECTIVE.match(text, position)
            if match is None:
                return None
            if match["name"] is not None:
                directives.append((match["name"].lower(), match["value"]))
            position = match.end()
    return directives


def _split(headers: Headers, *, keep_targeted: bool) -> tuple[list[str], list[str], Headers]:
    """Return the values of ``Cache-Control``, those of ``Vary``, and the other headers."""
    caching, varying, others = [], [], []
    for header in headers:
        name, value = header
        if name[-1:] in _LAST_CHARACTERS:
            name = name.lower()
            if name == "cache-control":
                caching.append(value)
                continue
            if name == "vary":
                varying.append(value)
                continue
            if not keep_targeted and (name in _TARGETED or name.endswith(_TARGETED_SUFFIX)):
                continue
        others.append(header)
    return caching, varying, others


def _cache_control(values: list[str], *, respect: bool) -> str:
    directives = parse_cache_control(values)
    if directives is None:
        # It cannot be known what was meant, and caches would guess differently.
        return "private, no-store"
    if respect and _opens(directives):
        return ", ".join(values)
    closed = [
        (name, value)
        for name, value in directives
        # With a value, ``private`` closes the fields that it names and leaves the rest open.
        if name not in ("public", "s-maxage") and not (name == "private" and value is not None)
    ]
    if ("private", None) in closed or (("no-store", None) in closed and len(closed) == len(directives)):
        return ", ".join(values) if len(closed) == len(directives) else _join(closed)
    return _join([("private", None), *closed])


def _opens(directives: Directives) -> bool:
    return any(
        (name == "public" and value is None) or (name == "s-maxage" and value is not None)
        for name, value in directives
    )


def _join(directives: Directives) -> str:
    return ", ".join(name if value is None else f"{name}={value}" for name, value in directives)


def _vary(values: list[str]) -> str:
    names = {name.strip().lower() for value in values for name in value.split(",")}
    if "*" in names or "cookie" in names:
        return ", ".join(values)
    return ", ".join([*(value for value in values if value.strip()), "Cookie"])
