"""How often PostgreSQL is asked, as its own log counts: what begins and ends a transaction is a round trip, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.hosts.processes import ROOT
from tests.support.providers.standin import StandIn
from tests.support.stores.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

#: The first column of the table in docs/stores.rst.
READ, KNOWN, NEW = "a request after ``revocation_sync``", "a sign-in", "a first sign-in"
MODES = {
    "a directory": ["directory"],
    "sessions": ["session"],
    "both": ["directory", "session"],
}


def documented() -> dict[str, list[int]]:
    """Of each row of the table the numbers of today, a column for each of ``MODES``."""
    text = (ROOT / "docs/stores.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^(\S.*?)  +[0-9 to]+  +(\d+)  +(\d+)  +(\d+)$", text, re.MULTILINE)
    return {name: list(map(int, numbers)) for name, *numbers in rows}


class Counted:
    """An application whose database logs every statement."""

    def __init__(
        self, server: PostgresServer, site: Guarded, provider: StandIn, clocks: ShiftedClocks
    ) -> None:
        self._server = server
        self.site = site
        self.provider = provider
        self.clocks = clocks

    def count(self, act: Callable[[], object]) -> int:
        before = len(self._server.statements())
        act()
        return len(self._server.statements()) - before


@contextmanager
def counted(server: PostgresServer, keys: list[str]) -> Iterator[Counted]:
    url, clocks = server.new_database(), ShiftedClocks()
    server.psql(f"ALTER DATABASE {url.partition('?')[0].rpartition('/')[2]} SET log_statement = 'all'")
    with (
        StandIn(client_id="app", sends_iss=True, sid="sid-1") as provider,
        guarded(issuer=provider.issuer, clocks=clocks.clocks, **dict.fromkeys(keys, url)) as site,
    ):
        signed_in(site)
        yield Counted(server, site, provider, clocks)


@pytest.mark.parametrize("mode", MODES)
def test_what_a_request_and_a_sign_in_cost(mode: str, postgres_server: PostgresServer) -> None:
    column = list(MODES).index(mode)
    with counted(postgres_server, MODES[mode]) as app:
        browser = signed_in(app.site)
        assert app.count(lambda: is_signed_in(browser, app.site)) == 0
        app.clocks.ahead += 60
        assert app.count(lambda: is_signed_in(browser, app.site)) == documented()[READ][column]
        # One write in 64 removes what has expired as well.
        known = min(app.count(lambda: signed_in(app.site)) for _ in range(3))
        assert known == documented()[KNOWN][column]
        news = []
        for number in range(3):
            app.provider.claims["sub"] = app.provider.userinfo["sub"] = f"new-{number}"
            app.provider.userinfo["preferred_username"] = f"new-{number}"
            news.append(app.count(lambda: signed_in(app.site)))
        assert min(news) == documented()[NEW][column]
