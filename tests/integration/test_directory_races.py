"""Many threads in several processes on one directory, all at the same moment, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from oauth2_mw.errors import AccessDeniedError
from oauth2_mw.identity import enrolment
from oauth2_mw.identity.administration import Administration
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.first_sign_ins import FirstSignIns, hold_back
from oauth2_mw.identity.links import Link, LinkTable
from oauth2_mw.identity.model import user_key
from oauth2_mw.identity.users import UserTable
from oauth2_mw.session.stores.record import EXPIRY_GRACE, namespace
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database, address, schema
from oauth2_mw.sql.purge import PURGE_EVERY
from oauth2_mw.sql.revocations import RevocationTable
from tests.support.settings.people import ISSUER, NOW, attributes, provider
from tests.support.stores import directory_worker as worker
from tests.support.stores.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

pytestmark = pytest.mark.integration

LATER = worker.LATER


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'users.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def directory(url: str) -> Directory:
    return Directory(Secret.literal(url))


def count(url: str, table: str) -> int:
    engine = sa.create_engine(address.parse(url), future=True)
    with engine.connect() as connection:
        number = connection.execute(sa.text(f"SELECT count(*) FROM oauth2_mw_{table}")).scalar_one()  # noqa: S608  names of ours
    engine.dispose()
    return int(number)


@pytest.mark.requirement("3l.3")
def test_a_hundred_first_sign_ins_of_one_person_add_one_user(url: str, directory: Directory) -> None:
    results = worker.race(worker.same_user, url)
    assert len(results) == 100
    assert len({user_id for user_id, _ in results}) == 1
    assert [created for _, created in results].count(True) == 1
    assert (count(url, "users"), count(url, "usernames")) == (1, 1)
    user = directory.find(ISSUER, "1")
    assert user is not None
    assert (user.groups, user.organizations) == (("a", "b"), ("DEFAULT",))


@pytest.mark.requirement("3l.3")
def test_of_a_hundred_people_who_want_one_name_exactly_one_gets_it(url: str) -> None:
    results = worker.race(worker.same_name, url)
    refused = [result["code"] for result in results if result != "jane"]
    assert refused == ["username_taken"] * 99
    assert (count(url, "users"), count(url, "usernames")) == (1, 1)


def test_a_hundred_renames_of_one_person_at_once_all_go_through(url: str, directory: Directory) -> None:
    before = directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)
    assert worker.race(worker.renames, url) == [before.id] * 100
    assert (count(url, "users"), count(url, "usernames")) == (1, 101)
    user = directory.find(ISSUER, "1")
    assert user is not None
    # The last one to sign in has left both the name and the groups.
    _, process, thread = user.username.split("-")
    assert set(user.groups) == {process, thread}


def test_of_a_first_sign_in_and_a_link_at_once_one_wins_for_all(url: str, directory: Directory) -> None:
    directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)
    results = worker.race(worker.link_or_sign_in, url)
    assert len(results) == 100
    [user_id] = set(results)
    user = directory.find(ISSUER, "2")
    assert user is not None
    assert user.id == user_id
    assert (count(url, "users"), count(url, "links")) in ((2, 0), (1, 1))


@pytest.mark.requirement("R-link")
def test_first_sign_ins_at_two_providers_at_once_are_one_user(url: str, directory: Directory) -> None:
    results = worker.race(worker.same_address, url)
    assert len(results) == 100
    assert len(set(results)) == 1
    assert (count(url, "users"), count(url, "links")) == (1, 1)


@pytest.mark.requirement("R-users-add")
def test_a_person_who_is_awaited_takes_their_place_in_every_tab(url: str, directory: Directory) -> None:
    administration = Administration(directory)
    user, _ = administration.add_address(ISSUER, "jane@corp.example", organizations=(), now=NOW)
    assert worker.race(worker.one_who_is_awaited, url) == [user.id] * 100
    assert (count(url, "users"), count(url, "usernames")) == (1, 1)


@pytest.mark.requirement("R-users-add")
def test_of_a_hundred_people_with_one_address_one_takes_the_place(url: str, directory: Directory) -> None:
    Administration(directory).add_address(ISSUER, "jane@corp.example", organizations=(), now=NOW)
    results = worker.race(worker.many_with_one_address, url)
    refused = [result["code"] for result in results if isinstance(result, dict)]
    assert refused == ["user_unknown"] * 99
    assert (count(url, "users"), count(url, "usernames")) == (1, 1)


@pytest.mark.requirement("R-users-add")
def test_nobody_slips_into_a_name_while_its_user_is_deleted(url: str, directory: Directory) -> None:
    directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)
    results = worker.race(worker.deleted_and_back, url)
    assert "2" not in results
    assert {"jane", True} <= {result for result in results if not isinstance(result, dict)}
    refused = {result["code"] for result in results if isinstance(result, dict)}
    assert refused <= {"username_taken", "store_unavailable"}
    assert directory.find(ISSUER, "2") is None


def test_an_empty_database_is_set_up_once_by_all_who_find_it_empty(url: str) -> None:
    workers = worker.Workers(worker.open_anew, url, threads=8)
    workers.go()
    assert workers.results() == [True] * 16
    assert count(url, "migrations") == schema.NEWEST


#: The table for whose lock somebody waits.
BLOCKED = "SELECT relation::regclass FROM pg_locks WHERE NOT granted AND locktype = 'relation'"


def url_name(url: str) -> str:
    """The name of the database."""
    return url.partition("?")[0].rpartition("/")[2]


def wait_until_blocked(server: PostgresServer, thread: threading.Thread) -> None:
    """Until *thread* waits for a lock of the database; it fails when the thread ends without."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while server.psql(waiting) == "0":
        assert thread.is_alive()


def test_a_logout_waits_for_one_that_has_a_row_and_is_not_yet_seen(postgres_server: PostgresServer) -> None:
    # Otherwise its higher row could be read first, and the lower one would never be asked for.
    url = postgres_server.new_database()
    store = SqlStore(Directory(Secret.literal(url)).database, app=worker.APP)
    slow = Database(Secret.literal(url))
    fast = threading.Thread(target=lambda: store.revoke("session:fast", moment=NOW, expires=LATER))
    with slow.writing() as connection:
        RevocationTable(slow, grace=EXPIRY_GRACE).add(
            connection, "session:slow", app=namespace(worker.APP), moment=NOW, expires=LATER, now=NOW
        )
        fast.start()
        wait_until_blocked(postgres_server, fast)
        assert store.revocations(0) == []
    fast.join()
    assert [one.name for one in store.revocations(0)] == ["session:slow", "session:fast"]


def test_a_link_waits_for_a_first_sign_in_in_flight_and_leaves_it_alone(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.new_database()
    directory, slow = Directory(Secret.literal(url)), Database(Secret.literal(url))
    jane = directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)
    owners: list[str | None] = []

    def link() -> None:
        owner = directory.link(jane.id, ISSUER, "2", now=NOW)
        owners.append(owner.username if owner else None)

    thread = threading.Thread(target=link)
    with slow.writing() as connection:
        LinkTable(slow).hold(connection, user_key(ISSUER, "2"))
        joan = enrolment.new_user(provider(), ISSUER, "2", attributes("joan"), NOW, proven=None)
        created = enrolment.create(UserTable(slow), connection, provider(), joan)
        assert created
        thread.start()
        wait_until_blocked(postgres_server, thread)
    thread.join()
    assert owners == ["joan"]
    assert count(url, "links") == 0


def test_a_first_sign_in_waits_for_a_link_in_flight_and_follows_it(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    directory, slow = Directory(Secret.literal(url)), Database(Secret.literal(url))
    jane = directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)
    ids: list[str] = []

    def sign_in() -> None:
        user = directory.record_sign_in(provider(), ISSUER, "2", attributes(), create=True, now=NOW)
        ids.append(user.id)

    key, table, thread = user_key(ISSUER, "2"), LinkTable(slow), threading.Thread(target=sign_in)
    with slow.writing() as connection:
        table.hold(connection, key)
        table.put(connection, key, jane.id, Link(ISSUER, "2", NOW))
        thread.start()
        wait_until_blocked(postgres_server, thread)
    thread.join()
    assert ids == [jane.id]
    assert count(url, "users") == 1


def test_a_first_sign_in_that_is_held_back_sees_what_was_written_meanwhile(
    postgres_server: PostgresServer,
) -> None:
    # The link is that of somebody who holds no pair, so that nothing else makes the sign-in wait.
    url = postgres_server.new_database()
    directory, slow = Directory(Secret.literal(url)), Database(Secret.literal(url))
    jane = directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)
    ids: list[str] = []

    def sign_in() -> None:
        user = directory.record_sign_in(provider(), ISSUER, "2", attributes(), create=True, now=NOW)
        ids.append(user.id)

    thread = threading.Thread(target=sign_in)
    with slow.writing() as connection:
        hold_back(slow, connection)
        LinkTable(slow).put(connection, user_key(ISSUER, "2"), jane.id, Link(ISSUER, "2", NOW))
        thread.start()
        wait_until_blocked(postgres_server, thread)
    thread.join()
    assert ids == [jane.id]


def first_sign_in(connection: Connection, subject: str, username: str) -> bool:
    """The one statement of a first sign-in, in a transaction that is still to end."""
    new = enrolment.new_user(provider(), ISSUER, subject, attributes(username), NOW, proven=None)
    return FirstSignIns().add(connection, new, secret=None, left=None)


@pytest.mark.parametrize("act", ["link", "delete"])
def test_what_a_first_sign_in_must_see_waits_for_one_that_is_under_way(
    act: str, postgres_server: PostgresServer
) -> None:
    url = postgres_server.new_database()
    directory, slow = Directory(Secret.literal(url)), Database(Secret.literal(url))
    jane = directory.record_sign_in(provider(), ISSUER, "1", attributes(), create=True, now=NOW)
    acts: dict[str, Callable[[], object]] = {
        "link": lambda: directory.link(jane.id, ISSUER, "3", now=NOW),
        "delete": lambda: Administration(directory).delete(jane.id, now=NOW),
    }
    thread = threading.Thread(target=acts[act])
    with slow.writing() as connection:
        assert first_sign_in(connection, "2", "joan")
        thread.start()
        wait_until_blocked(postgres_server, thread)
        [waits_for] = postgres_server.psql(BLOCKED, database=url_name(url)).split()
        assert waits_for == "oauth2_mw_name_keys"
    thread.join()
    found = directory.find(ISSUER, "2")
    assert found is not None
    assert found.username == "joan"


def test_a_sign_in_of_somebody_who_is_just_changed_goes_on_from_there(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_server.new_database()
    directory, always = Directory(Secret.literal(url)), provider(group_sync="always")
    jane = directory.record_sign_in(always, ISSUER, "1", attributes(groups=("a",)), create=True, now=NOW)
    users = directory._users
    look, looks = users.look, 0

    def overtaken(connection: Connection, condition: Any) -> Any:
        nonlocal looks
        looks += 1
        found = look(connection, condition)
        # In the same second, and with nothing in the row that is another than before.
        Administration(directory).change_groups(jane.id, lambda groups: groups | {"new"}, now=NOW)
        return found

    monkeypatch.setattr(users, "look", overtaken)
    user = directory.record_sign_in(always, ISSUER, "1", attributes(groups=("a",)), create=True, now=NOW)
    assert (looks, user.groups) == (1, ("a",))
    assert directory.get(jane.id) == user


@pytest.mark.parametrize("taken", ["name", "pair"])
def test_a_first_sign_in_waits_for_another_and_writes_nothing_of_its_own(
    taken: str, postgres_server: PostgresServer
) -> None:
    url = postgres_server.new_database()
    directory, slow = Directory(Secret.literal(url)), Database(Secret.literal(url))
    assert directory.find(ISSUER, "1") is None
    done: list[bool] = []

    def sign_in() -> None:
        with directory.database.writing(at_once=True) as connection:
            pair = ("2", "joan") if taken == "name" else ("1", "jim")
            done.append(first_sign_in(connection, *pair))

    thread = threading.Thread(target=sign_in)
    with slow.writing() as connection:
        new = enrolment.new_user(provider(), ISSUER, "1", attributes("joan"), NOW, proven=None)
        assert enrolment.create(UserTable(slow), connection, provider(), new)
        thread.start()
        wait_until_blocked(postgres_server, thread)
    thread.join()
    assert done == [False]
    assert [count(url, table) for table in ("users", "usernames", "memberships")] == [1, 1, 1]


@pytest.mark.requirement("3k.8")
def test_a_sign_in_waits_for_a_disabling_in_flight_and_is_refused(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    directory, slow = Directory(Secret.literal(url)), Database(Secret.literal(url))
    known = provider(), ISSUER, "1", attributes()
    user = directory.record_sign_in(*known, create=True, now=NOW)
    codes: list[str] = []

    def sign_in() -> None:
        with pytest.raises(AccessDeniedError) as caught:
            directory.record_sign_in(*known, create=True, now=NOW)
        codes.append(caught.value.code)

    thread = threading.Thread(target=sign_in)
    with slow.writing() as connection:
        UserTable(slow).update(connection, user.id, {"disabled_at": NOW})
        thread.start()
        wait_until_blocked(postgres_server, thread)
    thread.join()
    assert codes == ["user_disabled"]


def test_a_purge_does_not_wait_for_a_row_that_another_is_removing(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    store = SqlStore(Directory(Secret.literal(url)).database, app=worker.APP)
    slow = Database(Secret.literal(url))
    store.first_use("old", expires=1)
    with slow.writing() as connection:
        connection.exec_driver_sql("DELETE FROM oauth2_mw_used_attempts")
        for number in range(PURGE_EVERY):
            assert store.first_use(f"new {number}", expires=LATER)
