"""An application behind the middleware that takes personal tokens, and people who have signed in there."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

from oauth2_mw.credentials.token_text import TokenText
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import App, guard
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for

DAY = 86400


class TokenSite:
    """The middleware, called in this process, with jane who has signed in, and the time."""

    def __init__(self, folder: Path, *, rules: str = "", **keys: Any) -> None:
        self.clocks = ShiftedClocks()
        self.app = App()
        settings = {"directory": f"sqlite:///{folder / 'users.db'}", "personal_tokens": "/dav/ /feed", **keys}
        if rules:
            settings["access"] = {"rules": rules}
        self.middleware: OAuth2Middleware = guard(self.app, clocks=self.clocks.clocks, **settings)
        self.jane = self.sign_in()

    def sign_in(self, username: str = "jane", subject: str = "1", **claims: Any) -> Identity:
        """A sign-in at the provider, as far as the directory is concerned."""
        settings = self.middleware._settings
        return Admission(settings, self.middleware._directory).admit(
            settings.providers["default"],
            issuer=settings.providers["default"].issuer or "",
            subject=subject,
            claims={"sub": subject, "preferred_username": username, **claims},
            now=int(self.clocks.wall()),
        )

    def make(
        self,
        owner: Identity | None = None,
        *,
        paths: str = "/dav/ /feed",
        read_only: bool = False,
        lifetime: int = 30 * DAY,
    ) -> TokenText:
        """A token of somebody, jane unless said otherwise."""
        tokens = self.middleware._tokens
        assert tokens is not None
        made = tokens.create(
            (owner or self.jane).id,
            name="phone",
            paths=tuple(paths.split()),
            read_only=read_only,
            lifetime=lifetime,
        )
        assert made is not None
        return made

    def get(self, path: str = "/dav/x", authorization: str | None = None, **keys: Any) -> WsgiResponse:
        """The answer to a request with that ``Authorization``."""
        return call(self.middleware, environ_for(path, **{"HTTP_AUTHORIZATION": authorization, **keys}))

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clocks.ahead += seconds


def bearer(token: TokenText) -> str:
    """The header of a program that knows only tokens."""
    return f"Bearer {token.text}"


def basic(token: TokenText | str, username: str = "jane") -> str:
    """The header of a program that knows only passwords."""
    text = token if isinstance(token, str) else token.text
    return "Basic " + b64encode(f"{username}:{text}".encode()).decode()
