"""Mercurial repositories that only those see and change whom the provider has signed in. From the project's root::

    gunicorn 'samples.hgweb_app:make_app("hgweb.ini", "/srv/hg/hgweb.config")'

``hgweb.ini`` has the settings; a repository's ``hgrc`` says who may push::

    [web]
    allow-push = *
    push_ssl = false

What ends TLS in front speaks http with hgweb, so the last line is needed. Names stand there as they are, in UTF-8.
"""

from __future__ import annotations

from mercurial.hgweb import hgweb

from oauth2_mw import OAuth2Middleware, Settings


def application(repositories: str) -> hgweb:
    """The repositories alone: one, or a file whose ``[paths]`` name several."""
    return hgweb(repositories.encode())


def make_app(ini: str, repositories: str) -> OAuth2Middleware:
    """The repositories behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    return OAuth2Middleware(application(repositories), Settings.from_ini(ini))
