"""An application that somebody is signed in to, whatever the client sends: no provider, no pages."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import fields as fields_of
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

from oauth2_mw.errors import OAuth2Error
from oauth2_mw.identity.environ import EnvironWriter
from oauth2_mw.identity.model import Identity, freeze, user_key
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import did_you_mean
from oauth2_mw.testing.guarding import SettingsSource, guard, provider_named

_FIELDS = frozenset(each.name for each in fields_of(Identity))


def signed_in(
    app: WSGIApplication, *, username: str, settings: SettingsSource | None = None, **fields: Any
) -> WSGIApplication:
    """Return *app* as somebody sees it who is signed in.

    Everything comes from the middleware itself, by a session of the person: the environ's keys, ``login_url``,
    ``require``, rules and our own URLs. An application that is behind it already keeps its settings; one that is not
    gets one that leaves every path open. Around an application to which somebody is signed in already, the new person
    takes their place.

    :param app: a WSGI application, with the middleware or without.
    :param settings: for an application without it: whatever ``OAuth2Middleware`` takes.
    :param fields: further fields of :class:`oauth2_mw.Identity`: ``groups``, ``name``, ``email``, ``claims`` and so
        on. What is not named is absent; ``subject`` is the username, ``provider`` the first of the settings.
    :raises TypeError: for a field that there is not, and for what is no WSGI application.
    :raises ValueError: for a value that the middleware would not hand on, and for *settings* beside a middleware.
    """
    # As at a browser, who signs in takes the place of who was there: tests may share an application.
    while isinstance(app, _SignedIn):
        app = app.app
    guarded, middleware = guard(app, settings)
    provider = provider_named(middleware._settings, fields.pop("provider", None))
    return _SignedIn(guarded, middleware, provider, _identity(provider, username, **fields))


def signed_in_environ(
    *, username: str, settings: SettingsSource | None = None, **fields: Any
) -> dict[str, Any]:
    """Return what the middleware adds to the environ of somebody's requests, for clients that call no WSGI application.

    Django's test client is one: ``Client(**signed_in_environ(username="jane"))``. Parameters and errors are those of
    :func:`signed_in`.
    """
    before: dict[str, Any] = {"PATH_INFO": "/", "SCRIPT_NAME": "", "wsgi.input": io.BytesIO()}
    setup_testing_defaults(before)
    added: dict[str, Any] = {}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        added.update({key: value for key, value in environ.items() if key not in before})
        start_response("200 OK", [])
        return []

    signed_in(app, username=username, settings=settings, **fields)(dict(before), lambda *_: lambda _: None)
    if "oauth2_mw.identity" not in added:
        raise ValueError("these settings hand nobody on at /: it is a public or a denied path")
    return added


class _SignedIn:
    """Brings the cookie of a session to every request.

    :param app: what is called; *middleware* stands in it.
    """

    def __init__(
        self,
        app: WSGIApplication,
        middleware: OAuth2Middleware,
        provider: ProviderSettings,
        identity: Identity,
    ) -> None:
        self._app = app
        self._sessions = middleware._sessions
        self._provider = provider
        self._identity = identity
        self._cookies = self._new_session()
        #: the layer inside, by which a test client finds the middleware
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        current = self._sessions.resolve(self._cookies)
        if current is None or current.session is None:
            # It ran out on the test's clock, or the test has signed the person out.
            self._cookies = self._new_session()
        others = self._sessions.cookies.read(environ.get("HTTP_COOKIE", "")).other_header
        environ["HTTP_COOKIE"] = "; ".join(filter(None, (others, self._cookies)))
        return self._app(environ, start_response)

    def _new_session(self) -> str:
        try:
            EnvironWriter({}).plain(self._identity, {})
            cookies = self._sessions.create(
                self._provider, self._identity, {}, self._sessions.cookies.read("")
            )
        except OAuth2Error as error:
            raise ValueError(f"nobody can be signed in like this: {error}") from error
        return "; ".join(cookie.partition(";")[0] for cookie in cookies)


def _identity(
    provider: ProviderSettings,
    username: str,
    *,
    groups: Iterable[str] | None = None,
    organizations: Iterable[str] | None = None,
    claims: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Identity:
    for name in fields.keys() - _FIELDS:
        raise TypeError(f"there is no field {name!r} of a person{did_you_mean(name, _FIELDS)}")
    if isinstance(groups, str) or isinstance(organizations, str):
        raise TypeError("groups and organizations are lists of names, and not a string")
    issuer = fields.pop("issuer", provider.user_issuers[0])
    subject = fields.pop("subject", username)
    return Identity(
        id=fields.pop("id", user_key(issuer, subject)),
        provider=provider.name,
        issuer=issuer,
        subject=subject,
        username=username,
        groups=tuple(groups or ()),
        organizations=tuple(organizations or ()),
        claims=freeze(dict(claims or {})),
        **fields,
    )
