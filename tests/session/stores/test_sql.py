"""Sessions in SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.identity.directory import Directory
from oauth2_mw.session.stores import open_store
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.clock import Clock
from tests.support.contracts.form_store import FormStoreContract
from tests.support.contracts.sql_store import SqlStoreContract, make_store, rows, sql
from tests.support.contracts.store import (
    APP,
    MakeStore,
    clock,
    everything,
    fails_everywhere,
    next_of,
    record,
    store,
)
from tests.support.stores.database import Rows
from tests.support.stores.directory_file import empty_database

__all__ = ["clock", "make_store", "rows", "sql", "store"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def url(path: Path) -> str:
    return empty_database(path)


@pytest.fixture
def url_without_tables(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new.db'}"


class TestOnSQLite(SqlStoreContract, FormStoreContract):
    def take_any_value(self, rows: Rows) -> None:
        rows.run("CREATE TABLE other AS SELECT * FROM oauth2_mw_sessions")
        rows.run("DROP TABLE oauth2_mw_sessions")
        rows.run("ALTER TABLE other RENAME TO oauth2_mw_sessions")
        columns = "kind, value, expires, app, moment"
        rows.run(f"CREATE TABLE other (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
        rows.run(f"INSERT INTO other SELECT id, {columns} FROM oauth2_mw_revocations")  # noqa: S608
        rows.run("DROP TABLE oauth2_mw_revocations")
        rows.run("ALTER TABLE other RENAME TO oauth2_mw_revocations")

    def reads_everything(self, plan: str) -> bool:
        return any(line.startswith("SCAN") for line in plan.splitlines())

    @pytest.mark.parametrize("column", ["version", "data", "summary", "seen", "expires", "lease"])
    @pytest.mark.parametrize(
        "value",
        [
            *("'abc'", "x'ff'", "4102444800.5", "9e999", "zeroblob(20000)", "9223372036854775807"),
            pytest.param("zeroblob(20000000)", marks=pytest.mark.deep),
        ],
    )
    def test_a_value_of_another_type_is_ignored(
        self, sql: SqlStore, clock: Clock, rows: Rows, column: str, value: str
    ) -> None:
        sql.add("k", record(clock), indexes=["user:1"])
        rows.run(f"UPDATE oauth2_mw_sessions SET {column} = {value}")  # noqa: S608
        text = column in ("data", "summary") and value[0] not in "xz"
        assert (sql.read("k") is None) != text
        assert (list(sql.all()) == []) != text
        touched = sql.touch("k", seen=int(clock.now) + 1, expires=record(clock).expires, indexes=["user:2"])
        assert (touched is None) != text
        assert sql.delete("k")

    def test_a_text_that_is_not_utf8_is_a_refusal(self, sql: SqlStore, clock: Clock, rows: Rows) -> None:
        sql.add("k", record(clock), indexes=["user:1"])
        rows.run("UPDATE oauth2_mw_sessions SET data = CAST(x'ff' AS TEXT)")
        for use in (lambda: sql.read("k"), lambda: sql.find("user:1"), lambda: list(sql.all())):
            with pytest.raises(StoreUnavailableError, match="decode"):
                use()
        assert sql.delete("k")

    def test_a_foreign_key_is_left_out_of_the_lists(self, sql: SqlStore, clock: Clock, rows: Rows) -> None:
        for key in ("a", "b", "c", "d"):
            sql.add(key, record(clock), indexes=["user:1"])
        for table in ("sessions", "session_indexes"):
            rows.run(f"UPDATE oauth2_mw_{table} SET session_id = x'00ff' WHERE session_id = 'a'")  # noqa: S608
            rows.run(f"UPDATE oauth2_mw_{table} SET session_id = zeroblob(10000) WHERE session_id = 'b'")  # noqa: S608
            rows.run(f"UPDATE oauth2_mw_{table} SET session_id = '{'x' * 1000}' WHERE session_id = 'd'")  # noqa: S608
        assert list(everything(sql)) == [key for key, _ in sql.find("user:1")] == ["c"]

    @pytest.mark.parametrize("value", ["'abc'", "x'ff'", "1.5"])
    @pytest.mark.parametrize("column", ["kind", "value", "moment", "expires"])
    def test_a_revocation_of_another_type_is_ignored(
        self, sql: SqlStore, clock: Clock, rows: Rows, column: str, value: str
    ) -> None:
        later = int(clock.now) + 60
        sql.revoke("user:1", moment=5, expires=later)
        rows.run(f"UPDATE oauth2_mw_revocations SET {column} = {value}")  # noqa: S608
        assert [one.name for one in sql.revocations(0) if one.name == "user:1"] == []
        assert sql.revoked("user:1") is None
        sql.revoke("user:1", moment=4, expires=later)
        assert sql.revoked("user:1") == 4


# A store that goes away


def test_a_folder_in_place_of_the_file_is_a_failure_until_the_file_is_back(
    sql: SqlStore, clock: Clock, path: Path
) -> None:
    sql.add("k", record(clock), indexes=["user:1"])
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    for file in files:
        file.rename(f"{file}.away")
    path.mkdir()
    for detail in fails_everywhere(sql, clock):
        assert f"sqlite:///{path} (setting directory)" in detail
        assert "check that the folder exists and that this process may write to the file" in detail
    path.rmdir()
    for file in files:
        Path(f"{file}.away").rename(file)
    assert sql.read("k") == record(clock)
    assert sql.replace("k", next_of(record(clock)))


def test_a_file_that_was_deleted_is_made_anew_and_nothing_goes_to_the_old_one(
    sql: SqlStore, make_store: MakeStore, clock: Clock, path: Path
) -> None:
    sql.add("k", record(clock), indexes=["user:1"])
    for file in path.parent.iterdir():
        file.unlink()
    assert sql.read("k") is None
    sql.add("k", record(clock, data="new"), indexes=["user:1"])
    assert make_store(APP).read("k") == record(clock, data="new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_put_in_the_place_of_another_is_the_one_in_use(
    sql: SqlStore, make_store: MakeStore, clock: Clock, path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "copy.db"
    copy = SqlStore(Database(Secret.literal(f"sqlite:///{elsewhere}")), app=APP, clock=clock)
    copy.add("k", record(clock, data="restored"), indexes=[])
    sql.add("k", record(clock), indexes=[])
    with sqlite3.connect(elsewhere) as own:
        own.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    own.close()
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    elsewhere.rename(path)
    assert sql.read("k") == record(clock, data="restored")
    assert sql.replace("k", next_of(record(clock)))
    assert make_store(APP).read("k") == next_of(record(clock))


def test_a_database_that_can_only_be_read_refuses_every_write_until_it_can_be_written(
    clock: Clock, path: Path, tmp_path: Path
) -> None:
    written = tmp_path / "url"
    written.write_text(f"sqlite:///{path}")
    store = SqlStore(Database(Secret.file(written), setting="session"), app=APP, clock=clock)
    store.add("k", record(clock), indexes=["user:1"])
    written.write_text(f"sqlite:///file:{path}?mode=ro&uri=true")
    now = int(clock.now)
    for write in (
        lambda: store.touch("k", seen=now + 5, expires=now + 65),
        lambda: store.replace("k", next_of(record(clock))),
        lambda: store.delete("k"),
        lambda: store.revoke("user:1", moment=now, expires=now + 60),
        lambda: store.first_use("jti:1", expires=now + 60),
    ):
        with pytest.raises(StoreUnavailableError, match=r"setting session.*readonly.*may write to the file"):
            write()
    assert store.read("k") == record(clock)
    written.write_text(f"sqlite:///{path} ")
    assert store.replace("k", next_of(record(clock)))


def test_a_file_that_is_damaged_is_a_failure_until_it_is_repaired(
    sql: SqlStore, clock: Clock, path: Path
) -> None:
    sql.add("k", record(clock), indexes=["user:1"])
    for file in path.parent.glob(f"{path.name}-*"):
        file.unlink()
    sound = path.read_bytes()
    path.unlink()
    path.write_bytes(b"precious" * 1000)
    for detail in fails_everywhere(sql, clock):
        assert "not a database; restore it from a copy, or move it away" in detail
    path.write_bytes(sound)
    assert sql.first_use("jti:1", expires=int(clock.now))


# Choosing a store


def test_a_store_is_opened_by_its_url_and_named_by_its_setting(tmp_path: Path) -> None:
    store = open_store(Secret.literal(f"sqlite:///{tmp_path}/missing/sessions.db"), app=APP)
    assert isinstance(store, SqlStore)
    with pytest.raises(StoreUnavailableError, match="setting session"):
        store.read("k")


def test_a_url_of_no_store_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"\[oauth2_mw\] session: the URL begins with 'mysql'"):
        open_store(Secret.literal("mysql://host/db"), app=APP)


def test_a_url_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[oauth2_mw\] session: the URL cannot be read"):
        open_store(Secret.file(tmp_path / "none"), app=APP)


def test_a_database_on_the_same_url_is_shared(url: str, path: Path, clock: Clock) -> None:
    directory = Directory(Secret.literal(url))
    store = open_store(Secret.literal(url), app=APP, database=directory.database)
    store.add("k", record(clock), indexes=[])
    assert isinstance(store, SqlStore)
    assert store.database is directory.database


def test_a_database_on_another_url_is_not_used(url: str, tmp_path: Path) -> None:
    directory = Directory(Secret.literal(url))
    store = open_store(Secret.literal(f"sqlite:///{tmp_path}/other.db"), app=APP, database=directory.database)
    assert isinstance(store, SqlStore)
    assert store.database is not directory.database


def test_a_database_is_known_by_its_url_wherever_that_is_written(url: str, tmp_path: Path) -> None:
    written = tmp_path / "url"
    written.write_text(f"{url}\n")
    database = Database(Secret.file(written))
    assert database.is_at(Secret.literal(url))
    assert database.is_at(Secret.file(written))
    assert not database.is_at(Secret.literal(f"{url}2"))
    assert not database.is_at(Secret.literal("redis://127.0.0.1"))
    assert not database.is_at(Secret.file(tmp_path / "none"))
