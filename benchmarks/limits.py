"""What a signed-in request must cost at the least: the same safety written out by hand, without a middleware.

Two limits, each the barest correct form on a WSGI environ: the session was opened before (a dictionary holds it), or it
has to be opened now (base64, AES-256-GCM, JSON). Both scrub the environ by normalised name, judge the path, look for a
revocation and check the time. Everything that the middleware adds to this is what the comparison shows.
"""

from __future__ import annotations

import json
import os
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Environ = dict[str, Any]
App = Callable[[Environ, Any], Iterable[bytes]]

COOKIE = "__Host-oauth2_mw"
_AAD = b"https://app.example session 1 " + COOKIE.encode()
_ODD = re.compile(r"//|/\.\.?(?:/|$)|[;\\%\x00-\x20\x7f-\xff]")


class Limit:
    """The least that a filter in front of *app* can do, and be safe."""

    def __init__(self, app: App, payload: bytes) -> None:
        self._app = app
        self._cipher = AESGCM(os.urandom(32))
        nonce = os.urandom(12)
        sealed = nonce + self._cipher.encrypt(nonce, payload, _AAD)
        self.cookie = urlsafe_b64encode(sealed).decode().rstrip("=")
        self._opened: dict[str, dict[str, Any]] = {}
        self._harmless: set[str] = set()
        self._revoked: set[str] = set()

    def _scrub(self, environ: Environ) -> None:
        if self._harmless.issuperset(environ):
            return
        for key in [key for key in environ if key not in self._harmless]:
            name = re.sub(r"[^A-Z0-9]", "_", key.upper())
            if name.removeprefix("HTTP_").startswith(("REMOTE_USER", "AUTH_TYPE")):
                del environ[key]
            else:
                self._harmless.add(key)

    def _cookie(self, environ: Environ) -> str:
        header: str = environ["HTTP_COOKIE"]
        start = header.find(COOKIE + "=") + len(COOKIE) + 1
        end = header.find(";", start)
        return header[start:] if end < 0 else header[start:end]

    def _pass_on(self, environ: Environ, start_response: Any, session: dict[str, Any]) -> Iterable[bytes]:
        now = time.time()
        if now >= session["1"] or now >= session["2"] + session["3"] or session["s"] in self._revoked:
            raise PermissionError
        environ["REMOTE_USER"] = session["n"]
        environ["AUTH_TYPE"] = "OAuth2"
        environ["oauth2_mw.identity"] = session
        return self._app(environ, start_response)

    def opened(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """A request whose session was opened before."""
        self._scrub(environ)
        path = environ["PATH_INFO"]
        if path.startswith(("/auth/oauth2/", "/static/")) or _ODD.search(path):
            raise PermissionError
        text = self._cookie(environ)
        session = self._opened.get(text)
        if session is None:
            session = self._opened[text] = self._open(text)
        return self._pass_on(environ, start_response, session)

    def anonymous(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """A request of nobody, whom the application serves as well."""
        self._scrub(environ)
        if _ODD.search(environ["PATH_INFO"]):
            raise PermissionError
        return self._app(environ, start_response)

    def sealed(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """A request whose session has to be opened."""
        self._scrub(environ)
        path = environ["PATH_INFO"]
        if path.startswith(("/auth/oauth2/", "/static/")) or _ODD.search(path):
            raise PermissionError
        return self._pass_on(environ, start_response, self._open(self._cookie(environ)))

    def _open(self, text: str) -> dict[str, Any]:
        octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        session: dict[str, Any] = json.loads(self._cipher.decrypt(octets[:12], octets[12:], _AAD))
        return session
