"""A tracker of Roundup behind the middleware. From the project's root::

    gunicorn 'samples.roundup_app:make_app("roundup.ini", "/srv/tracker")'

``roundup.ini`` has the settings; ``roundup_interfaces.py`` becomes the tracker's ``interfaces.py``, and in the
tracker's ``config.ini`` ``[tracker]`` ``web`` is the ``public_url`` with a slash behind it.
"""

from __future__ import annotations

from roundup.cgi.wsgi_handler import RequestDispatcher

from oauth2_mw import OAuth2Middleware, Settings


def make_app(ini: str, tracker: str) -> OAuth2Middleware:
    """The tracker behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    app = RequestDispatcher(tracker, feature_flags={"cache_tracker": ""})
    return OAuth2Middleware(app, Settings.from_ini(ini))
