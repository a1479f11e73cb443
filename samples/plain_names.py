"""Names outside ASCII, for applications that take ``REMOTE_USER`` for text.

It stands between the middleware and the application: ``OAuth2Middleware(plain_names(app), ...)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oauth2_mw import get_identity


def plain_names(app: WSGIApplication) -> WSGIApplication:
    """Give an application the name itself, and not its octets, as PEP 3333 has it."""

    def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        person = get_identity(environ)
        if person is not None:
            environ["REMOTE_USER"] = person.username
        return app(environ, start_response)

    return named
