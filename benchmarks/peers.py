"""Others who tell an application who is signed in, each as its documentation has it, beside the same application.

They are installed by ``benchmarks/requirements.txt``; one that is missing is left out of the table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from benchmarks.hot_requests import Environ, environ_of, null_app
from benchmarks.variants import Variant

_SECRET = "a secret of the benchmark, as long as it is random"


def peer_variants() -> dict[str, Variant]:
    """Return those that are installed."""
    found: dict[str, Variant] = {}
    for package, make in (("repoze.who", _repoze_who), ("beaker", _beaker), ("flask", _flask)):
        try:
            is_there = find_spec(package) is not None
        except ModuleNotFoundError:
            is_there = False
        if is_there:
            found.update(make())
        else:
            logging.getLogger(__name__).warning("%s is not installed, and is left out", package)
    return found


def _with_cookie(header: str) -> Callable[[], Environ]:
    usual = environ_of("")
    usual["HTTP_COOKIE"] = f"theme=dark; {header}; lang=en"
    return usual.copy


def _cookies_of(app: Any) -> Iterator[str]:
    """Yield the cookies that an application sets in its answer to somebody new."""
    headers: list[tuple[str, str]] = []

    def start(_status: str, given: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], object]:
        headers.extend(given)
        return lambda _octets: None

    for _ in app(environ_of(""), start):
        pass
    yield from (value.partition(";")[0] for name, value in headers if name.lower() == "set-cookie")


def _repoze_who() -> dict[str, Variant]:
    from repoze.who.middleware import PluggableAuthenticationMiddleware
    from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin

    ticket = AuthTktCookiePlugin(_SECRET, cookie_name="auth_tkt", digest_algo="sha512")
    app = PluggableAuthenticationMiddleware(
        null_app,
        identifiers=[("auth_tkt", ticket)],
        authenticators=[("auth_tkt", ticket)],
        challengers=[],
        mdproviders=[],
        classifier=lambda _environ: "browser",
        challenge_decider=lambda _environ, status, _headers: status.startswith("401"),
    )
    identity = {"repoze.who.userid": "jane", "userdata": {}}
    cookie = ticket.remember(environ_of(""), identity)[0][1].partition(";")[0]
    return {"repoze.who": Variant(app, _with_cookie(cookie))}


def _beaker() -> dict[str, Variant]:
    from beaker.middleware import SessionMiddleware

    def app(environ: Environ, start: Any) -> Any:
        session = environ["beaker.session"]
        if "user" not in session:
            session["user"] = "jane"
            session.save()
        return null_app(environ, start)

    options = {
        "session.type": "cookie",
        "session.key": "beaker",
        "session.validate_key": _SECRET,
        "session.encrypt_key": _SECRET,
        "session.crypto_type": "cryptography",
        "session.data_serializer": "json",
    }
    guarded = SessionMiddleware(app, options)
    return {"Beaker, encrypted": Variant(guarded, _with_cookie(next(_cookies_of(guarded))))}


def _flask() -> dict[str, Variant]:
    from flask import Flask, session

    app = Flask("bench")
    app.secret_key = _SECRET
    bare = Flask("bare")

    @app.route("/reports/2026")
    def known() -> str:
        if "user" not in session:
            session["user"] = "jane"
        return ""

    bare.route("/reports/2026", endpoint="bare")(lambda: "")
    cookie = _with_cookie(next(_cookies_of(app.wsgi_app)))
    return {"Flask, session": Variant(app.wsgi_app, cookie), "Flask alone": Variant(bare.wsgi_app, cookie)}
