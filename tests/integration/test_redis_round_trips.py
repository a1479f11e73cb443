"""How often Redis is asked, as its ``MONITOR`` counts: a command is a round trip, and one that scripts run is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.client import Monitor

from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.hosts.processes import ROOT
from tests.support.providers.standin import StandIn
from tests.support.stores.redis_servers import RedisServer

pytestmark = pytest.mark.integration

END = "the end"


def documented(name: str) -> int:
    """The number in a row of the table in docs/stores.rst."""
    text = (ROOT / "docs/stores.rst").read_text(encoding="utf-8")
    [number] = re.findall(rf"^{re.escape(name)}  +(\d+)$", text, re.MULTILINE)
    return int(number)


class Counted:
    """An application whose Redis server tells of every command."""

    def __init__(self, server: RedisServer, monitor: Monitor, site: Guarded, clocks: ShiftedClocks) -> None:
        self._client = server.client()
        self._monitor: Any = monitor
        self.site = site
        self.clocks = clocks

    def count(self, act: Callable[[], object]) -> int:
        self._commands()
        act()
        return len(self._commands())

    def _commands(self) -> list[str]:
        self._client.echo(END)
        commands: list[str] = []
        while True:
            told = self._monitor.next_command()
            if told["command"] == f"ECHO {END}":
                return commands
            if told["client_type"] != "lua":
                commands.append(told["command"])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Counted]:
    server, clocks = RedisServer(tmp_path), ShiftedClocks()
    try:
        with (
            StandIn(client_id="app", sends_iss=True, sid="sid-1") as provider,
            guarded(issuer=provider.issuer, clocks=clocks.clocks, session=server.url) as site,
            server.client() as client,
            client.monitor() as monitor,
        ):
            yield Counted(server, monitor, site, clocks)
    finally:
        server.kill()


def test_what_a_request_a_sign_in_and_a_sign_out_cost(app: Counted) -> None:
    # The server learns each script at its first use.
    for _ in range(2):
        browsers = [signed_in(app.site) for _ in range(2)]
        app.clocks.ahead += 60
        assert all(is_signed_in(browser, app.site) for browser in browsers)
        app.clocks.ahead += 600
        assert is_signed_in(browsers[0], app.site)
        browsers[1].navigate(f"{app.site.url}/auth/oauth2/logout/", follow=False)

    one, other = signed_in(app.site), app.site.browser()
    assert app.count(lambda: other.navigate(app.site.url + "/")) == documented("a sign-in") <= 6
    assert app.count(lambda: is_signed_in(one, app.site)) == 0
    app.clocks.ahead += 60
    first = documented("the first request of a worker after ``revocation_sync``")
    assert app.count(lambda: is_signed_in(one, app.site)) == first
    assert app.count(lambda: is_signed_in(other, app.site)) == documented("any other after it") == 1
    # Long enough after the last use for this one to be noted.
    app.clocks.ahead += 600
    assert is_signed_in(one, app.site)
    assert app.count(lambda: is_signed_in(other, app.site)) == documented(
        "one that notes the use of a session"
    )
    assert app.count(
        lambda: other.navigate(f"{app.site.url}/auth/oauth2/logout/", follow=False)
    ) == documented("a sign-out")
    assert not is_signed_in(other, app.site)
