"""PyPI ``canaille``, as a person uses it. Its dependencies live in an environment of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.processes import ROOT, Child

PYTHON = ROOT / ".venv-providers" / "bin" / "python"
PROJECT = ROOT / "tests" / "integration" / "canaille_project" / "project.py"


class Canaille:
    """One running provider, which knows Jane Roe."""

    def __init__(self, origin: str, process: Child) -> None:
        self.origin = origin
        self.process = process

    def register(
        self, redirect_uri: str, post_logout_redirect_uri: str, backchannel_logout_uri: str
    ) -> dict[str, str]:
        """Let the application register itself (RFC 7591). Canaille tells nobody of logouts."""
        wanted = {
            "client_name": redirect_uri,
            "redirect_uris": [redirect_uri],
            "post_logout_redirect_uris": [post_logout_redirect_uri],
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": "openid profile email groups",
        }
        answer = Browser().fetch(f"{self.origin}/oauth/register", method="POST", json=wanted)
        assert answer.status == 201, answer.text
        client = answer.json()
        return {
            "issuer": self.origin,
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "scope": client["scope"],
        }

    def sign_in(self, browser: Browser) -> Page:
        """Type login and password where they are asked for, each on a page of its own, and agree."""
        page = browser.page
        assert page is not None and browser.origin == self.origin, browser.transcript
        while browser.origin == self.origin:
            if page.form().value("login") is not None:
                page = browser.submit("login", login="jane")
            elif page.form().value("password") is not None:
                page = browser.submit("password", password="secret")
            else:
                page = browser.submit("answer", button="accept")
        return page

    def remembers(self, browser: Browser) -> bool:
        return browser.tab().navigate(f"{self.origin}/profile/jane", follow=False).status == 200

    def sign_out(self, browser: Browser) -> Page:
        """Agree to sign out."""
        return browser.submit("answer", button="logout")


@contextmanager
def canaille(folder: Path) -> Iterator[Canaille]:
    """Start a provider whose database lives in memory."""
    assert PYTHON.exists(), "Canaille is not installed: run `make test-providers`"
    with Child("canaille", [PYTHON, PROJECT], cwd=folder) as process:
        yield Canaille(process.wait_for_line(r"^ready (\S+)")[1], process)
