"""Servers that hang instead of dying: whoever asks them is refused in seconds, and nobody else waits."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.breaker import PAUSE
from oauth2_mw.sql.engine import CONNECT_WAIT, STATEMENT_WAIT
from tests.support.browser.cookie_jar import CookieJar
from tests.support.browser.page import Page
from tests.support.hosts.deployment import Deploy
from tests.support.hosts.servers import MakeSite
from tests.support.hosts.stage import Stage, wait_until
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.stores.pgbouncer import PgBouncer, pgbouncer, pooled_url
from tests.support.stores.postgres import PostgresServer, postgres_server
from tests.support.stores.redis_servers import RedisServer

__all__ = ["pgbouncer", "pooled_url", "postgres_server"]

#: Seconds that a busy machine may add; less than a store is waited for.
SLACK = 2.0


Send = Callable[[signal.Signals], None]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, Send]]:
    with RedisServer(tmp_path) as server:
        yield server.url, server.signal
        server.signal(signal.SIGCONT)


@pytest.fixture
def pooler(pgbouncer: PgBouncer, pooled_url: str) -> Iterator[tuple[str, Send]]:
    yield pooled_url, pgbouncer.signal
    pgbouncer.signal(signal.SIGCONT)


@pytest.fixture
def behind_a_pooler(postgres_server: PostgresServer, pooled_url: str) -> Iterator[tuple[str, Send]]:
    yield pooled_url, postgres_server.signal
    postgres_server.signal(signal.SIGCONT)


@pytest.fixture
def postgresql(postgres_server: PostgresServer) -> Iterator[tuple[str, Send]]:
    yield postgres_server.new_database(), postgres_server.signal
    postgres_server.signal(signal.SIGCONT)


def timed(ask: Callable[[], Page]) -> tuple[int, float]:
    """The status of the answer, and the seconds that it took."""
    began = time.monotonic()
    return ask().status, time.monotonic() - began


def at_once(stage: Stage, jars: list[CookieJar]) -> Iterator[tuple[int, float]]:
    """What each of them is answered when all of them ask at once."""
    with ThreadPoolExecutor(len(jars)) as pool:
        yield from pool.map(lambda jar: timed(lambda: stage.ask(jar)), jars)


def stage_of(
    settings: dict[str, Any], provider: OidcProvider, make_site: MakeSite, deploy: Deploy
) -> tuple[Stage, list[CookieJar]]:
    """One worker with threads, and four people."""
    site = make_site()
    client = provider.register([site.redirect_uri])
    settings = {**provider.settings(client), "revocation_sync": "1s", "public_paths": "/open/", **settings}
    stage = Stage(deploy(site, settings, hosts=1, workers=1, threads=8), provider)
    return stage, [stage.sign_in(f"person-{number}").jar for number in range(4)]


@pytest.mark.requirement("R-deadline")
@pytest.mark.parametrize("kind", ["postgresql", "redis", "pooler", "behind_a_pooler"])
def test_a_store_that_hangs_is_given_up_in_seconds_and_then_refuses_at_once(
    kind: str,
    request: pytest.FixtureRequest,
    oidc_provider: OidcProvider,
    make_site: MakeSite,
    deploy: Deploy,
) -> None:
    url, send = request.getfixturevalue(kind)
    stage, people = stage_of({"session": url}, oidc_provider, make_site, deploy)
    assert [status for status, _ in at_once(stage, people)] == [200] * 4
    send(signal.SIGSTOP)
    time.sleep(1.2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(at_once(stage, people)))
        # Nobody waits behind them who needs no store.
        while not waiting.done():
            status, seconds = timed(lambda: stage.ask(CookieJar(), stage.site.url("/open/")))
            assert (status, seconds < 0.2 + SLACK) == (200, True)
            time.sleep(0.1)
    for status, seconds in waiting.result():
        assert (status, seconds < CONNECT_WAIT + STATEMENT_WAIT + SLACK) == (503, True)
    for status, seconds in at_once(stage, people):
        assert (status, seconds < SLACK) == (503, True)
    # One tries, unless the thread that looks for other hosts has just done so, and the others do not wait for it.
    time.sleep(PAUSE)
    tries = sorted(seconds for _, seconds in at_once(stage, people))
    assert tries[2] < SLACK
    assert tries[3] < CONNECT_WAIT + STATEMENT_WAIT + SLACK
    send(signal.SIGCONT)
    wait_until(lambda: {stage.ask(jar).status for jar in people} == {200})


@pytest.mark.requirement("R-deadline")
def test_a_directory_that_hangs_delays_one_request_and_no_sign_out(
    postgresql: tuple[str, Send], oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy
) -> None:
    url, send = postgresql
    stage, people = stage_of({"directory": url}, oidc_provider, make_site, deploy)
    leaving = stage.sign_in("leaving")
    copy = leaving.jar.copy()
    send(signal.SIGSTOP)
    time.sleep(1.2)
    # One looks for what is new, unless that thread already does, and the others go on with what is known.
    answers = sorted(at_once(stage, people), key=lambda answer: answer[1])
    assert [status for status, _ in answers] == [200] * 4
    assert answers[2][1] < SLACK
    assert answers[3][1] < CONNECT_WAIT + STATEMENT_WAIT + SLACK
    # What reads, what writes and the list share what they know of the server.
    status, seconds = timed(lambda: stage.sign_out(leaving))
    assert (status, seconds < SLACK) == (200, True)
    send(signal.SIGCONT)
    wait_until(lambda: stage.ask(copy).status == 303)
