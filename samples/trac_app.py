"""A project of Trac behind the middleware. From the project's root::

    gunicorn 'samples.trac_app:make_app("trac.ini", "/srv/trac")'

``trac.ini`` has the settings. ``trac_plugin.py`` becomes a plugin of the project: copy it to its ``plugins``.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from trac.web.main import dispatch_request

from oauth2_mw import OAuth2Middleware, Settings
from samples.plain_names import plain_names


def make_app(ini: str, project: str) -> OAuth2Middleware:
    """The project behind the middleware; *ini* is the file with ``[oauth2_mw]``."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["trac.env_path"] = project
        answer: Iterable[bytes] = dispatch_request(environ, start_response)
        return answer

    return OAuth2Middleware(plain_names(app), Settings.from_ini(ini))
