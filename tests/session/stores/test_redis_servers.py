"""Which server is asked, and which are heard before a write counts: behind Sentinels, in a cluster, with replicas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.crc import key_slot

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.session.stores.redis.cluster import slot_of
from tests.support.hosts.processes import free_port
from tests.support.stores.redis_fakes import Answer, Command, scripted_server
from tests.support.stores.redis_servers import RedisServer
from tests.support.stores.redis_uses import USES, record, refusal, store_at, with_password

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
def test_a_server_that_cannot_name_the_others_is_asked_once(kind: str, answer: bytes) -> None:
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
            detail = refusal(partial(use, store_at(node.url.replace("redis:", "redis+cluster:"))))
            assert "have redirected a command" in detail or use is USES["all"]
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
                assert "it is not a master; a failover is under way" in refusal(partial(use, store))
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


def test_now_and_then_the_sentinels_are_asked_for_the_master(
    server: RedisServer, inside: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.sentinel.SEARCH_EVERY", 0)
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
            with suppress(StoreUnavailableError):
                USES[name](store)
    assert master.waited == []


def test_an_answer_to_wait_that_is_no_number_confirms_nothing() -> None:
    def answer(command: Command) -> Answer:
        return b"-ERR no\r\n" if command[0] == b"WAIT" else master(command)

    master = Master(online=1, confirming=1)
    with scripted_server(answer) as server:
        assert "0 of 1 replicas" in refusal(lambda: USES["revoke"](store_at(f"{server.url}?wait_replicas=1")))
