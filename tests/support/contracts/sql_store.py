"""What sessions in a SQL database promise beyond any store. The tests of each database bring the ``url``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.record import EXPIRY_GRACE, MAX_DATA, MAX_SUMMARY
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database, engine, schema
from oauth2_mw.sql.purge import PURGE_EVERY
from oauth2_mw.sql.revocations import Revocation
from tests.support.clock import Clock
from tests.support.contracts.store import (
    APP,
    OTHER_APP,
    MakeStore,
    StoreContract,
    everything,
    next_of,
    record,
    touch,
)
from tests.support.stores.database import Rows, statements

#: Foreign values as SQL, of a kind that both databases take.
POISON = [
    *((column, "9007199254740992") for column in "version seen expires lease".split()),
    *(
        (column, number)
        for column in "version seen lease".split()
        for number in ("-1", "-9223372036854775808")
    ),
    *((column, "NULL") for column in ("version", "data", "summary", "seen", "lease")),
    ("data", f"'{'x' * (MAX_DATA + 1)}'"),
    ("data", f"'{'x' * 4_000_000}'"),
    ("summary", f"'{'x' * (MAX_SUMMARY + 1)}'"),
    ("data", "'caf\u00e9'"),
]


@pytest.fixture
def make_store(url: str, clock: Clock) -> MakeStore:
    return lambda app: SqlStore(Database(Secret.literal(url)), app=app, clock=clock)


@pytest.fixture
def sql(make_store: MakeStore) -> SqlStore:
    store = make_store(APP)
    assert isinstance(store, SqlStore)
    assert store.read("none") is None
    return store


@pytest.fixture
def rows(url: str, sql: SqlStore) -> Iterator[Rows]:
    rows = Rows(url)
    yield rows
    rows.close()


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The audit lines, emptied for the next."""
    lines = [line.getMessage() for line in caplog.records if line.name == "oauth2_mw.audit"]
    caplog.clear()
    return lines


class SqlStoreContract(StoreContract):
    # Foreign values

    def take_any_value(self, rows: Rows) -> None:
        """Lift from the tables of sessions and revocations what keeps NULL out."""
        raise NotImplementedError

    @pytest.mark.parametrize(("column", "value"), POISON, ids=[f"{c}-{v[:20]}" for c, v in POISON])
    def test_a_foreign_record_is_ignored(
        self,
        sql: SqlStore,
        clock: Clock,
        rows: Rows,
        caplog: pytest.LogCaptureFixture,
        column: str,
        value: str,
    ) -> None:
        sql.add("k", record(clock), indexes=["user:1"])
        sql.add("other", record(clock), indexes=["user:1"])
        self.take_any_value(rows)
        rows.run(f"UPDATE oauth2_mw_sessions SET {column} = {value} WHERE session_id = 'k'")  # noqa: S608
        audit_lines(caplog)
        assert sql.read("k") is None
        [line] = audit_lines(caplog)
        assert line.startswith("event=store_value_unusable session=k detail=")
        assert len(line) < 300
        assert touch(sql, clock) is None
        assert len(audit_lines(caplog)) == 1
        assert [key for key, _ in sql.find("user:1")] == list(everything(sql)) == ["other"]
        assert len(audit_lines(caplog)) == 2
        assert sql.delete("k")
        assert rows.count("sessions") == rows.count("session_indexes") == 1

    @pytest.mark.parametrize(("column", "value"), POISON, ids=[f"{c}-{v[:20]}" for c, v in POISON])
    def test_writing_to_a_foreign_record_ends_in_order(
        self, sql: SqlStore, clock: Clock, rows: Rows, column: str, value: str
    ) -> None:
        sql.add("k", record(clock), indexes=[])
        self.take_any_value(rows)
        rows.run(f"UPDATE oauth2_mw_sessions SET {column} = {value}")  # noqa: S608
        for options in ({"summary": "newer"}, {"indexes": ["user:2"]}):
            later = int(clock.now) + 5
            touched = sql.touch("k", seen=later, expires=later + 60, **options)
            # What the touch itself has just written is in order again.
            assert touched is None or column in ("summary", "seen")
        replaced = sql.replace("k", next_of(record(clock)))
        assert replaced == (column != "version")
        assert sql.read("k") == (next_of(record(clock)) if replaced else None)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("moment", "-1"),
            ("moment", "9223372036854775807"),
            ("expires", "9223372036854775807"),
            ("kind", "NULL"),
            ("value", f"'{'x' * 4000}'"),
        ],
        ids=["low moment", "high moment", "high expires", "no kind", "long value"],
    )
    def test_a_foreign_revocation_is_ignored(
        self,
        sql: SqlStore,
        clock: Clock,
        rows: Rows,
        caplog: pytest.LogCaptureFixture,
        column: str,
        value: str,
    ) -> None:
        later = int(clock.now) + 60
        for name in ("user:1", "user:2"):
            sql.revoke(name, moment=5, expires=later)
        self.take_any_value(rows)
        rows.run(f"UPDATE oauth2_mw_revocations SET {column} = {value} WHERE value = '1'")  # noqa: S608
        audit_lines(caplog)
        assert [(entry.name, entry.moment) for entry in sql.revocations(0)] == [("user:2", 5)]
        [line] = audit_lines(caplog)
        assert line.startswith("event=store_value_unusable revocation=")
        assert len(line) < 300
        assert sql.revoked("user:1") is None
        sql.revoke("user:1", moment=7, expires=later)
        assert sql.revoked("user:1") == 7

    # The list that is kept in memory

    def test_a_revocation_is_in_the_next_list(self, sql: SqlStore, clock: Clock) -> None:
        later = int(clock.now) + 60
        sql.revoke("user:1", moment=5, expires=later)
        [entry] = sql.revocations(0)
        assert entry == Revocation(entry.row, "user:1", 5, later)
        assert sql.revocations(entry.row) == []

    def test_a_list_holds_what_is_new_in_order(self, sql: SqlStore, clock: Clock) -> None:
        later = int(clock.now) + 60
        for name in ("session:a", "sid:b", "user:c"):
            sql.revoke(name, moment=5, expires=later)
        first = sql.revocations(0)
        assert [entry.name for entry in first] == ["session:a", "sid:b", "user:c"]
        sql.revoke("session:d", moment=5, expires=later)
        assert [entry.name for entry in sql.revocations(first[-1].row)] == ["session:d"]

    def test_a_name_with_several_colons_or_none_is_listed_as_it_was(
        self, sql: SqlStore, clock: Clock
    ) -> None:
        names = ["sid:a:b", "plain", "user:"]
        for name in names:
            sql.revoke(name, moment=5, expires=int(clock.now) + 60)
        assert [entry.name for entry in sql.revocations(0)] == names
        assert [sql.revoked(name) for name in names] == [5, 5, 5]

    def test_revoking_again_what_goes_no_further_writes_nothing(
        self, sql: SqlStore, clock: Clock, rows: Rows
    ) -> None:
        later = int(clock.now) + 60
        sql.revoke("user:1", moment=5, expires=later)
        before = rows.run("SELECT * FROM oauth2_mw_revocations")
        for moment, expires in ((5, later), (4, later), (5, later - 1)):
            sql.revoke("user:1", moment=moment, expires=expires)
        assert rows.run("SELECT * FROM oauth2_mw_revocations") == before

    @pytest.mark.parametrize(
        ("moment", "seconds", "expected"),
        [(9, 60, (9, 60)), (5, 90, (5, 90)), (3, 90, (5, 90)), (9, 1, (9, 60))],
    )
    def test_a_revocation_that_goes_further_is_new_and_takes_the_place_of_the_other(
        self, sql: SqlStore, clock: Clock, rows: Rows, moment: int, seconds: int, expected: tuple[int, int]
    ) -> None:
        now = int(clock.now)
        sql.revoke("user:1", moment=5, expires=now + 60)
        [first] = sql.revocations(0)
        sql.revoke("user:1", moment=moment, expires=now + seconds)
        [second] = sql.revocations(first.row)
        assert (second.moment, second.expires - now) == expected
        assert rows.count("revocations") == 1

    def test_the_list_of_revocations_is_of_one_application(
        self, make_store: MakeStore, sql: SqlStore, clock: Clock
    ) -> None:
        other, later = make_store(OTHER_APP), int(clock.now) + 60
        assert isinstance(other, SqlStore)
        other.revoke("user:1", moment=9, expires=later)
        sql.revoke("user:1", moment=5, expires=later)
        assert [entry.moment for entry in sql.revocations(0)] == [5]
        assert [entry.moment for entry in other.revocations(0)] == [9]

    def test_a_session_that_the_first_release_ended_is_ended_for_every_application(
        self, make_store: MakeStore, clock: Clock, rows: Rows
    ) -> None:
        later = int(clock.now) + 60
        columns = "(kind, value, expires)"
        rows.run(f"INSERT INTO oauth2_mw_revocations {columns} VALUES ('session', 's1', {later})")  # noqa: S608
        for store in (make_store(APP), make_store(OTHER_APP)):
            assert isinstance(store, SqlStore)
            assert [(entry.name, entry.moment) for entry in store.revocations(0)] == [("session:s1", later)]
            assert store.revoked("session:s1") == later

    def test_a_database_put_back_to_an_earlier_state_is_read_from_the_start(
        self, sql: SqlStore, clock: Clock
    ) -> None:
        sql.revoke("user:1", moment=5, expires=int(clock.now) + 60)
        assert [entry.name for entry in sql.revocations(10**6)] == ["user:1"]

    def test_row_ids_are_not_given_again_after_a_purge(self, sql: SqlStore, clock: Clock, rows: Rows) -> None:
        later = int(clock.now) + 60
        sql.revoke("user:1", moment=5, expires=later)
        [before] = sql.revocations(0)
        rows.run("DELETE FROM oauth2_mw_revocations")
        sql.revoke("user:2", moment=5, expires=later)
        [after] = sql.revocations(before.row)
        assert after.row > before.row

    # What has expired

    def test_expired_sessions_are_removed_an_hour_later_and_others_never(
        self, sql: SqlStore, clock: Clock, rows: Rows
    ) -> None:
        now = int(clock.now)
        ends = {"old": now - EXPIRY_GRACE - 1, "recent": now - EXPIRY_GRACE, "living": now + 1}
        for key, end in ends.items():
            sql.add(key, record(clock, expires=end), indexes=["user:1", "sid:a"])
        for number in range(PURGE_EVERY):
            sql.add(f"new-{number}", record(clock), indexes=["user:2"])
        kept = {"recent", "living", *(f"new-{number}" for number in range(PURGE_EVERY))}
        assert {key for (key,) in rows.run("SELECT session_id FROM oauth2_mw_sessions")} == kept
        assert {key for (key,) in rows.run("SELECT session_id FROM oauth2_mw_session_indexes")} == kept

    def test_sessions_in_use_pay_for_the_removal_too(self, sql: SqlStore, clock: Clock, rows: Rows) -> None:
        sql.add("k", record(clock), indexes=[])
        sql.add("old", record(clock, expires=1), indexes=[])
        for number in range(PURGE_EVERY):
            sql.touch("k", seen=int(clock.now) + number + 1, expires=record(clock).expires)
        assert rows.count("sessions") == 1

    def test_the_sessions_of_an_application_that_is_gone_are_removed_by_the_others(
        self, make_store: MakeStore, sql: SqlStore, clock: Clock, rows: Rows
    ) -> None:
        make_store(OTHER_APP).add("old", record(clock, expires=1), indexes=["user:1"])
        for number in range(PURGE_EVERY):
            sql.add(f"new-{number}", record(clock), indexes=[])
        assert (rows.count("sessions"), rows.count("session_indexes")) == (PURGE_EVERY, 0)

    def test_used_names_are_removed_an_hour_after_they_expired_and_not_before(
        self, sql: SqlStore, clock: Clock, rows: Rows
    ) -> None:
        now = int(clock.now)
        sql.first_use("jti:old", expires=now - EXPIRY_GRACE - 1)
        sql.first_use("jti:recent", expires=now - EXPIRY_GRACE)
        for number in range(PURGE_EVERY):
            sql.first_use(f"jti:{number}", expires=now + 60)
        assert rows.count("used_attempts") == PURGE_EVERY + 1
        assert not sql.first_use("jti:recent", expires=now + 60)

    def test_an_expired_revocation_is_forgotten_and_an_unexpired_one_never(
        self, sql: SqlStore, clock: Clock, rows: Rows
    ) -> None:
        now = int(clock.now)
        sql.revoke("user:short", moment=5, expires=now + 60)
        sql.revoke("user:long", moment=5, expires=now + 10**6)
        # The clock of the host that wrote it may be behind.
        clock.now += 60 + EXPIRY_GRACE
        assert [entry.name for entry in sql.revocations(0)] == ["user:short", "user:long"]
        assert sql.revoked("user:short") == 5
        clock.now += 1
        assert [entry.name for entry in sql.revocations(0)] == ["user:long"]
        assert sql.revoked("user:short") is None
        for number in range(PURGE_EVERY):
            sql.revoke(f"user:{number}", moment=5, expires=now + 10**6)
        assert rows.count("revocations") == 1 + PURGE_EVERY
        assert sql.revoked("user:long") == 5

    # The schema of the first release

    def test_what_the_release_before_wrote_still_counts(
        self, url_without_tables: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = int(clock.now) + 60
        insert = (
            "INSERT INTO oauth2_mw_revocations (kind, value, expires) "  # noqa: S608
            f"VALUES ('session', '{{}}', {later})"
        )
        before = Rows(url_without_tables)
        with monkeypatch.context() as patch:
            patch.setattr(schema, "_MIGRATIONS", schema._MIGRATIONS[:1])
            patch.setattr(schema, "NEWEST", 1)
            old = engine.create(before.engine.url)
            assert schema.migrate(old).version == 0
            old.dispose()
        before.run(insert.format("early"))
        store = SqlStore(Database(Secret.literal(url_without_tables)), app=APP, clock=clock)
        assert store.revoked("session:early") == later
        # A worker of that release goes on until it is restarted.
        before.run(insert.format("late"))
        assert [(entry.name, entry.moment) for entry in store.revocations(0)] == [
            ("session:early", later),
            ("session:late", later),
        ]
        before.close()

    # Failure

    def test_a_failure_in_the_middle_leaves_nothing_behind(
        self, sql: SqlStore, clock: Clock, rows: Rows
    ) -> None:
        rows.run("ALTER TABLE oauth2_mw_session_indexes RENAME TO elsewhere")
        with pytest.raises(StoreUnavailableError):
            sql.add("k", record(clock), indexes=["user:1"])
        rows.run("ALTER TABLE elsewhere RENAME TO oauth2_mw_session_indexes")
        assert sql.read("k") is None
        assert rows.count("sessions") == 0

    def test_no_message_holds_what_is_stored(self, sql: SqlStore, clock: Clock, rows: Rows) -> None:
        sql.add("k", record(clock), indexes=[])
        rows.run("ALTER TABLE oauth2_mw_session_indexes RENAME TO elsewhere")
        with pytest.raises(StoreUnavailableError) as caught:
            sql.add("other", record(clock, data="data-7", summary="summary-7"), indexes=["user:name-7"])
        with pytest.raises(StoreUnavailableError) as again:
            sql.add("k", record(clock, data="data-7", summary="summary-7"), indexes=[])
        for word in ("data-7", "summary-7", "name-7"):
            assert word not in str(caught.value) + str(again.value)
        assert caught.value.__cause__ is again.value.__cause__ is None

    def test_tables_that_were_dropped_are_made_again(self, sql: SqlStore, clock: Clock, rows: Rows) -> None:
        for table in (
            *type(Database(Secret.literal("sqlite:////none")).tables).__dataclass_fields__,
            "schema",
            "migrations",
        ):
            rows.run(f"DROP TABLE oauth2_mw_{table}")
        with pytest.raises(StoreUnavailableError):
            sql.read("k")
        sql.add("k", record(clock), indexes=["user:1"])
        assert sql.read("k") == record(clock)

    # Size

    @pytest.mark.deep
    def test_with_a_hundred_thousand_sessions_everything_uses_an_index(
        self, sql: SqlStore, clock: Clock, rows: Rows
    ) -> None:
        now = int(clock.now)
        sql.add("k", record(clock), indexes=["user:1"])
        fill(rows, 100_000, now)
        with statements() as seen:
            sql.read("k")
            sql.touch("k", seen=now + 1, expires=now + 61, indexes=["sid:a"])
            sql.replace("k", next_of(record(clock)))
            sql.find("user:1")
            next(sql.all())
            for number in range(PURGE_EVERY):
                sql.first_use(f"jti:{number}", expires=now)
                sql.revoke("user:1", moment=number, expires=now)
                sql.add(f"new-{number}", record(clock), indexes=["user:1"])
            sql.revocations(90_000)
            sql.revoked("user:1")
            sql.delete("k")
        plans = rows.plans(seen)
        assert len(plans) >= 15
        assert {statement: plan for statement, plan in plans.items() if self.reads_everything(plan)} == {}

    def reads_everything(self, plan: str) -> bool:
        """Whether the plan goes through a whole table."""
        raise NotImplementedError


def fill(rows: Rows, number: int, now: int) -> None:
    """Add that many sessions, and as many rows to every other table of a store."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) "  # noqa: S608
    later = now + 600
    for table, values in (
        (
            "sessions (app, session_id, version, data, summary, seen, expires, lease)",
            f"'a', 's' || i, 1, '', '', {now}, {later} + i, 0",
        ),
        ("session_indexes (app, name, session_id)", "'a', 'user:' || i, 's' || i"),
        ("used_attempts (attempt_id, expires)", f"'t' || i, {later}"),
        ("revocations (kind, value, expires)", f"'session', 'r' || i, {later}"),
    ):
        rows.run(f"INSERT INTO oauth2_mw_{table} {numbers} SELECT {values} FROM n")  # noqa: S608
    rows.run("ANALYZE")
