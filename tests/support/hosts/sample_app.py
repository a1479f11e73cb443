"""An application that knows nothing of single sign-on: it tells, as JSON, what its WSGI environ says."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


#: the header that says which process answered
WORKER = "X-Worker"

#: pages for people with the header by which a browser may keep them for hours
_KEPT = {
    "/max-age": ("Cache-Control", "max-age=36000"),
    "/last-modified": ("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT"),
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """``/echo`` gives the body back, ``/page`` is HTML for people, every other path answers with the environ.

    Browsers may keep what ``/max-age`` and ``/last-modified`` show.
    """
    path = environ.get("PATH_INFO", "")
    if path == "/echo":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(
            "200 OK", [("Content-Type", environ.get("CONTENT_TYPE") or "application/octet-stream")]
        )
        return [body]
    if path == "/page":
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page(environ).encode()]
    if path in _KEPT:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), _KEPT[path]])
        return [page(environ).encode()]
    if path == "/set-cookie":
        start_response(
            "200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "session=of-the-app; Path=/")]
        )
        return [b"set"]
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Sample-App", "yes")])
    return [json.dumps(report(environ)).encode()]


def report(environ: WSGIEnvironment) -> dict[str, Any]:
    """What the application was told, native strings as they are."""
    identity = environ.get("oauth2_mw.identity")
    return {
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        "query": environ.get("QUERY_STRING", ""),
        "user": text(environ.get("REMOTE_USER")),
        "auth_type": environ.get("AUTH_TYPE"),
        "cookies": environ.get("HTTP_COOKIE"),
        "authorization": environ.get("HTTP_AUTHORIZATION"),
        "identity": None if identity is None else described(identity),
        "pid": os.getpid(),
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
    }


def text(native: str | None) -> str | None:
    """A native string of PEP 3333 as the text that it stands for."""
    return None if native is None else native.encode("latin-1").decode("utf-8")


def described(identity: Any) -> dict[str, Any]:
    """The public fields of the identity object, as far as JSON can tell them."""
    names = [
        name for name in dir(identity) if not name.startswith("_") and not callable(getattr(identity, name))
    ]
    return {name: json.loads(json.dumps(getattr(identity, name), default=plain)) for name in names}


def plain(value: Any) -> Any:
    """Read-only mappings and sets, for JSON."""
    return dict(value) if hasattr(value, "keys") else list(value)


def page(environ: WSGIEnvironment) -> str:
    """A page for people."""
    user = html.escape(text(environ.get("REMOTE_USER")) or "nobody")
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>Sample application</title></head>"
        f"<body><h1>Hello, <span id='user'>{user}</span></h1></body></html>"
    )


def app_factory(global_conf: dict[str, str]) -> WSGIApplication:
    """``paste.app_factory``."""
    return app


def worker_factory(global_conf: dict[str, str]) -> Callable[[WSGIApplication], WSGIApplication]:
    """``paste.filter_factory``: each answer, whoever gives it, says in a header which process it came from."""
    return worker_named


def worker_named(inner: WSGIApplication) -> WSGIApplication:
    """*inner*, with the id of its process on each of its answers."""

    def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, (WORKER, str(os.getpid()))], *exc_info)

        return inner(environ, start)

    return named
