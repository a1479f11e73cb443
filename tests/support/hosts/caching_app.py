"""An application whose pages for one person say to caches what frameworks say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.cache import patch_response_headers
from webob import Request, Response
from webob.dec import wsgify

from tests.support.hosts.sample_app import page

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def _webob() -> Mapping[str, str]:
    """What WebOb's ``cache_expires`` writes, and with it Pyramid's ``http_cache``."""
    response = Response()
    response.cache_expires(60)
    return response.headers


def _django() -> Mapping[str, str]:
    """What Django's ``cache_page`` writes."""
    response = HttpResponse()
    patch_response_headers(response, cache_timeout=60)
    return response.headers


#: The headers that speak to caches, by path: first the pages that nobody opened to shared caches.
CLOSED: Mapping[str, Callable[[], Mapping[str, str]]] = MappingProxyType(
    {
        "/webob": _webob,
        "/django": _django,
        "/max-age": lambda: {"Cache-Control": "max-age=60"},
        "/expires": lambda: {"Expires": "Fri, 01 Jan 2100 00:00:00 GMT"},
    }
)
OPEN: Mapping[str, Callable[[], Mapping[str, str]]] = MappingProxyType(
    {
        "/public": lambda: {"Cache-Control": "public, max-age=60"},
        "/s-maxage": lambda: {"Cache-Control": "s-maxage=60"},
        "/accel": lambda: {"X-Accel-Expires": "60", "Cache-Control": "public"},
    }
)
_CACHING = frozenset({"Cache-Control", "Expires", "X-Accel-Expires"})


@wsgify
def app(request: Request) -> Response:
    """``GET PATH``: a page with the person's name, and headers for caches."""
    response = Response(page(request.environ))
    for name, value in {**CLOSED, **OPEN}.get(request.path_info, dict)().items():
        if name in _CACHING:
            response.headers[name] = value
    return response


def app_factory(global_conf: dict[str, Any]) -> WSGIApplication:
    """``paste.app_factory``."""
    # Not when this module is imported: the samples' Django has settings of its own.
    settings.configure()
    return app
