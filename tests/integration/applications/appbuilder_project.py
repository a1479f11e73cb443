"""Flask-AppBuilder as its documentation sets it up for ``REMOTE_USER``, which it reads at ``/login/`` alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_appbuilder import AppBuilder
from flask_appbuilder.const import AUTH_REMOTE_USER
from flask_appbuilder.utils.legacy import get_sqla_class


def app_factory(_global_conf: Mapping[str, Any]) -> Any:
    """PasteDeploy's ``app_factory``; the database is where ``APPBUILDER_DATABASE`` says."""
    app = Flask(__name__)
    app.config.update(
        AUTH_TYPE=AUTH_REMOTE_USER,
        AUTH_USER_REGISTRATION=True,
        AUTH_USER_REGISTRATION_ROLE="Public",
        RATELIMIT_ENABLED=False,
        SECRET_KEY="for this test alone",
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{os.environ['APPBUILDER_DATABASE']}",
    )
    database = get_sqla_class()(app)
    with app.app_context():
        AppBuilder(app, database.session)
    return app
