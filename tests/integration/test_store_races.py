"""Many threads in several processes on one session store, all at the same moment, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.stores import directory_worker as worker
from tests.support.stores.database import Rows
from tests.support.stores.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

pytestmark = pytest.mark.integration

SESSION = Record(version=1, data="", summary="", seen=1, expires=worker.LATER, lease=0)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def store(url: str) -> SqlStore:
    return SqlStore(Database(Secret.literal(url)), app=worker.APP)


def test_of_a_hundred_replacements_of_one_session_exactly_one_counts(url: str, store: SqlStore) -> None:
    store.add("session", SESSION, indexes=["user:1"])
    assert sorted(worker.race(worker.same_session, url)) == [False] * 99 + [True]
    record = store.read("session")
    assert record is not None
    assert (record.version, record.seen) == (2, worker.LATER)
    assert record.data.count("-") == 1


@pytest.mark.requirement("3c.16")
def test_a_session_that_one_of_a_hundred_ends_stays_ended(url: str, store: SqlStore) -> None:
    store.add("session", SESSION, indexes=["user:1"])
    assert worker.race(worker.same_session_and_its_end, url) == [None] * 100
    assert (store.read("session"), store.find("user:1"), list(store.all())) == (None, [], [])
    rows = Rows(url)
    assert (rows.count("sessions"), rows.count("session_indexes")) == (0, 0)
    rows.close()


@pytest.mark.requirement("3l.4")
def test_of_a_hundred_uses_of_one_name_exactly_one_is_the_first(url: str) -> None:
    assert sorted(worker.race(worker.same_name_used, url)) == [False] * 99 + [True]


def test_a_reader_during_the_revocations_misses_none(url: str, store: SqlStore) -> None:
    workers = worker.Workers(worker.many_revocations, url, threads=20)
    workers.go()
    seen: dict[str, int] = {}
    last, done = 0, False
    while not done:
        done = not workers.running()
        for revocation in store.revocations(last):
            last = revocation.row
            seen[revocation.name] = revocation.moment
    assert workers.results() == [None] * 40
    assert seen == {f"user:{w}-{t}-{n}": n for w in range(2) for t in range(20) for n in range(10)}


def test_purging_in_all_threads_at_once_disturbs_nobody(url: str, store: SqlStore) -> None:
    assert worker.race(worker.many_sessions, url) == [True] * 100
    assert len(store.find("kept")) == 100
    rows = Rows(url)
    assert rows.count("sessions") < 2000
    assert rows.count("sessions") == rows.count("session_indexes")
    rows.close()


def test_purging_used_names_in_all_threads_at_once_disturbs_nobody(url: str, store: SqlStore) -> None:
    assert store.read("none") is None
    assert worker.race(worker.many_names_used, url) == [True] * 100
    rows = Rows(url)
    assert rows.count("used_attempts") < 2000
    rows.close()
