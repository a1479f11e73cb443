"""PostgreSQL on several hosts, and the connections that a server gives: with a real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oauth2_mw.cli.online.stores import check_stores
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.directory import Directory
from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database, DatabaseAdministration
from tests.support.hosts.processes import ROOT
from tests.support.settings.minimal import make_settings, oidc
from tests.support.settings.people import ISSUER, NOW, attributes, provider
from tests.support.stores.directory_worker import LATER
from tests.support.stores.postgres import PostgresServer, postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


def test_the_one_that_can_be_written_is_found(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """The first host is away, and the second is the server."""
    url = postgres_server.new_database()
    name, _, folder = url.removeprefix("postgresql://postgres:@/").partition("?host=")
    several = f"postgresql://postgres@/{name}?host={tmp_path}&host={folder}"
    assert not DatabaseAdministration(Database(Secret.literal(several))).schema_state().is_newest
    with Database(Secret.literal(several)).writing():
        pass
    assert DatabaseAdministration(Database(Secret.literal(several))).schema_state().is_newest


def test_a_database_that_takes_no_writes_is_passed_over(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    name, _, folder = url.removeprefix("postgresql://postgres:@/").partition("?host=")
    postgres_server.psql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    several = f"postgresql://postgres@/{name}?host={folder}&host={folder}"
    with pytest.raises(StoreUnavailableError, match="read-only"):
        Database(Secret.literal(several)).check()


def test_the_server_says_how_many_connections_it_gives(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    assert DatabaseAdministration(Database(Secret.literal(url))).most_connections() == 100 - 3
    name = url.removeprefix("postgresql://postgres:@/").partition("?")[0]
    postgres_server.psql(f"ALTER DATABASE {name} CONNECTION LIMIT 20")
    assert DatabaseAdministration(Database(Secret.literal(url))).most_connections() == 20
    postgres_server.psql(f"CREATE ROLE app_{name} LOGIN CONNECTION LIMIT 8")
    assert (
        DatabaseAdministration(
            Database(Secret.literal(url.replace("postgres:@", f"app_{name}:@")))
        ).most_connections()
        == 8
    )


def test_check_counts_the_pool_against_the_server(postgres_server: PostgresServer, postgres_url: str) -> None:
    def found(url: str) -> list[str]:
        return [
            f"{each.result} {each.says}"
            for each in check_stores(make_settings(**oidc(), directory=url))
            if "connections" in each.says
        ]

    assert found(postgres_url) == [
        "ok a process opens at most 10 connections, and the server gives us 97: enough for 9 processes"
    ]
    assert found(f"{postgres_url}&pool_size=60&max_overflow=40") == [
        "warning a process opens at most 100 connections, and the server gives us 97: too few for one process"
    ]


def test_the_rights_that_the_page_on_stores_names_suffice(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.removeprefix("postgresql://postgres:@/").partition("?")[0]
    text = (ROOT / "docs/stores.rst").read_text(encoding="utf-8")
    grants = re.findall(r"^    (GRANT .*) TO (\w+);$", text, re.MULTILINE)
    assert [role for _, role in grants] == ["oauth2", "oauth2_app", "oauth2_app"]
    for role in ("oauth2", "oauth2_app"):
        postgres_server.psql(f"CREATE ROLE {role}_{name} LOGIN")
        for grant in (grant for grant, to in grants if to == role):
            postgres_server.psql(f"{grant} TO {role}_{name}", database=name)
        # The second one finds the tables that the first has made.
        there = Secret.literal(postgres_url.replace("postgres:@", f"{role}_{name}:@"))
        directory = Directory(there)
        person = directory.record_sign_in(
            provider(), ISSUER, "1", attributes(username="jane"), create=True, now=NOW
        )
        for disabled in (True, False):
            assert directory.set_disabled(person.id, disabled=disabled, now=NOW)
        store = SqlStore(Database(there), app="https://app.example")
        store.add(role, Record(1, "", "", NOW, LATER, 0), indexes=["user:1"])
        store.revoke("user:1", moment=NOW, expires=LATER)
        assert store.first_use(role, expires=LATER)
        assert store.delete(role)


@pytest.mark.parametrize("name", ["users", "schema"])
def test_tables_of_another_application_that_have_our_names_are_left_as_they_are(
    postgres_server: PostgresServer, postgres_url: str, name: str
) -> None:
    database = postgres_url.removeprefix("postgresql://postgres:@/").partition("?")[0]
    postgres_server.psql(f"CREATE TABLE oauth2_mw_{name} AS SELECT 'kept' AS precious", database=database)
    with pytest.raises(StoreUnavailableError, match="are not ours or not whole: name another database"):
        Database(Secret.literal(postgres_url)).check()
    assert postgres_server.psql(f"SELECT * FROM oauth2_mw_{name}", database=database) == "kept"  # noqa: S608
    assert (
        postgres_server.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database=database)
        == "1"
    )
