"""``oauth2-mw migrate``: the tables become those of this release, or the SQL is printed that makes them so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oauth2_mw.sql import schema
from tests.support.hosts.operator import Operator

RECORDED = Path(__file__).parents[1] / "recorded" / "database.sql"


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    operator.write_keys(("k1", 0))
    operator.write_ini(directory="sqlite:///users.db", session="sqlite:///users.db")
    return operator


@pytest.fixture
def path(operator: Operator) -> Path:
    """A database that release 0.1.0 wrote."""
    path = operator.folder / "users.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(RECORDED.read_text(encoding="utf-8"))
    return path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def test_it_migrates_once_and_says_what_can_use_the_tables_from_then_on(
    operator: Operator, path: Path
) -> None:
    first, second = operator.run("migrate", operator.ini), operator.run("migrate", operator.ini)
    assert (first.code, second.code) == (0, 0)
    assert first.out == (
        f"directory: migrated from schema 3 to {schema.NEWEST}, which oauth2-mw 0.1.0 and later can use\n"
    )
    assert second.out == "directory: the tables are those of this release; there was nothing to migrate\n"
    assert query(path, "SELECT max(version) FROM oauth2_mw_migrations") == [(schema.NEWEST,)]


def test_a_dry_run_changes_nothing_and_prints_sql_that_does_the_same(
    operator: Operator, path: Path, tmp_path: Path
) -> None:
    before = dump(path)
    printed = operator.run("migrate", "--dry-run", operator.ini)
    assert (printed.code, dump(path)) == (0, before)
    by_hand = tmp_path / "by-hand.db"
    with closing(sqlite3.connect(by_hand)) as connection:
        connection.executescript("\n".join(before))
        connection.executescript(printed.out)
    assert operator.run("migrate", operator.ini).code == 0
    assert dump(by_hand) == dump(path)
    assert "nothing to migrate" in operator.run("migrate", "--dry-run", operator.ini).out


def test_a_dry_run_creates_no_file(operator: Operator) -> None:
    printed = operator.run("migrate", operator.ini, "--dry-run")
    assert printed.code == 0
    assert "CREATE TABLE oauth2_mw_users" in printed.out
    assert not (operator.folder / "users.db").exists()


def test_it_makes_the_tables_where_there_are_none(operator: Operator) -> None:
    assert operator.run("migrate", operator.ini).code == 0
    path = operator.folder / "users.db"
    assert query(path, "SELECT version FROM oauth2_mw_schema") == [(1,), (2,), (3,)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_databases_of_users_and_of_sessions_are_migrated_both(operator: Operator) -> None:
    operator.write_ini(directory="sqlite:///users.db", session="sqlite:///sessions.db")
    lines = operator.run("migrate", operator.ini).out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["directory", "session"]


@pytest.mark.parametrize("settings", [{}, {"session": "redis://127.0.0.1:1/0"}])
def test_without_a_database_there_is_nothing_to_do(operator: Operator, settings: dict[str, str]) -> None:
    operator.write_ini(**settings)
    result = operator.run("migrate", operator.ini)
    assert (result.code, "names no database" in result.out) == (0, True)


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_tables_that_a_newer_release_has_changed_are_left_alone(
    operator: Operator, path: Path, options: list[str]
) -> None:
    operator.run("migrate", operator.ini)
    query(path, "INSERT INTO oauth2_mw_schema VALUES (99)")
    query(path, "INSERT INTO oauth2_mw_migrations VALUES (99, '7.5.0')")
    before = dump(path)
    result = operator.run("migrate", operator.ini, *options)
    assert (result.code, dump(path)) == (1, before)
    assert "install oauth2-mw 7.5.0 or later" in result.err


def test_a_file_that_cannot_be_written_is_a_refusal(operator: Operator, path: Path) -> None:
    path.write_text("no database " * 100)
    result = operator.run("migrate", operator.ini)
    assert (result.code, "not a database" in result.err) == (1, True)
