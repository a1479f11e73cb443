"""What stands in Superset's ``superset_config.py``, for Superset 6. ``superset.ini`` beside it has our settings.

Superset finds the file by ``SUPERSET_CONFIG_PATH``, and is started as ever: ``gunicorn "superset.app:create_app()"``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import request
from flask_appbuilder.const import AUTH_REMOTE_USER
from superset.security import SupersetSecurityManager

from oauth2_mw import OAuth2Middleware, Settings, get_identity

#: a group -> the role that it gives
ROLES = {"admins": "Admin", "analysts": "Alpha"}


class SecurityManager(SupersetSecurityManager):  # type: ignore[misc]
    """Takes over name, address and roles at each login; Superset's own takes the name alone."""

    #: Superset's own page at ``/login/`` asks for a password; Flask-AppBuilder's reads ``REMOTE_USER``.
    register_superset_auth_view = False

    def auth_user_remote_user(self, _username: str) -> Any:
        """Return the user, or nothing for somebody who may not enter."""
        person = get_identity(request.environ)
        if person is None:
            return None
        # REMOTE_USER is UTF-8 read as Latin-1 (PEP 3333); the identity has the text itself.
        user = super().auth_user_remote_user(person.username)
        if user is None:
            return None
        user.first_name, user.last_name = person.name or person.username, ""
        # Superset wants each address once.
        if person.email and self.find_user(email=person.email) in (None, user):
            user.email = person.email
        names = {ROLES[group] for group in person.groups if group in ROLES}
        user.roles = [self.find_role(name) for name in sorted(names or {self.auth_user_registration_role})]
        self.update_user(user)
        return user


def put_behind(app: Callable[..., Any]) -> OAuth2Middleware:
    """Put the middleware in front of everything else."""
    return OAuth2Middleware(app, Settings.from_ini(Path(__file__).with_name("superset.ini")))


AUTH_TYPE = AUTH_REMOTE_USER
AUTH_USER_REGISTRATION = True
AUTH_USER_REGISTRATION_ROLE = "Gamma"
CUSTOM_SECURITY_MANAGER = SecurityManager
ADDITIONAL_MIDDLEWARE = [put_behind]
# Superset wants it wherever users may be made, although nobody fills a form here.
RECAPTCHA_PUBLIC_KEY = ""
