"""A Flask application with a page for everybody and a page for those who are signed in.

Settings: ``protect = optional``, so that the front page can greet whoever comes. From the project's root::

    gunicorn 'samples.flask_app:make_app("oauth2.ini")'
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, redirect, request
from markupsafe import escape
from werkzeug.wrappers import Response

from oauth2_mw import OAuth2Middleware, Settings, get_identity, login_url, logout_url, require


def requires(**demanded: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let those alone see a view who meet what is *demanded*: ``group``, ``claim``, ``acr``, ``max_age``."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            # Flask takes a WSGI application for an answer.
            return require(request.environ, **demanded) or view(*args, **kwargs)

        return guarded

    return decorate


def make_app(ini: str) -> Flask:
    """The application behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    app = Flask(__name__)
    app.add_url_rule("/", view_func=home)
    app.add_url_rule("/reports", view_func=reports)
    app.add_url_rule("/salaries", view_func=salaries)
    app.wsgi_app = OAuth2Middleware(app.wsgi_app, Settings.from_ini(ini))  # type: ignore[method-assign]
    return app


def home() -> str:
    """Greet whoever comes."""
    person = get_identity(request.environ)
    if person is None:
        return f'<p>Welcome. <a href="{escape(login_url(request.environ))}">Sign in</a></p>'
    # The identity holds real text; request.remote_user holds its octets, as PEP 3333 has it.
    return (
        f"<p>Welcome, {escape(person.name or person.username)}."
        f' <a href="{escape(logout_url(request.environ))}">Sign out</a></p>'
    )


def reports() -> str | Response:
    """Send those away who are not signed in, and let them come back here."""
    if not request.remote_user:
        return redirect(login_url(request.environ, destination=request.full_path.rstrip("?")))
    return f"<p>Reports for {escape(request.remote_user)}</p>"


@requires(group="admins")
def salaries() -> str:
    """For one group alone."""
    return "<p>Salaries</p>"
