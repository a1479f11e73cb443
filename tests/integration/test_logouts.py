"""Logouts that begin at a certified provider end sessions in every worker of an application."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import Deploy
from tests.support.hosts.servers import Application, MakeSite, Serve
from tests.support.hosts.stage import Stage as Hosts
from tests.support.hosts.stage import wait_until
from tests.support.providers.oidc_provider import OidcProvider

#: enough requests that each of two workers has had some
MANY = 12


class Stage:
    """An application of two workers, and a client of the provider that hears of logouts."""

    def __init__(self, provider: OidcProvider, make_site: MakeSite, serve: Serve, **keys: str) -> None:
        self.provider = provider
        site = make_site()
        self.client = provider.register(
            [site.redirect_uri], backchannel_logout_uri=site.own_url("backchannel-logout/")
        )
        settings = {**provider.settings(self.client), "revocation_sync": "1s", **keys}
        self.application: Application = serve(site, settings, workers=2)

    def signed_in(self, login: str) -> Browser:
        browser = Browser()
        browser.navigate(self.application.url("/page"))
        self.provider.sign_in(browser, login)
        assert self.is_signed_in(browser)
        return browser

    def is_signed_in(self, browser: Browser) -> bool:
        return {browser.fetch(self.application.url("/page")).status for _ in range(MANY)} == {200}

    def wait_until_out(self, browser: Browser) -> None:
        """Until every worker knows, once the time for that has passed."""
        url = self.application.url("/page")
        wait_until(lambda: {browser.fetch(url).status for _ in range(MANY)} == {401})

    def answers(self) -> list[int]:
        return [event["status"] for event in self.provider.events(self.client, "backchannel_logout")]


@pytest.fixture(params=["directory", "session"])
def stage(
    request: pytest.FixtureRequest,
    oidc_provider: OidcProvider,
    make_site: MakeSite,
    serve: Serve,
    tmp_path: Path,
) -> Stage:
    """Sessions in cookies beside a directory, and in a store."""
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    return Stage(oidc_provider, make_site, serve, **{request.param: shared})


@pytest.mark.requirement("L6")
def test_the_end_of_one_session_at_the_provider_is_the_end_of_it_here(stage: Stage) -> None:
    ended = stage.signed_in("jane")
    (sid,) = stage.provider.sids(stage.client, "u-jane")
    staying = stage.signed_in("jane")
    stage.provider.end_sessions(sid=sid)
    assert stage.answers() == [200]
    stage.wait_until_out(ended)
    assert stage.is_signed_in(staying)


@pytest.mark.requirement("N2.7.13")
def test_the_end_of_a_persons_sessions_at_the_provider_is_the_end_of_all_here(stage: Stage) -> None:
    stage.provider.add_account("several", preferred_username="several")
    browsers = [stage.signed_in("several"), stage.signed_in("several")]
    other = stage.signed_in("jane")
    stage.provider.end_sessions(sub="u-several")
    assert set(stage.answers()) == {200}
    for browser in browsers:
        stage.wait_until_out(browser)
    assert stage.is_signed_in(other)


def test_a_session_in_a_cookie_ends_on_a_host_that_was_told_nothing(
    oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy, tmp_path: Path
) -> None:
    site = make_site()
    client = oidc_provider.register(
        [site.redirect_uri], backchannel_logout_uri=site.own_url("backchannel-logout/")
    )
    settings = {
        **oidc_provider.settings(client),
        "directory": f"sqlite:///{tmp_path / 'users.db'}",
        "revocation_sync": "1s",
    }
    hosts = Hosts(deploy(site, settings, hosts=2, workers=2), oidc_provider)
    jar = hosts.sign_in("erin").jar
    (sid,) = oidc_provider.sids(client, "u-erin")
    assert hosts.users(jar) == {"erin"}
    oidc_provider.end_sessions(sid=sid)
    # One worker of one host has heard it. All others learn of it from the directory.
    assert [event["status"] for event in oidc_provider.events(client, "backchannel_logout")] == [200]
    wait_until(lambda: hosts.users(jar) == {None})
