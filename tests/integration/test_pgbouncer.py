"""pgbouncer in transaction mode: sessions and directory behind it, with far more clients than it has connections."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from oauth2_mw.identity.directory import Directory
from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database, DatabaseAdministration
from oauth2_mw.sql.engine import CONNECT_WAIT, LOCK_WAIT
from tests.support.hosts.deployment import Deploy
from tests.support.hosts.servers import MakeSite
from tests.support.hosts.stage import Stage, wait_until
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.settings.people import ISSUER, NOW, attributes, provider
from tests.support.stores import directory_worker as worker
from tests.support.stores.database import Rows
from tests.support.stores.pgbouncer import POOL, PgBouncer, pgbouncer, pooled_url
from tests.support.stores.postgres import PostgresServer, postgres_server

__all__ = ["pgbouncer", "pooled_url", "postgres_server"]

SESSION = Record(version=1, data="", summary="", seen=1, expires=worker.LATER, lease=0)
#: What belongs to a connection rather than to a transaction: the next transaction runs on another one.
OF_A_CONNECTION = re.compile(
    r"SET (?!LOCAL|TRANSACTION)|RESET|LISTEN|UNLISTEN|PREPARE|DEALLOCATE|DISCARD|DECLARE .* WITH HOLD|LOAD"
    r"|CREATE (?:GLOBAL |LOCAL )?TEMP|.*pg_(?:try_)?advisory_lock|.*set_config\([^)]*false",
    re.IGNORECASE,
)
# pgbouncer itself hands on what a client said when it connected.
HANDED_ON = re.compile(
    r"SET (?:application_name|client_encoding|DateStyle|TimeZone|standard_conforming_strings)="
)


def sign_in(url: str, subject: str = "1") -> str:
    """The id of the user who signs in."""
    directory = Directory(Secret.literal(url))
    wanted = attributes(f"user-{subject}", groups=("a", "b"))
    return directory.record_sign_in(provider(), ISSUER, subject, wanted, create=True, now=NOW).id


class TestRaces:
    """A hundred threads in two processes, each with connections of its own to pgbouncer."""

    def test_all_may_open_an_empty_database_at_once(self, pooled_url: str) -> None:
        assert worker.race(worker.open_anew, pooled_url) == [True] * 100

    def test_one_person_becomes_one_user(self, pooled_url: str) -> None:
        users = worker.race(worker.same_user, pooled_url)
        assert len({user for user, _ in users}) == 1
        assert sorted(created for _, created in users) == [False] * 99 + [True]

    def test_a_session_that_one_ends_stays_ended(self, pooled_url: str) -> None:
        store = SqlStore(Database(Secret.literal(pooled_url)), app=worker.APP)
        store.add("session", SESSION, indexes=["user:1"])
        assert worker.race(worker.same_session_and_its_end, pooled_url) == [None] * 100
        assert (store.read("session"), store.find("user:1")) == (None, [])

    def test_a_reader_during_the_revocations_misses_none(self, pooled_url: str) -> None:
        store = SqlStore(Database(Secret.literal(pooled_url)), app=worker.APP)
        workers = worker.Workers(worker.many_revocations, pooled_url, threads=20)
        workers.go()
        seen, last, done = [], 0, False
        while not done:
            done = not workers.running()
            for revocation in store.revocations(last):
                last = revocation.row
                seen.append(revocation.name)
        assert workers.results() == [None] * 40
        assert sorted(seen) == sorted(
            f"user:{w}-{t}-{n}" for w in range(2) for t in range(20) for n in range(10)
        )


@pytest.mark.requirement("R-deadline")
def test_nothing_that_is_asked_belongs_to_a_connection(
    pgbouncer: PgBouncer, postgres_server: PostgresServer
) -> None:
    url = postgres_server.new_database()
    name = url.removeprefix("postgresql://postgres:@/").partition("?")[0]
    postgres_server.psql(f"ALTER DATABASE {name} SET log_statement = 'all'")
    before = len(postgres_server.statements())
    pooled = pgbouncer.through(url)
    database = Database(Secret.literal(pooled))
    assert DatabaseAdministration(database).migrate().version == 0
    for subject in ("1", "2"):
        sign_in(pooled, subject)
    store = SqlStore(database, app=worker.APP)
    store.add("session", SESSION, indexes=["user:1"])
    store.revoke("user:1", moment=5, expires=worker.LATER)
    store.replace("session", Record(2, "x", "", 2, worker.LATER, 0))
    assert store.first_use("jti:1", expires=worker.LATER)
    assert store.revocations(0)
    asked = postgres_server.statements()[before:]
    assert any("SET LOCAL" in statement for statement in asked)
    assert any("pg_advisory_xact_lock" in statement for statement in asked)
    wrong = [text for text in asked if OF_A_CONNECTION.match(text) and not HANDED_ON.match(text)]
    assert wrong == []


def test_a_time_limit_of_one_is_not_the_next_ones(pooled_url: str) -> None:
    """All connections of pgbouncer in turn, after transactions that set limits for themselves."""
    sign_in(pooled_url)
    plain = [Rows(pooled_url) for _ in range(POOL)]
    with ExitStack() as stack:
        for rows in plain:
            stack.callback(rows.close)
        # Each in a transaction of its own at the same time, so that each has another connection of the server.
        open_ones = [stack.enter_context(rows.engine.connect()) for rows in plain]
        ids = {one.execute(sa.text("SELECT pg_backend_pid()")).scalar_one() for one in open_ones}
        assert len(ids) == POOL
        for one in open_ones:
            names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
            assert [one.execute(sa.text(f"SHOW {name}")).scalar_one() for name in names] == ["0"] * 3
            for kept in ("pg_prepared_statements", "pg_listening_channels()", "pg_cursors"):
                assert one.execute(sa.text(f"SELECT count(*) FROM {kept}")).scalar_one() == 0  # noqa: S608


@pytest.fixture
def stage(
    pooled_url: str, oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy
) -> Iterator[Stage]:
    """Two workers with threads, whose sessions and people are behind pgbouncer."""
    site = make_site()
    client = oidc_provider.register([site.redirect_uri])
    settings = {**oidc_provider.settings(client), "revocation_sync": "1s"}
    stores = {"session": pooled_url, "directory": pooled_url}
    yield Stage(deploy(site, {**settings, **stores}, hosts=1, workers=2, threads=4), oidc_provider)


def test_two_workers_serve_and_a_sign_out_reaches_both(stage: Stage) -> None:
    people = [stage.sign_in(f"person-{number}") for number in range(4)]
    for number, browser in enumerate(people):
        assert stage.users(browser.jar) == {f"person-{number}"}
    copy = people[0].jar.copy()
    assert stage.sign_out(people[0]).status == 303
    wait_until(lambda: stage.users(copy) == {None})
    assert stage.users(people[1].jar) == {"person-1"}


def test_a_pgbouncer_that_was_killed_and_a_server_that_was_are_a_refusal_until_they_are_back(
    stage: Stage, pgbouncer: PgBouncer, postgres_server: PostgresServer
) -> None:
    jar = stage.sign_in("person").jar

    def is_in() -> bool:
        return {page.status for page in stage.pages(jar)} == {200}

    for take_away, bring_back in (
        (pgbouncer.kill, pgbouncer.start),
        (postgres_server.stop, postgres_server.start),
    ):
        assert is_in()
        take_away()
        try:
            wait_until(lambda: stage.ask(jar).status == 503)
            began = time.monotonic()
            assert stage.ask(jar).status == 503
            assert time.monotonic() - began < CONNECT_WAIT + LOCK_WAIT
        finally:
            bring_back()
        wait_until(is_in)
