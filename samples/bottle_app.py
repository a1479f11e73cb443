"""A Bottle application that knows who is signed in: ``gunicorn 'samples.bottle_app:make_app("oauth2.ini")'``."""

from html import escape

import bottle

from oauth2_mw import OAuth2Middleware, Settings, get_identity, logout_url


def make_app(ini: str) -> OAuth2Middleware:
    """The application behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    app = bottle.Bottle()
    app.route("/", callback=home)
    return OAuth2Middleware(app, Settings.from_ini(ini))


def home() -> str:
    """Greet the person. ``bottle.request.auth`` would believe a Basic header more than the middleware."""
    environ = bottle.request.environ
    person = get_identity(environ)
    assert person is not None, "every path is protected"
    return f'<p>Welcome, {escape(person.username)}. <a href="{escape(logout_url(environ))}">Sign out</a></p>'
