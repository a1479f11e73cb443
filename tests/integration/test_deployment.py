"""The hosts and the load that the tests of many workers rely on, with sessions that nothing happens to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import Deployment, deployment
from tests.support.hosts.load import Load, Profile
from tests.support.hosts.servers import site as reserve_site
from tests.support.providers.oidc_provider import OidcProvider


@pytest.fixture(scope="module")
def deployed(oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with reserve_site() as site:
        client = oidc_provider.register([site.redirect_uri])
        with deployment(
            site, tmp_path_factory.mktemp("deployment"), oidc_provider.settings(client)
        ) as running:
            yield running


def sign_in(deployed: Deployment, provider: OidcProvider, login: str = "jane") -> Browser:
    browser = Browser()
    browser.navigate(deployed.site.url("/"))
    assert provider.sign_in(browser, login).json()["user"] == login
    return browser


def pid(browser: Browser, url: str) -> Any:
    return browser.navigate(url).json()["pid"]


def test_a_session_of_the_site_counts_at_every_host(
    deployed: Deployment, oidc_provider: OidcProvider
) -> None:
    browser = sign_in(deployed, oidc_provider)
    for host in deployed.hosts:
        assert pid(browser, host.url("/")) in host.workers()


def test_what_comes_to_the_site_goes_to_all_hosts(deployed: Deployment, oidc_provider: OidcProvider) -> None:
    jane = Profile(sign_in(deployed, oidc_provider).jar, [deployed.site.url("/")])
    zoe = Profile(sign_in(deployed, oidc_provider, "zoë").jar, [deployed.site.url("/")])
    with Load([[jane, zoe], [jane]], threads=50, rounds=4) as load:
        load.go()
        report = load.stop()
    assert report.of_profile == [
        Counter({(200, "jane"): 100}),
        Counter({(200, "zoë"): 100}),
        Counter({(200, "jane"): 200}),
    ]
    assert (report.users, report.logouts, report.oddities) == ({"jane", "zoë"}, 0, [])
    assert all(report.pids & set(host.workers()) for host in deployed.hosts)


def test_the_load_tells_who_is_signed_in_no_more(deployed: Deployment, oidc_provider: OidcProvider) -> None:
    browser = sign_in(deployed, oidc_provider)
    browser.jar.clear()
    with Load([[Profile(browser.jar, [deployed.site.url("/")])]], threads=2, rounds=1) as load:
        load.go()
        report = load.stop()
    assert (report.users, report.logouts) == (set(), 2)
    assert oidc_provider.issuer in report.oddities[0]


def test_the_other_hosts_take_over_when_one_dies(deployed: Deployment, oidc_provider: OidcProvider) -> None:
    browser = sign_in(deployed, oidc_provider)
    first, second = deployed.hosts
    first.kill()
    assert {pid(browser, deployed.site.url("/")) for _ in range(10)} <= set(second.workers())
    first.restart()
    second.kill()
    assert {pid(browser, deployed.site.url("/")) for _ in range(10)} <= set(first.workers())
    second.restart()


def test_a_worker_that_dies_is_replaced(deployed: Deployment, oidc_provider: OidcProvider) -> None:
    browser = sign_in(deployed, oidc_provider)
    host = deployed.hosts[0]
    dead = pid(browser, host.url("/"))
    host.kill_worker(dead)
    host.process.wait_until(lambda: len(set(host.workers()) - {dead}) == 2)
    assert pid(browser, host.url("/")) in host.workers()
