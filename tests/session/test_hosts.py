"""Whether hosts that share a store have the same settings: what counts as a difference, and what never does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.session import host_watch
from oauth2_mw.session.host_watch import KEPT, PERIOD, SETTLED, HostRecords, HostWatch
from oauth2_mw.session.hosts import (
    HostRecord,
    HostSettings,
    differences,
    differing,
    read_record,
    values_there,
)
from oauth2_mw.session.keyring import Key, Keyring
from oauth2_mw.session.stores import Record, Store
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from oauth2_mw.telemetry import Observer
from tests.support.audit_lines import audit_lines
from tests.support.clock import Clock
from tests.support.hosts.stage import wait_until
from tests.support.settings.keys import raw_key, text_key
from tests.support.settings.minimal import make_settings
from tests.support.stores.watched_store import WatchedStore

OLD, NEW, OTHER = (Key(raw_key(number)).id.hex() for number in range(3))

HERE = HostSettings(
    public_url="https://app.example",
    prefix="/auth/oauth2",
    cookie_name="oauth2_mw",
    revocation_sync=5,
    keys=(OLD,),
    sealing=OLD,
)
APP = "https://app.example"
#: What no other test lets happen (tests/conftest.py).
START = HostWatch.start


def keys_of(there: HostSettings) -> set[str]:
    """The keys in which it differs from HERE, whichever of the two looks."""
    found = {each.key for each in differences(HERE, there)}
    assert found == {each.key for each in differences(there, HERE)}
    return found


# What a difference is


def test_hosts_with_the_same_settings_do_not_differ() -> None:
    assert keys_of(HERE) == set()


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"revocation_sync": 30}, {"revocation_sync"}),
        ({"keys": (NEW,), "sealing": NEW}, {"secret_keys"}),
        ({"keys": (NEW,), "sealing": NEW, "revocation_sync": 0}, {"secret_keys", "revocation_sync"}),
        # The new key seals already, and the other host does not have it.
        ({"keys": (NEW, OLD), "sealing": NEW}, {"secret_keys"}),
        ({"public_url": "https://www.app.example"}, {"public_url"}),
        ({"public_url": "http://app.example"}, {"public_url"}),
        ({"prefix": "/auth"}, {"prefix"}),
        ({"cookie_name": "other"}, {"cookie_name"}),
    ],
)
def test_what_must_be_alike(changes: dict[str, Any], keys: set[str]) -> None:
    assert keys_of(replace(HERE, **changes)) == keys


@pytest.mark.parametrize(
    "changes",
    [
        # A rotation: the new key is there and does not seal yet, or seals where both have it.
        {"keys": (NEW, OLD)},
        # Another application, with keys of its own, or with the same keys and a mount and a name of its own.
        {"public_url": "https://other.example", "keys": (NEW,), "sealing": NEW},
        {"public_url": "https://other.example", "keys": (NEW,), "sealing": NEW, "revocation_sync": 30},
        {"public_url": "https://app.example/other", "cookie_name": "other"},
        {"prefix": "/second", "cookie_name": "second", "revocation_sync": 30},
    ],
)
def test_what_may_differ(changes: dict[str, Any]) -> None:
    assert keys_of(replace(HERE, **changes)) == set()


def test_a_key_that_seals_on_one_host_alone_is_no_difference_where_both_have_it() -> None:
    here = replace(HERE, keys=(NEW, OLD))
    assert list(differences(here, replace(here, sealing=NEW))) == []


def test_a_difference_names_both_values_and_no_secret() -> None:
    (found,) = differences(HERE, replace(HERE, revocation_sync=30))
    assert (found.here, found.there) == ("5s", "30s")
    (found,) = differences(HERE, replace(HERE, keys=(NEW,), sealing=NEW))
    assert OLD in found.here
    assert NEW in found.there
    assert text_key(0) not in str(found)


def test_many_hosts_with_one_difference_are_one_text() -> None:
    others = [
        HostRecord(f"app{number}", number, 0, None, replace(HERE, revocation_sync=30))
        for number in range(1, 8)
    ]
    found = differing(HERE, others)
    assert set(found) == {"revocation_sync"}
    text = values_there(found["revocation_sync"])
    assert text.startswith("30s on app1 (process 1), app2 (process 2)")
    assert text.endswith("app5 (process 5) and 2 more")


def test_a_process_knows_the_ids_of_its_keys() -> None:
    settings = make_settings(
        secret_keys=f"{text_key(1)} {text_key(0)}", revocation_sync="7s", issuer="https://id.example"
    )
    found = HostSettings.of(settings, Keyring(settings.secret_keys, sync=7))
    assert found == replace(HERE, keys=tuple(sorted([OLD, NEW])), sealing=NEW, revocation_sync=7)


# What is read back

RECORD = HostRecord("app1", 12, 1000, -3, HERE, seen=1200)


def test_a_record_is_read_as_it_was_written() -> None:
    assert read_record(RECORD.text(), seen=1200) == RECORD
    assert RECORD.text().isascii()
    assert text_key(0) not in RECORD.text()


def changed(path: str, value: object) -> str:
    """The record with another value at one place."""
    fields = json.loads(RECORD.text())
    *outer, last = path.split(".")
    inner = fields[outer[0]] if outer else fields
    inner[last] = value
    return json.dumps(fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "a canary",
        "[" * 5000,
        '{"form":1}',
        changed("form", 2),
        changed("host", 5),
        changed("host", "app\n1"),
        changed("host", "\u202eapp"),
        changed("host", "x" * 2001),
        changed("process", "12"),
        changed("process", -1),
        changed("process", True),
        changed("began", 1e300),
        changed("began", 10**40),
        changed("ahead", "1"),
        changed("ahead", 10**40),
        changed("more", 1),
        changed("settings", []),
        changed("settings", None),
        changed("settings.more", 1),
        changed("settings.public_url", None),
        changed("settings.revocation_sync", None),
        changed("settings.keys", 5),
        changed("settings.keys", [[]]),
        changed("settings.keys", ["no id"]),
        changed("settings.keys", [OLD] * 2000),
        changed("settings.sealing", {}),
    ],
)
def test_what_another_has_written_is_no_record(text: str) -> None:
    assert read_record(text, seen=1200) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["form", "settings", "keys"]) | st.text(), inner)
    ),
)


@given(_JSON.map(json.dumps) | st.text())
def test_nothing_that_is_read_raises(text: str) -> None:
    read_record(text, seen=0)


# Hosts at one store


class Host:
    """A process of a host, which looks when a test says so."""

    def __init__(self, name: str, store: Store, clock: Clock, settings: HostSettings = HERE) -> None:
        self.settings = settings
        self.records = HostRecords(store, clock=clock, host=name)
        self.watch = HostWatch(self.records, lambda: self.settings, Observer(lambda _environ: None, "logfmt"))

    @property
    def others(self) -> list[HostRecord]:
        return [record for record, _ in self.records.read().values()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> SqlStore:
    return SqlStore(Database(Secret.literal(f"sqlite:///{tmp_path}/users.db")), app=APP, clock=clock)


@pytest.fixture
def said() -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield stack.enter_context(audit_lines())


def pass_time(clock: Clock, seconds: int, *hosts: Host) -> None:
    """Let so many seconds pass, in which these hosts look as often as they do."""
    for _ in range(seconds // PERIOD):
        clock.now += PERIOD
        for host in hosts:
            host.watch.look()


def test_hosts_that_agree_say_nothing(store: Store, clock: Clock, said: list[str]) -> None:
    hosts = [Host(name, store, clock) for name in ("app1", "app2")]
    pass_time(clock, 120, *hosts)
    assert said == []
    assert {record.host for record in hosts[0].others} == {"app1", "app2"}


def test_a_difference_that_lasts_is_said_by_each_host_once_an_hour(
    store: Store, clock: Clock, said: list[str]
) -> None:
    one, two = Host("app1", store, clock), Host("app2", store, clock, replace(HERE, revocation_sync=30))
    second_worker = Host("app1", store, clock)
    pass_time(clock, SETTLED + 2 * PERIOD, one, second_worker, two)
    assert len(said) == 2
    assert said[1].startswith(
        f'event=hosts_differ detail="[oauth2_mw] revocation_sync: 30s on app2 (process {os.getpid()}), and 5s on app1 '
    )
    assert "write the same revocation_sync on all hosts" in said[1]
    clock.now += 3000
    pass_time(clock, SETTLED + 2 * PERIOD, one, second_worker, two)
    assert len(said) == 2
    clock.now += 500
    pass_time(clock, SETTLED + 2 * PERIOD, one, second_worker, two)
    assert len(said) == 4


def test_hosts_that_restart_one_after_another_say_nothing(
    store: Store, clock: Clock, said: list[str]
) -> None:
    old, new = Host("app1", store, clock), Host("app2", store, clock)
    pass_time(clock, 100, old, new)
    new.settings = replace(HERE, revocation_sync=30)
    pass_time(clock, SETTLED, old, new)
    old.settings = new.settings
    pass_time(clock, KEPT + 2 * PERIOD, old, new)
    assert said == []
    assert {record.settings.revocation_sync for record in old.others} == {30}


def test_a_host_that_is_gone_is_forgotten(store: Store, clock: Clock, said: list[str]) -> None:
    gone, here = Host("app1", store, clock, replace(HERE, revocation_sync=30)), Host("app2", store, clock)
    pass_time(clock, SETTLED, gone, here)
    pass_time(clock, KEPT + PERIOD, here)
    assert [record.host for record in here.others] == ["app2"]
    assert said == []


def test_a_process_of_this_host_that_has_ended_is_gone_at_once(store: Store, clock: Clock) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True, text=True
    )
    here, there = Host("app1", store, clock), Host("app2", store, clock)
    for name in ("app1", "app2"):
        ended = replace(RECORD, host=name, process=int(child.stdout), began=int(clock.now))
        writer = store.as_app("hosts", clock=clock)
        expires = int(clock.now) + KEPT
        writer.add(name, Record(1, ended.text(), "", int(clock.now), expires, 0), indexes=["hosts"])
    assert [record.host for record in here.others] == ["app2"]
    assert [record.host for record in there.others] == ["app1"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"keys": (NEW,), "sealing": NEW}, "secret_keys"),
        ({"public_url": "https://www.app.example"}, "public_url"),
    ],
)
def test_each_difference_is_seen_through_the_store(
    tmp_path: Path, clock: Clock, said: list[str], changes: dict[str, Any], key: str
) -> None:
    hosts = []
    for name, settings in (("app1", HERE), ("app2", replace(HERE, **changes))):
        database = Database(Secret.literal(f"sqlite:///{tmp_path}/users.db"))
        hosts.append(Host(name, SqlStore(database, app=settings.public_url, clock=clock), clock, settings))
    pass_time(clock, SETTLED + 2 * PERIOD, *hosts)
    assert len(said) == 2
    assert all(f"[oauth2_mw] {key}: " in line for line in said)


def test_workers_of_one_host_keep_one_record(store: Store, clock: Clock) -> None:
    workers = [Host("app1", store, clock) for _ in range(4)]
    pass_time(clock, 120, *workers)
    (record,) = workers[0].others
    assert record.began < record.seen - 90


def test_records_are_no_sessions(store: Store, clock: Clock) -> None:
    Host("app1", store, clock).watch.look()
    assert list(store.all()) == []


def test_what_another_program_wrote_costs_nothing(store: Store, clock: Clock, said: list[str]) -> None:
    writer = store.as_app("hosts", clock=clock)
    for number, data in enumerate(["{}", "a canary", changed("host", "x\ny")]):
        record = Record(1, data, "", int(clock.now), int(clock.now) + 600, 0)
        writer.add(f"k{number}", record, indexes=["hosts"])
    host = Host("app1", store, clock)
    pass_time(clock, 120, host)
    assert [record.host for record in host.others] == ["app1"]
    assert said == []


def test_of_a_flood_of_records_few_are_read(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_watch, "MOST", 2)
    hosts = [Host(f"app{number}", store, clock) for number in range(4)]
    pass_time(clock, PERIOD, *hosts)
    assert len(hosts[0].others) == 2


def test_a_forged_record_says_no_more_than_one_line_an_hour(
    store: Store, clock: Clock, said: list[str]
) -> None:
    host = Host("app1", store, clock)
    writer = store.as_app("hosts", clock=clock)
    for number in range(20):
        forged = replace(
            RECORD, host=f"app{number}", began=0, settings=replace(HERE, revocation_sync=number + 6)
        )
        record = Record(1, forged.text(), "", 2**52, int(clock.now) + 1000, 0)
        writer.add(f"k{number}", record, indexes=["hosts"])
    pass_time(clock, 100, host)
    assert len(said) == 1


# In a process of a server


def test_the_line_has_the_form_of_the_audit_log_and_is_counted(
    store: Store, clock: Clock, said: list[str]
) -> None:
    counted: list[str] = []

    class Counting:
        def event(self, name: str, _fields: Mapping[str, object]) -> None:
            counted.append(name)

    observer = Observer(lambda _environ: None, "json", Counting())  # type: ignore[arg-type]  # asked for no more
    here, there = Host("app1", store, clock), Host("app2", store, clock, replace(HERE, revocation_sync=30))
    here.watch = HostWatch(here.records, lambda: HERE, observer)
    pass_time(clock, SETTLED + 2 * PERIOD, there, here)
    line = next(json.loads(line) for line in said if line.startswith("{"))
    assert (line["event"], line["level"]) == ("hosts_differ", "WARNING")
    assert counted == ["hosts_differ"]


def test_a_process_looks_again_and_again_also_after_the_store_was_away(
    store: SqlStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostWatch, "start", START)
    monkeypatch.setattr(host_watch, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(host_watch, "PERIOD", 0.01)
    watched = WatchedStore(store)
    watched.away = True
    host = Host("app1", watched, clock)
    host.watch.start()
    wait_until(lambda: len(watched.calls) >= 2, pause=0.01)
    watched.away = False
    wait_until(lambda: host.others, pause=0.01)
    before = len(watched.calls)
    wait_until(lambda: len(watched.calls) > before + 2, pause=0.01)


def test_a_watch_that_nobody_holds_ends(
    store: SqlStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostWatch, "start", START)
    monkeypatch.setattr(host_watch, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(host_watch, "PERIOD", 0.01)
    before = {*threading.enumerate()}
    watch = HostWatch(HostRecords(store, clock=clock), lambda: HERE, Observer(lambda _environ: None))
    watch.start()
    (thread,) = {*threading.enumerate()} - before
    del watch
    thread.join(10)
    assert not thread.is_alive()


def test_a_process_without_room_for_a_thread_serves_all_the_same(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(HostWatch, "start", START)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    Host("app1", store, clock).watch.start()


# Clocks


class Timed(SqlStore):
    """A store whose server tells the time."""

    told: Clock

    def server_time(self) -> float:
        return self.told()


@pytest.fixture
def timed(store: SqlStore) -> Timed:
    timed = Timed(store.database, app=APP)
    timed.told = Clock()
    return timed


@pytest.mark.parametrize(("ahead", "text"), [(3600, "3600 s ahead of"), (-3600, "3600 s behind")])
def test_a_clock_an_hour_off_is_said_and_hides_no_difference(
    timed: Timed, said: list[str], ahead: int, text: str
) -> None:
    clock = Clock(timed.told() + ahead)
    right, wrong = (
        Host("app1", timed, timed.told),
        Host("app2", timed, clock, replace(HERE, revocation_sync=30)),
    )
    for _ in range(6):
        timed.told.now += PERIOD
        clock.now += PERIOD
        right.watch.look()
        wrong.watch.look()
    assert f'event=hosts_differ detail="clock: {text} the store\'s on app2; set both by NTP"' in said
    assert len([line for line in said if "revocation_sync: " in line]) == 2
    assert len(said) == 3
    assert {record.host: record.ahead for record in right.others} == {"app1": 0, "app2": ahead}


def test_a_clock_that_is_right_is_not_spoken_of(timed: Timed, said: list[str]) -> None:
    host = Host("app1", timed, Clock(timed.told() + 20))
    host.watch.look()
    assert said == []
