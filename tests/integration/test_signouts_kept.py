"""Signing out while the directory is away: a copy of the cookie is worth nothing when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.hosts.deployment import Deploy
from tests.support.hosts.servers import MakeSite
from tests.support.hosts.stage import Stage, pages_of, wait_until
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.stores.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

#: How many sign out.
PEOPLE = 6


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    yield postgres_server
    if not postgres_server.is_running:
        postgres_server.start()


def stage_of(
    server: PostgresServer,
    provider: OidcProvider,
    make_site: MakeSite,
    deploy: Deploy,
    **settings: Any,
) -> Stage:
    site = make_site()
    client = provider.register([site.redirect_uri])
    shared = {"directory": server.new_database(), "revocation_sync": "1s", **settings}
    return Stage(deploy(site, {**provider.settings(client), **shared}), provider)


def test_a_copied_cookie_serves_nowhere_once_the_directory_is_back(
    server: PostgresServer, oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy
) -> None:
    stage = stage_of(server, oidc_provider, make_site, deploy)
    one, two = stage.hosts
    people = [stage.sign_in(f"person-{number}") for number in range(PEOPLE)]
    copies = [browser.jar.copy() for browser in people]
    for copy in copies:
        # Every worker has read the list, and goes on with it for a while.
        assert None not in stage.users(copy)
    server.stop()
    for browser in people:
        page = stage.sign_out(browser, one)
        assert (page.status, "Signed out in this browser" in page.text) == (200, True)
        assert browser.jar.get("oauth2_mw", stage.site.url("/")) is None
    server.start()
    # Nobody comes to the workers that know of it: they tell it all the same.
    wait_until(lambda: all(stage.ask(copy, two.url("/")).status == 303 for copy in copies))
    wait_until(lambda: all(stage.users(copy) == {None} for copy in copies))


def test_with_a_file_it_survives_the_workers_that_know_of_it(
    server: PostgresServer, oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy
) -> None:
    stage = stage_of(server, oidc_provider, make_site, deploy, signout_file="sign-outs")
    one, two = stage.hosts
    browser = stage.sign_in("jane")
    copy = browser.jar.copy()
    assert None not in stage.users(copy)
    server.stop()
    assert stage.sign_out(browser, one).status == 200
    # The other worker of this host learns of it while the directory is away.
    wait_until(lambda: {page.status for page in pages_of(one, copy)} == {303})
    one.kill()
    one.restart()
    server.start()
    wait_until(lambda: stage.ask(copy, one.url("/")).status == 303)
    wait_until(lambda: stage.ask(copy, two.url("/")).status == 303)
    wait_until(lambda: stage.users(copy) == {None})
