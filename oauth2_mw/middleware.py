"""The WSGI callable: every request passes here, most of them straight through.

Nothing slow happens in :meth:`OAuth2Middleware.__call__`. What is costly is done in the constructor, or on our own
URLs by :mod:`oauth2_mw.web.site`, which is imported when the first of them is asked for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oauth2_mw.access.rules import PublicPaths
from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.identity.environ import Scrubber
from oauth2_mw.observe import quiet_libraries
from oauth2_mw.provider.jose.client_key import client_key_problems
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.opening import open_directory, open_sessions
from oauth2_mw.settings.model import Settings
from oauth2_mw.web.http.urls import Urls

if TYPE_CHECKING:
    from oauth2_mw.web.site import Site

#: What tells caches, those of a network of servers included, whether they may keep a response.
_FOR_CACHES = frozenset({"cache-control", "cdn-cache-control", "surrogate-control"})


class OAuth2Middleware:
    """Puts a sign-in in front of a WSGI application.

    :param app: any WSGI application (PEP 3333); it is called for allowed requests alone, and its iterable is returned
        as it came.
    :param settings: see :class:`oauth2_mw.Settings`.
    :raises ConfigError: when the settings cannot be put to work, such as a directory without SQLAlchemy
        or a client_key that is none.

    Construction opens no connection.
    """

    def __init__(self, app: WSGIApplication, settings: Settings) -> None:
        quiet_libraries()
        self._app = app
        self._settings = settings
        self._urls = Urls(settings)
        _check_client_keys(settings)
        self._directory = open_directory(settings)
        self._sessions = open_sessions(settings, self._directory)
        self._look_up = self._sessions.resolve
        self._scrub = Scrubber(settings.environ, settings.strip_authorization)
        self._public = PublicPaths(settings.public_paths)
        self._own = settings.prefix + "/"
        self._own_exact = settings.prefix
        #: what a page about an outage is made of
        self._assets = (self._own + "static/", self._own + "icon/")
        self._mount = settings.mount
        self._optional = settings.protect == "optional"
        self._hide_cookies = settings.hide_cookies
        self._building = threading.Lock()
        self._built: tuple[int, Site] | None = None
        if settings.preload:
            self._preload()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # First of all, whatever becomes of the request: nobody but us says who is signed in.
        self._scrub(environ)
        script_name = environ.get("SCRIPT_NAME", "")
        here = not script_name or script_name == self._mount
        path = environ.get("PATH_INFO", "")
        header = environ.get("HTTP_COOKIE")

        if here and (path.startswith(self._own) or path == self._own_exact):
            return self._answer(environ, start_response, path)
        if here and self._public(path):
            if header is not None and self._hide_cookies:
                self._cut_cookies(environ, self._sessions.remaining_cookies(header))
            return self._app(environ, start_response)

        known = None
        if header is not None:
            try:
                known = self._look_up(header)
                if (
                    known is not None
                    and known.session is not None
                    and known.session.refresh_schedule is not None
                ):
                    known = self._refreshed(known)
            except StoreUnavailableError as error:
                return _send(self._site().refusal(error, environ), environ, start_response)
            if known is not None:
                if self._hide_cookies:
                    self._cut_cookies(environ, known.remaining_cookies)
                if known.session is not None:
                    environ.update(known.environ)
                    environ["oauth2_mw.identity"] = known.session.identity
                    environ["oauth2_mw.session"] = known.session
                    environ["oauth2_mw.urls"] = self._urls
                    # New tokens that no cookie brings home are lost.
                    urgent = known.needs_new_cookie and self._sessions.in_cookies
                    cookies = self._sessions.renewal(known)
                    return self._app(environ, _private(start_response, cookies, urgent=urgent))
        if self._optional:
            environ["oauth2_mw.urls"] = self._urls
            if known is not None and known.invalid:
                start_response = _private(
                    start_response, self._sessions.cookies.expire_session(known.cookies)
                )
            return self._app(environ, start_response)
        return _send(self._site().challenge(environ, known), environ, start_response)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse, path: str) -> Iterable[bytes]:
        header = environ.get("HTTP_COOKIE")
        site = self._site()
        try:
            known = self._look_up(header) if header and not path.startswith(self._assets) else None
        except StoreUnavailableError as error:
            return _send(site.refusal(error, environ), environ, start_response)
        return _send(site.answer(environ, known, path[len(self._own_exact) :]), environ, start_response)

    def _refreshed(self, known: RequestSession) -> RequestSession:
        """The same, with its tokens refreshed if that is due."""
        return self._site().refreshed(known) if self._sessions.is_refresh_due(known) else known

    @staticmethod
    def _cut_cookies(environ: WSGIEnvironment, rest: str | None) -> None:
        if rest is None:
            del environ["HTTP_COOKIE"]
        else:
            environ["HTTP_COOKIE"] = rest

    def _site(self) -> Site:
        """What answers our own URLs; built in the process that uses it, because servers fork."""
        built = self._built
        if built is not None and built[0] == os.getpid():
            return built[1]
        with self._building:
            if self._built is None or self._built[0] != os.getpid():
                from oauth2_mw.web.site import Site

                self._built = (os.getpid(), Site(self._settings, self._sessions, self._urls, self._directory))
            return self._built[1]

    @staticmethod
    def _preload() -> None:
        """Import what the first sign-in would; build nothing, because what is built must not cross a fork."""
        for name in (
            "jinja2",
            "jwt",
            "oauth2_mw.provider.http.http_client",
            "oauth2_mw.web.site",
            "requests_oauthlib",
        ):
            import_module(name)


def _check_client_keys(settings: Settings) -> None:
    # The settings see that a key is there; whether it can be used, the provider package knows.
    if problems := client_key_problems(settings.providers.values()):
        raise ConfigError(problems)


def _send(
    response: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer with a response of ours; a server that names no method meant GET."""
    environ.setdefault("REQUEST_METHOD", "GET")
    return response(environ, start_response)


def _private(start_response: StartResponse, cookies: list[str], *, urgent: bool = False) -> StartResponse:
    """Keep a person's page out of shared caches where the application says nothing, and add cookies of ours.

    A response that the application declares public is left as it is, and carries no cookie: anybody may keep it.

    :param urgent: the cookies cannot wait for another response; a public one becomes private, this once.
    """

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        caching = [
            value.lower() for name, value in headers if len(name) == 13 and name.lower() == "cache-control"
        ]
        public = any("public" in value or "s-maxage" in value for value in caching)
        if public and urgent:
            headers = [(name, value) for name, value in headers if name.lower() not in _FOR_CACHES]
            caching, public = [], False
        if not caching:
            headers = [*headers, ("Cache-Control", "private")]
        if cookies and not public:
            headers = [*headers, *(("Set-Cookie", cookie) for cookie in cookies), ("Vary", "Cookie")]
        return (
            start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)
        )

    return start
