"""Hosts that share a store and were not set up alike: each says so, and so does ``check --online``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.session.host_watch import FIRST_LOOK, PERIOD, SETTLED
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.browser.cookie_jar import CookieJar
from tests.support.hosts.deployment import Deploy, Deployment
from tests.support.hosts.listening import listening
from tests.support.hosts.processes import ROOT, child_environment
from tests.support.hosts.servers import MakeSite, ini_text
from tests.support.hosts.stage import ask, wait_until
from tests.support.settings.keys import text_key
from tests.support.stores.postgres import PostgresServer, postgres_server
from tests.support.stores.session_stores import in_postgres, in_redis

__all__ = ["postgres_server"]

#: What the second and the third host have otherwise than the first.
OTHERWISE: tuple[dict[str, str], ...] = (
    {},
    {"secret_keys": text_key(1), "revocation_sync": "7s"},
    {"public_url": "http://localhost:9"},
)


@pytest.fixture
def stores(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[dict[str, dict[str, str]]]:
    """Where hosts meet: by its name, the settings that lead there."""
    with ExitStack() as stack:
        redis = stack.enter_context(in_redis(tmp_path))
        postgres = stack.enter_context(in_postgres(postgres_server))
        with Database(Secret.literal(postgres.url)).writing():
            pass
        yield {"redis": {"session": redis.url}, "directory": {"directory": postgres.url}}


def deploy_apart(make_site: MakeSite, deploy: Deploy, **keys: str) -> Deployment:
    """Three hosts, each with settings of its own."""
    site = make_site()
    with listening() as (port, _):
        pass
    settings: dict[str, Any] = {
        "public_url": site.public_url,
        "secret_keys": text_key(),
        "issuer": f"http://127.0.0.1:{port}",
        "client_id": "app",
        "client_secret": "s3cret",
        **keys,
    }
    deployed = deploy(site, settings, hosts=3, workers=1)
    for host, changes in zip(deployed.hosts, OTHERWISE, strict=True):
        if changes:
            host.close()
            host.ini.write_text(ini_text(settings | changes))
            host.restart()
    return deployed


def check_online(ini: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "oauth2_mw.cli", "check", "--online", str(ini)],
        env=child_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_hosts_that_were_not_set_up_alike_say_so(
    stores: dict[str, dict[str, str]], make_site: MakeSite, deploy: Deploy
) -> None:
    deployments = [deploy_apart(make_site, deploy, **keys) for keys in stores.values()]
    for deployed in deployments:
        for host in deployed.hosts:
            assert ask(CookieJar(), host.url("/auth/oauth2/health/")).status == 200

    def is_checked(deployed: Deployment) -> bool:
        report = check_online(deployed.hosts[0].ini)
        return all(
            f"warning  [oauth2_mw] {key}: " in report
            for key in ("secret_keys", "public_url", "revocation_sync")
        )

    def has_said(deployed: Deployment) -> bool:
        one, two, three = (host.log for host in deployed.hosts)
        return (
            "revocation_sync: 7s on " in one
            and "secret_keys: key " in one
            and "public_url: http://localhost:9 on " in one
            and "revocation_sync: 5s on " in two
            and f"public_url: {deployed.site.public_url} on " in three
        )

    for deployed in deployments:
        wait_until(lambda: is_checked(deployed), pause=1)  # noqa: B023  asked at once
    for deployed in deployments:
        wait_until(lambda: has_said(deployed), deadline=FIRST_LOOK + SETTLED + 4 * PERIOD)  # noqa: B023  asked at once
        assert deployed.log.count("event=hosts_differ") <= 3 * 2 * 2
        assert text_key(1) not in deployed.log
