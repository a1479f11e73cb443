"""An application for the deployment files of this folder: it says what it is called, and who is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def make_app(_global_conf: Mapping[str, str], *, title: str) -> WSGIApplication:
    """PasteDeploy's ``app_factory``; *title* stands in the section."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        # REMOTE_USER is absent where nobody is signed in, and holds octets, as PEP 3333 has it.
        return [f"{title}: {environ.get('REMOTE_USER', 'nobody')}\n".encode("latin-1")]

    return app
