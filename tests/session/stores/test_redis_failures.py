"""A Redis server that is away, in trouble or none at all: a refusal in an operator's words, and nothing else."""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.crc import key_slot

from oauth2_mw.errors import ConfigError, StoreUnavailable
from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.session.stores.redis.cluster import slot_of
from oauth2_mw.settings.grammar import Secret
from tests.support.processes import ROOT, child_environment, free_port
from tests.support.redis_fakes import Answer, Command, Scripted, scripted_server, tls_in_front
from tests.support.redis_servers import RedisServer

APP = "https://app.example"


def store_at(url: str) -> RedisStore:
    return RedisStore(Secret.literal(url), app=APP)


def with_password(url: str, password: str = "canary-password", user: str = "") -> str:  # noqa: S107
    return url.replace("//", f"//{user}:{password}@")


def record() -> Record:
    now = int(time.time())
    return Record(
        version=1, data="canary-data", summary="canary-summary", seen=now, expires=now + 600, lease=0
    )


#: Every operation.
USES: dict[str, Callable[[RedisStore], Any]] = {
    "add": lambda store: store.add("k", record(), indexes=["user:1"]),
    "add, without index": lambda store: store.add("k", record(), indexes=[]),
    "read": lambda store: store.read("k"),
    "touch": lambda store: store.touch("k", seen=record().seen, expires=record().expires, summary="canary-s"),
    "replace": lambda store: store.replace("k", record()),
    "delete": lambda store: store.delete("k"),
    "find": lambda store: store.find("user:1"),
    "all": lambda store: list(store.all()),
    "first_use": lambda store: store.first_use("jti:1", expires=record().expires),
    "revoke": lambda store: store.revoke("user:1", moment=1, expires=record().expires),
    "revoked": lambda store: store.revoked("user:1"),
}
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES.keys())


def refusal(use: Callable[[], Any]) -> str:
    """What an operator reads. It never holds a value or a password, and is short."""
    with pytest.raises(StoreUnavailable) as failure:
        use()
    text = failure.value.detail
    assert "canary" not in text
    assert len(text) < 1000
    return text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def inside(server: RedisServer) -> Iterator[Redis]:
    with server.client() as client:
        client.flushall()
        yield client


@contextmanager
def setting(inside: Redis, **values: str) -> Iterator[None]:
    """Other settings of the server, for a while."""
    before = {name: inside.config_get(name)[name] for name in values}
    for name, value in values.items():
        inside.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            inside.config_set(name, value)


# Away


@pytest.mark.row("3c.13")
@every_use
def test_nobody_listens(use: Callable[[RedisStore], Any]) -> None:
    port = free_port()
    detail = refusal(lambda: use(store_at(with_password(f"redis://127.0.0.1:{port}"))))
    assert detail.startswith(f"redis://127.0.0.1:{port}/0 (setting session): 127.0.0.1:{port}: ")
    assert detail.endswith("; check that the server runs, and that it can be reached from this host")


@pytest.mark.row("3c.13")
@every_use
def test_a_connection_that_breaks_before_the_answer(use: Callable[[RedisStore], Any]) -> None:
    with scripted_server(None) as server:
        assert "check that the server runs" in refusal(lambda: use(store_at(server.url)))
        assert len(server.commands) == 1


def test_what_may_have_been_carried_out_is_not_sent_again() -> None:
    """The answer to a compare-and-set is lost: a second one would find that somebody else was faster."""
    with scripted_server(lambda command: b":1\r\n" if command[0] == b"PING" else None) as server:
        for use in ("replace", "first_use", "delete", "add, without index"):
            server.commands.clear()
            refusal(lambda use=use: USES[use](store_at(server.url)))
            assert [command[0] for command in server.commands] == [b"EVALSHA"]


def test_a_server_that_stops_and_starts_again_needs_no_new_store(tmp_path: Path) -> None:
    with RedisServer(tmp_path, *RedisServer.DURABLE) as server:
        store, kept = store_at(server.url), record()
        store.add("k", kept, indexes=["user:1"])
        server.kill()
        for use in USES.values():
            refusal(lambda use=use: use(store))
        server.start()
        assert store.read("k") == kept
        assert store.find("user:1") == [("k", kept)]


def test_a_name_that_does_not_resolve() -> None:
    # Not asked of any resolver: longer than a name can be.
    detail = refusal(lambda: store_at(f"redis://{'a' * 60}.{'b' * 60}.localhost:1").read("k"))
    assert "check that the server runs" in detail


def test_a_server_that_does_not_answer_in_time(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.READ_WAIT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        detail = refusal(lambda: store_at(f"redis://127.0.0.1:{silent.getsockname()[1]}").read("k"))
    assert "Timeout" in detail
    assert "check that the server runs" in detail


def test_more_requests_than_connections_do_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.POOL_SIZE", 1)
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.POOL_WAIT", 0.01)
    store = store_at(server.url)
    only = store._opened.current().responsible(b"")
    with only._connection():
        detail = refusal(lambda: store.read("k"))
    assert "all 1 connections of this process were in use" in detail
    assert store.read("k") is None


# In trouble


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ("-LOADING Redis is loading the dataset in memory", "reads its data from disk"),
        ("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "lost its master"),
        ("-MISCONF Redis is configured to save RDB snapshots", "cannot write to its disk"),
        ("-NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
        ("-BUSY Redis is busy running a script.", "SCRIPT KILL"),
        ("-CLUSTERDOWN The cluster is down", "CLUSTER INFO"),
        ("-MOVED 3999 127.0.0.1:6381", "redis+cluster://"),
        ("-ASK 3999 127.0.0.1:6381", "moves data around"),
        ("-TRYAGAIN Multiple keys request during rehashing of slot", "moves data around"),
        ("-NOAUTH Authentication required.", "the user and the password"),
        ("-NOPERM this user has no permissions to run the 'evalsha' command", "may not do that"),
        ("-OOM command not allowed when used memory > 'maxmemory'.", "its memory is full"),
        ("-READONLY You can't write against a read only replica.", "name the master"),
        ("-NOSCRIPT No matching script. Please use EVAL.", "check that it is Redis 6"),
        ("-ERR unknown command 'EVALSHA', with args beginning with: 'canary' 'canary'", "no command is renamed"),
        ("-ERR max number of clients reached", "check that the server runs"),
        (
            "-ERR Error running script (call to f_0): @user_script:7: @user_script: 7: -OOM command not allowed",
            "its memory is full",
        ),
        ("-ERR", "check that it is Redis 6"),
        ("-", "check that it is Redis 6"),
        ("-MOVED", ""),
        ("-MOVED x y z", ""),
        ("-ASK 1 :x", ""),
        ("HTTP/1.1 400 Bad Request canary", "whether it speaks TLS"),
        ("$x", "whether it speaks TLS"),
        ("*x", "whether it speaks TLS"),
        ("\xff", "whether it speaks TLS"),
        ("-\xff\xfe", ""),
        ("*-7", ""),
        ("*1\r\n" * 5000 + ":1", ""),
        (":canary", "whether it speaks TLS"),
        ("+OK", ""),
        (":7", ""),
        ("*1\r\n$-1", None),
        ("$-1", None),
        ("*0", ""),
        ("*2\r\n:1\r\n:2", None),
        ("*2\r\n$1\r\n0\r\n*1\r\n*0", None),
        ("*8" + "\r\n:1" * 8, None),
    ],
)  # fmt: skip
def test_whatever_comes_back_is_an_answer_or_a_refusal(answer: str, part: str | None) -> None:
    with scripted_server(answer.encode("latin-1") + b"\r\n") as server:
        for use in USES.values():
            server.commands.clear()
            store = store_at(with_password(server.url))
            if part is None:
                # That can be an answer to some of the scripts.
                with suppress(StoreUnavailable):
                    assert use(store) in (None, True, [])
            else:
                detail = refusal(lambda use=use, store=store: use(store))
                assert part in detail
            assert len(server.commands) <= 6


@contextmanager
def raw(octets: bytes) -> Iterator[int]:
    """A port where every connection gets the same octets, whatever it asks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(octets)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_of_another_kind() -> None:
    with raw(b"HTTP/1.1 400 Bad Request: canary\r\n\r\n") as port:
        assert "whether it speaks TLS" in refusal(lambda: store_at(f"redis://127.0.0.1:{port}").read("k"))


def test_a_server_that_wants_another_password(server: RedisServer, inside: Redis) -> None:
    inside.config_set("requirepass", "right")
    try:
        for url in (
            server.url,
            with_password(server.url),
            with_password(server.url, user="canary-user"),
        ):
            assert "check the user and the password in the URL" in refusal(
                lambda url=url: store_at(url).read("k")
            )
        assert store_at(with_password(server.url, "right")).read("k") is None
        assert store_at(with_password(server.url, "right", user="default")).read("k") is None
    finally:
        inside.execute_command("AUTH", "right")
        inside.config_set("requirepass", "")


def test_a_password_that_nobody_asks_for(server: RedisServer) -> None:
    detail = refusal(lambda: store_at(with_password(server.url)).read("k"))
    assert "check the user and the password in the URL" in detail


@contextmanager
def user(server: RedisServer, inside: Redis, rights: str) -> Iterator[RedisStore]:
    """The store of a user with so many rights."""
    options = {"keys": ["oauth2_mw:*"], "commands": rights.split()}
    inside.acl_setuser("app", enabled=True, reset=True, passwords=["+pw"], **options)
    try:
        yield store_at(with_password(server.url, "pw", "app"))
    finally:
        inside.acl_deluser("app")


def test_a_user_needs_only_the_rights_that_the_documentation_lists(
    server: RedisServer, inside: Redis
) -> None:
    documented = re.search(r"ACL SETUSER \S+ on \S+ \S+ (.*)", (ROOT / "docs/stores.rst").read_text("utf-8"))
    assert documented is not None
    with user(server, inside, documented[1]) as store:
        for use in USES.values():
            use(store)


@pytest.mark.parametrize("rights", ["+evalsha", "+get"])
def test_a_user_with_too_few_rights(rights: str, server: RedisServer, inside: Redis) -> None:
    with user(server, inside, rights) as store:
        for use in USES.values():
            refusal(lambda use=use: use(store))


def test_a_database_that_is_not_there(server: RedisServer) -> None:
    assert "out of range" in refusal(lambda: store_at(f"{server.url}/99").read("k"))


def test_a_server_whose_memory_is_full_still_reads(server: RedisServer, inside: Redis) -> None:
    store, kept = store_at(server.url), record()
    store.add("k", kept, indexes=["user:1"])
    with setting(inside, maxmemory="1"):
        for name in ("add", "first_use", "revoke"):
            assert "its memory is full" in refusal(lambda name=name: USES[name](store))
        assert store.read("k") == kept
        assert store.find("user:1") == [("k", kept)]
        assert store.revoked("user:1") is None


def test_a_server_that_may_forget_what_has_not_expired_is_refused(server: RedisServer, inside: Redis) -> None:
    with setting(inside, **{"maxmemory": "1gb", "maxmemory-policy": "volatile-lru"}):
        for use in USES.values():
            detail = refusal(lambda use=use: use(store_at(server.url)))
            assert "maxmemory-policy is volatile-lru" in detail
            assert detail.endswith("set noeviction there")


def test_a_policy_of_eviction_without_a_limit_of_memory_forgets_nothing(
    server: RedisServer, inside: Redis
) -> None:
    with setting(inside, **{"maxmemory": "0", "maxmemory-policy": "allkeys-lru"}):
        assert store_at(server.url).read("k") is None


def test_a_replica_is_no_place_to_write(server: RedisServer, inside: Redis) -> None:
    store, kept = store_at(server.url), record()
    store.add("k", kept, indexes=[])
    inside.replicaof("127.0.0.1", free_port())
    try:
        for name in ("add", "first_use", "revoke", "delete"):
            assert "it is a replica; name the master" in refusal(lambda name=name: USES[name](store))
    finally:
        inside.replicaof("NO", "ONE")
    assert store.delete("k")


def test_a_disk_that_cannot_be_written_to(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, server.client() as inside:
        store = store_at(server.url)
        with setting(inside, **{"min-replicas-to-write": "1"}):
            assert "min-replicas-to-write" in refusal(lambda: USES["revoke"](store))
        USES["revoke"](store)


# Who the servers are

NO_ADDRESSES = [
    b"$-1", b"*-1", b"*0", b":7", b"+OK", b"-ERR no", b"-IDONTKNOW", b"-NOAUTH Authentication required.", b"$3\r\nabc",
    b"*1\r\n$1\r\na", b"*2\r\n$1\r\na\r\n$1\r\nb", b"*2\r\n$1\r\na\r\n$1\r\n0", b"*2\r\n$1\r\na\r\n$6\r\n999999",
    b"*2\r\n$0\r\n\r\n$4\r\n6379", b"*2\r\n:1\r\n:6379", b"*1\r\n*3\r\n:0\r\n:16383\r\n*0",
    b"*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$1\r\na\r\n:1", b"*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\na\r\n:1",
    b"*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:0", b"*1\r\n*2\r\n:0\r\n:1", b"HTTP/1.1 400", b"*x",
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_ADDRESSES)
@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_whoever_cannot_say_who_the_servers_are_is_asked_once(kind: str, answer: bytes) -> None:
    with scripted_server(answer + b"\r\n") as server:
        url = server.url.replace("redis:", f"redis+{kind}:") + ("/main" if kind == "sentinel" else "")
        detail = refusal(lambda: store_at(with_password(url)).read("k"))
        assert f"127.0.0.1:{server.port}: " in detail
        assert len(server.commands) == 1


def test_a_cluster_without_all_slots(server: RedisServer) -> None:
    with scripted_server(b"*1\r\n*3\r\n:0\r\n:0\r\n*2\r\n$1\r\na\r\n:1\r\n") as node:
        detail = refusal(lambda: store_at(node.url.replace("redis:", "redis+cluster:")).read("k"))
    assert "no node serves some of the slots" in detail


@pytest.mark.parametrize("code", [b"MOVED", b"ASK"])
@pytest.mark.parametrize("name", [b"", b"?", b"127.0.0.1"])
def test_nodes_that_send_us_from_one_to_another_are_left(code: bytes, name: bytes) -> None:
    def answer(command: Command) -> bytes:
        port = b"%d" % node.port
        if command[0] == b"CLUSTER":
            own = name if name != b"127.0.0.1" else b""
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n" % (len(own), own, port)
        if command[0] == b"ASKING":
            return b"+OK\r\n"
        if command[0] == b"ROLE":
            return b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
        return b"-%s 1 %s:%s\r\n" % (code, name if name != b"?" else b"", port)

    with scripted_server(answer) as node:
        for use in USES.values():
            node.commands.clear()
            detail = refusal(lambda use=use: use(store_at(node.url.replace("redis:", "redis+cluster:"))))
            assert "send commands from one to another" in detail or use is USES["all"]
            assert len([command for command in node.commands if command[0] == b"EVALSHA"]) <= 6


@given(st.one_of(st.binary(), st.text("{}ab.:", max_size=12).map(str.encode)))
def test_the_slot_of_a_key_is_that_of_the_specification(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


# Sentinels, of which one is enough here


class Sentinel:
    """It names the server that a test tells it to."""

    def __init__(self) -> None:
        self.named: Answer = None

    def name(self, port: int) -> None:
        self.named = b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(port)), port)

    def __call__(self, command: Command) -> Answer:
        assert command == (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"main")
        return self.named


@contextmanager
def watched_by(sentinel: Sentinel, query: str = "") -> Iterator[RedisStore]:
    with scripted_server(sentinel) as server:
        yield store_at(f"{server.url.replace('redis:', 'redis+sentinel:')}/main{query}")


def test_the_master_is_the_server_that_a_sentinel_names(server: RedisServer, inside: Redis) -> None:
    sentinel, kept = Sentinel(), record()
    with watched_by(sentinel) as store:
        sentinel.name(server.port)
        store.add("k", kept, indexes=["user:1"])
        assert store.find("user:1") == [("k", kept)]


def test_a_server_that_is_no_master_is_not_even_read(server: RedisServer, inside: Redis) -> None:
    sentinel = Sentinel()
    sentinel.name(server.port)
    inside.replicaof("127.0.0.1", free_port())
    try:
        with watched_by(sentinel) as store:
            for use in USES.values():
                assert "it is no master; a failover is under way" in refusal(lambda use=use: use(store))
    finally:
        inside.replicaof("NO", "ONE")


def test_a_master_that_is_lost_is_looked_up_again_in_the_same_request(
    server: RedisServer, inside: Redis, tmp_path: Path
) -> None:
    sentinel = Sentinel()
    with RedisServer(tmp_path) as old, watched_by(sentinel) as store:
        sentinel.name(old.port)
        USES["revoke"](store)
        old.kill()
        assert "check that the server runs" in refusal(lambda: store.revoked("user:1"))
        sentinel.name(server.port)
        assert store.revoked("user:1") is None
        USES["revoke"](store)
        assert store.revoked("user:1") == 1


def test_a_master_that_became_a_replica_is_looked_up_again_in_the_same_request(
    server: RedisServer, inside: Redis, tmp_path: Path
) -> None:
    sentinel = Sentinel()
    with RedisServer(tmp_path) as old, watched_by(sentinel) as store:
        sentinel.name(old.port)
        USES["revoke"](store)
        old.client().replicaof("127.0.0.1", server.port)
        sentinel.name(server.port)
        USES["revoke"](store)
        assert store_at(server.url).revoked("user:1") == 1


def test_a_master_without_replicas_is_asked_about_at_each_write(server: RedisServer, inside: Redis) -> None:
    sentinel = Sentinel()
    with watched_by(sentinel) as store:
        sentinel.name(server.port)
        USES["revoke"](store)
        sentinel.name(free_port())
        assert "the Sentinels have made another server the master" in refusal(lambda: USES["revoke"](store))
        sentinel.name(server.port)
        USES["revoke"](store)
        sentinel.named = None
        assert "no Sentinel says whether it is still the master" in refusal(lambda: USES["revoke"](store))
    with watched_by(sentinel, "?wait_replicas=0") as careless:
        sentinel.name(server.port)
        USES["revoke"](careless)
        sentinel.named = None
        USES["revoke"](careless)


def test_now_and_then_the_sentinels_are_asked_whether_it_is_still_the_same(
    server: RedisServer, inside: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.sentinel.LOOK_EVERY", 0)
    sentinel = Sentinel()
    with RedisServer(tmp_path) as other, watched_by(sentinel) as store:
        sentinel.name(server.port)
        USES["revoke"](store)
        sentinel.named = None
        assert store.revoked("user:1") == 1
        sentinel.name(other.port)
        assert store.revoked("user:1") is None


# Replicas that confirm


class Master:
    """It has so many replicas, of which some confirm; what it is asked is counted."""

    def __init__(self, *, online: int, confirming: int) -> None:
        self.online, self.confirming = online, confirming
        self.waited: list[int] = []

    def __call__(self, command: Command) -> Answer:
        if command[0] == b"ROLE":
            replica = b"*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n0\r\n"
            return b"*3\r\n$6\r\nmaster\r\n:0\r\n*%d\r\n%s" % (self.online, replica * self.online)
        if command[0] == b"WAIT":
            self.waited.append(int(command[1]))
            return b":%d\r\n" % min(self.confirming, self.online)
        return b":1\r\n"


@pytest.mark.parametrize(
    ("asked", "online", "confirming", "enough"),
    [
        (1, 0, 0, True), (1, 1, 0, False), (1, 1, 1, True), (1, 2, 0, False), (1, 2, 1, True),
        (2, 0, 0, True), (2, 1, 0, False), (2, 1, 1, True), (2, 2, 1, False), (2, 2, 2, True), (2, 3, 2, True),
    ],
)  # fmt: skip
def test_as_many_replicas_confirm_as_were_asked_for_or_are_connected(
    asked: int, online: int, confirming: int, *, enough: bool
) -> None:
    master = Master(online=online, confirming=confirming)
    with scripted_server(master) as server:
        store = store_at(f"{server.url}?wait_replicas={asked}")
        for _ in range(3):
            if enough:
                USES["revoke"](store)
            else:
                assert f"{confirming} of {online} replicas took a write" in refusal(
                    lambda: USES["revoke"](store)
                )
    # Nobody waits for more than there are.
    assert master.waited == [min(asked, online)] * 3 * (online > 0)


def test_replicas_that_come_and_go_are_noticed_at_the_next_write() -> None:
    master = Master(online=0, confirming=9)
    with scripted_server(master) as server:
        store = store_at(f"{server.url}?wait_replicas=2")
        for online in (0, 1, 2, 1, 1, 0, 0):
            master.online = online
            USES["revoke"](store)
    assert master.waited == [1, 1, 2, 2, 1, 1]


def test_what_need_not_survive_waits_for_nobody() -> None:
    master = Master(online=1, confirming=0)
    with scripted_server(master) as server:
        store = store_at(f"{server.url}?wait_replicas=1")
        for name in ("read", "touch", "find", "all", "revoked"):
            with suppress(StoreUnavailable):
                USES[name](store)
    assert master.waited == []


def test_an_answer_to_wait_that_is_no_number_confirms_nothing() -> None:
    def answer(command: Command) -> Answer:
        return b"-ERR no\r\n" if command[0] == b"WAIT" else master(command)

    master = Master(online=1, confirming=1)
    with scripted_server(answer) as server:
        assert "0 of 1 replicas" in refusal(lambda: USES["revoke"](store_at(f"{server.url}?wait_replicas=1")))


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "my authority.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return file


@pytest.fixture
def tls_port(server: RedisServer, authority: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    with tls_in_front(server.port, context) as port:
        yield port


def bundle(file: Path) -> str:
    return "?ca_bundle=" + str(file).replace(" ", "%20")


def test_tls_with_an_authority_of_ones_own(tls_port: int, inside: Redis, authority: Path) -> None:
    store, kept = store_at(f"rediss://127.0.0.1:{tls_port}{bundle(authority)}"), record()
    store.add("k", kept, indexes=[])
    assert store.read("k") == kept


def test_an_authority_that_nobody_knows(tls_port: int) -> None:
    detail = refusal(lambda: store_at(f"rediss://127.0.0.1:{tls_port}").read("k"))
    assert "certificate" in detail
    assert detail.endswith("that the host is the one in its certificate, and ca_bundle")


def test_a_certificate_for_another_host(tls_port: int, authority: Path) -> None:
    detail = refusal(lambda: store_at(f"rediss://localhost:{tls_port}{bundle(authority)}").read("k"))
    assert detail.endswith("that the host is the one in its certificate, and ca_bundle")


def test_a_ca_bundle_that_is_not_there(tls_port: int, tmp_path: Path) -> None:
    refusal(lambda: store_at(f"rediss://127.0.0.1:{tls_port}{bundle(tmp_path / 'x.pem')}").read("k"))


def test_tls_where_none_is_spoken(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.READ_WAIT", 0.1)
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.CONNECT_WAIT", 0.1)
    detail = refusal(lambda: store_at(f"rediss://127.0.0.1:{server.port}").read("k"))
    assert "check that" in detail


def test_no_tls_where_it_is_spoken(tls_port: int) -> None:
    assert "check that" in refusal(lambda: store_at(f"redis://127.0.0.1:{tls_port}").read("k"))


# At the start


@pytest.mark.parametrize(
    ("url", "part"),
    [
        (Secret.literal("redis://:canary@"), "[oauth2_mw] session: the URL has a host that cannot be read"),
        (Secret.literal("redis://canary@h"), "[oauth2_mw] session: the URL has no password before the @"),
        (Secret.env("THAT_IS_NOT_SET"), "[oauth2_mw] session: the URL cannot be read: the environment variable"),
        (Secret.file("/nowhere/at/all"), "[oauth2_mw] session: the URL cannot be read: "),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_stops_the_start(url: Secret, part: str) -> None:
    with pytest.raises(ConfigError) as failure:
        RedisStore(url, app=APP)
    assert part in str(failure.value)
    assert "canary" not in str(failure.value)


def test_a_url_that_has_gone_is_a_refusal(monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> None:
    monkeypatch.setenv("A_STORE", server.url)
    store = RedisStore(Secret.env("A_STORE"), app=APP)
    assert store.revoked("user:nobody") is None
    monkeypatch.delenv("A_STORE")
    assert "the URL cannot be read: the environment variable A_STORE" in refusal(lambda: store.read("k"))


WITHOUT_REDIS = """
import sys
sys.path[:] = [path for path in sys.path if not path.endswith("site-packages")]
from oauth2_mw.errors import ConfigError
from oauth2_mw.session.stores import open_store
from oauth2_mw.settings.grammar import Secret
try:
    open_store(Secret.literal("redis://localhost"), app="https://app.example")
except ConfigError as error:
    print(error)
"""


def test_without_redis_py_the_message_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_REDIS],
        env=child_environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "pip install 'oauth2-mw[redis]'" in done.stdout, done.stderr


# What a server is asked


def test_a_server_is_asked_for_nothing_but_its_scripts() -> None:
    """Proxies and services in front of Redis know few commands."""

    def answer(command: Command) -> bytes:
        return b"$-1\r\n" if command[0] != b"SCAN" else b"*2\r\n$1\r\n0\r\n*0\r\n"

    def kinds(server: Scripted) -> set[bytes]:
        return {command[0] for command in server.commands}

    with scripted_server(answer) as server:
        store = store_at(server.url)
        for use in USES.values():
            with suppress(StoreUnavailable):
                use(store)
        assert kinds(server) == {b"EVALSHA", b"SCAN"}
