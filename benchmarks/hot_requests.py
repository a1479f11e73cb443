"""The requests that are measured: the least of an application and of a server, and what a browser sends to them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.limits import COOKIE

Environ = dict[str, Any]

SETTINGS = {
    "public_url": "https://app.example",
    "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example",
    "client_id": "bench",
    "client_secret": "bench",
    "public_paths": "/static/ /robots.txt",
    "revocation_sync": "60s",
}


def null_app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The least that an application can do."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]


def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
    """A server that throws everything away."""


def environ_of(cookie: str, *, path: str = "/reports/2026") -> Environ:
    """A request of forty keys, as gunicorn behind nginx builds them."""
    headers = {
        "HTTP_HOST": "app.example",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
        "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "HTTP_ACCEPT_LANGUAGE": "en,de;q=0.7",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
        "HTTP_SEC_FETCH_DEST": "document",
        "HTTP_SEC_FETCH_MODE": "navigate",
        "HTTP_SEC_FETCH_SITE": "same-origin",
        "HTTP_SEC_CH_UA": '"Chromium";v="140"',
        "HTTP_SEC_CH_UA_MOBILE": "?0",
        "HTTP_SEC_CH_UA_PLATFORM": '"Linux"',
        "HTTP_UPGRADE_INSECURE_REQUESTS": "1",
        "HTTP_REFERER": "https://app.example/",
        "HTTP_CONNECTION": "close",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_REQUEST_ID": "0123456789abcdef",
        "HTTP_DNT": "1",
        "HTTP_CACHE_CONTROL": "max-age=0",
        "HTTP_COOKIE": f"theme=dark; {COOKIE}={cookie}; lang=en",
    }
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "page=2",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "gunicorn",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "RAW_URI": path,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": sys.stdin,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": list,
        "gunicorn.socket": None,
        **headers,
    }


def rules(count: int) -> str:
    """Return rules of which the last decides about the path that is measured."""
    others = [f"required /app/{number}/ if group:admins" for number in range(count - 1)]
    return "\n".join([*others, "required /reports/"])
