"""Whether a request is a form that a person has sent from a page of ours, and its body, read to a limit.

Another site's form looks the same but for what the browser says of it, and a page of ours is to send on only what came
from one.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIEnvironment

from oauth2_mw.access.rules import METHOD_OVERRIDES
from oauth2_mw.web.signin.challenge import Environ, is_navigation

#: What browsers send forms in (HTML, section 4.10.21.6).
TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
#: Seconds for which a body is waited for.
PATIENCE = 5
_PIECE = 64 * 1024
_MAX_TYPE = 300
_is_length = re.compile(r"[0-9]{1,18}").fullmatch


def is_form(environ: Environ) -> bool:
    """Return whether a request is a form that a person has sent, for a page to be shown."""
    content_type = environ.get("CONTENT_TYPE") or ""
    return (
        environ.get("REQUEST_METHOD") == "POST"
        and environ.keys().isdisjoint(METHOD_OVERRIDES)
        and len(content_type) <= _MAX_TYPE
        and content_type.isascii()
        and content_type.isprintable()
        and content_type.partition(";")[0].strip().lower() in TYPES
        and "HTTP_CONTENT_ENCODING" not in environ
        and is_navigation(environ)
    )


def is_from_own_page(environ: Environ, *, origin: str) -> bool:
    """Return whether the browser vouches that a page of our own origin has made the request.

    :param origin: ours. Where a page asks for ``no-referrer``, Chromium sends ``Origin: null`` for it.
    """
    site, given = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        return site == "same-origin" and given in (None, "null", origin)
    return given == origin


def length_of(environ: Environ) -> int | None:
    """Return how many octets a form is long, or ``None`` if nobody can say, as of one that is sent in chunks."""
    text = environ.get("CONTENT_LENGTH") or ""
    return int(text) if _is_length(text) and "HTTP_TRANSFER_ENCODING" not in environ else None


def read_body(
    environ: WSGIEnvironment, length: int, *, monotonic: Callable[[], float] = time.monotonic
) -> bytes | None:
    """Read a form of that many octets, and put it back, or what came of it, for whoever reads it next.

    :returns: ``None`` if it broke off or took too long.
    """
    end = monotonic() + PATIENCE
    pieces: list[bytes] = []
    left = length
    while left > 0:
        if monotonic() >= end:
            rest = _Rest(b"".join(pieces), environ["wsgi.input"], left)
            environ["wsgi.input"] = io.BufferedReader(rest)
            return None
        try:
            piece = environ["wsgi.input"].read(min(left, _PIECE))
        except Exception:  # noqa: BLE001 - whatever a server raises when its client is gone
            piece = b""
        if not isinstance(piece, bytes) or not piece or len(piece) > left:
            # Nothing more will come.
            environ["wsgi.input"] = io.BytesIO(b"".join(pieces))
            return None
        pieces.append(piece)
        left -= len(piece)
    body = b"".join(pieces)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


class _Rest(io.RawIOBase):
    """A body of which a part was read: that part, and then what the server has of it.

    :param left: octets that the server has.
    """

    def __init__(self, head: bytes, source: Any, left: int) -> None:
        self._head = io.BytesIO(head)
        self._source = source
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._head.readinto(buffer)
        if count == 0 and self._left > 0:
            piece = self._source.read(min(len(buffer), self._left))
            count = len(piece)
            buffer[:count] = piece
            self._left -= count
        return count
