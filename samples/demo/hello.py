"""A WSGI application that knows nothing of single sign-on: it greets ``REMOTE_USER``."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Say who is there."""
    told = {
        key: octets.encode("latin-1").decode("utf-8")
        for key, octets in environ.items()
        if key.startswith("REMOTE_")
    }
    rows = "\n".join(f"<tr><th>{escape(key)}<td>{escape(told[key])}" for key in sorted(told))
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Hello</title>
<h1>Hello, {escape(told.get("REMOTE_USER", "nobody"))}</h1>
<table>
{rows}
</table>
<p><a href="/auth/oauth2/logout/">Sign out</a></p>
</html>
"""
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [page.encode()]


def make_app(global_conf: dict[str, str]) -> WSGIApplication:
    """What PasteDeploy calls (``paste.app_factory``)."""
    return hello
