"""What every session store promises. The tests of each kind inherit it and bring ``make_store``.

``make_store(app)`` gives a store object of that application, which judges time by the fixture ``clock``. Two calls
with one application are two workers: objects with connections of their own, on the same store. Each test finds
the store empty. Beside ``make_store`` a module imports the fixtures ``clock`` and ``store`` from here::

    @pytest.fixture
    def make_store(url: str, clock: Clock) -> MakeStore:
        return lambda app: SqlStore(Database(Secret.literal(url)), app=app, clock=clock)

    class TestOnSQLite(StoreContract): ...

The clock starts at the machine's own time, because some servers remove by theirs, and is only put forward.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from oauth2_mw.encoding import MAX_NUMBER
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores import Record, Store
from oauth2_mw.session.stores.record import EXPIRY_GRACE, MAX_DATA, MAX_NAME, MAX_SUMMARY
from tests.support.clock import Clock

MakeStore = Callable[[str], Store]

APP = "https://app.example"
OTHER_APP = "https://app.example/other"
#: More than a store reads at a time.
MANY = 250
THREADS = 50


@pytest.fixture
def clock() -> Clock:
    return Clock(int(time.time()))


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store(APP)


def record(clock: Clock, **changes: Any) -> Record:
    """A record that lives for a minute."""
    now = int(clock.now)
    first = Record(version=1, data="data", summary="summary", seen=now, expires=now + 60, lease=0)
    return replace(first, **changes)


def next_of(before: Record, **changes: Any) -> Record:
    """What replaces *before*."""
    return replace(before, version=before.version + 1, **changes)


def touch(store: Store, clock: Clock, **options: Any) -> Record | None:
    """Use the session ``k`` now, for another minute."""
    now = int(clock.now)
    return store.touch("k", seen=now, expires=now + 60, **options)


def found(store: Store, index: str) -> dict[str, Record]:
    """The records of an index; each is there once."""
    pairs = store.find(index)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def everything(store: Store) -> dict[str, Record]:
    """All records; each is there once."""
    pairs = list(store.all())
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """Let all *tasks* go at the same moment, each in a thread of its own; their results."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        gate.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


def every_method(store: Store, clock: Clock, name: str = "k") -> dict[str, Callable[[], Any]]:
    """A call of every method that names something."""
    now = int(clock.now)
    calls: dict[str, Callable[[], Any]] = {
        "add": lambda: store.add(name, record(clock), indexes=["user:1"]),
        "read": lambda: store.read(name),
        "touch": lambda: store.touch(name, seen=now, expires=now + 60),
        "touch with a summary": lambda: store.touch(name, seen=now, expires=now + 60, summary=""),
        "replace": lambda: store.replace(name, next_of(record(clock))),
        "delete": lambda: store.delete(name),
        "find": lambda: store.find(name),
        "first_use": lambda: store.first_use(name, expires=now + 60),
        "revoke": lambda: store.revoke(name, moment=now, expires=now + 60),
        "revoked": lambda: store.revoked(name),
        "moments": lambda: store.moments([name]),
        "forms.keep": lambda: store.forms.keep(name, name, "data", expires=now + 60, most=5),
        "forms.read": lambda: store.forms.read(name, name),
        "forms.take": lambda: store.forms.take(name, name, expires=now + 60),
        "forms.drop": lambda: store.forms.drop(name, name),
    }
    return calls


def fails_everywhere(store: Store, clock: Clock) -> list[str]:
    """What the log is told by each method while the store is away; that each raises is asserted."""
    details = []
    others: list[Callable[[], Any]] = [lambda: list(store.all()), store.server_time]
    for use in (*every_method(store, clock).values(), *others):
        with pytest.raises(StoreUnavailableError) as caught:
            use()
        details.append(caught.value.detail)
    return details


#: What a touch may do beside putting the end off.
any_touch = pytest.mark.parametrize(
    "options",
    [{}, {"step": 1}, {"summary": "newer"}, {"indexes": ["user:1"]}],
    ids=["plain", "step", "summary", "indexes"],
)


class StoreContract:
    # The store itself

    def test_another_application_over_the_same_connections_sees_its_own(
        self, store: Store, clock: Clock
    ) -> None:
        other = store.as_app(OTHER_APP, clock=clock)
        other.add("k", record(clock, data="other"), indexes=["user:1"])
        assert (store.read("k"), store.find("user:1")) == (None, [])
        assert other.as_app(APP, clock=clock).read("k") is None
        assert found(other, "user:1") == {"k": record(clock, data="other")}

    def test_a_server_tells_the_time_by_its_own_clock(self, store: Store, clock: Clock) -> None:
        clock.now += 3600
        told = store.server_time()
        assert told is None or abs(told - time.time()) < 60

    # Adding and reading

    def test_what_was_added_is_read(self, store: Store, clock: Clock) -> None:
        kept = record(clock, data="d" * 1000, summary="s" * 100, lease=int(clock.now) + 5)
        store.add("k", kept, indexes=["user:1"])
        assert store.read("k") == kept

    def test_what_was_never_added_is_not_read(self, store: Store) -> None:
        assert store.read("k") is None

    def test_another_worker_reads_what_one_has_added(self, make_store: MakeStore, clock: Clock) -> None:
        make_store(APP).add("k", record(clock), indexes=[])
        assert make_store(APP).read("k") == record(clock)

    def test_empty_data_are_kept_empty(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock, data=""), indexes=[])
        assert store.read("k") == record(clock, data="")

    def test_keys_that_differ_in_case_are_different(self, store: Store, clock: Clock) -> None:
        store.add("key", record(clock, data="small"), indexes=["user:a"])
        store.add("KEY", record(clock, data="large"), indexes=["user:A"])
        assert store.read("key") == record(clock, data="small")
        assert store.read("KEY") == record(clock, data="large")
        assert [*found(store, "user:a"), *found(store, "user:A")] == ["key", "KEY"]

    def test_the_longest_texts_and_the_highest_numbers_are_kept(self, store: Store, clock: Clock) -> None:
        largest = Record(
            MAX_NUMBER - 1, "d" * MAX_DATA, "s" * MAX_SUMMARY, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER
        )
        key, index = "k" * MAX_NAME, "i" * MAX_NAME
        store.add(key, largest, indexes=[index])
        assert store.read(key) == largest
        assert found(store, index) == {key: largest}
        assert store.touch(key, seen=MAX_NUMBER, expires=MAX_NUMBER, step=MAX_NUMBER) == largest
        assert store.replace(key, next_of(largest))
        assert store.read(key) == next_of(largest)

    @pytest.mark.parametrize(
        "changes",
        [
            {"data": "d" * (MAX_DATA + 1)},
            {"summary": "s" * (MAX_SUMMARY + 1)},
            {"expires": MAX_NUMBER + 1},
            {"lease": -1},
            {"seen": 0.5},
            {"version": 10**400},
            {"data": "\0\ud800"},
        ],
        ids=["data", "summary", "expires", "lease", "seen", "version", "text"],
    )
    def test_what_could_not_be_read_back_is_not_written(
        self, store: Store, clock: Clock, changes: dict[str, Any]
    ) -> None:
        with pytest.raises(StoreUnavailableError):
            store.add("k", record(clock, **changes), indexes=["user:1"])
        assert (store.read("k"), store.find("user:1")) == (None, [])

    def test_a_replacement_that_could_not_be_read_back_leaves_what_is_there(
        self, store: Store, clock: Clock
    ) -> None:
        store.add("k", record(clock), indexes=[])
        with pytest.raises(StoreUnavailableError):
            store.replace("k", next_of(record(clock), data="d" * (MAX_DATA + 1)))
        with pytest.raises(StoreUnavailableError):
            store.touch("k", seen=0, expires=0, summary="s" * (MAX_SUMMARY + 1))
        with pytest.raises(StoreUnavailableError):
            store.touch("k", seen=record(clock).seen, expires=MAX_NUMBER + 1)
        assert store.read("k") == record(clock)

    @pytest.mark.parametrize("name", ["", "x" * (MAX_NAME + 1), "a\0b", "a\nb", "caf\u00e9", "a\ud800b"])
    def test_a_name_that_is_not_of_our_making_is_refused(self, store: Store, clock: Clock, name: str) -> None:
        for use in every_method(store, clock, name=name).values():
            with pytest.raises(StoreUnavailableError):
                use()
        with pytest.raises(StoreUnavailableError):
            store.add("k", record(clock), indexes=[name])
        with pytest.raises(StoreUnavailableError):
            touch(store, clock, indexes=[name])
        assert everything(store) == {}

    def test_names_with_the_signs_of_query_languages_are_plain_names(
        self, store: Store, clock: Clock
    ) -> None:
        names = ["a*", "a%", "a_", "a?", "a[b]", "{a}", "a'b", 'a"b', "a:b", "a b", "\\a", "$1", ":a", "a"]
        for name in names:
            store.add(name, record(clock, data=name), indexes=[name])
        assert {name: store.read(name) for name in names} == {
            name: record(clock, data=name) for name in names
        }
        assert [list(found(store, name)) for name in names] == [[name] for name in names]
        assert sorted(everything(store)) == sorted(names)

    # Being in use

    def test_a_touch_writes_its_time_and_nothing_else(self, store: Store, clock: Clock) -> None:
        before = record(clock, version=3, lease=int(clock.now) + 9)
        store.add("k", before, indexes=["user:1"])
        after = replace(before, seen=before.seen + 30, expires=before.expires + 30)
        assert store.touch("k", seen=after.seen, expires=after.expires) == after
        assert store.read("k") == after
        assert found(store, "user:1") == {"k": after}

    def test_a_touch_within_the_step_only_reads(self, store: Store, clock: Clock) -> None:
        before = record(clock)
        store.add("k", before, indexes=[])
        assert store.touch("k", seen=before.seen + 29, expires=before.expires + 29, step=30) == before
        assert store.read("k") == before

    def test_a_touch_a_step_later_writes(self, store: Store, clock: Clock) -> None:
        before = record(clock)
        store.add("k", before, indexes=[])
        after = replace(before, seen=before.seen + 30, expires=before.expires + 30)
        assert store.touch("k", seen=after.seen, expires=after.expires, step=30) == after
        assert store.read("k") == after

    def test_a_touch_in_the_same_second_can_put_the_end_off(self, store: Store, clock: Clock) -> None:
        before = record(clock)
        store.add("k", before, indexes=[])
        after = replace(before, expires=before.expires + 1)
        assert store.touch("k", seen=before.seen, expires=after.expires) == after

    @pytest.mark.parametrize("step", [0, 30])
    def test_a_touch_by_a_worker_whose_clock_is_behind_undoes_nothing(
        self, store: Store, clock: Clock, step: int
    ) -> None:
        before = record(clock)
        store.add("k", before, indexes=[])
        assert store.touch("k", seen=before.seen - 1, expires=before.expires + 5, step=step) == before
        assert store.read("k") == before

    def test_a_touch_shortens_no_life(self, store: Store, clock: Clock) -> None:
        before = record(clock)
        store.add("k", before, indexes=[])
        after = replace(before, seen=before.seen + 5)
        assert store.touch("k", seen=after.seen, expires=before.expires - 20) == after
        assert store.read("k") == after

    @pytest.mark.parametrize(("step", "written"), [(0, 5), (30, 0)])
    def test_a_summary_is_written_in_any_case(
        self, store: Store, clock: Clock, step: int, written: int
    ) -> None:
        before = record(clock)
        store.add("k", before, indexes=["user:1"])
        after = replace(before, summary="newer", seen=before.seen + written, expires=before.expires + written)
        touched = store.touch(
            "k", seen=before.seen + 5, expires=before.expires + 5, step=step, summary="newer"
        )
        assert touched == after
        assert store.read("k") == after
        assert found(store, "user:1") == {"k": after}

    def test_an_empty_summary_is_kept(self, store: Store, clock: Clock) -> None:
        before = record(clock)
        store.add("k", before, indexes=[])
        assert store.touch("k", seen=before.seen, expires=before.expires, summary="") == replace(
            before, summary=""
        )

    @pytest.mark.parametrize("step", [0, 30])
    def test_a_touch_returns_what_others_have_replaced(
        self, make_store: MakeStore, clock: Clock, step: int
    ) -> None:
        store, before = make_store(APP), record(clock)
        store.add("k", before, indexes=[])
        assert store.touch("k", seen=before.seen, expires=before.expires) == before
        after = next_of(before, data="refreshed", summary="newer", lease=7)
        assert make_store(APP).replace("k", after)
        assert store.touch("k", seen=before.seen, expires=before.expires, step=step) == after

    def test_a_touched_session_lives_longer(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=["user:1"])
        kept = replace(record(clock), seen=int(clock.now) + 50, expires=record(clock).expires + 60)
        store.touch("k", seen=kept.seen, expires=kept.expires)
        clock.now += 100
        assert store.read("k") == kept
        assert found(store, "user:1") == {"k": kept}
        assert everything(store) == {"k": kept}

    @pytest.mark.parametrize("step", [0, 30])
    def test_a_touch_adds_indexes_to_those_that_are_there(
        self, store: Store, clock: Clock, step: int
    ) -> None:
        before = record(clock)
        store.add("k", before, indexes=["user:1"])
        for indexes in (["sid:a", "user:1"], ["sid:a"]):
            assert store.touch("k", seen=before.seen, expires=before.expires, step=step, indexes=indexes)
        assert list(found(store, "user:1")) == ["k"]
        assert list(found(store, "sid:a")) == ["k"]

    @any_touch
    def test_a_touch_brings_nothing_back_that_never_was(
        self, store: Store, clock: Clock, options: dict[str, Any]
    ) -> None:
        assert touch(store, clock, **options) is None
        assert (store.read("k"), store.find("user:1"), everything(store)) == (None, [], {})

    @pytest.mark.requirement("3c.16")
    @any_touch
    def test_a_touch_brings_nothing_back_that_was_deleted(
        self, store: Store, clock: Clock, options: dict[str, Any]
    ) -> None:
        store.add("k", record(clock), indexes=["user:1"])
        assert store.delete("k")
        assert touch(store, clock, **options) is None
        assert (store.read("k"), store.find("user:1"), everything(store)) == (None, [], {})

    @any_touch
    def test_a_touch_brings_nothing_back_that_has_expired(
        self, store: Store, clock: Clock, options: dict[str, Any]
    ) -> None:
        store.add("k", record(clock), indexes=["user:1"])
        clock.now += 60
        assert touch(store, clock, **options) is None
        assert (store.read("k"), store.find("user:1"), everything(store)) == (None, [], {})

    # Replacing

    def test_a_replacement_replaces_all_of_the_record(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=["user:1"])
        now = int(clock.now)
        second = Record(2, "new data", "new summary", now + 10, now + 90, now + 20)
        assert store.replace("k", second)
        assert store.read("k") == second
        assert found(store, "user:1") == {"k": second}

    @pytest.mark.parametrize("version", [1, 2, 3, 5])
    def test_only_the_next_version_replaces_a_record(self, store: Store, clock: Clock, version: int) -> None:
        there = record(clock, version=3)
        store.add("k", there, indexes=[])
        assert not store.replace("k", record(clock, version=version, data="late"))
        assert store.read("k") == there

    def test_a_record_that_does_not_exist_is_not_replaced(self, store: Store, clock: Clock) -> None:
        assert not store.replace("k", record(clock))
        assert not store.replace("k", next_of(record(clock)))
        assert store.read("k") is None

    @pytest.mark.requirement("3c.16")
    def test_what_was_deleted_is_not_replaced(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=["user:1"])
        store.delete("k")
        assert not store.replace("k", next_of(record(clock)))
        assert (store.read("k"), store.find("user:1"), everything(store)) == (None, [], {})

    def test_what_has_expired_is_not_replaced(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=[])
        clock.now += 60
        assert not store.replace("k", next_of(record(clock)))
        assert store.read("k") is None

    def test_a_replacement_after_a_touch_counts(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=[])
        store.touch("k", seen=int(clock.now) + 5, expires=record(clock).expires, summary="newer")
        assert store.replace("k", next_of(record(clock)))

    # Deleting

    def test_what_was_deleted_is_gone(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=["user:1", "sid:a"])
        store.add("other", record(clock), indexes=["user:1"])
        assert store.delete("k")
        assert store.read("k") is None
        assert list(found(store, "user:1")) == list(everything(store)) == ["other"]
        assert store.find("sid:a") == []

    def test_only_the_first_deletion_finds_something(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=[])
        assert [store.delete("k"), store.delete("k"), store.delete("never")] == [True, False, False]

    def test_an_expired_record_cannot_be_deleted(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock), indexes=[])
        clock.now += 60
        assert not store.delete("k")

    # Time

    @pytest.mark.requirement("3c.14")
    def test_a_record_is_gone_from_the_second_on_in_which_it_expires(
        self, store: Store, clock: Clock
    ) -> None:
        store.add("k", record(clock), indexes=["user:1"])
        clock.now += 59
        assert store.read("k") is not None
        assert list(found(store, "user:1")) == list(everything(store)) == ["k"]
        clock.now += 1
        assert (store.read("k"), store.find("user:1"), everything(store)) == (None, [], {})

    def test_a_record_that_has_expired_when_it_is_added_is_not_read(self, store: Store, clock: Clock) -> None:
        store.add("k", record(clock, expires=int(clock.now)), indexes=["user:1"])
        store.add("old", record(clock, expires=1), indexes=["user:1"])
        assert (store.read("k"), store.read("old"), store.find("user:1")) == (None, None, [])

    # Lists

    def test_an_index_lists_its_own_records(self, store: Store, clock: Clock) -> None:
        store.add("a", record(clock, data="a"), indexes=["user:1"])
        store.add("b", record(clock, data="b"), indexes=["user:1", "sid:b"])
        store.add("c", record(clock, data="c"), indexes=["user:2"])
        assert found(store, "user:1") == {"a": record(clock, data="a"), "b": record(clock, data="b")}
        assert found(store, "sid:b") == {"b": record(clock, data="b")}
        assert found(store, "user:3") == {}

    def test_an_index_named_twice_lists_a_record_once(self, store: Store, clock: Clock) -> None:
        store.add("a", record(clock), indexes=["user:1", "user:1"])
        assert list(found(store, "user:1")) == ["a"]

    def test_an_index_of_many_records_lists_them_all(self, store: Store, clock: Clock) -> None:
        keys = {f"key-{number}" for number in range(MANY)}
        for key in keys:
            store.add(key, record(clock, data=key), indexes=["user:1"])
        expected = {key: record(clock, data=key) for key in keys}
        assert found(store, "user:1") == expected
        assert everything(store) == expected

    def test_a_session_added_or_ended_during_a_listing_disturbs_nothing(
        self, store: Store, clock: Clock
    ) -> None:
        for number in range(MANY):
            store.add(f"key-{number}", record(clock), indexes=[])
        listing = store.all()
        seen = [next(listing)[0]]
        others = [f"key-{number}" for number in range(MANY) if f"key-{number}" != seen[0]]
        for key in others[::2]:
            store.delete(key)
        store.add("late", record(clock), indexes=[])
        seen += [key for key, _ in listing]
        assert len(set(seen)) == len(seen)
        assert set(others[1::2]) <= set(seen)

    def test_an_empty_store_lists_nothing(self, store: Store) -> None:
        assert everything(store) == {}

    # Two applications

    def test_two_applications_in_one_store_do_not_see_each_other(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        one, other = make_store(APP), make_store(OTHER_APP)
        one.add("k", record(clock, data="one"), indexes=["user:1"])
        assert (other.read("k"), other.find("user:1"), everything(other)) == (None, [], {})
        assert touch(other, clock, indexes=["user:1"]) is None
        assert not other.replace("k", next_of(record(clock)))
        assert not other.delete("k")
        other.add("k", record(clock, data="other"), indexes=["user:1"])
        assert found(one, "user:1") == everything(one) == {"k": record(clock, data="one")}
        assert found(other, "user:1") == everything(other) == {"k": record(clock, data="other")}
        assert one.delete("k")
        assert other.read("k") == record(clock, data="other")

    def test_two_applications_use_and_revoke_names_of_their_own(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        one, other, later = make_store(APP), make_store(OTHER_APP), record(clock).expires
        assert [one.first_use("jti:1", expires=later), other.first_use("jti:1", expires=later)] == [True] * 2
        one.revoke("user:1", moment=7, expires=later)
        assert (one.revoked("user:1"), other.revoked("user:1")) == (7, None)

    # Names that are used once

    @pytest.mark.requirement("3l.4")
    def test_a_name_is_used_once(self, make_store: MakeStore, clock: Clock) -> None:
        store, later = make_store(APP), record(clock).expires
        assert store.first_use("jti:a", expires=later)
        assert not store.first_use("jti:a", expires=later)
        assert not make_store(APP).first_use("jti:a", expires=later + 60)
        assert store.first_use("jti:A", expires=later)
        assert store.first_use("attempt:a", expires=later)

    def test_a_used_name_stays_used_for_an_hour_after_it_expired(self, store: Store, clock: Clock) -> None:
        expired = int(clock.now) - EXPIRY_GRACE + 60
        assert store.first_use("jti:a", expires=expired)
        assert not store.first_use("jti:a", expires=record(clock).expires)

    def test_a_name_used_and_a_session_of_that_name_have_nothing_to_do_with_each_other(
        self, store: Store, clock: Clock
    ) -> None:
        store.add("a", record(clock), indexes=["a"])
        assert store.first_use("a", expires=record(clock).expires)
        assert store.revoked("a") is None
        store.revoke("a", moment=5, expires=record(clock).expires)
        assert store.read("a") == record(clock)
        assert found(store, "a") == {"a": record(clock)}

    def test_all_records_are_read_in_the_order_of_their_keys(self, store: Store, clock: Clock) -> None:
        keys = [f"k{number:03}" for number in range(250)]
        for key in reversed(keys):
            store.add(key, record(clock), indexes=["user:1"])
        assert [key for key, _ in store.all(after="")] == keys
        assert [key for key, _ in store.all(after="k120")] == keys[121:]
        assert list(store.all(after="k249")) == []

    def test_records_that_were_not_used_since_are_left_out(self, store: Store, clock: Clock) -> None:
        now = int(clock.now)
        for key, seen in (("old", now - 10), ("new", now)):
            store.add(key, replace(record(clock), seen=seen), indexes=["user:1"])
        assert {key for key, _ in store.all(used_since=now)} == {"new"}
        assert {key for key, _ in store.all(used_since=now - 10, after="")} == {"new", "old"}

    # Revocations

    def test_a_revocation_is_remembered(self, make_store: MakeStore, clock: Clock) -> None:
        later = record(clock).expires
        make_store(APP).revoke("user:1", moment=12, expires=later)
        store = make_store(APP)
        assert store.revoked("user:1") == 12
        assert (store.revoked("user:2"), store.revoked("sid:1"), store.revoked("1")) == (None, None, None)

    def test_of_several_revocations_the_highest_moment_counts(self, store: Store, clock: Clock) -> None:
        later = record(clock).expires
        for moment in (12, 30, 20, 30):
            store.revoke("user:1", moment=moment, expires=later)
        assert store.revoked("user:1") == 30

    def test_a_revocation_at_the_beginning_of_time_counts(self, store: Store, clock: Clock) -> None:
        store.revoke("user:1", moment=0, expires=record(clock).expires)
        assert store.revoked("user:1") == 0

    def test_several_names_are_asked_at_once(self, make_store: MakeStore, store: Store, clock: Clock) -> None:
        later = record(clock).expires
        for name, moment in (("begun:*", 12), ("begun:corp", 7), ("begun:corp", 30)):
            store.revoke(name, moment=moment, expires=later)
        make_store("https://other.example").revoke("begun:bank", moment=1, expires=later)
        names = ["begun:*", "begun:corp", "begun:bank"]
        assert store.moments(names) == {"begun:*": 12, "begun:corp": 30}
        assert store.moments([]) == {}

    def test_a_revocation_is_kept_until_it_expires(self, store: Store, clock: Clock) -> None:
        store.revoke("user:1", moment=12, expires=record(clock).expires)
        clock.now += 60
        assert store.revoked("user:1") == 12

    def test_a_revocation_that_expired_an_hour_ago_is_forgotten(self, store: Store, clock: Clock) -> None:
        store.revoke("user:1", moment=12, expires=int(clock.now) - EXPIRY_GRACE - 1)
        assert store.revoked("user:1") is None

    def test_a_lower_revocation_that_lasts_longer_makes_the_higher_one_last(
        self, store: Store, clock: Clock
    ) -> None:
        store.revoke("user:1", moment=30, expires=int(clock.now) + 60)
        store.revoke("user:1", moment=10, expires=int(clock.now) + 3 * EXPIRY_GRACE)
        clock.now += 2 * EXPIRY_GRACE
        assert store.revoked("user:1") == 30

    def test_a_higher_revocation_that_ends_sooner_shortens_nothing(self, store: Store, clock: Clock) -> None:
        store.revoke("user:1", moment=10, expires=int(clock.now) + 3 * EXPIRY_GRACE)
        store.revoke("user:1", moment=30, expires=int(clock.now) + 60)
        clock.now += 2 * EXPIRY_GRACE
        assert store.revoked("user:1") == 30

    # Many at once

    def test_of_fifty_replacements_at_once_exactly_one_counts(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        workers = [make_store(APP), make_store(APP)]
        workers[0].add("k", record(clock), indexes=[])
        tries = [
            lambda number=number: workers[number % 2].replace("k", next_of(record(clock), data=str(number)))
            for number in range(THREADS)
        ]
        results = at_once(*tries)
        assert results.count(True) == 1
        assert results.count(False) == THREADS - 1
        assert workers[0].read("k") == next_of(record(clock), data=str(results.index(True)))

    @pytest.mark.requirement("3l.4")
    def test_of_fifty_uses_at_once_exactly_one_is_the_first(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        workers, later = [make_store(APP), make_store(APP)], record(clock).expires
        tries = [
            lambda number=number: workers[number % 2].first_use("jti:a", expires=later)
            for number in range(THREADS)
        ]
        assert sorted(at_once(*tries)) == [False] * (THREADS - 1) + [True]

    @pytest.mark.requirement("3c.16")
    def test_a_deletion_among_replacements_and_touches_is_final(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        workers = [make_store(APP), make_store(APP)]
        workers[0].add("k", record(clock), indexes=["user:1"])

        def refresh(number: int) -> None:
            for _ in range(5):
                current = touch(workers[number % 2], clock, summary="s", indexes=["user:1"])
                if current is not None:
                    workers[number % 2].replace("k", next_of(current))

        refreshes = [lambda number=number: refresh(number) for number in range(THREADS // 2)]
        results = at_once(*refreshes, lambda: workers[1].delete("k"))
        assert results[-1] is True
        for worker in workers:
            assert (worker.read("k"), worker.find("user:1"), everything(worker)) == (None, [], {})

    def test_of_fifty_deletions_at_once_exactly_one_finds_something(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        workers = [make_store(APP), make_store(APP)]
        workers[0].add("k", record(clock), indexes=["user:1"])
        tries = [lambda number=number: workers[number % 2].delete("k") for number in range(THREADS)]
        assert at_once(*tries).count(True) == 1

    def test_no_touch_at_the_same_moment_undoes_a_replacement(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        workers, now = [make_store(APP), make_store(APP)], int(clock.now)
        workers[0].add("k", record(clock), indexes=[])
        touches = [
            lambda number=number: workers[number % 2].touch("k", seen=now + number, expires=now + 60 + number)
            for number in range(THREADS)
        ]
        *_, replaced = at_once(
            *touches, lambda: workers[1].replace("k", next_of(record(clock), data="refreshed"))
        )
        assert replaced
        kept = workers[0].read("k")
        assert kept is not None
        assert (kept.version, kept.data) == (2, "refreshed")

    def test_of_fifty_revocations_at_once_the_highest_counts(
        self, make_store: MakeStore, clock: Clock
    ) -> None:
        workers, later = [make_store(APP), make_store(APP)], record(clock).expires
        at_once(
            *(
                lambda number=number: workers[number % 2].revoke("user:1", moment=number, expires=later)
                for number in range(THREADS)
            )
        )
        assert [worker.revoked("user:1") for worker in workers] == [THREADS - 1] * 2

    # Values of others

    def test_reading_what_is_in_order_leaves_no_audit_line(
        self, store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="oauth2_mw.audit")
        store.add("k", record(clock), indexes=["user:1"])
        store.read("k")
        store.read("none")
        touch(store, clock)
        list(store.all())
        assert caplog.records == []
