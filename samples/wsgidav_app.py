"""A folder for everybody whom the provider has signed in, with WsgiDAV. From the project's root::

    gunicorn 'samples.wsgidav_app:make_app("wsgidav.ini", "/srv/files")'

``wsgidav.ini`` has the settings.
"""

from __future__ import annotations

import secrets

from wsgidav.wsgidav_app import WsgiDAVApp

from oauth2_mw import OAuth2Middleware, Settings
from samples.plain_names import plain_names


def application(folder: str, mount: str = "") -> WsgiDAVApp:
    """The folder alone.

    :param mount: the path at which ``public_url`` has it, as ``/files``.
    """
    return WsgiDAVApp(
        {
            "mount_path": mount,
            "property_manager": True,
            "provider_mapping": {"/": folder},
            "http_authenticator": {"trusted_auth_header": "REMOTE_USER"},
            # With True everybody would be anonymous. So a password is asked for where no name comes, which nobody has.
            "simple_dc": {"user_mapping": {"*": {"nobody": {"password": secrets.token_urlsafe()}}}},
        }
    )


def make_app(ini: str, folder: str) -> OAuth2Middleware:
    """The folder behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    return OAuth2Middleware(plain_names(application(folder)), Settings.from_ini(ini))
