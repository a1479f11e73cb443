"""A Dash application that knows who is signed in: ``gunicorn 'samples.dash_app:make_app("oauth2.ini")'``."""

import dash
from flask import Flask, has_request_context, request

from oauth2_mw import OAuth2Middleware, Settings, get_identity, logout_url


def make_app(ini: str) -> Flask:
    """The application behind the middleware; *ini* is the file with ``[oauth2_mw]``."""
    app = dash.Dash(__name__)
    # The function, not what it returns: Dash calls it for each person.
    app.layout = layout
    app.callback(dash.Output("owner", "children"), dash.Input("ask", "n_clicks"))(owner)
    server: Flask = app.server
    server.wsgi_app = OAuth2Middleware(server.wsgi_app, Settings.from_ini(ini))  # type: ignore[method-assign]  # for Flask
    return server


def layout() -> dash.html.Div:
    """A page for who asks for it. At the start Dash asks for it, too."""
    sign_out = dash.html.A("Sign out", href=logout_url(request.environ) if has_request_context() else "")
    button, answer = dash.html.Button("Whose?", id="ask"), dash.html.P(id="owner")
    return dash.html.Div([sign_out, button, answer])


def owner(_clicks: int | None) -> str:
    """Answer a request by script, which gets 401 and JSON once the session has ended."""
    person = get_identity(request.environ)
    assert person is not None, "every path is protected"
    return f"These are the figures of {person.username}."
