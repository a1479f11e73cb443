"""Who refreshes: a hundred requests on two hosts want the same tokens renewed, and a refresh token serves once.

The provider rotates refresh tokens and takes the second use of one for a theft: it would end everything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.session.lease import LEASE
from tests.support.browser.cookie_jar import CookieJar
from tests.support.browser.jar import Browser, BrowserError
from tests.support.browser.page import Page
from tests.support.hosts.deployment import Host, deployment
from tests.support.hosts.load import Load, Profile, Report, user_of
from tests.support.hosts.servers import site as reserve_site
from tests.support.hosts.stage import Stage, sleep_until, wait_until
from tests.support.providers.clients import Client
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.plain_client import userinfo
from tests.support.stores.postgres import PostgresServer, postgres_server
from tests.support.stores.session_stores import RunningStore, in_postgres, in_redis

__all__ = ["postgres_server"]

STORES = ["redis", "postgresql"]
BESIDE_COOKIES = "cookie and directory"

#: Seconds for which the first access token of a session serves. They are due for the last quarter of them.
LIFE = 4
#: The setting revocation_sync, in seconds.
SYNC = 1
#: People who are signed in, each at a client of the provider's of their own: as many as there are tests.
SCENES = 8


@dataclass
class Scene:
    """Two hosts with two workers each, and somebody whose access token soon ends, once."""

    stage: Stage
    client: Client
    #: the NAME of the provider, and the person
    section: str
    login: str
    #: the server beside the hosts
    store: RunningStore
    #: the cookies of somebody who is signed in
    jar: CookieJar
    #: the access token of the sign-in, and when it ends
    first: str
    ends: float

    @property
    def user(self) -> str:
        """Whom the application is told of."""
        return f"{self.section}-{self.login}"

    @property
    def revoked(self) -> list[str | None]:
        """What was taken back at the provider: a kind of token that it knew, or ``None``."""
        return [event["token"] for event in self.stage.provider.events(self.client, "revocation")]

    @property
    def events(self) -> dict[str, int]:
        """What the provider says of refreshes."""
        return {
            "granted": len(self.stage.provider.events(self.client, "refresh_granted")),
            "refused": len(self.stage.provider.events(self.client, "refresh_refused")),
        }

    def access_tokens(self, jar: CookieJar | None = None) -> set[str | None]:
        """Those that the application is handed by all workers; ``None``: it was not asked."""
        return {
            page.json()["environ"]["HTTP_X_ACCESS_TOKEN"] if user_of(page) is not None else None
            for page in self.stage.pages(jar or self.jar)
        }

    def is_good(self, access_token: str | None) -> bool:
        """Whether the provider takes an access token: it does not where it has noticed a reuse."""
        assert access_token is not None
        return userinfo(f"{self.stage.provider.issuer}/me", access_token).status == 200


@pytest.fixture(scope="module", params=[*STORES, BESIDE_COOKIES])
def mode(request: pytest.FixtureRequest) -> str:
    """Where sessions live."""
    mode: str = request.param
    return mode


@pytest.fixture(scope="module")
def store(
    mode: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStore]:
    with ExitStack() as stack:
        if mode == "redis":
            folder: Path = tmp_path_factory.mktemp("redis")
            yield stack.enter_context(in_redis(folder))
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            yield stack.enter_context(in_postgres(server))


@pytest.fixture(scope="module")
def scenes(
    mode: str, store: RunningStore, oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Scene]]:
    with reserve_site() as site:
        names = [f"p{number}" for number in range(SCENES)]
        clients = {
            name: oidc_provider.register(
                [site.own_url(f"login/callback/{name}/")], refresh_tokens=True, access_token_lifetime=LIFE
            )
            for name in names
        }
        settings: dict[str, Any] = {
            "directory" if mode == BESIDE_COOKIES else "session": store.url,
            "keep_tokens": "id refresh access",
            "revocation_sync": f"{SYNC}s",
            "session_idle": "8h",
            "environ": {"HTTP_X_ACCESS_TOKEN": "access_token"},
        }
        for name, client in clients.items():
            settings[f"provider:{name}"] = {
                **oidc_provider.settings(client),
                "provider": name,
                "username_prefix": f"{name}-",
                **({} if name == next(iter(clients)) else {"same_users_as": next(iter(clients))}),
            }
        folder = tmp_path_factory.mktemp("deployment")
        # As many threads as there will be requests: everybody is inside at the same time.
        with deployment(site, folder, settings, threads=25) as running:
            stage = Stage(running, oidc_provider)
            yield [signed_in(stage, store, name, client) for name, client in clients.items()]


def signed_in(stage: Stage, store: RunningStore, name: str, client: Client) -> Scene:
    login = f"of-{name}"
    browser = stage.sign_in(login, name)
    ends = time.time() + LIFE
    # From here on they last an hour: nothing is due a second time while a slow machine works.
    callback = stage.site.own_url(f"login/callback/{name}/")
    stage.provider.register([callback], client_id=client.client_id, refresh_tokens=True)
    assert browser.page is not None
    first = browser.page.json()["environ"]["HTTP_X_ACCESS_TOKEN"]
    return Scene(stage, client, name, login, store, browser.jar, first, ends)


@pytest.fixture
def scene(scenes: list[Scene]) -> Scene:
    """One of them, which no other test has used."""
    scene = scenes.pop()
    sleep_until(scene.ends)
    return scene


@pytest.mark.requirement("3l.1", "3h.12")
def test_a_hundred_requests_at_once_use_a_refresh_token_once(scene: Scene) -> None:
    stage = scene.stage
    tabs = Profile(scene.jar, [stage.site.url("/")])

    with Load([[tabs], [tabs]], threads=50) as load:
        # The new tokens stay on their way while everybody comes who needs them: the old access token has ended.
        with stage.provider.holding_refreshes(scene.client, "response") as held:
            load.go()
            held.wait_for()
            sleep_until(time.time() + 1)
            before = served(load.report())
        wait_until(lambda: served(load.report()) > before + 400)
        report = load.stop()

    # Meanwhile two of them at most wait in a worker, and the others are told to come again.
    assert set(report.answers) == {(200, scene.user), (503, None)}, report.oddities
    assert all("refresh_under_way" in line for line in refused(stage))
    assert all(report.pids & set(host.workers()) for host in stage.hosts)
    assert scene.events == {"granted": 1, "refused": 0}
    # Both processes of the load have by now what came of it, also where their cookies have to bring it.
    for jar in report.jars:
        [token] = scene.access_tokens(jar)
        assert token != scene.first
        assert scene.is_good(token)


def served(report: Report) -> int:
    return report.statuses[200]


def refused(stage: Stage) -> list[str]:
    return [line for line in stage.deployed.log.splitlines() if "event=refused" in line]


def come_again(scene: Scene, host: Host) -> Page:
    """What somebody is answered who comes back as often as a 503 says so."""
    pages: list[Page] = []

    def is_served() -> bool:
        pages.append(scene.stage.ask(scene.jar, host.url("/")))
        return pages[-1].status != 503

    wait_until(is_served)
    return pages[-1]


def let_it_spread(mode: str) -> None:
    """Where sessions live in cookies, each worker hears of a logout within revocation_sync, and not at once."""
    if mode == BESIDE_COOKIES:
        sleep_until(time.time() + SYNC + 0.5)


@pytest.mark.requirement("3l.5")
def test_a_logout_wins_over_a_refresh_on_its_way(scene: Scene, mode: str) -> None:
    stage = scene.stage
    refreshing, leaving = scene.jar.copy(), scene.jar.copy()

    with ThreadPoolExecutor(1) as pool:
        with stage.provider.holding_refreshes(scene.client, "response") as held:
            answer = pool.submit(Browser(jar=refreshing).navigate, stage.hosts[0].url("/"), follow=False)
            held.wait_for()
            assert stage.sign_out(Browser(jar=leaving), stage.hosts[1]).status == 303
            let_it_spread(mode)
        assert user_of(answer.result()) is None

    for jar in (scene.jar, refreshing, leaving):
        wait_until(lambda jar=jar: stage.users(jar) == {None})  # type: ignore[misc]  # bound now
        assert stage.users(jar) == {None}
    assert scene.events == {"granted": 1, "refused": 0}
    # With the one that the session held went all that came of it.
    assert scene.revoked == ["RefreshToken"]


@pytest.mark.requirement("3l.5")
def test_what_a_refresh_brings_to_a_session_that_was_ended_elsewhere_is_given_back(
    scene: Scene, mode: str
) -> None:
    stage = scene.stage
    elsewhere = stage.sign_in(scene.login, scene.section)

    with ThreadPoolExecutor(1) as pool:
        with stage.provider.holding_refreshes(scene.client, "response") as held:
            answer = pool.submit(stage.ask, scene.jar)
            held.wait_for()
            # Nobody but the browser and who refreshes for it can open the tokens: nothing is revoked by that.
            elsewhere.navigate(stage.site.own_url("sessions/"))
            elsewhere.submit("others")
            let_it_spread(mode)
        assert user_of(answer.result()) is None

    assert scene.revoked == ["RefreshToken"]
    assert scene.events == {"granted": 1, "refused": 0}
    assert stage.users(scene.jar) == {None}
    assert stage.users(elsewhere.jar) == {scene.user}


@pytest.mark.parametrize("mode", STORES, indirect=True)
def test_a_host_that_dies_before_it_has_refreshed_costs_nobody_the_session(scene: Scene) -> None:
    stage = scene.stage
    first, second = stage.hosts

    with ThreadPoolExecutor(1) as pool, stage.provider.holding_refreshes(scene.client, "request") as held:
        broken = pool.submit(stage.ask, scene.jar, first.url("/"))
        held.wait_for()
        first.kill()
        assert isinstance(broken.exception(), BrowserError)
        # Who comes now is told to come again until the dead one's time is up, and then goes on in its place.
        page = stage.ask(scene.jar, second.url("/"))
        assert (page.status, page.header("Retry-After")) == (503, "2")
    assert user_of(come_again(scene, second)) == scene.user
    first.restart()
    assert stage.users(scene.jar) == {scene.user}
    assert scene.events == {"granted": 1, "refused": 0}
    [token] = scene.access_tokens()
    assert scene.is_good(token)


@pytest.mark.requirement("N2.5.11")
@pytest.mark.parametrize("mode", STORES, indirect=True)
def test_a_refresh_token_that_a_dead_host_has_spent_is_noticed_and_ends_the_session(scene: Scene) -> None:
    stage = scene.stage
    first, second = stage.hosts

    with ThreadPoolExecutor(1) as pool, stage.provider.holding_refreshes(scene.client, "response") as held:
        broken = pool.submit(stage.ask, scene.jar, first.url("/"))
        held.wait_for()
        first.kill()
        assert isinstance(broken.exception(), BrowserError)
    page = come_again(scene, second)
    assert (page.status, user_of(page)) == (401, None)
    first.restart()
    assert stage.users(scene.jar) == {None}
    assert scene.events == {"granted": 1, "refused": 1}
    assert "event=refresh_refused" in second.log
    assert not scene.is_good(scene.first)


@pytest.mark.requirement("R-refresh")
@pytest.mark.parametrize("mode", STORES, indirect=True)
def test_a_provider_that_is_slower_than_a_lease_is_asked_once(scene: Scene) -> None:
    stage = scene.stage

    with ThreadPoolExecutor(1) as pool:
        with stage.provider.holding_refreshes(scene.client, "response") as held:
            answer = pool.submit(stage.ask, scene.jar, stage.hosts[0].url("/"))
            held.wait_for()
            until = time.time() + LEASE + 2
            while time.time() < until:
                for host in stage.hosts:
                    assert stage.ask(scene.jar, host.url("/")).status == 503
            assert scene.events["granted"] == 1
        assert user_of(answer.result()) == scene.user
    assert stage.users(scene.jar) == {scene.user}
    assert scene.events == {"granted": 1, "refused": 0}


@pytest.mark.requirement("R-refresh")
@pytest.mark.parametrize("mode", STORES, indirect=True)
def test_a_killed_holder_keeps_nobody_else_waiting(scene: Scene) -> None:
    stage = scene.stage
    first, second = stage.hosts
    other = stage.sign_in(f"beside-{scene.login}", scene.section).jar
    # More requests of that session than there are threads on the host beside.
    crowd = Profile(scene.jar, [second.url("/")])

    with Load([[crowd]], threads=60, pause=0.2) as load:
        with (
            ThreadPoolExecutor(1) as pool,
            stage.provider.holding_refreshes(scene.client, "request") as held,
        ):
            broken = pool.submit(stage.ask, scene.jar, first.url("/"))
            held.wait_for()
            first.kill()
            assert isinstance(broken.exception(), BrowserError)
            load.go()
            wait_until(lambda: load.report().statuses[503] > 60)
            for _ in range(5):
                assert user_of(stage.ask(other, second.url("/"))) == f"{scene.section}-beside-{scene.login}"
            # All that was while the lease of the dead one lasted.
            assert served(load.report()) == 0
        wait_until(lambda: served(load.report()) > 0)
        report = load.stop()
    assert set(report.answers) == {(200, scene.user), (503, None)}, report.oddities
    assert scene.events == {"granted": 1, "refused": 0}
    first.restart()


@pytest.mark.parametrize("mode", STORES, indirect=True)
def test_new_tokens_that_cannot_be_written_down_at_once_are_not_lost(scene: Scene) -> None:
    stage = scene.stage

    with ThreadPoolExecutor(1) as pool:
        with stage.provider.holding_refreshes(scene.client, "response") as held:
            answer = pool.submit(stage.ask, scene.jar)
            held.wait_for()
            scene.store.take_away()
        # Now a worker gets them, and has nowhere to put them.
        sleep_until(time.time() + 1)
        scene.store.bring_back()
        assert user_of(answer.result()) == scene.user
    assert stage.users(scene.jar) == {scene.user}
    [token] = scene.access_tokens()
    assert token != scene.first
    assert scene.is_good(token)
    assert scene.events == {"granted": 1, "refused": 0}
