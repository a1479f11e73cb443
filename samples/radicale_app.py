"""Radicale, whose calendars are those of the people whom the provider signs in. From the project's root::

    gunicorn 'samples.radicale_app:make_app("radicale.ini", "/etc/radicale/config")'

``radicale.ini`` has the settings. In Radicale's own file nothing is to be written for it; with ``[rights]`` ``type =
from_file`` the ``groups`` of a section are those of the provider.
"""

from __future__ import annotations

from typing import Any

import radicale.config
from radicale.auth import BaseAuth

from oauth2_mw import OAuth2Middleware, Settings, get_identity


class Auth(BaseAuth):  # type: ignore[misc]
    """Hands on the name and the groups; Radicale's own ``remote_user`` knows no groups, and *zoé* as *zoÃ©*."""

    def get_external_login(self, environ: dict[str, Any]) -> tuple[()] | tuple[str, str]:
        person = get_identity(environ)
        # The second is what stands for a password, and comes back below.
        return (person.username, "\n".join(person.groups)) if person else ()

    def _login_ext_with_groups(self, login: str, password: str, _context: Any) -> tuple[str, set[str]]:
        return login, set(password.split("\n"))


def application(configuration: str) -> radicale.Application:
    """Radicale alone; *configuration* is its own file."""
    read = radicale.config.load([(configuration, False)])
    read.update({"auth": {"type": Auth}}, __name__, privileged=True)
    return radicale.Application(read)


def make_app(ini: str, configuration: str) -> OAuth2Middleware:
    """Radicale behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    return OAuth2Middleware(application(configuration), Settings.from_ini(ini))
