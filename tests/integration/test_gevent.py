"""Gunicorn's gevent workers: one thread serves many requests, and whoever waits must let the others go on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import children_of
from tests.support.hosts.load import Load, Profile
from tests.support.hosts.servers import MakeSite, Serve
from tests.support.hosts.stage import wait_until
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.stores.postgres import PostgresServer, postgres_server
from tests.support.stores.session_stores import in_redis

__all__ = ["postgres_server"]


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the workers share: the directory, or the session store."""
    with ExitStack() as stack:
        if request.param == "redis":
            yield {"session": stack.enter_context(in_redis(tmp_path)).url}
        elif request.param == "sqlite":
            yield {"directory": f"sqlite:///{tmp_path}/users.db"}
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            yield {"directory": server.new_database()}


@pytest.mark.parametrize("preload", ["", "--preload"])
def test_simultaneous_requests_to_gevent_workers_are_all_served(
    preload: str, shared: dict[str, str], oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve
) -> None:
    site = make_site()
    client = oidc_provider.register([site.redirect_uri])
    settings = {**oidc_provider.settings(client), **shared, "revocation_sync": "1s"}
    app = serve(site, settings, env={"GUNICORN_CMD_ARGS": f"-k gevent {preload}"})
    people = []
    for login in ("jane", "zoë"):
        browser = Browser()
        browser.navigate(app.url("/"))
        assert oidc_provider.sign_in(browser, login).json()["user"] == login
        people.append(Profile(browser.jar, [app.url("/")]))
    old = set(children_of(app.process.pid))
    os.kill(app.process.pid, signal.SIGHUP)
    # Workers that have served nobody yet: their first requests all wait for what they share.
    app.process.wait_until(lambda: len(set(children_of(app.process.pid)) - old) == len(old) == 2)
    app.process.wait_until(lambda: not set(children_of(app.process.pid)) & old)
    # Longer than revocation_sync: every worker reads what it shares again, in the middle of other requests.
    with Load([people], threads=24, rounds=40, pause=0.05) as load:
        load.go()
        wait_until(lambda: load.report().answers.total() == 960)
        report = load.stop()
    assert report.of_profile == [Counter({(200, "jane"): 480}), Counter({(200, "zoë"): 480})]
    assert len(report.pids) == 2
