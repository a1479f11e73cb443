"""Sessions in a real PostgreSQL server."""

from __future__ import annotations

import re
import threading

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.record import EXPIRY_GRACE, namespace
from oauth2_mw.session.stores.sql import PAGE, SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from oauth2_mw.sql.purge import PURGE_EVERY
from oauth2_mw.sql.revocations import RevocationTable
from tests.support.clock import Clock
from tests.support.contracts.form_store import FormStoreContract
from tests.support.contracts.sql_store import SqlStoreContract, make_store, rows, sql
from tests.support.contracts.store import APP, clock, everything, fails_everywhere, next_of, record, store
from tests.support.stores.database import Rows
from tests.support.stores.postgres import PostgresServer, postgres_server, postgres_url

__all__ = ["clock", "make_store", "postgres_server", "postgres_url", "rows", "sql", "store"]


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def url_without_tables(postgres_url: str) -> str:
    return postgres_url


class TestOnPostgreSQL(SqlStoreContract, FormStoreContract):
    def take_any_value(self, rows: Rows) -> None:
        for table, columns in (("sessions", "version data summary seen lease"), ("revocations", "kind")):
            for column in columns.split():
                rows.run(f"ALTER TABLE oauth2_mw_{table} ALTER COLUMN {column} DROP NOT NULL")

    def reads_everything(self, plan: str) -> bool:
        return "Seq Scan on" in plan


def test_a_server_that_crashed_is_a_refusal_everywhere_and_its_return_is_noticed(
    sql: SqlStore, clock: Clock, postgres_server: PostgresServer
) -> None:
    sql.add("k", record(clock), indexes=["user:1"])
    sql.revoke("user:1", moment=5, expires=int(clock.now) + 60)
    postgres_server.stop()
    try:
        for detail in fails_everywhere(sql, clock):
            assert "check that the server runs" in detail
    finally:
        postgres_server.start()
    assert sql.read("k") == record(clock)
    assert [key for key, _ in sql.find("user:1")] == ["k"]
    assert sql.revoked("user:1") == 5
    assert sql.replace("k", next_of(record(clock)))


def test_a_crash_in_the_middle_of_a_listing_is_a_refusal(
    sql: SqlStore, clock: Clock, postgres_server: PostgresServer
) -> None:
    for number in range(PAGE + 1):
        sql.add(f"k{number}", record(clock), indexes=[])
    listing = sql.all()
    next(listing)
    postgres_server.stop()
    try:
        with pytest.raises(StoreUnavailableError, match="check that the server runs"):
            list(listing)
    finally:
        postgres_server.start()
    assert len(everything(sql)) == PAGE + 1


def test_a_database_that_comes_back_empty_is_set_up_anew(
    sql: SqlStore, clock: Clock, url: str, postgres_server: PostgresServer
) -> None:
    sql.add("k", record(clock), indexes=[])
    name = re.findall(r"test_[0-9]+", url)[0]
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE)")
    for detail in fails_everywhere(sql, clock):
        assert f'database "{name}" does not exist' in detail
    postgres_server.psql(f"CREATE DATABASE {name}")
    assert sql.read("k") is None
    sql.add("k", record(clock), indexes=[])
    assert sql.read("k") == record(clock)


def test_a_server_that_can_only_be_read_refuses_every_write_until_it_can_be_written(
    sql: SqlStore, clock: Clock, url: str, postgres_server: PostgresServer
) -> None:
    sql.add("k", record(clock), indexes=[])
    name, now = re.findall(r"test_[0-9]+", url)[0], int(clock.now)
    postgres_server.psql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres_server.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oauth2_mw'"
    )
    for write in (
        lambda: sql.touch("k", seen=now + 5, expires=now + 65),
        lambda: sql.replace("k", next_of(record(clock))),
        lambda: sql.delete("k"),
        lambda: sql.revoke("user:1", moment=now, expires=now + 60),
        lambda: sql.first_use("jti:1", expires=now + 60),
    ):
        with pytest.raises(StoreUnavailableError, match="read-only transaction"):
            write()
    assert sql.read("k") == record(clock)
    # Nobody closes the connections: as after a failover to a server that was a copy.
    postgres_server.psql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    with pytest.raises(StoreUnavailableError, match="read-only transaction"):
        sql.delete("k")
    assert sql.delete("k")


def test_a_revocation_waits_for_one_whose_row_is_not_yet_committed(
    sql: SqlStore, clock: Clock, url: str, postgres_server: PostgresServer
) -> None:
    # Otherwise its higher row could be read first, and the lower one would never be asked for.
    slow, later = Database(Secret.literal(url)), int(clock.now) + 60
    fast = threading.Thread(target=lambda: sql.revoke("user:fast", moment=5, expires=later))
    with slow.writing() as connection:
        RevocationTable(slow, grace=EXPIRY_GRACE).add(
            connection, "user:slow", app=namespace(APP), moment=5, expires=later, now=later
        )
        fast.start()
        while postgres_server.psql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0":
            assert fast.is_alive()
        assert sql.revocations(0) == []
    fast.join()
    assert [one.name for one in sql.revocations(0)] == ["user:slow", "user:fast"]


def test_reading_waits_for_nobody_who_writes(sql: SqlStore, clock: Clock, url: str) -> None:
    sql.add("k", record(clock), indexes=["user:1"])
    slow = Database(Secret.literal(url))
    with slow.writing() as connection:
        connection.exec_driver_sql("UPDATE oauth2_mw_sessions SET version = 7")
        assert sql.read("k") == record(clock)
        assert sql.touch("k", seen=int(clock.now) + 5, expires=0, step=10) == record(clock)
        assert sql.find("user:1") == [("k", record(clock))]


def test_a_purge_does_not_wait_for_a_session_that_another_is_removing(
    sql: SqlStore, clock: Clock, url: str
) -> None:
    sql.add("old", record(clock, expires=1), indexes=[])
    with Database(Secret.literal(url)).writing() as connection:
        connection.exec_driver_sql("DELETE FROM oauth2_mw_sessions")
        for number in range(PURGE_EVERY):
            sql.add(f"new-{number}", record(clock), indexes=[])


def test_a_read_opens_no_transaction(url: str) -> None:
    with Database(Secret.literal(url)).reading() as connection:
        # The time at which a transaction began.
        times = [connection.exec_driver_sql("SELECT now()").scalar_one() for _ in range(2)]
    assert times[0] < times[1]


def test_a_server_without_an_encoding_serves_and_octets_that_are_no_text_are_a_refusal(
    url: str, clock: Clock, postgres_server: PostgresServer
) -> None:
    postgres_server.psql("DROP DATABASE IF EXISTS plain")
    postgres_server.psql("CREATE DATABASE plain ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    there = Secret.literal(re.sub(r"test_[0-9]+", "plain", url))
    sql = SqlStore(Database(there), app=APP, clock=clock)
    sql.add("k", record(clock), indexes=[])
    assert sql.read("k") == record(clock)
    with Database(there).writing() as connection:
        connection.exec_driver_sql(r"UPDATE oauth2_mw_sessions SET data = E'\xff'")
    with pytest.raises(StoreUnavailableError):
        sql.read("k")
    assert sql.delete("k")
