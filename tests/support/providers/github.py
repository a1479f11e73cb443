"""npm ``emulate``: GitHub's web flow, as a person and as the owner of an OAuth app use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.processes import Child
from tests.support.providers.clients import Client
from tests.support.providers.control import control
from tests.support.providers.node import start_script


class GitHub:
    """One running emulator. Known logins: ``octocat``, and ``hidden`` who has neither name nor e-mail address."""

    def __init__(self, origin: str, control_origin: str, process: Child) -> None:
        self.origin = origin
        self.process = process
        self.authorization_endpoint = f"{origin}/login/oauth/authorize"
        self.token_endpoint = f"{origin}/login/oauth/access_token"
        self.userinfo_endpoint = f"{origin}/user"
        self._control_origin = control_origin
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
        control(self._control_origin, "POST", "/_test/clients", wanted)
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
        assert browser.page is not None and browser.origin == self.origin, browser.transcript
        form = next((form for form in browser.page.forms if form.value("login") == login), None)
        assert form is not None, browser.page.text
        return browser.submit(form)


@contextmanager
def github() -> Iterator[GitHub]:
    """Start the emulator on 127.0.0.1."""
    with start_script("emulate", "--require", "./emulate_loopback.cjs", "github.mjs") as process:
        ready = process.wait_for_line(r"^ready (\S+) (\S+)")
        yield GitHub(ready[1], ready[2], process)
