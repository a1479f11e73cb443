"""The user directory on a real PostgreSQL server."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.directory import Directory
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.contracts.directory import DirectoryContract, directory, nothing_written, rows, sign_in
from tests.support.hosts.processes import ROOT, child_environment
from tests.support.settings.people import ISSUER, NOW
from tests.support.stores.postgres import PostgresServer, postgres_server, postgres_url

__all__ = ["directory", "nothing_written", "postgres_server", "postgres_url", "rows"]

pytestmark = pytest.mark.integration


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


class TestOnPostgreSQL(DirectoryContract):
    def reads_everything(self, plan: str) -> bool:
        return "Seq Scan on" in plan


def test_a_server_that_crashed_is_a_refusal_and_its_return_is_noticed(
    directory: Directory, postgres_server: PostgresServer
) -> None:
    assert sign_in(directory, "before", "jane").created
    postgres_server.stop()
    try:
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="check that the server runs"):
                sign_in(directory, "meanwhile", "joan")
    finally:
        postgres_server.start()
    assert not sign_in(directory, "before", "jane").created
    assert sign_in(directory, "meanwhile", "joan").created


def test_a_crash_in_the_middle_of_a_transaction_leaves_nothing_of_it(
    directory: Directory, url: str, postgres_server: PostgresServer
) -> None:
    db = Database(Secret.literal(url))
    row = {"attempt_id": "half", "expires": NOW}
    try:
        with pytest.raises(StoreUnavailableError), db.writing() as connection:
            assert db.insert_new(connection, db.tables.used_attempts, row)
            postgres_server.stop()
    finally:
        postgres_server.start()
    again = directory.database
    with again.writing() as connection:
        assert again.insert_new(connection, again.tables.used_attempts, row)


def test_connections_that_the_server_closed_cost_no_request(
    directory: Directory, postgres_server: PostgresServer
) -> None:
    assert directory.find(ISSUER, "1") is None
    postgres_server.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oauth2_mw'"
    )
    assert directory.find(ISSUER, "1") is None


def test_a_role_that_may_not_create_tables_is_told_so(url: str, postgres_server: PostgresServer) -> None:
    postgres_server.psql("CREATE ROLE visitor LOGIN")
    try:
        with pytest.raises(
            StoreUnavailableError, match=r"permission denied for schema public; .* create our tables"
        ):
            Directory(Secret.literal(url.replace("postgres:@", "visitor:@"))).find(ISSUER, "1")
    finally:
        postgres_server.psql("DROP ROLE visitor")


def test_a_missing_database_is_named(url: str) -> None:
    with pytest.raises(StoreUnavailableError, match='database "missing" does not exist'):
        Directory(Secret.literal(re.sub(r"test_[0-9]+", "missing", url))).find(ISSUER, "1")


@pytest.mark.requirement("3l.8")
def test_children_of_a_process_that_used_the_directory_open_their_own_connections(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tests.support.stores.directory_forking"],
        env=child_environment({"DIRECTORY_URL": url}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0]\n", "")
