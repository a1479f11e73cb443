"""npm ``emulate``: GitHub's web flow, as a person and as the owner of an OAuth app use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.providers.clients import Client
from tests.support.providers.emulate import Emulator, emulator


class GitHub:
    """One running emulator. Known logins: ``octocat``, and ``hidden`` who has neither name nor e-mail address."""

    def __init__(self, running: Emulator) -> None:
        origin = running.origin
        self.origin = origin
        self.process = running.process
        self.authorization_endpoint = f"{origin}/login/oauth/authorize"
        self.token_endpoint = f"{origin}/login/oauth/access_token"
        self.userinfo_endpoint = f"{origin}/user"
        self._running = running
        self._numbers = itertools.count(1)

    def register(
        self,
        redirect_uris: Sequence[str],
        *,
        client_id: str | None = None,
        client_secret: str = "github-secret",  # noqa: S107
    ) -> Client:
        """Register an OAuth app, or replace the one of this id; codes and tokens in flight are forgotten.

        The emulator reads a client's secret from the body alone.
        """
        client = Client(client_id or f"Iv1.{next(self._numbers)}", client_secret, "client_secret_post")
        wanted = {
            "client_id": client.client_id,
            "client_secret": client_secret,
            "redirect_uris": list(redirect_uris),
        }
        self._running.register(wanted)
        return client

    def settings(self, client: Client) -> dict[str, str]:
        """The keys of the INI: the preset ``github``, at this machine's addresses."""
        return {
            "preset": "github",
            "authorization_endpoint": self.authorization_endpoint,
            "token_endpoint": self.token_endpoint,
            "userinfo_endpoint": self.userinfo_endpoint,
            **client.settings,
        }

    def sign_in(self, browser: Browser, login: str = "octocat") -> Page:
        """Choose a person on the page that the emulator shows."""
        return self._running.choose(browser, login)


@contextmanager
def github() -> Iterator[GitHub]:
    """Start the emulator on 127.0.0.1."""
    people = [
        {"login": "octocat", "name": "The Octocat", "email": "octocat@github.example"},
        {"login": "hidden", "name": None, "email": None},
    ]
    with emulator("github", {"users": people}, clients="oauth_apps") as running:
        yield GitHub(running)
