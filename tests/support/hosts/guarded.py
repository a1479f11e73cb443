"""An application behind the middleware on a loopback socket, with conformance checks on both sides of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

from webtest import lint

from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.clocks import SYSTEM_CLOCKS
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import SignInDetails
from oauth2_mw.settings.model import Settings
from tests.support.audit_lines import audit_lines
from tests.support.browser.jar import Browser
from tests.support.hosts.wsgi_thread import serve
from tests.support.settings.minimal import ORIGIN, make_settings


class App:
    """An application that tells what it sees, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.seen: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        identity = environ.get("oauth2_mw.identity")
        seen = {
            "path": environ.get("PATH_INFO"),
            "script": environ.get("SCRIPT_NAME"),
            "query": environ.get("QUERY_STRING"),
            "user": environ.get("REMOTE_USER"),
            "auth_type": environ.get("AUTH_TYPE"),
            "cookie": environ.get("HTTP_COOKIE"),
            "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
            "identity": None if identity is None else identity.id,
        }
        with self._lock:
            self.calls += 1
            self.seen.append({**seen, "Identity": identity})
        body = json.dumps(seen).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


@dataclass
class Guarded:
    """What a test holds in hand."""

    app: App
    middleware: OAuth2Middleware
    settings: Settings
    #: where browsers find it
    url: str
    #: where it really listens
    loopback: str
    audit: list[str] = field(default_factory=list)

    def browser(self) -> Browser:
        """A fresh browser profile."""
        return Browser(behind_tls={ORIGIN: self.loopback})

    @property
    def session_cookie(self) -> str:
        return self.middleware._sessions.cookies.session


def guard(
    app: WSGIApplication | None = None, *, clocks: Any = SYSTEM_CLOCKS, **keys: Any
) -> OAuth2Middleware:
    """The middleware with a page of buttons, so that nothing has to be asked of a provider."""
    settings = make_settings(**{"issuer": "https://id.example", "login_page": True, **keys})
    return OAuth2Middleware(app or App(), settings, clocks=clocks)


JANE = Identity(
    id="u1",
    provider="default",
    issuer="https://id.example",
    subject="42",
    username="jane",
    email="jane@example.com",
    groups=("staff",),
)


def sign_in(middleware: OAuth2Middleware, identity: Identity = JANE, **tokens: str) -> str:
    """Sign somebody in without a provider, and return the ``Cookie`` header of their browser."""
    return new_session(middleware._sessions, identity, tokens)


def new_session(
    sessions: SessionManager,
    identity: Identity = JANE,
    tokens: Mapping[str, str | None] = MappingProxyType({}),
    sign_in: SignInDetails | None = None,
) -> str:
    """Begin a session, and return the ``Cookie`` header of its browser."""
    provider = sessions._settings.providers[identity.provider]
    cookies = sessions.create(provider, identity, tokens, sessions.cookies.read(""), sign_in=sign_in)
    return "; ".join(cookie.partition(";")[0] for cookie in cookies)


@contextmanager
def guarded(*, clocks: Any = SYSTEM_CLOCKS, port: Any = 0, **keys: Any) -> Iterator[Guarded]:
    """Serve an application behind the middleware.

    :param clocks: what tells the time to its sessions.
    :param port: where it listens; by default one that the system picks.
    :param keys: settings, as ``Settings.from_mapping`` takes them.
    """
    settings = make_settings(**keys)
    app = App()
    middleware = OAuth2Middleware(validator(app), settings, clocks=clocks)
    outer = validator(lint.middleware(middleware))
    with audit_lines() as audit, serve(outer, port=port) as loopback:
        yield Guarded(app, middleware, settings, settings.public_url, loopback, audit)


def signed_in(site: Guarded, **headers: str) -> Browser:
    """A browser whose person has signed in; it sends *headers* with every request."""
    browser = site.browser()
    browser.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    browser.navigate(site.url + "/")
    assert is_signed_in(browser, site)
    return browser


def is_signed_in(browser: Browser, site: Guarded) -> bool:
    return browser.fetch(site.url + "/whoami").status == 200
