"""Providers that others wrote, each with our preset for it: what ``counterparts.tsv`` says works does work.

The Google, Microsoft, Okta and Apple are those of npm's ``emulate``. They remember nobody, have no groups but Okta's,
and the last two refresh in a way that is refused: ``tests/support/providers/emulate.py`` tells where they differ.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from oauth2_mw.identity.model import Identity
from tests.support.browser.jar import Browser
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.hosts.loopback import LOOPBACK, listeners
from tests.support.hosts.processes import free_port
from tests.support.providers import counterparts
from tests.support.providers.counterparts import Counterpart, Expected

HOUR = 3600
OURS = "/auth/oauth2"
APP, WIKI = "https://app.example", "https://wiki.example"


@pytest.fixture(scope="module", params=counterparts.expected(), ids=lambda works: works.name)
def works(request: pytest.FixtureRequest) -> Expected:
    """What works with a provider: every test meets every one."""
    expected: Expected = request.param
    return expected


@pytest.fixture(scope="module")
def provider(works: Expected, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counterpart]:
    with counterparts.START[works.name](tmp_path_factory.mktemp(works.name)) as running:
        yield running


@dataclass(frozen=True)
class Address:
    """Where an application is: what browsers see, and where it listens."""

    origin: str
    port: int

    def register(self, provider: Counterpart) -> dict[str, str]:
        return provider.register(
            redirect_uri=f"{self.origin}{OURS}/login/callback/",
            post_logout_redirect_uri=f"{self.origin}{OURS}/logout/done/",
            # What ends TLS is not there: the provider comes straight to the application.
            backchannel_logout_uri=f"http://127.0.0.1:{self.port}{OURS}/backchannel-logout/",
        )


@pytest.fixture(scope="module")
def clients(provider: Counterpart) -> dict[Address, dict[str, str]]:
    """Two applications, and what each writes about the provider once it is registered there."""
    addresses = [Address(origin, free_port()) for origin in (APP, WIKI)]
    return {address: address.register(provider) for address in addresses}


@dataclass(frozen=True)
class Visit:
    """A person's browser, and two applications that are registered with one provider."""

    provider: Counterpart
    browser: Browser
    clock: ShiftedClocks
    app: Guarded
    wiki: Guarded

    def sign_in(self, site: Guarded, path: str = "/") -> dict[str, Any]:
        """What an application is told of Jane, who opens one of its pages and signs in where she is asked to."""
        page = self.browser.navigate(site.url + path)
        if self.browser.origin == self.provider.origin:
            page = self.provider.sign_in(self.browser)
        assert (page.status, page.url) == (200, site.url + path), self._story(site)
        seen: dict[str, Any] = page.json()
        return seen

    def sign_out(self, site: Guarded) -> bool:
        """Sign out of an application, and where that leads to the provider there too; return whether it does."""
        page = self.browser.navigate(f"{site.url}{OURS}/logout/", initiator=site.url)
        went_on = any(step.url.startswith(self.provider.origin) for step in self.browser.steps[-3:])
        if self.browser.origin == self.provider.origin:
            page = self.provider.sign_out(self.browser)
        assert page.status == 200, self._story(site)
        assert page.url.startswith(f"{site.url}{OURS}/logout/"), self._story(site)
        return went_on

    @property
    def identity(self) -> Identity:
        """Jane, as the first application saw her last."""
        found: Identity = self.app.app.seen[-1]["Identity"]
        return found

    def is_signed_in(self, site: Guarded) -> bool:
        return self.browser.tab().navigate(site.url + "/", follow=False).status == 200

    def _story(self, site: Guarded) -> str:
        assert self.browser.page is not None
        return "\n".join((self.browser.transcript, self.browser.page.visible_text, *site.audit))


@pytest.fixture
def jane(
    provider: Counterpart, works: Expected, clients: dict[Address, dict[str, str]], tmp_path: Path
) -> Iterator[Visit]:
    """Jane's browser, in which she has not signed in anywhere yet."""
    clock = ShiftedClocks()
    with ExitStack() as stack:
        sites = []
        for address, registered in clients.items():
            database = f"sqlite:///{tmp_path}/{address.port}.db"
            keys = {
                "preset": works.preset,
                "public_url": address.origin,
                "directory": database,
                "session": database,
                "keep_tokens": "id refresh access",
                "environ": {"HTTP_X_ACCESS_TOKEN": "access_token"},
                **registered,
            }
            sites.append(stack.enter_context(guarded(clocks=clock.clocks, port=address.port, **keys)))
        app, wiki = sites
        yield Visit(provider, Browser(behind_tls={APP: app.loopback, WIKI: wiki.loopback}), clock, app, wiki)


def test_every_provider_that_can_be_started_is_in_the_table() -> None:
    assert {works.name for works in counterparts.expected()} == counterparts.START.keys()


def test_a_provider_listens_on_this_machine_alone(provider: Counterpart) -> None:
    port = urlsplit(provider.origin).port or 0
    assert listeners(port) == [f"{LOOPBACK}:{port:04X}"]


def test_a_person_signs_in_and_arrives_where_she_wanted_to_go(jane: Visit, works: Expected) -> None:
    seen = jane.sign_in(jane.app, "/deep/page?x=1&y=%2F")
    user = jane.identity.subject if works.user == "sub" else works.user
    assert (seen["user"], seen["path"], seen["query"]) == (user, "/deep/page", "x=1&y=%2F")
    assert sorted(jane.identity.groups) == sorted(works.groups)


def test_an_access_token_is_refreshed_if_the_answer_belongs_to_the_sign_in(
    jane: Visit, works: Expected
) -> None:
    first = jane.sign_in(jane.app)
    # A token that is a JWT says when it was issued: those of one second would be the same.
    time.sleep(1.1)
    jane.clock.ahead = HOUR - 20
    page = jane.browser.fetch(jane.app.url + "/")
    if works.refresh:
        second = page.json()
        assert second["user"] == first["user"]
        assert sorted(jane.identity.groups) == sorted(works.groups)
        assert second["environ"]["HTTP_X_ACCESS_TOKEN"] != first["environ"]["HTTP_X_ACCESS_TOKEN"]
    else:
        assert page.status == 401
        assert any(
            "event=refresh_refused " in line and " code=token_auth_time " in line for line in jane.app.audit
        )


def test_who_signs_out_is_signed_out_here_and_at_the_provider(jane: Visit, works: Expected) -> None:
    jane.sign_in(jane.app)
    assert jane.provider.remembers(jane.browser) == works.single_sign_on
    assert jane.sign_out(jane.app) == works.logout_there
    assert not jane.is_signed_in(jane.app)
    assert not jane.provider.remembers(jane.browser)


def test_a_logout_at_the_provider_ends_the_session_here(jane: Visit, works: Expected) -> None:
    jane.sign_in(jane.app)
    jane.sign_in(jane.wiki)
    jane.sign_out(jane.wiki)
    assert not jane.is_signed_in(jane.wiki)
    jane.provider.process.wait_until(lambda: jane.is_signed_in(jane.app) != works.backchannel)
