"""Sessions in Redis and Valkey: the contract of all stores, and what is particular to these."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from oauth2_mw.encoding import MAX_NUMBER
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores import open_store
from oauth2_mw.session.stores.record import EXPIRY_GRACE, MAX_DATA, MAX_SUMMARY
from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.session.stores.redis.server import POOL_SIZE
from oauth2_mw.settings.grammar import Secret
from tests.support.clock import Clock
from tests.support.contracts.form_store import FormStoreContract
from tests.support.contracts.store import (
    APP,
    MakeStore,
    StoreContract,
    at_once,
    clock,
    everything,
    found,
    next_of,
    record,
    store,
    touch,
)
from tests.support.hosts.processes import child_environment
from tests.support.stores.redis_servers import RedisServer

__all__ = ["clock", "store"]

NAMES = ["user:canary-user", "sid:canary-sid"]


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), make=request.param) as running:
        yield running


@pytest.fixture
def make_store(server: RedisServer, inside: Redis, clock: Clock) -> MakeStore:
    return lambda app: RedisStore(Secret.literal(server.url), app=app, clock=clock)


class TestOneServer(StoreContract, FormStoreContract):
    pass


def keys_of(inside: Redis) -> list[bytes]:
    return list(inside.scan_iter(count=1000))


def only(inside: Redis, kind: str) -> bytes:
    """The one key of a kind."""
    keys = [key for key in keys_of(inside) if key.endswith(f"}}:{kind}".encode())]
    assert len(keys) == 1
    return keys[0]


# What is written there


def test_no_key_outlives_what_it_is_about_by_more_than_the_hour(
    store: Any, clock: Clock, inside: Redis
) -> None:
    later = record(clock).expires
    store.add("k", record(clock), indexes=NAMES)
    store.first_use("jti:a", expires=later)
    store.revoke("user:1", moment=1, expires=later)
    for change in (
        lambda: None,
        lambda: touch(store, clock, summary="newer", indexes=["user:2"]),
        lambda: store.replace("k", next_of(record(clock))),
    ):
        change()
        lives = {key[-1:]: inside.ttl(key) for key in keys_of(inside)}
        assert lives.keys() == {b"s", b"i", b"u", b"r"}
        for kind, seconds in lives.items():
            assert EXPIRY_GRACE < seconds <= EXPIRY_GRACE + (240 if kind == b"i" else 60)


def test_neither_keys_nor_values_name_anybody(store: Any, clock: Clock, inside: Redis) -> None:
    store.add("k", record(clock), indexes=NAMES)
    store.first_use("jti:canary-jti", expires=record(clock).expires)
    store.revoke("user:canary-user", moment=1, expires=record(clock).expires)
    store.revoked("user:canary-user")
    values = [inside.dump(key) or b"" for key in keys_of(inside)]
    assert len(values) == 5
    assert b"canary" not in b"".join((*keys_of(inside), *values))


def test_what_is_deleted_leaves_nothing(store: Any, clock: Clock, inside: Redis) -> None:
    store.add("k", record(clock), indexes=NAMES)
    touch(store, clock, indexes=["user:2"])
    assert len(keys_of(inside)) == 4
    assert store.delete("k")
    assert keys_of(inside) == []


def test_an_index_forgets_what_is_over_when_it_is_written_to(store: Any, clock: Clock, inside: Redis) -> None:
    for number in range(5):
        store.add(f"old-{number}", record(clock), indexes=["user:1"])
    clock.now += 2 * EXPIRY_GRACE
    store.add("new", record(clock), indexes=["user:1"])
    assert inside.zrange(only(inside, "i"), 0, -1) == [b"new"]


def test_a_session_in_use_stays_in_its_indexes_however_long_it_lives(store: Any, clock: Clock) -> None:
    store.add("k", record(clock), indexes=["user:1", "sid:1"])
    for _ in range(120):
        clock.now += 50
        assert touch(store, clock, step=30) is not None
    store.add("other", record(clock), indexes=["user:1", "sid:1"])
    assert sorted(found(store, "user:1")) == sorted(found(store, "sid:1")) == ["k", "other"]


def test_a_session_that_lives_longer_by_a_replacement_stays_in_its_indexes(
    store: Any, clock: Clock, inside: Redis
) -> None:
    store.add("k", record(clock), indexes=["user:1"])
    assert store.replace("k", next_of(record(clock), expires=int(clock.now) + 5 * EXPIRY_GRACE))
    assert inside.ttl(only(inside, "i")) > 5 * EXPIRY_GRACE
    clock.now += 4 * EXPIRY_GRACE
    store.add("other", record(clock), indexes=["user:1"])
    assert sorted(found(store, "user:1")) == ["k", "other"]


def test_a_touch_is_one_round_trip(store: Any, clock: Clock, inside: Redis) -> None:
    store.add("k", record(clock), indexes=["user:1"])
    touch(store, clock)

    def reads() -> int:
        before = inside.info("stats")["total_reads_processed"]
        for _ in range(10):
            touch(store, clock)
        return int(inside.info("stats")["total_reads_processed"] - before)

    # And the one that counts. The end of a connection that an earlier test has left is a read, too.
    assert min(reads() for _ in range(3)) == 11


def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(
    store: Any, clock: Clock, inside: Redis
) -> None:
    store.add("k", record(clock), indexes=["user:1"])
    inside.script_flush()
    assert store.replace("k", next_of(record(clock)))
    inside.script_flush()
    assert store.find("user:1") == [("k", next_of(record(clock)))]


# Values of others

UNUSABLE: dict[str, Any] = {
    "a text": lambda inside, key: inside.set(key, "x" * 10**6),
    "a list": lambda inside, key: inside.rpush(key, "a", "b"),
    "a sorted set": lambda inside, key: inside.zadd(key, {"a": 1}),
    "a set": lambda inside, key: inside.sadd(key, "a"),
    "no field of ours": lambda inside, key: inside.hset(key, "a", "b"),
    **{f"no {name}": lambda inside, key, name=name: fields(inside, key, **{name: None}) for name in "vdsnel"},
    **{
        f"{name} = {value!r}": lambda inside, key, name=name, value=value: fields(
            inside, key, **{name: value}
        )
        for name, value in [
            *((name, value) for name in "vnel" for value in ("", "-1", "1.5", "1e3", "x", " 1", "9" * 16)),
            *((name, "9" * 400) for name in "vnel"),
            ("v", str(MAX_NUMBER + 1)),
            ("d", "caf\u00e9"),
            ("s", b"\xff"),
        ]
    },
    "data of megabytes": lambda inside, key: fields(inside, key, d="x" * 3 * 10**6),
    "data a little too long": lambda inside, key: fields(inside, key, d="x" * (MAX_DATA + 1)),
    "a summary too long": lambda inside, key: fields(inside, key, s="x" * (MAX_SUMMARY + 1)),
    "indexes without end": lambda inside, key: fields(inside, key, i="x " * 10**6),
}


def fields(inside: Redis, key: bytes, **changes: Any) -> None:
    """A session as the store writes it, but for some fields; ``None`` leaves one out."""
    later = int(time.time()) + 60
    written: dict[str, Any] = {
        "v": 1,
        "d": "",
        "s": "",
        "n": later,
        "e": later,
        "l": 0,
        "i": "",
        "h": later,
    } | changes
    inside.hset(key, mapping={name: value for name, value in written.items() if value is not None})


@pytest.mark.requirement("3c.13")
@pytest.mark.parametrize("write", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_foreign_value_is_not_a_session(
    write: Any, store: Any, clock: Clock, inside: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    store.add("k", record(clock), indexes=["user:1"])
    key = only(inside, "s")

    def spoil() -> None:
        inside.delete(key)
        write(inside, key)
        caplog.clear()

    for use in (lambda: store.read("k"), lambda: store.find("user:1"), lambda: everything(store)):
        spoil()
        assert not use()
        assert "event=store_value_unusable session=k " in caplog.text
        assert len(caplog.text) < 2000
    for options in ({}, {"summary": "s", "indexes": ["user:2"]}):
        spoil()
        touched = touch(store, clock, **options)
        # What it overwrites anyway it need not judge.
        assert touched is None or touched == store.read("k")
    spoil()
    store.replace("k", next_of(record(clock)))
    store.delete("k")
    assert inside.exists(key) == 0


@pytest.mark.parametrize(
    "spoilt",
    [
        {"i": "x y", "h": "-1"},
        {"i": "\u00e9" * 100, "h": "x"},
        {"i": "a" * 24 + " " + "}" * 24, "h": ""},
        {"i": b"\xff\x00", "h": "9" * 16},
    ],
)  # fmt: skip
def test_a_session_whose_list_of_indexes_was_spoilt_is_still_one(
    spoilt: dict[Any, Any], store: Any, clock: Clock, inside: Redis
) -> None:
    store.add("k", record(clock), indexes=["user:1"])
    inside.hset(only(inside, "s"), mapping=spoilt)
    assert store.read("k") == record(clock)
    assert touch(store, clock, indexes=["user:1"]) == record(clock)
    assert store.replace("k", next_of(record(clock)))
    assert found(store, "user:1") == {"k": next_of(record(clock))}
    assert store.delete("k")


@pytest.mark.parametrize("value", ["text", "list", "hash"])
def test_an_overwritten_index_is_begun_anew(value: str, store: Any, clock: Clock, inside: Redis) -> None:
    store.add("k", record(clock), indexes=["user:1"])
    key = only(inside, "i")
    inside.delete(key)
    _ = {
        "text": lambda: inside.set(key, "x"),
        "list": lambda: inside.rpush(key, "x"),
        "hash": lambda: inside.hset(key, "a", "b"),
    }[value]()
    assert store.find("user:1") == []
    assert store.delete("k")
    store.add("new", record(clock), indexes=["user:1"])
    assert list(found(store, "user:1")) == ["new"]


def test_foreign_members_of_an_index_are_ignored(store: Any, clock: Clock, inside: Redis) -> None:
    store.add("k", record(clock), indexes=["user:1"])
    later = record(clock).expires
    strange = {"": later, "x" * 201: later, "x" * 10**6: later, "\u00e9": later, "a\nb": later}
    inside.zadd(only(inside, "i"), {**strange, "never added": "inf", "over": "-inf"})
    assert list(found(store, "user:1")) == ["k"]


def test_foreign_keys_are_ignored(store: Any, clock: Clock, inside: Redis) -> None:
    store.add("k", record(clock), indexes=[])
    key = only(inside, "s")
    for strange in ("k\u00e9", "k\n", "", "x" * 300):
        inside.set(key.replace(b".k}", b"." + strange.encode() + b"}"), "x")
    assert list(everything(store)) == ["k"]


UNUSABLE_CUT_OFFS: dict[str, Any] = {
    "a text": lambda inside, key: inside.set(key, "x" * 10**6),
    "a number": lambda inside, key: inside.set(key, "7"),
    "a negative moment": lambda inside, key: inside.set(key, f"-7 {MAX_NUMBER}"),
    "a moment without end": lambda inside, key: inside.set(key, "9" * 30 + f" {MAX_NUMBER}"),
    "nothing": lambda inside, key: inside.set(key, ""),
    "a list": lambda inside, key: inside.rpush(key, "7"),
}


@pytest.mark.parametrize("write", UNUSABLE_CUT_OFFS.values(), ids=UNUSABLE_CUT_OFFS.keys())
def test_an_overwritten_revocation_lets_nobody_in(
    write: Any, store: Any, clock: Clock, inside: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    later = record(clock).expires
    store.revoke("user:1", moment=5, expires=later)
    key = only(inside, "r")
    inside.delete(key)
    write(inside, key)
    with pytest.raises(StoreUnavailableError, match="delete it"):
        store.revoked("user:1")
    store.revoke("user:1", moment=6, expires=later)
    assert "event=store_value_unusable revocation=user:1" in caplog.text
    assert store.revoked("user:1") == 6


@pytest.mark.parametrize(
    ("moment", "expires"), [(-1, 5), (5, -1), (MAX_NUMBER + 1, 5), (5, MAX_NUMBER + 1), (0.5, 5), (5, True)]
)
def test_a_revocation_that_could_not_be_read_back_is_refused(moment: Any, expires: Any, store: Any) -> None:
    with pytest.raises(StoreUnavailableError, match="whole number"):
        store.revoke("user:1", moment=moment, expires=expires)


# Processes and threads


def test_making_a_store_connects_to_nobody(clock: Clock) -> None:
    RedisStore(Secret.literal("redis://127.0.0.1:1"), app=APP, clock=clock)


def test_the_scheme_of_the_url_chooses_the_redis_store(server: RedisServer) -> None:
    store = open_store(Secret.literal(server.url), app=APP)
    assert isinstance(store, RedisStore)
    assert store.read("k") is None


def test_many_threads_share_a_few_connections(store: Any, inside: Redis) -> None:
    before = len(inside.client_list())
    at_once(*[lambda: [store.read("k") for _ in range(20)]] * 60)
    assert len(inside.client_list()) - before <= POOL_SIZE


def test_a_connection_that_was_closed_meanwhile_costs_no_request(
    store: Any, clock: Clock, inside: Redis
) -> None:
    store.add("k", record(clock), indexes=[])
    for _ in range(3):
        inside.client_kill_filter(_type="normal", skipme=True)
        assert store.read("k") == record(clock)


@pytest.mark.requirement("3l.8")
def test_a_fork_shares_no_connection(server: RedisServer, inside: Redis) -> None:
    environment = child_environment({"STORE_URL": server.url})
    done = subprocess.run(
        [sys.executable, "-c", "import tests.support.stores.redis_forking"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0]\n", "")


def test_a_url_in_a_file_is_read_again_when_it_changes(
    server: RedisServer, inside: Redis, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text(f"{server.url}/1\n")
    store = RedisStore(Secret.file(file), app=APP, clock=clock)
    store.add("k", record(clock), indexes=[])
    file.write_text(f"{server.url}/12\n")
    assert store.read("k") is None
    file.write_text("redis://:canary@/12")
    with pytest.raises(
        StoreUnavailableError, match="setting session has changed: the URL has a host"
    ) as failure:
        store.read("k")
    assert "canary" not in failure.value.detail
    file.write_text(f"{server.url}/1")
    assert store.read("k") == record(clock)


# Nothing is shown


def test_no_log_and_no_repr_shows_a_value_or_the_password(
    server: RedisServer, inside: Redis, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    inside.acl_setuser(
        "canary-user", enabled=True, passwords=["+canary-password"], keys=["*"], categories=["+@all"]
    )
    url = server.url.replace("//", "//canary-user:canary-password@")
    store = RedisStore(Secret.literal(url), app=APP, clock=clock)
    secret = record(clock, data="canary-data", summary="canary-summary")
    store.add("canary-key", secret, indexes=["canary-index"])
    assert store.find("canary-index") == list(store.all()) == [("canary-key", secret)]
    store.touch("canary-key", seen=secret.seen, expires=secret.expires, summary="canary-summary")
    store.replace("canary-key", next_of(secret))
    store.revoke("canary-name", moment=1, expires=secret.expires)
    store.first_use("canary-name", expires=secret.expires)
    inside.client_kill_filter(_type="normal", skipme=True)
    inside.acl_setuser("canary-user", enabled=True, passwords=["-canary-password", "+other"])
    with pytest.raises(StoreUnavailableError) as failure:
        store.delete("canary-key")
    inside.acl_deluser("canary-user")
    seen = [caplog.text, str(failure.value), repr(failure.value), repr(store), repr(vars(store))]
    process: Any = store._connections._process.get()
    servers = process.current[1]
    seen += [repr(servers), repr(vars(servers)), repr(vars(servers._server)), repr(servers._server._idle)]
    assert "canary" not in "".join(seen)


def test_reads_and_writes_by_many_threads_lose_nothing(store: Any, clock: Clock) -> None:
    def live(number: int) -> int:
        key, current = f"key-{number}", record(clock, data=str(number))
        store.add(key, current, indexes=["user:1"])
        for _ in range(5):
            current = replace(current, version=current.version + 1)
            assert store.replace(key, current)
            assert store.read(key) == current
        return number

    with ThreadPoolExecutor(30) as pool:
        numbers = list(pool.map(live, range(60)))
    assert len(found(store, "user:1")) == len(numbers)
