"""The applications that a whole server is measured with: the same one, with the middleware and without it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.hot_requests import SETTINGS, Environ
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings

BODY = b"ok"


def bare(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The least that an application can do whose response says how long it is."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


guarded = OAuth2Middleware(bare, Settings.from_mapping(SETTINGS))
