"""A service, its provider and its files, of which each test breaks one thing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.cli.online import Finding, check_online
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings
from tests.support.hosts.wsgi_thread import serve
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import CLIENT_SECRET

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class World:
    """What an operator has. Everything is as it should be until a test changes it."""

    def __init__(self, folder: Path, stack: ExitStack, *, certificate: Path | None = None) -> None:
        """
        :param certificate: a file with a certificate and its key, with which service and provider speak https.
        """
        self.folder = folder
        self._stack = stack
        self.ini = folder / "oauth2.ini"
        self.provider = stack.enter_context(StandIn(certificate=certificate))
        self.keys: dict[str, str] = {}
        #: what stands at ``public_url``; by default the middleware with these settings
        self.app: WSGIApplication | None = None
        self.public_url = stack.enter_context(serve(self._serve, certificate=certificate))

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        assert self.app is not None
        return self.app(environ, start_response)

    def replace_provider(self, provider: StandIn) -> StandIn:
        """Have another provider in the place of the usual one."""
        self.provider = self._stack.enter_context(provider)
        return provider

    def settings(self, **keys: str) -> Settings:
        """What the file says."""
        written = {
            "public_url": self.public_url,
            "secret_keys": text_key(),
            "issuer": self.provider.issuer,
            "client_id": "client",
            "client_secret": CLIENT_SECRET,
            **keys,
        }
        self.ini.write_text("[oauth2_mw]\n" + "".join(f"{key} = {value}\n" for key, value in written.items()))
        self.ini.chmod(0o600)
        settings = Settings.from_ini(self.ini)
        if self.app is None:
            self.app = OAuth2Middleware(_application, settings)
        if self.provider.registered is None:
            self.provider.registered = {f"{self.public_url}/auth/oauth2/login/callback/"}
        return settings

    def look(self, *, seconds: float = 10.0, **keys: str) -> list[Finding]:
        """What is found."""
        return [*check_online(self.settings(**keys), self.ini, seconds=seconds)]

    def problems(self, *, seconds: float = 10.0, **keys: str) -> list[Finding]:
        """What of it is not in order."""
        return [each for each in self.look(seconds=seconds, **keys) if each.result not in ("ok", "unknown")]


def _application(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"application"]
