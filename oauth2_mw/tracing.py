"""Spans of the calls to stores and providers, where the application traces with OpenTelemetry.

Whoever has configured a tracer provider has loaded the API; otherwise nothing is loaded here, and nothing costs.
Attributes bear the names of the semantic conventions, and no address its query: it may hold a secret.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.trace import Span


def start_span(peer: str, operation: str, attributes: Mapping[str, str | int]) -> Span | None:
    """Begin the span of a call, or return ``None`` if nothing in this process traces."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    tracer = trace.get_tracer("oauth2_mw")
    return tracer.start_span(f"{operation} {peer}", kind=trace.SpanKind.CLIENT, attributes={**attributes})


def end_span(span: Span, *, answered: bool, status: int | None, error: type[BaseException] | None) -> None:
    """End the span of a call.

    :param status: the HTTP status of the answer, if it is one of HTTP.
    :param error: what was raised in place of an answer.
    """
    from opentelemetry.trace import StatusCode

    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if not answered:
        span.set_attribute("error.type", error.__name__ if error is not None else str(status))
        span.set_status(StatusCode.ERROR)
    span.end()


def http_attributes(method: str, url: str) -> dict[str, str | int]:
    """Return the attributes of a request by HTTP."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {
        "http.request.method": method,
        "url.full": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
        "server.address": parts.hostname or "",
        "server.port": port,
    }
