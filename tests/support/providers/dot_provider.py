"""django-oauth-toolkit, a plain OAuth 2.0 provider, as a person and as its administrator use it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.processes import ROOT, Child
from tests.support.providers.clients import PASSWORD, SECRET, AuthMethod, Client
from tests.support.providers.control import control, pass_pages

PROJECT = ROOT / "tests" / "integration" / "dot_project" / "project.py"


class DotProvider:
    """One running provider. Known login: ``jane`` with the password ``secret``, whose numeric id is ``jane_id``."""

    def __init__(self, origin: str, process: Child) -> None:
        self.origin = origin
        self.process = process
        self.authorization_endpoint = f"{origin}/o/authorize/"
        self.token_endpoint = f"{origin}/o/token/"
        self.userinfo_endpoint = f"{origin}/api/me"
        #: the toolkit's own, and one that adds what it leaves out: the subject, as ``id``
        self.bare_introspection_endpoint = f"{origin}/o/introspect/"
        self.introspection_endpoint = f"{origin}/o/introspect-with-subject/"
        self.logout_endpoint = f"{origin}/accounts/sign-out/"
        self._numbers = itertools.count(1)
        self.jane_id = self.add_account(
            "jane", name=("Jane", "Roe"), email="jane@example.com", groups=["staff", "admins"]
        )

    def register(
        self,
        redirect_uris: Sequence[str],
        *,
        client_id: str | None = None,
        client_secret: str = SECRET,
        auth_method: AuthMethod = "client_secret_basic",
        grant_type: Literal["authorization-code", "client-credentials"] = "authorization-code",
    ) -> Client:
        """Register a client, or replace the one of this id."""
        client = Client(client_id or f"app-{next(self._numbers)}", client_secret, auth_method)
        wanted = {
            "client_id": client.client_id,
            "client_secret": client_secret,
            "public": auth_method == "none",
            "redirect_uris": list(redirect_uris),
            "grant_type": grant_type,
        }
        control(self.origin, "POST", "/_test/clients", wanted)
        return client

    def settings(self, client: Client) -> dict[str, str]:
        """The keys of the INI for a client of this provider; what its userinfo calls things stands in the map."""
        return {
            "authorization_endpoint": self.authorization_endpoint,
            "token_endpoint": self.token_endpoint,
            "userinfo_endpoint": self.userinfo_endpoint,
            "scope": "read",
            "attribute_map": '{"username": "username", "name": "name", "email": "email", "phone": "profile.phone"}',
            **client.settings,
        }

    def add_account(
        self,
        username: str,
        *,
        name: tuple[str, str] = ("", ""),
        email: str = "",
        groups: Sequence[str] = (),
        password: str = PASSWORD,
    ) -> int:
        """Add a person, or change one; the numeric id, which is the subject."""
        wanted = {
            "username": username,
            "first_name": name[0],
            "last_name": name[1],
            "email": email,
            "groups": list(groups),
            "password": password,
        }
        return int(control(self.origin, "POST", "/_test/accounts", wanted)["id"])

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """What the provider was asked, oldest first: method, path, query, authorization, body, status."""
        found: list[dict[str, Any]] = control(self.origin, "GET", "/_test/requests")
        return [entry for entry in found if path is None or entry["path"] == path]

    def forget_requests(self) -> None:
        control(self.origin, "DELETE", "/_test/requests")

    def sign_in(
        self, browser: Browser, username: str = "jane", *, password: str = PASSWORD, deny: bool = False
    ) -> Page:
        """Drive the provider's pages until the browser is somewhere else; nothing to do when it already is."""
        return pass_pages(
            browser,
            self.origin,
            login={"username": username, "password": password},
            consent="Deny" if deny else "Allow",
        )


@contextmanager
def dot_provider(folder: Path, *, host: str = "localhost") -> Iterator[DotProvider]:
    """Start a provider; its SQLite file lives in ``folder``."""
    command: list[str | Path] = [sys.executable, PROJECT, folder / "provider.sqlite3", host]
    with Child("django-oauth-toolkit", command) as process:
        origin = process.wait_for_line(r"^ready (\S+)")[1]
        yield DotProvider(origin, process)
