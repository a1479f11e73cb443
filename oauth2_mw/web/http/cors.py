"""Which scripts of other origins may read our answers, and what a preflight is told (Fetch, section 3.3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from webob import Response

from oauth2_mw.web.http import responses

# RFC 9110, section 5.6.2: a method; and a list of header names.
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")
_HEADERS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]{0,1000}")


def open_to(origins: Collection[str], environ: Mapping[str, Any], response: Response) -> Response:
    """Let scripts of the named origins read a refusal; without any it stays as it is, and so does a redirect."""
    if not origins or response.status_int < 400:
        return response
    origin = environ.get("HTTP_ORIGIN")
    return responses.open_to_origin(response, origin if origin in origins else None)


def answer_preflight(origins: Collection[str], environ: Mapping[str, Any]) -> Response:
    """Answer a preflight: a 403 without a word if its origin is not named, or if it cannot be read."""
    origin = environ.get("HTTP_ORIGIN")
    method = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "")
    headers = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    if origin not in origins or not (_METHOD.fullmatch(method) and _HEADERS.fullmatch(headers)):
        return responses.problem(403)
    return responses.preflight(origin=str(origin), method=method, headers=headers)
