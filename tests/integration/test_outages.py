"""Servers that die while people work: nobody is let in who should not be, and what was acknowledged holds.

What a sign-in or a sign-out was answered with decides whether it was acknowledged: the session cookie, the redirect.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.browser.cookie_jar import CookieJar
from tests.support.browser.jar import Browser, BrowserError
from tests.support.hosts.deployment import Deploy
from tests.support.hosts.load import Load, Profile, Report, user_of
from tests.support.hosts.servers import MakeSite
from tests.support.hosts.stage import Stage, sleep_until, wait_until
from tests.support.providers.clients import Client
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.stores.postgres import PostgresServer, postgres_server
from tests.support.stores.session_stores import RunningStore, in_postgres, in_redis

__all__ = ["postgres_server"]

#: Signed in before anything happens, and asking for pages all the time. Their tokens are refreshed all the time too.
PEOPLE = ("ann", "bob", "cleo", "dan")
#: Seconds for which an access token serves: due after three quarters of them.
LIFE = 4
#: The setting revocation_sync, in seconds.
SYNC = 1


@pytest.fixture(params=["redis", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    with ExitStack() as stack:
        if request.param == "redis":
            folder: Path = tmp_path_factory.mktemp("redis")
            yield stack.enter_context(in_redis(folder))
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            yield stack.enter_context(in_postgres(server))


class Newcomers:
    """People who sign in one after the other, and every second of whom signs out again."""

    def __init__(self, stage: Stage, *, threads: int) -> None:
        self._stage = stage
        self._stopping = threading.Event()
        #: the cookies of everybody who was told that they are signed in, and of those who were told that they are out
        self.inside: list[CookieJar] = []
        self.outside: list[CookieJar] = []
        #: what else came of it, and how often
        self.others: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            try:
                self._come(leaves=number % 2 == 0)
            except BrowserError:
                self.others["a connection broke"] += 1

    def _come(self, *, leaves: bool) -> None:
        stage, browser = self._stage, Browser()
        try:
            browser.navigate(stage.site.url("/"))
            if browser.origin == stage.provider.issuer:
                stage.provider.sign_in(browser, "eve")
        finally:
            # The answer that sets it is the acknowledgement, whatever becomes of the page behind it.
            signed_in = browser.jar.get("oauth2_mw", stage.site.url("/")) is not None
            if signed_in and not leaves:
                self.inside.append(browser.jar)
        if not signed_in:
            assert browser.page is not None
            self.others[f"sign-in {browser.page.status}"] += 1
        elif leaves:
            self._leave(browser)

    def _leave(self, browser: Browser) -> None:
        copy = browser.jar.copy()
        status = self._stage.sign_out(browser).status
        if status == 303:
            self.outside.append(copy)
        else:
            self.others[f"sign-out {status}"] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


class Crowd:
    """A load of people who are signed in, of one who never was, and of one with a cookie from before a logout."""

    def __init__(self, stage: Stage, client: Client) -> None:
        self.stage = stage
        self.client = client
        self.people = {login: stage.sign_in(login).jar for login in PEOPLE}
        leaving = stage.sign_in("fred")
        self.signed_out = leaving.jar.copy()
        assert stage.sign_out(leaving).status == 303
        wait_until(lambda: stage.users(self.signed_out) == {None})
        urls = [stage.site.url("/")]
        self._signed_in = [Profile(jar, urls) for jar in self.people.values()]
        self._strangers = [Profile(CookieJar(), urls, keeps=True), Profile(self.signed_out, urls, keeps=True)]

    @contextmanager
    def at_work(self) -> Iterator[Load]:
        self.stage.provider.add_account("eve", preferred_username="eve")
        with Load([self._signed_in, self._strangers], threads=8, pause=0.05) as load:
            load.go()
            yield load

    def of_people(self, report: Report) -> list[Counter[tuple[int, str | None]]]:
        return report.of_profile[: len(PEOPLE)]

    def of_strangers(self, report: Report) -> list[Counter[tuple[int, str | None]]]:
        return report.of_profile[len(PEOPLE) :]

    def wait_for(self, load: Load, met: Callable[[str, int, str | None], bool]) -> None:
        """Until for a second all answers to the signed in are so: their login, the status, and who was told of."""
        until = time.monotonic() + 90
        while True:
            before = self.of_people(load.report())
            time.sleep(1)
            after = self.of_people(load.report())
            new = [now - then for then, now in zip(before, after, strict=True)]
            if all(new) and all(
                met(login, *answer) for login, answers in zip(PEOPLE, new, strict=True) for answer in answers
            ):
                return
            assert time.monotonic() < until, new


def is_served(login: str, status: int, user: str | None) -> bool:
    return (status, user) == (200, login)


def is_refused(_login: str, status: int, _user: str | None) -> bool:
    return status == 503


@pytest.fixture
def crowd(store: RunningStore, oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy) -> Crowd:
    site = make_site()
    client = oidc_provider.register([site.redirect_uri], refresh_tokens=True, access_token_lifetime=LIFE)
    settings: dict[str, Any] = {
        **oidc_provider.settings(client),
        "session": store.url,
        "keep_tokens": "id refresh access",
        "revocation_sync": f"{SYNC}s",
        "session_idle": "8h",
    }
    return Crowd(Stage(deploy(site, settings, threads=8), oidc_provider), client)


@pytest.mark.requirement("3c.13")
def test_a_store_that_dies_and_comes_back_lets_nobody_in_and_loses_nobody(
    crowd: Crowd, store: RunningStore
) -> None:
    stage = crowd.stage
    with crowd.at_work() as load:
        with Newcomers(stage, threads=2) as newcomers:
            crowd.wait_for(load, is_served)
            wait_until(lambda: newcomers.inside and newcomers.outside)
            store.take_away()
            crowd.wait_for(load, is_refused)
            page = stage.ask(crowd.people["ann"])
            assert (page.status, page.header("Retry-After")) == (503, "5")
            assert page.all_headers("Set-Cookie") == []
            store.bring_back()
            crowd.wait_for(load, is_served)
            known = len(newcomers.inside), len(newcomers.outside)
            wait_until(lambda: len(newcomers.inside) > known[0] and len(newcomers.outside) > known[1])
        report = load.stop()

    # Everybody was served or put off, as themselves, and nobody was sent to sign in.
    for login, answers in zip(PEOPLE, crowd.of_people(report), strict=True):
        assert answers.keys() <= {(200, login), (503, None)}, report.oddities
    for answers in crowd.of_strangers(report):
        assert {status for status, _ in answers} <= {303, 503}, answers
    assert {user_of(stage.ask(jar)) for jar in newcomers.inside} == {"eve"}
    # The last of them left a moment ago, and a worker that had just read the session may not have heard of it.
    sleep_until(time.time() + 3 * SYNC)
    assert {user_of(stage.ask(jar)) for jar in newcomers.outside} == {None}
    assert newcomers.others.keys() <= {"sign-in 503", "sign-out 503"}
    assert len(stage.provider.events(crowd.client, "refresh_granted")) >= len(PEOPLE)
    assert stage.provider.events(crowd.client, "refresh_refused") == []
    for login, jar in crowd.people.items():
        assert stage.users(jar) == {login}
    assert stage.users(crowd.signed_out) == {None}
