"""How often PostgreSQL is asked, as its own log counts: what begins and ends a transaction is a round trip, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from oauth2_mw.identity.administration import Administration
from oauth2_mw.identity.directory import Directory
from oauth2_mw.sql.purge import Purge
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.hosts.processes import ROOT
from tests.support.providers.standin import StandIn
from tests.support.settings.people import NOW
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

    def becomes(self, subject: str, **claims: object) -> None:
        """Let the provider speak of another person."""
        self.provider.claims["sub"] = subject
        self.provider.userinfo |= {"sub": subject, "preferred_username": subject, **claims}


@contextmanager
def counted(server: PostgresServer, keys: list[str], **settings: str) -> Iterator[Counted]:
    url, clocks = server.new_database(), ShiftedClocks()
    server.psql(f"ALTER DATABASE {url.partition('?')[0].rpartition('/')[2]} SET log_statement = 'all'")
    with (
        StandIn(client_id="app", sends_iss=True, sid="sid-1") as provider,
        guarded(issuer=provider.issuer, clocks=clocks.clocks, **dict.fromkeys(keys, url), **settings) as site,
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
            app.becomes(f"new-{number}")
            news.append(app.count(lambda: signed_in(app.site)))
        assert min(news) == documented()[NEW][column]


#: What a sign-in may cost with a directory and sessions in one database.
MOST = 6
MAP = '{"username": "preferred_username", "name": "name", "email": "email", "groups": "groups"}'


def test_whoever_signs_in_costs_no_more(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One write in 64 removes what has expired as well.
    monkeypatch.setattr(Purge, "is_due", lambda _: False)
    settings = {
        "attribute_map": MAP,
        "group_sync": "always",
        "organization": "staff guests",
        "personal_tokens": "/dav/",
    }
    with counted(postgres_server, MODES["both"], **settings) as app:
        people: dict[str, dict[str, object]] = {
            "groups": {"groups": ["a", "b"]},
            "address": {"email": "a@corp.example", "email_verified": True},
            "no-name": {"name": None, "email": None},
            "\u0448": {},
        }
        for name, claims in people.items():
            app.becomes(name, **claims)
            # The first sign-in, and a later one.
            assert app.count(lambda: signed_in(app.site)) == MOST
            assert app.count(lambda: signed_in(app.site)) == MOST
            app.becomes(name, name="Another", email="b@corp.example", groups=["b", "c"])
            assert app.count(lambda: signed_in(app.site)) == MOST


def test_after_a_deletion_a_first_sign_in_costs_no_more(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Purge, "is_due", lambda _: False)
    with counted(postgres_server, MODES["both"]) as app:
        assert app.site.settings.directory is not None
        directory = Directory(app.site.settings.directory)
        [user] = directory.users()
        assert Administration(directory).delete(user.id, now=NOW)
        app.becomes("joan")
        assert app.count(lambda: signed_in(app.site)) == MOST
