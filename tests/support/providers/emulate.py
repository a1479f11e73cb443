"""npm ``emulate``: services of one company each, as a person and as the owner of a client use them.

It is no copy of them. It remembers nobody: whoever comes chooses a person, and signing out there changes nothing. Its
Google and Apple have no logout at all. Its Google reads a client's secret from the body alone, its Apple not at all,
and its Microsoft knows no groups. At a refresh its Okta and Apple put the present time into ``auth_time``, where OpenID
Connect Core, section 12.2, wants that of the sign-in: these refreshes are refused, and end the session.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.processes import Child
from tests.support.providers.control import control
from tests.support.providers.node import start_script

#: without a space, which they do not find in a Basic header, where it is a plus
_SECRET = "s3cret:100%+&=/?~!"
_EMAIL = "jane@example.com"
_TENANT = "1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


class Emulator:
    """One running service."""

    def __init__(self, origin: str, control_origin: str, process: Child) -> None:
        self.origin = origin
        self.process = process
        self._control_origin = control_origin

    def register(self, client: Mapping[str, Any]) -> None:
        """Register a client, or replace the one of this id; codes and tokens in flight are forgotten."""
        control(self._control_origin, "POST", "/_test/clients", dict(client))

    def choose(self, browser: Browser, person: str) -> Page:
        """Choose a person on the page that it shows: a login, an address or an id."""
        assert browser.page is not None and browser.origin == self.origin, browser.transcript
        form = next((form for form in browser.page.forms if person in dict(form.fields).values()), None)
        assert form is not None, browser.page.text
        return browser.submit(form)


@contextmanager
def emulator(service: str, seed: Mapping[str, Any], *, clients: str = "oauth_clients") -> Iterator[Emulator]:
    """Start a service on 127.0.0.1.

    :param seed: what it knows at the start, such as its people.
    :param clients: the member of the seed in which it looks for clients.
    """
    arguments = ("--require", "./emulate_loopback.cjs", "emulate.mjs", service, json.dumps(seed), clients)
    with start_script(f"emulate {service}", *arguments) as process:
        ready = process.wait_for_line(r"^ready (\S+) (\S+)")
        yield Emulator(ready[1], ready[2], process)


@dataclass(frozen=True)
class _Service:
    """What is particular about one of the services."""

    seed: Mapping[str, Any]
    #: what stands in the form of Jane
    jane: str = _EMAIL
    #: below the origin
    issuer: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)


_SERVICES: Mapping[str, _Service] = MappingProxyType(
    {
        "google": _Service(
            {"users": [{"email": _EMAIL, "name": "Jane Roe"}]},
            settings={"client_auth_method": "client_secret_post"},
        ),
        "microsoft": _Service(
            {"users": [{"email": _EMAIL, "name": "Jane Roe", "tenant_id": _TENANT}]},
            issuer=f"/{_TENANT}/v2.0",
            client={"tenant_id": _TENANT},
        ),
        "okta": _Service(
            {
                "users": [
                    {
                        "okta_id": "00u-jane",
                        "login": _EMAIL,
                        "email": _EMAIL,
                        "first_name": "Jane",
                        "last_name": "Roe",
                    }
                ],
                "groups": [{"okta_id": "00g-staff", "name": "staff"}],
                "group_memberships": [{"group_okta_id": "00g-staff", "user_okta_id": "00u-jane"}],
            },
            jane="00u-jane",
            settings={"scope": "openid profile email groups"},
        ),
        "apple": _Service({"users": [{"email": _EMAIL, "name": "Jane Roe"}]}),
    }
)


class Emulated:
    """A counterpart: a service that knows Jane Roe."""

    def __init__(self, running: Emulator, service: _Service) -> None:
        self.origin = running.origin
        self.process = running.process
        self._running = running
        self._service = service
        self._numbers = itertools.count(1)

    def register(
        self, redirect_uri: str, post_logout_redirect_uri: str, backchannel_logout_uri: str
    ) -> dict[str, str]:
        """Register an application. The emulator takes any registered address for one to go to after a logout."""
        client_id = f"app-{next(self._numbers)}"
        client = {
            "client_id": client_id,
            "client_secret": _SECRET,
            "redirect_uris": [redirect_uri, post_logout_redirect_uri],
            **self._service.client,
        }
        self._running.register(client)
        return {
            "issuer": self.origin + self._service.issuer,
            "client_id": client_id,
            "client_secret": _SECRET,
            **self._service.settings,
        }

    def sign_in(self, browser: Browser) -> Page:
        page = self._running.choose(browser, self._service.jane)
        # Where the answer is a form, a script sends it.
        return browser.submit() if browser.origin == self.origin else page

    def remembers(self, browser: Browser) -> bool:
        return False

    def sign_out(self, browser: Browser) -> Page:
        raise AssertionError(f"it asks nothing: {browser.transcript}")


def emulated(name: str) -> Callable[[Path], AbstractContextManager[Emulated]]:
    """Return what starts one of the services as a counterpart."""

    @contextmanager
    def start(_folder: Path) -> Iterator[Emulated]:
        service = _SERVICES[name]
        with emulator(name, service.seed) as running:
            yield Emulated(running, service)

    return start
