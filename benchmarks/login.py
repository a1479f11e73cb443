"""What a whole login costs the application, beside Flask with Authlib at the same provider, over http and over TLS.

Counted is the processor time of this process from the request of somebody unknown until they are sent back to the page
that they wanted. The provider is another process, and what the browser does there is not counted. The keys of the
provider are known: one login comes before the first round.
"""

from __future__ import annotations

import gc
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urljoin, urlsplit

from benchmarks.figures import Figure, Section, ratios
from benchmarks.hot_requests import Environ, environ_of
from benchmarks.login_provider import USERNAME, login_settings, provider_process
from oauth2_mw.middleware import OAuth2Middleware
from tests.support.hosts.certificates import self_signed
from tests.support.hosts.wsgi_call import WsgiResponse, call

_ORIGIN = "https://app.example"
_PAGE = f"{_ORIGIN}/reports/2026?page=2"
_GOAL = 0.5
#: A login takes long enough for few of them to be measured.
_CALLS_PER_LOGIN = 50
#: More requests than any login takes.
_MAX_STEPS = 6


def login(*, calls: int, rounds: int) -> Section:
    """Measure, where there is an Authlib."""
    if find_spec("authlib") is None:
        print("Authlib is not installed: no login is measured")
        return Section([], {})
    spent: dict[str, list[float]] = {}  # microseconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pem = self_signed(folder / "provider.pem")
        # Where Authlib, by requests, looks for what it trusts, and for a proxy.
        environment = {"REQUESTS_CA_BUNDLE": str(pem), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        stack.enter_context(patch.dict(os.environ, environment))
        logins: dict[str, Callable[[], float]] = {}
        for suffix, certificate in (("", None), (", TLS", pem)):
            issuer = stack.enter_context(provider_process(certificate))
            browse = stack.enter_context(_browser(issuer, certificate))
            for name, make in (("login", _ours), ("login, Authlib", _authlib)):
                logins[name + suffix] = _login(make(issuer, certificate), browse)
        for one in logins.values():
            one()
        gc.collect()
        number = max(calls // _CALLS_PER_LOGIN, 1)
        for _ in range(rounds):
            seconds = dict.fromkeys(logins, 0.0)
            # They take turns at every login: it is long enough for the machine to change.
            for _ in range(number):
                for name, one in logins.items():
                    seconds[name] += one()
            for name, total in seconds.items():
                spent.setdefault(name, []).append(total / number * 1e6)
    figures = [
        Figure.of(name, ratios(spent[f"login{suffix}"], spent[f"login, Authlib{suffix}"]), _GOAL)
        for name, suffix in (("login_cpu_over_authlib", ""), ("login_cpu_over_authlib_tls", ", TLS"))
    ]
    return Section(figures, spent)


def _login(app: Any, browse: Callable[[str], str]) -> Callable[[], float]:
    """Return what signs somebody in who has no cookie yet, and returns the seconds that the application took."""

    def one() -> float:
        cookies: dict[str, str] = {}
        url, seconds = _PAGE, 0.0
        for _ in range(_MAX_STEPS):
            environ = _environ(url, cookies)
            begin = time.process_time()
            response = call(app, environ)
            body = response.text
            seconds += time.process_time() - begin
            url = _next(url, response, body, cookies)
            if url == _PAGE:
                arrived = call(app, _environ(url, cookies))
                assert arrived.text == USERNAME, f"nobody is signed in: {arrived.status}"
                return seconds
            if not url.startswith(_ORIGIN):
                url = browse(url)
        raise RuntimeError(f"the login does not end, and stands at {url}")

    return one


def _environ(url: str, cookies: dict[str, str]) -> Environ:
    """Return the environ of a browser that was led to *url*."""
    parts = urlsplit(url)
    environ = environ_of("", path=parts.path)
    environ["QUERY_STRING"] = parts.query
    environ["HTTP_SEC_FETCH_SITE"] = "cross-site"
    environ["HTTP_COOKIE"] = "; ".join(["theme=dark", *cookies.values(), "lang=en"])
    return environ


def _next(url: str, response: WsgiResponse, body: str, cookies: dict[str, str]) -> str:
    """Keep the cookies of a response, and return where it leads."""
    location = response.header("Location")
    if location is None:
        raise RuntimeError(f"{url} leads nowhere: {response.status} {body}")
    for name, header in response.cookies.items():
        cookies[name] = header.partition(";")[0]
    return urljoin(url, location)


@contextmanager
def _browser(issuer: str, certificate: Path | None) -> Iterator[Callable[[str], str]]:
    """Yield what asks the provider for an address, and returns where the answer leads."""
    host = urlsplit(issuer).netloc
    connection = (
        HTTPConnection(host)
        if certificate is None
        else HTTPSConnection(host, context=ssl.create_default_context(cafile=str(certificate)))
    )

    def browse(url: str) -> str:
        connection.request("GET", url.removeprefix(issuer))
        response = connection.getresponse()
        response.read()
        return str(response.headers["Location"])

    with closing(connection):
        yield browse


def _ours(issuer: str, certificate: Path | None) -> Any:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["REMOTE_USER"].encode()]

    return OAuth2Middleware(app, login_settings(issuer, certificate))


def _authlib(issuer: str, certificate: Path | None) -> Any:
    """Flask's client as its documentation has it; the page itself sends people to the provider."""
    from authlib.integrations.flask_client import OAuth
    from flask import Flask, redirect, request, session

    app = Flask(__name__)
    app.secret_key = "a secret of the benchmark, as long as it is random"
    provider = login_settings(issuer, certificate).providers["default"]
    client = OAuth(app).register(
        "provider",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        server_metadata_url=f"{issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
    )

    @app.get("/reports/2026")
    def page() -> Any:
        if "user" in session:
            return session["user"]["preferred_username"]
        session["destination"] = request.full_path
        return client.authorize_redirect(f"{_ORIGIN}/auth/callback")

    @app.get("/auth/callback")
    def callback() -> Any:
        session["user"] = client.authorize_access_token()["userinfo"]
        return redirect(session.pop("destination"))

    return app
