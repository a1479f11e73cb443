"""Flask-AppBuilder, whose users are those whom the provider signs in. From the project's root::

    gunicorn 'samples.appbuilder_app:make_app("appbuilder.ini", "sqlite:////srv/app.db")'

``appbuilder.ini`` has the settings. An application of your own takes over the class and the keys that begin ``AUTH_``.
"""

from __future__ import annotations

import secrets
from typing import Any

from flask import Flask, request
from flask_appbuilder import AppBuilder
from flask_appbuilder.const import AUTH_REMOTE_USER
from flask_appbuilder.security.sqla.manager import SecurityManager as Base
from flask_appbuilder.utils.legacy import get_sqla_class

from oauth2_mw import OAuth2Middleware, Settings, get_identity

#: a group -> the role that it gives
ROLES = {"admins": "Admin"}


class SecurityManager(Base):  # type: ignore[misc]
    """Takes over name, address and roles at each login; Flask-AppBuilder's own takes the name alone."""

    def auth_user_remote_user(self, _username: str) -> Any:
        """Return the user, or nothing for somebody who may not enter."""
        person = get_identity(request.environ)
        # REMOTE_USER is UTF-8 read as Latin-1 (PEP 3333); the identity has the text itself.
        user = super().auth_user_remote_user(person.username) if person else None
        if person is None or user is None:
            return None
        if person.name:
            user.first_name, user.last_name = person.name, ""
        # Flask-AppBuilder wants each address once.
        if person.email and self.find_user(email=person.email) in (None, user):
            user.email = person.email
        names = {ROLES[group] for group in person.groups if group in ROLES} or {
            self.auth_user_registration_role
        }
        user.roles = [self.find_role(name) for name in sorted(names)]
        self.update_user(user)
        return user


def make_app(ini: str, database: str) -> Flask:
    """The application behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    app = Flask(__name__)
    app.config.update(
        AUTH_TYPE=AUTH_REMOTE_USER,
        AUTH_USER_REGISTRATION=True,
        AUTH_USER_REGISTRATION_ROLE="Public",
        FAB_SECURITY_MANAGER_CLASS=f"{__name__}.SecurityManager",
        RATELIMIT_ENABLED=False,
        # A real application keeps it, or everybody's session ends with the process.
        SECRET_KEY=secrets.token_urlsafe(50),
        SQLALCHEMY_DATABASE_URI=database,
    )
    models = get_sqla_class()(app)
    with app.app_context():
        AppBuilder(app, models.session)
    app.wsgi_app = OAuth2Middleware(app.wsgi_app, Settings.from_ini(ini))  # type: ignore[method-assign]
    return app
