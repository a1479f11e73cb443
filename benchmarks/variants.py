"""What is measured of the hot path: the middleware in its states, and the hand-written limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from benchmarks.hot_requests import SETTINGS, Environ, environ_of, null_app
from benchmarks.limits import COOKIE, Limit
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.settings.model import Settings

JANE = Identity(
    id="0hJ2v7YtXw5sRkq1bN8cZg",
    provider="default",
    issuer="https://id.example",
    subject="248289761001",
    username="jane",
    name="Jane Doe",
    email="jane@example.com",
    groups=("staff", "admins"),
    claims={"preferred_username": "jane", "locale": "en", "email_verified": True},
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A WSGI application, and what makes the environ of each request to it."""

    function: Callable[[Environ, Any], object]
    environ: Callable[[], Environ]


def guard(**settings: Any) -> OAuth2Middleware:
    """Return the middleware in front of the least of an application."""
    return OAuth2Middleware(null_app, Settings.from_mapping({**SETTINGS, **settings}))


def sign_in(sessions: SessionManager, provider: str = "default") -> str:
    """Return the value of the session cookie of a person with a provider's token of 600 bytes."""
    identity = replace(JANE, provider=provider)
    [header] = sessions.create(
        sessions._settings.providers[provider], identity, {"id_token": "e" * 600}, sessions.cookies.read("")
    )
    return header.partition(";")[0].partition("=")[2]


def changing(cookie: str) -> Callable[[], Environ]:
    """Return what makes the environ of a browser in which a cookie of the application has just changed."""
    numbers, usual = count(), environ_of(cookie)

    def make() -> Environ:
        return {**usual, "HTTP_COOKIE": f"seen={next(numbers)}; {COOKIE}={cookie}; lang=en"}

    return make


def request_variants() -> dict[str, Variant]:
    """Return the kinds of requests to the middleware."""
    middleware = guard()
    sessions = middleware._sessions
    cookie = sign_in(sessions)
    optional = guard(access={"rules": "optional /"})
    nobody = environ_of(cookie)
    nobody["HTTP_COOKIE"] = "theme=dark; lang=en"

    def unopened(environ: Environ, start: Any) -> object:
        sessions._cache._entries.clear()
        sessions._cache._cost = 0
        return middleware(environ, start)

    usual, public = environ_of(cookie), environ_of(cookie, path="/static/app.css")
    return {
        "opened": Variant(middleware, usual.copy),
        "new header": Variant(middleware, changing(cookie)),
        "sealed": Variant(unopened, usual.copy),
        "public": Variant(middleware, public.copy),
        "anonymous": Variant(optional, nobody.copy),
    }


def limit_variants() -> dict[str, Variant]:
    """Return what the same requests cost at the least."""
    sessions = guard()._sessions
    current = sessions.resolve(f"{COOKIE}={sign_in(sessions)}")
    assert current is not None and current.session is not None
    limit = Limit(null_app, current.session.to_payload())
    usual = environ_of(limit.cookie)
    return {
        "null": Variant(null_app, usual.copy),
        "opened limit": Variant(limit.opened, usual.copy),
        "new header limit": Variant(limit.opened, changing(limit.cookie)),
        "sealed limit": Variant(limit.sealed, usual.copy),
        "anonymous limit": Variant(limit.anonymous, usual.copy),
        "null, new header": Variant(null_app, changing(limit.cookie)),
    }
