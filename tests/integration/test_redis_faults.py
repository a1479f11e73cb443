"""Servers are killed, frozen and replaced in the middle of it: what was acknowledged is there afterwards.

How much was lost where nothing is promised is printed, and stands in the report as a property of the test.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from signal import Signals
from typing import Any

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.session.stores.redis.cluster import slot_of
from oauth2_mw.settings.grammar import Secret
from tests.support.hosts.processes import DEADLINE, ROOT
from tests.support.stores.redis_servers import Cluster, RedisServer, Watched, cluster, wait_for, watched

APP = "https://app.example"
THREADS = 8


def store_at(url: str) -> RedisStore:
    return RedisStore(Secret.literal(url), app=APP)


def record() -> Record:
    now = int(time.time())
    return Record(version=1, data="data", summary="summary", seen=now, expires=now + 600, lease=0)


def works(store: RedisStore) -> bool:
    """Whether a name could be used up."""
    try:
        return store.first_use(f"probe-{time.monotonic_ns()}", expires=int(time.time()) + 60)
    except StoreUnavailableError:
        return False


def _in_the_end(ask: Callable[[], bool]) -> bool:
    """What a store says that is not sure yet whether it is back."""
    until = time.monotonic() + DEADLINE
    while True:
        try:
            return ask()
        except StoreUnavailableError:
            assert time.monotonic() < until
            time.sleep(0.05)


class Load:
    """Threads that sign people in and out as fast as they can, and note what was acknowledged."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.sessions: list[str] = []
        self.cut_offs: list[str] = []
        self.used: list[str] = []
        self.refused = 0
        self.unexpected: list[BaseException] = []
        self._numbers = count()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert self.unexpected == []

    def wait_for_more(self, more: int = 50) -> None:
        """Until so many more of each were acknowledged."""
        goal = len(self.used) + more
        wait_for(lambda: len(self.used) >= goal)

    def lost(self, store: RedisStore) -> tuple[int, int, int]:
        """How many acknowledged sessions, cut-offs and used names are not there."""
        later = int(time.time()) + 60
        return (
            sum(_in_the_end(partial(lambda key: store.read(key) is None, key)) for key in self.sessions),
            sum(
                _in_the_end(partial(lambda name: store.revoked(name) is None, name)) for name in self.cut_offs
            ),
            sum(_in_the_end(partial(store.first_use, name, expires=later)) for name in self.used),
        )

    def _run(self) -> None:
        while not self._ended.is_set():
            name = f"n-{next(self._numbers)}"
            try:
                self.store.add(name, record(), indexes=[f"user:{name}"])
                self.sessions.append(name)
                self.store.revoke(name, moment=7, expires=record().expires)
                self.cut_offs.append(name)
                if self.store.first_use(name, expires=record().expires):
                    self.used.append(name)
            except StoreUnavailableError:
                self.refused += 1
                time.sleep(0.01)
            except BaseException as error:
                self.unexpected.append(error)
                raise


def report(
    what: str, load: Load, lost: tuple[int, int, int], record_property: Callable[[str, Any], None]
) -> None:
    acknowledged = (len(load.sessions), len(load.cut_offs), len(load.used))
    text = (
        f"acknowledged {acknowledged}, refused {load.refused}, lost {lost} (sessions, cut-offs, used names)"
    )
    record_property(what, text)
    print(f"{what}: {text}")


# One server


@pytest.mark.parametrize("make", ["redis", "valkey"])
def test_a_killed_server_that_writes_always_has_lost_nothing_that_it_acknowledged(
    make: Any, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    with RedisServer(tmp_path, *RedisServer.DURABLE, make=make) as server:
        store = store_at(server.url)
        with Load(store) as load:
            for _ in range(3):
                load.wait_for_more()
                server.kill()
                assert not works(store)
                server.start()
                wait_for(lambda: works(store))
        server.kill()
        server.start()
        lost = load.lost(store)
        report(f"{make}, appendfsync always, kill -9", load, lost, record_property)
        assert lost == (0, 0, 0)
        assert load.refused > 0
        for key in load.sessions[:20]:
            assert [found for found, _ in store.find(f"user:{key}")] == [key]


def test_a_frozen_server_does_not_hold_up_a_request_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.READ_WAIT", 0.5)
    with RedisServer(tmp_path) as server:
        store = store_at(server.url)
        assert works(store)
        server.signal(Signals.SIGSTOP)
        with pytest.raises(StoreUnavailableError, match="Timeout"):
            store.read("k")
        # The next one is told at once.
        with pytest.raises(StoreUnavailableError, match="it gave no answer, and is asked again"):
            store.revoke("k", moment=1, expires=record().expires)
        server.signal(Signals.SIGCONT)
        wait_for(lambda: works(store))


# Behind Sentinels


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    """A server that hears and says nothing, for a while."""
    server.signal(Signals.SIGSTOP)
    try:
        yield
    finally:
        server.signal(Signals.SIGCONT)


#: what a write has to be confirmed by, and whether nothing may be lost then: of two replicas the one that has not
#: confirmed may become the master
CONFIRMED: dict[str, tuple[int, str, bool]] = {
    "by the replica": (1, "", True),
    "by both replicas": (2, "?wait_replicas=2", True),
    "by one of two": (2, "", False),
    "by nobody": (1, "?wait_replicas=0", False),
}


@pytest.mark.parametrize(
    ("make", "confirmed"), [*(("redis", confirmed) for confirmed in CONFIRMED), ("valkey", "by the replica")]
)
def test_the_master_is_killed_and_the_store_goes_on_with_the_new_one(
    make: Any, confirmed: str, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    replicas, query, promised = CONFIRMED[confirmed]
    with watched(tmp_path, replicas=replicas, make=make) as servers:
        old, store = servers.master, store_at(servers.url + query)
        with Load(store) as load:
            load.wait_for_more(200)
            old.kill()
            new = servers.wait_for_another_master(old)
            load.wait_for_more()
        assert new is not old
        lost = load.lost(store_at(servers.url))
        report(f"{make}, confirmed {confirmed}, master killed", load, lost, record_property)
        if promised:
            assert lost == (0, 0, 0)


def test_a_frozen_master_is_replaced_and_takes_nothing_when_it_wakes_up(
    tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    with watched(tmp_path) as servers:
        old, store = servers.master, store_at(servers.url)
        with Load(store) as load:
            load.wait_for_more()
            with frozen(old):
                servers.wait_for_another_master(old)
                load.wait_for_more()
        # It goes on as a master, until a Sentinel tells it.
        wait_for(lambda: old.client().role()[0] == b"slave")
        assert works(store)
        lost = load.lost(store)
        report("master frozen", load, lost, record_property)
        assert lost == (0, 0, 0)


def test_a_planned_change_of_masters_loses_nothing(
    tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    with watched(tmp_path) as servers:
        old, store = servers.master, store_at(servers.url)
        with Load(store) as load:
            load.wait_for_more()
            servers.sentinels[0].client().sentinel_failover("main")
            servers.wait_for_another_master(old)
            load.wait_for_more()
        lost = load.lost(store)
        report("SENTINEL FAILOVER", load, lost, record_property)
        assert lost == (0, 0, 0)


def test_what_the_replica_does_not_take_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.REPLICA_WAIT", 200)
    with watched(tmp_path) as servers:
        store, kept = store_at(servers.url), record()
        store.add("k", kept, indexes=["user:1"])
        later = kept.expires
        with frozen(servers.replicas[0]):
            for use in (
                lambda: store.add("other", kept, indexes=[]),
                lambda: store.add("other", kept, indexes=["user:1"]),
                lambda: store.replace("k", Record(2, "d", "s", 1, later, 0)),
                lambda: store.revoke("user:1", moment=1, expires=later),
                lambda: store.first_use("a", expires=later),
                lambda: store.delete("k"),
            ):
                with pytest.raises(
                    StoreUnavailableError, match="0 of 1 replicas took a write within a second"
                ):
                    use()
            # What need not survive goes on.
            assert store.read("k") is None
            assert store.revoked("user:1") == 1
            assert store.touch("other", seen=kept.seen, expires=later) is not None
        wait_for(lambda: works(store))


def test_a_master_without_any_replica_goes_on(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        store, kept = store_at(servers.url), record()
        store.add("k", kept, indexes=["user:1"])
        replica = servers.replicas[0]
        replica.kill()
        wait_for(lambda: works(store))
        store.add("alone", kept, indexes=["user:1"])
        assert {key for key, _ in store.find("user:1")} == {"k", "alone"}
        replica.start()
        wait_for(lambda: len(servers.master.client().role()[2]) == 1)
        store.add("together", kept, indexes=[])
        assert replica.client().dbsize() == servers.master.client().dbsize()


def test_a_master_without_replicas_and_without_sentinels_is_not_trusted(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        store, kept = store_at(servers.url), record()
        store.add("k", kept, indexes=[])
        servers.replicas[0].kill()
        wait_for(lambda: works(store))
        for sentinel in servers.sentinels:
            sentinel.kill()
        with pytest.raises(StoreUnavailableError, match="no Sentinel says whether it is still the master"):
            store.revoke("user:1", moment=1, expires=kept.expires)
        assert store.read("k") == kept
        servers.sentinels[0].start()
        wait_for(lambda: works(store))


def test_sentinels_that_are_away_are_missed_only_when_the_master_is(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        store, kept = store_at(servers.url), record()
        store.add("k", kept, indexes=[])
        for sentinel in servers.sentinels:
            sentinel.kill()
        assert works(store)
        assert store.read("k") == kept
        with pytest.raises(StoreUnavailableError, match="no Sentinel names the master") as failure:
            store_at(servers.url).read("k")
        for sentinel in servers.sentinels:
            assert f"127.0.0.1:{sentinel.port}: " in failure.value.detail


@pytest.fixture
def deposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Watched, RedisStore, RedisServer]]:
    """A store whose master believes that it is one still, while the Sentinels know another."""
    with watched(tmp_path) as servers:
        old, new = servers.servers
        store = store_at(servers.url)
        store.add("k", record(), indexes=[])
        for sentinel in servers.sentinels:
            sentinel.client().sentinel_remove("main")
        new.client().replicaof("NO", "ONE")
        for sentinel in servers.sentinels:
            sentinel.client().sentinel_monitor("main", "127.0.0.1", new.port, 2)
        wait_for(lambda: old.client().role()[2] == [])
        yield servers, store, new


def test_a_deposed_master_that_nobody_has_told_takes_no_write(
    deposed: tuple[Watched, RedisStore, RedisServer],
) -> None:
    _, store, new = deposed
    with pytest.raises(StoreUnavailableError, match="the Sentinels have made another server the master"):
        store.revoke("user:1", moment=1, expires=record().expires)
    store.revoke("user:1", moment=2, expires=record().expires)
    assert store_at(new.url).revoked("user:1") == 2


def test_a_deposed_master_that_nobody_has_told_is_read_for_some_seconds_only(
    deposed: tuple[Watched, RedisStore, RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store, new = deposed
    store_at(new.url).delete("k")
    assert store.read("k") is not None
    monkeypatch.setattr(store._connections.servers(), "_search_at", time.monotonic())
    assert store.read("k") is None


def test_sentinels_and_servers_may_ask_for_different_passwords(tmp_path: Path) -> None:
    with watched(tmp_path, password="canary") as servers:
        base = servers.url.replace("//", "//:canary@")
        store = store_at(f"{base}?sentinel_password=sentinel-canary")
        assert works(store)
        old = servers.master
        old.kill()
        servers.wait_for_another_master(old)
        wait_for(lambda: works(store))
        for url, part in (
            (base, "no Sentinel names the master"),
            (f"{servers.url}?sentinel_password=sentinel-canary", "check the user and the password"),
            (f"{base}?sentinel_password=canary-wrong", "no Sentinel names the master"),
        ):
            with pytest.raises(StoreUnavailableError, match=part) as failure:
                store_at(url).read("k")
            assert "check the user and the password" in failure.value.detail
            assert "canary" not in failure.value.detail


def rights(more: str) -> dict[str, Any]:
    """What the documentation says that a user needs."""
    text = (ROOT / "docs/stores.rst").read_text(encoding="utf-8")
    found = re.search(r"ACL SETUSER \S+ on \S+ \S+ (.*)", text)
    assert found is not None
    assert more in " ".join(text.split())
    commands = [*found[1].split(), *more.split()]
    return {"enabled": True, "passwords": ["+pw"], "keys": ["oauth2_mw:*"], "commands": commands}


def test_behind_sentinels_a_user_needs_only_the_rights_that_the_documentation_lists(tmp_path: Path) -> None:
    with watched(tmp_path) as servers:
        servers.master.client().acl_setuser("app", **rights("+role +wait"))
        store = store_at(servers.url.replace("//", "//app:pw@"))
        store.add("k", record(), indexes=["user:1"])
        assert [key for key, _ in store.find("user:1")] == [key for key, _ in store.all()] == ["k"]
        servers.master.client().execute_command("ACL", "SETUSER", "app", "-role")
        with pytest.raises(StoreUnavailableError, match="the user of the URL may not do that"):
            store.delete("k")


def test_a_service_that_the_sentinels_do_not_know(tmp_path: Path) -> None:
    with watched(tmp_path, replicas=0) as servers:
        with pytest.raises(StoreUnavailableError, match="it does not know a master named other"):
            store_at(servers.url.replace("/main", "/other")).read("k")
        with pytest.raises(StoreUnavailableError, match="unknown command"):
            store_at(servers.master.url.replace("redis:", "redis+sentinel:") + "/main").read("k")


# In a cluster


@pytest.fixture(params=["redis", "valkey"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path, *RedisServer.DURABLE, make=request.param) as running:
        yield running


def owner(nodes: Cluster, store: RedisStore, key: str) -> tuple[RedisServer, RedisServer, bytes]:
    """The node that has a session, another one, and the name of the session there."""
    name = store._key("s", key)
    having = next(node for node in nodes.servers if _slots(node)[0] <= slot_of(name) <= _slots(node)[1])
    return having, next(node for node in nodes.servers if node is not having), name


def _slots(node: RedisServer) -> tuple[int, int]:
    for first, last, master, *_ in node.client().execute_command("CLUSTER SLOTS", NEVER_DECODE=True):
        if master[1] == node.port:
            return first, last
    raise AssertionError


def test_a_session_that_moves_to_another_node_is_found_on_the_way_and_there(nodes: Cluster) -> None:
    store, current = store_at(nodes.url), record()
    store.add("k", current, indexes=["user:1"])
    source, target, name = owner(nodes, store, "k")
    slot = slot_of(name)
    ids = {node: node.client().execute_command("CLUSTER MYID").decode() for node in nodes.servers}
    target.client().execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    source.client().execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])

    def used(reader: RedisStore) -> None:
        nonlocal current
        assert reader.read("k") == current
        assert reader.touch("k", seen=current.seen, expires=current.expires) == current
        current = Record(current.version + 1, "d", "s", current.seen, current.expires, 0)
        assert reader.replace("k", current)
        assert not reader.replace("k", current)
        assert reader.find("user:1") == [("k", current)]

    used(store)
    source.client().execute_command("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
    used(store)
    used(store_at(nodes.url))
    for node in (target, source, *nodes.servers):
        node.client().execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])
    used(store)
    used(store_at(nodes.url))
    assert list(store.all()) == [("k", current)]
    assert store.delete("k")


def test_a_node_that_is_killed_is_missed_for_its_own_keys_and_comes_back(
    nodes: Cluster, record_property: Callable[[str, Any], None]
) -> None:
    store = store_at(nodes.url)
    with Load(store) as load:
        load.wait_for_more(100)
        nodes.servers[0].kill()
        refused = load.refused
        wait_for(lambda: load.refused > refused + 20)
        nodes.servers[0].start()
        load.wait_for_more(100)
    lost = load.lost(store)
    report("cluster, node killed", load, lost, record_property)
    assert lost == (0, 0, 0)
    assert _in_the_end(lambda: {key for key, _ in store.all()} >= set(load.sessions))


def test_in_a_cluster_a_user_needs_only_the_rights_that_the_documentation_lists(nodes: Cluster) -> None:
    for node in nodes.servers:
        node.client().acl_setuser("app", **rights("+asking +cluster|slots"))
        node.client().execute_command("ACL", "SETUSER", "app", "+role", "+wait")
    store = store_at(nodes.url.replace("//", "//app:pw@"))
    store.add("k", record(), indexes=["user:1"])
    assert [key for key, _ in store.find("user:1")] == [key for key, _ in store.all()] == ["k"]


def test_one_node_of_the_url_suffices(nodes: Cluster) -> None:
    ports = [server.port for server in nodes.servers]
    store = store_at(f"redis+cluster://127.0.0.1:1,127.0.0.1:{ports[1]},127.0.0.1:2")
    store.add("k", record(), indexes=["user:1"])
    assert works(store)
    with pytest.raises(
        StoreUnavailableError, match=r"no node describes the cluster: 127.0.0.1:1: .* \| 127.0.0.1:2: "
    ):
        store_at("redis+cluster://127.0.0.1:1,127.0.0.1:2").read("k")


def test_a_node_of_a_cluster_is_no_single_server(nodes: Cluster) -> None:
    def use() -> None:
        for number in range(100):
            store_at(nodes.servers[0].url).read(f"k-{number}")

    with pytest.raises(StoreUnavailableError, match="it belongs to a cluster; write redis"):
        use()


def test_a_single_server_is_no_cluster(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        url = server.url.replace("redis:", "redis+cluster:")
        with pytest.raises(StoreUnavailableError, match="cluster support disabled"):
            store_at(url).read("k")
