"""The one door to a SQL database: what may be configured, when it is opened, how it fails, how it survives a fork."""

from __future__ import annotations

import ast
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.identity.directory import Directory, User
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database, address, engine, schema
from tests.support.hosts.processes import ROOT, child_environment
from tests.support.settings.keys import text_key
from tests.support.settings.people import ISSUER, NOW, attributes, provider
from tests.support.source import nodes_of, trees

CANARY = "c4n4ry-p4ssw0rd"


def database(url: str) -> Database:
    return Database(Secret.literal(url))


def problem(url: str) -> str:
    with pytest.raises(ConfigError) as caught:
        database(url)
    return str(caught.value)


def sign_in(directory: Directory) -> User:
    return directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)


def failure(url: str) -> str:
    directory = Directory(Secret.literal(url))
    with pytest.raises(StoreUnavailableError) as caught:
        sign_in(directory)
    return caught.value.detail


def in_a_child(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


# What may be configured


COOKIES_ALONE = f"""
import sys
from oauth2_mw import OAuth2Middleware, Settings
from oauth2_mw.cli import main
from oauth2_mw.errors import ConfigError
from oauth2_mw.web.site import Site
keys = dict(public_url="https://app.example", secret_keys="{text_key()}", client_id="a", client_secret="b")
keys["issuer"] = "https://id.example"
OAuth2Middleware(print, Settings.from_mapping(keys))
"""
WITH_DATABASE = """
for setting in ("directory", "session"):
    try:
        OAuth2Middleware(print, Settings.from_mapping({**keys, setting: "sqlite:////nowhere/users.db"}))
    except ConfigError as error:
        print(error)
"""


def test_without_sqlalchemy_all_works_but_a_database_which_says_what_to_install() -> None:
    missing = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "sqlalchemy" else find(name, *rest)
sys.modules["sqlalchemy"] = None
"""
    problems = in_a_child(missing + COOKIES_ALONE + WITH_DATABASE)
    assert problems.count("pip install 'oauth2-mw[sql]'") == 2


@pytest.mark.deep
def test_a_broken_sqlalchemy_stops_the_start() -> None:
    """It is found, and cannot be imported: a part of it is missing, or made for another machine."""
    broken = 'import sys; sys.modules["sqlalchemy.engine"] = None'
    problems = in_a_child(broken + COOKIES_ALONE + WITH_DATABASE)
    assert "[oauth2_mw] directory: needs SQLAlchemy" in problems
    assert "[oauth2_mw] session: needs a package that cannot be imported" in problems


@pytest.mark.deep
def test_sqlalchemy_is_imported_for_a_database_alone() -> None:
    code = COOKIES_ALONE + "print('sqlalchemy' in sys.modules)"
    assert in_a_child(code) == "False\n"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    assert "[oauth2_mw] directory: the URL names a database in memory" in problem(url)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("users.db", "cannot be read by SQLAlchemy"),
        ("postgresql://host:port/db", "cannot be read by SQLAlchemy"),
        ("mysql://host/db", "begins with 'mysql'"),
        ("sqlite+aiosqlite:////tmp/x.db", "begins with 'sqlite+aiosqlite'"),
        ("postgresql+asyncpg://host/db", "names the driver 'asyncpg'"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained(url: str, text: str) -> None:
    assert text in problem(url)


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{CANARY}@host/db",
        f"postgresql://user:{CANARY}@host:port/db",
        f"postgresql://user:x@{CANARY}@host/db",
        f"postgresql+asyncpg://user:{CANARY}@host/db",
        CANARY,
    ],
)
def test_a_refused_url_is_never_quoted(url: str) -> None:
    assert CANARY not in problem(url)


def test_a_url_in_an_unreadable_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the URL cannot be read"):
        Database(Secret.file(tmp_path / "none"))


def test_with_sqlalchemy_1_4_psycopg_3_is_explained_and_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sa, "__version__", "1.4.54")
    assert "which SQLAlchemy 1.4 does not know" in problem("postgresql+psycopg://host/db")
    monkeypatch.setattr(address, "find_spec", lambda _: object())
    assert address.parse("postgresql://host/db").get_driver_name() == "psycopg2"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_bare_postgresql_url_takes_the_driver_that_is_installed(scheme: str) -> None:
    drivers = {"psycopg", "psycopg2", "pg8000"}
    assert address.parse(f"{scheme}://host/db").get_driver_name() in drivers


@pytest.mark.parametrize(
    ("scheme", "package"),
    [("postgresql+pg8000", "pg8000"), ("postgresql+psycopg2", "psycopg2-binary"), ("postgresql", "psycopg")],
)
def test_a_missing_driver_is_named_as_pip_knows_it(
    scheme: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "find_spec", lambda name: name == "sqlalchemy" or None)
    assert f"pip install '{package}" in problem(f"{scheme}://host/db")


def test_psycopg_3_is_taken_or_with_an_old_sqlalchemy_explained() -> None:
    url = "postgresql+psycopg://host/db"
    if sa.__version__.startswith("1."):
        assert "which SQLAlchemy 1.4 does not know" in problem(url)
    else:
        assert address.parse(url).get_driver_name() == "psycopg"


# When it is opened


def test_a_new_database_object_opens_nothing(url: str, path: Path) -> None:
    database(url)
    assert not path.exists()


def test_a_sqlite_file_is_readable_for_its_owner_alone(url: str, path: Path) -> None:
    with database(url).writing():
        assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
            "users.db": 0o600,
            "users.db-wal": 0o600,
            "users.db-shm": 0o600,
        }


def test_an_existing_file_keeps_its_mode(url: str, path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    with database(url).writing():
        assert path.stat().st_mode & 0o777 == 0o640


def test_the_tables_are_those_of_the_migrations(url: str) -> None:
    db = database(url)
    with db.reading() as connection:
        there = {
            name.removeprefix(schema.PREFIX): [
                column["name"] for column in sa.inspect(connection).get_columns(name)
            ]
            for name in sa.inspect(connection).get_table_names()
            if name.startswith(schema.PREFIX) and name not in ("oauth2_mw_schema", "oauth2_mw_migrations")
        }
    declared = {name: getattr(db.tables, name) for name in type(db.tables).__dataclass_fields__}
    assert {name: sorted(table.c.keys()) for name, table in declared.items()} == {
        name: sorted(columns) for name, columns in there.items()
    }


def test_a_database_of_the_first_version_becomes_the_newest(url: str, path: Path) -> None:
    with sqlite3.connect(path) as old:
        for statement in schema._MIGRATIONS[0]:
            old.execute(statement.format(row_id=schema._ROW_ID["sqlite"]))
        old.execute("INSERT INTO oauth2_mw_schema VALUES (1)")
    directory = Directory(Secret.literal(url))
    jane = sign_in(directory)
    assert directory.links(jane.id) == []
    with sqlite3.connect(path) as new:
        versions = new.execute("SELECT version FROM oauth2_mw_migrations ORDER BY version").fetchall()
    assert versions == [(version,) for version in range(2, schema.NEWEST + 1)]


def test_all_tables_carry_our_prefix_so_that_the_applications_own_are_left_alone(
    url: str, path: Path
) -> None:
    with sqlite3.connect(path) as own:
        own.execute("CREATE TABLE users (name TEXT)")
    with database(url).reading() as connection:
        names = set(sa.inspect(connection).get_table_names()) - {"users", "sqlite_sequence"}
    assert {name.startswith(schema.PREFIX) for name in names} == {True}


def test_a_file_that_another_process_is_writing_to_is_waited_for(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE own (x)")
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(time, "sleep", lambda _: other.close())
    with database(url).reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_file_that_somebody_keeps_locked_is_refused_before_a_server_ends_its_worker(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # gunicorn ends a worker after 30 seconds, and a sign-in writes more than once.
    assert engine.SQLITE_WAIT <= 10
    monkeypatch.setattr(engine, "SQLITE_WAIT", 0.05)
    ours = database(url)
    with ours.writing():
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError) as refused, ours.writing():
            pass
    assert "database is locked; another process keeps it locked: see that" in refused.value.detail
    with ours.writing():
        pass


def test_a_schema_of_a_newer_release_is_left_alone(url: str, path: Path) -> None:
    with database(url).reading():
        pass
    with sqlite3.connect(path) as own:
        own.execute("INSERT INTO oauth2_mw_schema VALUES (99)")
    assert "has the schema 99 of a newer release" in failure(url)


def test_a_schema_to_which_a_newer_release_has_only_added_is_used(url: str, path: Path) -> None:
    with database(url).reading():
        pass
    with sqlite3.connect(path) as newer:
        newer.execute("ALTER TABLE oauth2_mw_users ADD COLUMN colour TEXT")
        newer.execute("INSERT INTO oauth2_mw_migrations VALUES (99, '0.1.0')")
    jane = sign_in(Directory(Secret.literal(url)))
    assert jane.username == "jane"


def test_release_0_1_0_finds_the_version_that_it_knows(url: str, path: Path) -> None:
    with database(url).reading():
        pass
    with sqlite3.connect(path) as old:
        assert old.execute("SELECT max(version) FROM oauth2_mw_schema").fetchall() == [(3,)]


def test_a_file_without_the_tables_of_this_release_that_cannot_be_written_names_the_command(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database(url).reading():
        pass
    with sqlite3.connect(path) as old:
        old.execute("DELETE FROM oauth2_mw_migrations WHERE version = ?", (schema.NEWEST,))

    def refuse(_engine: Engine) -> None:
        raise OperationalError("", {}, sqlite3.OperationalError("attempt to write a readonly database"))

    monkeypatch.setattr(schema, "migrate", refuse)
    assert "run oauth2-mw migrate INI" in failure(url)


def test_a_url_in_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    written = tmp_path / "url"
    written.write_text(f"sqlite:///{tmp_path / 'one.db'}\n")
    directory = Directory(Secret.file(written))
    assert sign_in(directory).created
    written.write_text(f"sqlite:///{tmp_path / 'another.db'}\n")
    assert sign_in(directory).created
    assert (tmp_path / "another.db").exists()


@pytest.mark.parametrize("text", ["nonsense", "postgresql://host/db", "mysql://host/db"])
def test_a_changed_url_that_cannot_be_used_is_a_refusal(tmp_path: Path, text: str) -> None:
    written = tmp_path / "url"
    written.write_text(f"sqlite:///{tmp_path / 'one.db'}\n")
    directory = Directory(Secret.file(written))
    written.write_text(text)
    with pytest.raises(StoreUnavailableError, match="setting directory"):
        directory.find(ISSUER, "1")


def test_an_address_that_left_the_environment_is_a_refusal(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRECTORY_URL", url)
    directory = Directory(Secret.env("DIRECTORY_URL"))
    assert directory.find(ISSUER, "1") is None
    monkeypatch.delenv("DIRECTORY_URL")
    with pytest.raises(StoreUnavailableError, match="setting directory: the URL cannot be read"):
        directory.find(ISSUER, "1")


# How it fails


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    detail = failure(f"sqlite:///{tmp_path}/missing/users.db")
    assert f"sqlite:///{tmp_path}/missing/users.db (setting directory)" in detail
    assert "check that the folder exists" in detail


def test_a_folder_in_place_of_the_file_is_a_failure(tmp_path: Path) -> None:
    assert "unable to open database file" in failure(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_a_failure_and_is_left_alone(url: str, path: Path) -> None:
    path.write_bytes(b"precious" * 1000)
    assert "not a database" in failure(url)
    assert path.read_bytes() == b"precious" * 1000


@pytest.mark.parametrize("name", ["users", "schema"])
def test_tables_of_another_application_that_have_our_names_are_left_as_they_are(
    url: str, path: Path, name: str
) -> None:
    with sqlite3.connect(path) as own:
        own.execute(f"CREATE TABLE oauth2_mw_{name} (precious TEXT)")
        own.execute(f"INSERT INTO oauth2_mw_{name} VALUES ('kept')")  # noqa: S608
    detail = failure(url)
    assert "tables there have our names, and are not ours or not whole: name another database" in detail
    with sqlite3.connect(path) as own:
        tables = own.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert tables == [(f"oauth2_mw_{name}",)]
        assert own.execute(f"SELECT * FROM oauth2_mw_{name}").fetchall() == [("kept",)]  # noqa: S608


def test_a_file_that_cannot_be_written_is_a_failure(url: str, path: Path) -> None:
    with database(url).writing():
        pass
    assert "readonly" in failure(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_a_foreign_file_that_cannot_be_switched_to_a_log_is_a_failure(path: Path) -> None:
    """Every other failure than a lock of somebody else is told at once, and not waited for."""
    with sqlite3.connect(path) as own:
        own.execute("CREATE TABLE own (x)")
    assert "readonly" in failure(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_an_unreachable_server_is_named_without_its_password() -> None:
    detail = failure(f"postgresql://user:{CANARY}@127.0.0.1:1/users?sslpassword={CANARY}2")
    assert "postgresql://127.0.0.1:1/users (setting directory)" in detail
    assert "check that the server runs" in detail
    assert CANARY not in detail


def test_a_password_that_the_database_itself_quotes_is_blacked_out() -> None:
    url = sa.engine.make_url("postgresql://user:p%40ss%2Fword@host/db?sslpassword=other")
    text = address.without_secrets("p@ss/word p%40ss%2Fword other", url)
    assert text == "*** *** ***"


def test_a_password_that_a_driver_repeats_is_not_passed_on() -> None:
    detail = failure(f"postgresql://user:{CANARY}@127.0.0.1:1/users?sslmode={CANARY}")
    assert 'invalid sslmode value: "***"' in detail


def test_no_log_holds_the_password_or_what_people_are_called(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failure(f"postgresql://user:{CANARY}@127.0.0.1:1/users")
    logging.getLogger("sqlalchemy").setLevel(logging.DEBUG)
    try:
        Directory(Secret.literal(url)).record_sign_in(
            provider(), ISSUER, "1", attributes(f"jane-{CANARY}"), create=True, now=NOW
        )
    finally:
        logging.getLogger("sqlalchemy").setLevel(logging.NOTSET)
    assert "INSERT INTO oauth2_mw_users" in caplog.text
    assert CANARY not in caplog.text


def test_a_database_that_was_away_recovers_by_itself(tmp_path: Path) -> None:
    directory = Directory(Secret.literal(f"sqlite:///{tmp_path}/later/users.db"))
    with pytest.raises(StoreUnavailableError):
        directory.find(ISSUER, "1")
    (tmp_path / "later").mkdir()
    assert directory.find(ISSUER, "1") is None


class CountingLock:
    """A lock that knows how many have come to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.came = 0
        self.changed = threading.Condition()

    def __enter__(self) -> None:
        with self.changed:
            self.came += 1
            self.changed.notify_all()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_requests_that_waited_for_one_failing_attempt_do_not_make_their_own(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, lock = database(url), CountingLock()
    attempts: list[str] = []
    details: list[str] = []

    def unreachable(_text: str) -> sa.Engine:
        attempts.append("one")
        with lock.changed:
            assert lock.changed.wait_for(lambda: lock.came == 10, timeout=60)
        raise StoreUnavailableError("away")

    def use() -> None:
        with pytest.raises(StoreUnavailableError) as caught, db.reading():
            pass
        details.append(caught.value.detail)

    process = db._process.get()
    monkeypatch.setattr(process, "lock", lock)
    monkeypatch.setattr(db, "_open", unreachable)
    threads = [threading.Thread(target=use) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert details == ["away"] * 10
    assert attempts == ["one"]


def engine_of(db: Database) -> sa.Engine:
    with db.reading() as connection:
        return connection.engine


def test_after_a_failure_the_database_is_looked_at_again(url: str) -> None:
    db = database(url)
    before = engine_of(db)
    with pytest.raises(StoreUnavailableError), db.writing() as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")
    after = engine_of(db)
    assert after is not before
    assert engine_of(db) is after


def test_a_value_that_was_refused_says_nothing_about_the_database(url: str) -> None:
    db = database(url)
    before = engine_of(db)
    for _ in range(2):
        with suppress(StoreUnavailableError), db.writing() as connection:
            connection.execute(sa.insert(db.tables.used_attempts).values(attempt_id="a", expires=1))
    assert engine_of(db) is before


def test_a_late_failure_of_a_database_left_behind_says_nothing_about_the_new_one(
    url: str, path: Path
) -> None:
    db = database(url)
    with pytest.raises(StoreUnavailableError), db.writing() as connection:
        for file in path.parent.iterdir():
            file.unlink()
        after = engine_of(db)
        connection.exec_driver_sql("SELECT nothing FROM nowhere")
    assert engine_of(db) is after


@pytest.mark.parametrize("table", ["users", "revocations", "sessions"])
def test_numbers_are_told_to_the_drivers_as_such(url: str, table: str) -> None:
    db = database(url)
    with db.reading() as connection:
        real = {
            column["name"]: isinstance(column["type"], sa.Integer)
            for column in sa.inspect(connection).get_columns(schema.PREFIX + table)
        }
    declared = getattr(db.tables, table).c
    assert {
        each.name: isinstance(getattr(each.type, "impl", each.type), sa.BigInteger) for each in declared
    } == real


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_database(url: str) -> None:
    with pytest.raises(ValueError, match="mine"), database(url).writing():
        raise ValueError("mine")


# How it survives a fork


@pytest.mark.deep
@pytest.mark.requirement("3l.8")
def test_children_of_a_process_that_used_a_database_open_their_own_connections(url: str) -> None:
    assert in_a_child("import tests.support.stores.directory_forking", DIRECTORY_URL=url) == "[0, 0, 0, 0]\n"


@pytest.mark.requirement("3l.8")
def test_a_process_never_uses_what_its_parent_opened(url: str) -> None:
    db = database(url)
    with db.reading() as connection:
        mine = id(connection.engine)
    pid = os.fork()
    if pid == 0:
        with db.reading() as connection:
            os._exit(0 if id(connection.engine) != mine else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_nothing_is_imported_from_sqlalchemy_that_the_lowest_release_has_elsewhere() -> None:
    # The classes of statements are at the top level of SQLAlchemy 2 alone; 1.4 has them where they are defined.
    imported = {
        (path, alias.name)
        for path, tree in trees().items()
        for node in nodes_of(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy"
        for alias in node.names
    }
    assert {name for _, name in imported} <= {"create_engine", "event"}, imported
