"""A Redis server that is away, in trouble or none at all: a refusal in an operator's words, and nothing else."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from oauth2_mw.cli.online.stores import check_stores
from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.settings.grammar import Secret
from tests.support.hosts.certificates import self_signed
from tests.support.hosts.processes import ROOT, child_environment, free_port
from tests.support.providers.client_keys import pem
from tests.support.providers.jose import ec_key
from tests.support.settings.minimal import make_settings, oidc
from tests.support.stores.redis_fakes import Command, Scripted, scripted_server, tls_in_front
from tests.support.stores.redis_servers import RedisServer
from tests.support.stores.redis_uses import APP, USES, record, refusal, store_at, with_password

every_use = pytest.mark.parametrize("use", USES.values(), ids=USES.keys())


@contextmanager
def setting(inside: Redis, **values: str) -> Iterator[None]:
    """Other settings of the server, for a while."""
    before = {name: str(inside.config_get(name)[name]) for name in values}
    for name, value in values.items():
        inside.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            inside.config_set(name, value)


# Away


@pytest.mark.requirement("3c.13")
@every_use
def test_nobody_listens(use: Callable[[RedisStore], Any]) -> None:
    port = free_port()
    detail = refusal(lambda: use(store_at(with_password(f"redis://127.0.0.1:{port}"))))
    assert detail.startswith(f"redis://127.0.0.1:{port}/0 (setting session): 127.0.0.1:{port}: ")
    assert detail.endswith("; check that the server runs, and that it can be reached from this host")


@pytest.mark.requirement("3c.13")
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
            refusal(partial(USES[use], store_at(server.url)))
            assert [command[0] for command in server.commands] == [b"EVALSHA"]


def test_a_server_that_stops_and_starts_again_needs_no_new_store(tmp_path: Path) -> None:
    with RedisServer(tmp_path, *RedisServer.DURABLE) as server:
        store, kept = store_at(server.url), record()
        store.add("k", kept, indexes=["user:1"])
        server.kill()
        for use in USES.values():
            refusal(partial(use, store))
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
    only = store._connections.servers().server_of(b"")
    with only._connection("read"):
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
                with suppress(StoreUnavailableError):
                    assert use(store) in (None, True, [])
            else:
                detail = refusal(partial(use, store))
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
        for url in (server.url, with_password(server.url), with_password(server.url, user="canary-user")):
            assert "check the user and the password in the URL" in refusal(partial(store_at(url).read, "k"))
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
    inside.acl_setuser(
        "app", enabled=True, reset=True, passwords=["+pw"], keys=["oauth2_mw:*"], commands=rights.split()
    )
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
            refusal(partial(use, store))


def test_a_database_that_is_not_there(server: RedisServer) -> None:
    assert "out of range" in refusal(lambda: store_at(f"{server.url}/99").read("k"))


def test_a_server_whose_memory_is_full_still_reads(server: RedisServer, inside: Redis) -> None:
    store, kept = store_at(server.url), record()
    store.add("k", kept, indexes=["user:1"])
    with setting(inside, maxmemory="1"):
        for name in ("add", "first_use", "revoke"):
            assert "its memory is full" in refusal(partial(USES[name], store))
        assert store.read("k") == kept
        assert store.find("user:1") == [("k", kept)]
        assert store.revoked("user:1") is None


def test_a_server_that_may_forget_what_has_not_expired_is_refused(server: RedisServer, inside: Redis) -> None:
    with setting(inside, **{"maxmemory": "1gb", "maxmemory-policy": "volatile-lru"}):
        for use in USES.values():
            detail = refusal(partial(use, store_at(server.url)))
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
            assert "it is a replica; name the master" in refusal(partial(USES[name], store))
    finally:
        inside.replicaof("NO", "ONE")
    assert store.delete("k")


def test_a_disk_that_cannot_be_written_to(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, server.client() as inside:
        store = store_at(server.url)
        with setting(inside, **{"min-replicas-to-write": "1"}):
            assert "min-replicas-to-write" in refusal(lambda: USES["revoke"](store))
        USES["revoke"](store)


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "my authority.pem")


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


def test_a_server_that_asks_for_our_certificate(server: RedisServer, authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with tls_in_front(server.port, context) as port:
        url = f"rediss://127.0.0.1:{port}{bundle(authority)}"
        refusal(lambda: store_at(url).read("k"))
        file = str(authority).replace(" ", "%20")
        for proof in (f"&tls_cert={file}", f"&tls_cert={file}&tls_key={file}"):
            assert store_at(url + proof).read("nothing") is None


def test_a_client_certificate_that_is_not_there_is_a_refusal(tls_port: int, authority: Path) -> None:
    url = f"rediss://127.0.0.1:{tls_port}{bundle(authority)}&tls_cert=/nowhere/c.pem"
    refusal(lambda: store_at(url).read("k"))


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(
    tls_port: int, authority: Path, tmp_path: Path
) -> None:
    key = tmp_path / "k.pem"
    key.write_text(pem(ec_key().private, passphrase=b"x"))
    url = f"rediss://127.0.0.1:{tls_port}{bundle(authority)}"
    refusal(lambda: store_at(f"{url}&tls_cert={authority}&tls_key={key}".replace(" ", "%20")).read("k"))


# A Unix socket


def test_a_server_at_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path, "--unixsocket", str(path), password="canary") as server:
        store, kept = store_at(f"unix://:canary@{path}?db=2"), record()
        store.add("k", kept, indexes=[])
        assert store.read("k") == kept
        with server.client(db=2) as inside:
            assert len(inside.keys()) == 1
    detail = refusal(lambda: store.read("k"))
    assert f"unix://{path}?db=2" in detail
    assert "canary" not in detail


def test_the_url_says_how_many_connections_a_process_opens(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.POOL_WAIT", 0.01)
    store = store_at(f"{server.url}?pool_size=2")
    only = store._connections.servers().server_of(b"")
    with only._connection("read"), only._connection("read"):
        assert "all 2 connections of this process were in use" in refusal(lambda: store.read("k"))


def test_check_counts_them_against_what_the_server_takes(server: RedisServer, inside: Redis) -> None:
    def found(url: str) -> list[str]:
        settings = make_settings(**oidc(), session=url)
        return [f"{each.result} {each.says}" for each in check_stores(settings) if "connections" in each.says]

    with setting(inside, maxclients="50"):
        (enough,) = found(server.url)
        (too_few,) = found(f"{server.url}?pool_size=51")
    opens = "a process opens at most"
    assert enough == f"ok {opens} 20 connections, and the server gives us 50: enough for 2 processes"
    assert too_few == f"warning {opens} 51 connections, and the server gives us 50: too few for one process"


def test_tls_to_a_server_without_tls(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.READ_WAIT", 0.1)
    monkeypatch.setattr("oauth2_mw.session.stores.redis.server.CONNECT_WAIT", 0.1)
    detail = refusal(lambda: store_at(f"rediss://127.0.0.1:{server.port}").read("k"))
    assert "check that" in detail


def test_no_tls_to_a_server_with_tls(tls_port: int) -> None:
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
            with suppress(StoreUnavailableError):
                use(store)
        assert kinds(server) == {b"EVALSHA", b"SCAN"}
