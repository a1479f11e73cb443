"""The body of a request that is refused: read and dropped, so that the client gets to read why.

A server that closes a connection with an unread body resets it, and a proxy in front makes a 502 of that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

#: Octets; more is not worth waiting for.
LIMIT = 2 * 1024 * 1024
#: Seconds.
PATIENCE = 5
_PIECE = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,18}")


def drop_body(environ: Mapping[str, Any], *, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Read the body, as far as it is not too long and does not take too long.

    A client that waits for leave to send one (RFC 9110, section 10.1.1) is not given it. Without a length the end is
    known where the server says so alone (``wsgi.input_terminated``).
    """
    if "100-continue" in environ.get("HTTP_EXPECT", "").lower():
        return
    length = environ.get("CONTENT_LENGTH") or ""
    if _LENGTH.fullmatch(length):
        left = min(int(length), LIMIT)
    elif not length and environ.get("wsgi.input_terminated"):
        left = LIMIT
    else:
        return
    end = monotonic() + PATIENCE
    while left > 0 and monotonic() < end:
        try:
            piece = environ["wsgi.input"].read(min(left, _PIECE))
        except Exception:  # noqa: BLE001 - whatever a server raises when its client is gone; the answer stands anyway
            return
        if not piece:
            return
        left -= len(piece)
