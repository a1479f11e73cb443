"""``health/`` and ``health/ready``: what balances load learns, and what it does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.peers import parse_peer
from oauth2_mw.telemetry import calling, enter
from oauth2_mw.web.http.peers import Peers
from oauth2_mw.web.http.readers import Readers
from oauth2_mw.web.programs import health
from tests.support.hosts.guarded import App, guard
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.settings.minimal import oidc, only_problem, service

ALIVE = "/auth/oauth2/health/"
READY = "/auth/oauth2/health/ready"
PEER = "192.0.2.7"
JANE = "203.0.113.9"


def ask(middleware: OAuth2Middleware, path: str = READY, **keys: Any) -> WsgiResponse:
    return call(middleware, environ_for(path, **{"REMOTE_ADDR": JANE, **keys}))


def details(middleware: OAuth2Middleware) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(ask(middleware, REMOTE_ADDR=PEER).text)
    return read


class Database:
    """What stands in the place of a directory's database: it answers, fails, or hangs."""

    def __init__(self, middleware: OAuth2Middleware) -> None:
        self.asked = 0
        self.failure: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        directory: Any = middleware._directory
        directory.database.check = self

    def __call__(self) -> None:
        self.asked += 1
        self.answers.wait(10)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CACHED", 0.0)


def with_directory(tmp_path: Path, **keys: Any) -> OAuth2Middleware:
    return guard(directory=f"sqlite:///{tmp_path}/users.db", metrics_peers=PEER, **keys)


# What they say


@pytest.mark.requirement("R-ready")
@pytest.mark.parametrize(("path", "said"), [(ALIVE, {"alive": True}), (READY, {"ready": True})])
def test_whoever_asks_learns_one_word_and_nobody_is_asked_for_anything(path: str, said: object) -> None:
    app = App()
    middleware = guard(app)
    for keys in ({}, {"HTTP_COOKIE": "__Host-oauth2_mw=junk"}, {"HTTP_HOST": "10.1.2.3:8000"}):
        answer = ask(middleware, path, **keys)
        assert answer.status == 200
        assert json.loads(answer.text) == said
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Set-Cookie") is None
    assert ask(middleware, path, REQUEST_METHOD="HEAD").text == ""
    assert ask(middleware, path, REQUEST_METHOD="POST").status == 405
    assert app.calls == 0


def test_a_missing_slash_is_added_and_one_too_many_is_not_taken_away() -> None:
    middleware = guard()
    assert ask(middleware, ALIVE[:-1]).header("Location") == f"https://app.example{ALIVE}"
    assert ask(middleware, READY + "/").status == 404


def test_they_answer_with_no_provider_enabled() -> None:
    middleware = guard(enabled="false")
    assert [ask(middleware, path).status for path in (ALIVE, READY)] == [200, 200]


# Who is told more


@pytest.mark.requirement("R-ready")
def test_metrics_peers_are_told_how_what_is_asked_does(tmp_path: Path) -> None:
    middleware = with_directory(tmp_path)
    database = Database(middleware)
    assert details(middleware) == {"ready": True, "directory": "up", "providers": {"default": "unknown"}}
    assert json.loads(ask(middleware).text) == {"ready": True}
    assert database.asked == 1


def test_a_session_store_is_asked_as_well(tmp_path: Path) -> None:
    middleware = guard(
        session=f"sqlite:///{tmp_path}/sessions.db", metrics_peers=PEER, ready_needs="store providers"
    )
    middleware._sessions.registry.store.revoked("sid:x")  # type: ignore[union-attr]  # it is made
    assert details(middleware) == {"ready": True, "store": "up", "providers": {"default": "unknown"}}


@pytest.mark.requirement("R-metrics")
@pytest.mark.parametrize(
    ("environ", "reads"),
    [
        ({"REMOTE_ADDR": PEER}, True),
        ({"REMOTE_ADDR": JANE}, False),
        ({"REMOTE_ADDR": ""}, False),
        ({}, False),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": PEER}, True),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": JANE}, False),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{PEER}, {JANE}"}, False),
        # A proxy that does not say whose the request is.
        ({"REMOTE_ADDR": "10.0.0.1"}, False),
        ({"REMOTE_ADDR": "10.0.0.9"}, False),
        # A stranger who names one of them.
        ({"REMOTE_ADDR": JANE, "HTTP_X_FORWARDED_FOR": PEER}, False),
        # A proxy that nobody has named as one.
        ({"REMOTE_ADDR": PEER, "HTTP_X_FORWARDED_FOR": JANE}, False),
        ({"REMOTE_ADDR": PEER, "HTTP_FORWARDED": f"for={PEER}"}, False),
        ({"REMOTE_ADDR": PEER, "HTTP_VIA": "1.1 proxy"}, False),
        ({"REMOTE_ADDR": PEER, "HTTP_X_REAL_IP": JANE}, False),
    ],
)
def test_who_reads_is_judged_by_the_clients_address(environ: dict[str, str], *, reads: bool) -> None:
    # 10.0.0.9 is both: as a proxy it is asked whose the request is.
    peers = Peers(map(parse_peer, ("10.0.0.1", "10.0.0.9")))
    assert Readers(peers, map(parse_peer, (PEER, "10.0.0.9"))).has(environ) is reads


def test_a_unix_socket_reads_where_it_is_named_and_no_proxy_is_behind_it() -> None:
    assert Readers(Peers(()), ["unix"]).has({"REMOTE_ADDR": ""})
    assert not Readers(Peers(()), ["unix"]).has({})
    assert not Readers(Peers(["unix"]), ["unix"]).has({"REMOTE_ADDR": ""})


# What counts


@pytest.mark.requirement("R-ready")
@pytest.mark.usefixtures("no_cache")
def test_what_all_hosts_share_takes_none_of_them_out(tmp_path: Path) -> None:
    middleware = with_directory(tmp_path)
    Database(middleware).failure = StoreUnavailableError("away")
    answer = ask(middleware, REMOTE_ADDR=PEER)
    assert (answer.status, json.loads(answer.text)["directory"]) == (200, "down")
    assert ask(middleware).status == 200


@pytest.mark.requirement("R-ready")
@pytest.mark.usefixtures("no_cache")
def test_unless_ready_needs_names_it(tmp_path: Path) -> None:
    middleware = with_directory(tmp_path, ready_needs="directory")
    database = Database(middleware)
    assert ask(middleware).status == 200
    database.failure = StoreUnavailableError("away")
    answer = ask(middleware)
    assert (answer.status, json.loads(answer.text)) == (503, {"ready": False})
    database.failure = None
    assert ask(middleware).status == 200


def called(middleware: OAuth2Middleware, *, status: int) -> None:
    """A sign-in has asked the provider."""
    enter((middleware._observer, {}, ""))
    with calling("default", "token", {}) as asked:
        asked.status = status


@pytest.mark.requirement("R-ready")
def test_a_provider_is_known_by_what_sign_ins_saw_and_forgiven_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    middleware = guard(ready_needs="providers", metrics_peers=PEER)
    called(middleware, status=503)
    assert ask(middleware).status == 503
    assert details(middleware)["providers"] == {"default": "down"}
    # Taken out, this host would never see that it is back.
    monkeypatch.setattr(health, "_MEMORY", 0.0)
    assert ask(middleware).status == 200
    called(middleware, status=400)
    assert details(middleware)["providers"] == {"default": "up"}


@pytest.mark.requirement("R-ready")
def test_this_host_cannot_serve_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_CLIENT_SECRET", "s" * 32)
    middleware = guard(client_secret="env:APP_CLIENT_SECRET")
    assert ask(middleware).status == 200
    monkeypatch.delenv("APP_CLIENT_SECRET")
    assert ask(middleware).status == 503
    assert ask(middleware, ALIVE).status == 200


def test_what_is_not_there_cannot_be_needed() -> None:
    assert "set session" in only_problem(service(**oidc(ready_needs="store")))
    assert "set directory" in only_problem(service(**oidc(ready_needs="directory")))


# Nobody waits


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[tuple[OAuth2Middleware, Database]]:
    middleware = with_directory(tmp_path, ready_needs="directory")
    database = Database(middleware)
    database.answers.clear()
    yield middleware, database
    database.answers.set()


@pytest.mark.requirement("R-ready")
def test_they_answer_while_a_store_hangs(
    hung: tuple[OAuth2Middleware, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    middleware, database = hung
    monkeypatch.setattr(health, "WAIT", 0.01)
    monkeypatch.setattr(health, "PATIENCE", 0.0)
    ask(middleware, ALIVE)
    began = time.monotonic()
    assert ask(middleware).status == 503
    assert ask(middleware, ALIVE).status == 200
    assert details(middleware)["directory"] == "down"
    assert time.monotonic() - began < 0.2
    assert database.asked == 1


@pytest.mark.requirement("R-ready")
def test_what_was_found_holds_for_two_seconds(tmp_path: Path) -> None:
    middleware = with_directory(tmp_path, ready_needs="directory")
    database = Database(middleware)
    for _ in range(5):
        assert ask(middleware).status == 200
    assert database.asked == 1


def test_without_a_thread_what_was_found_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    middleware = with_directory(tmp_path, ready_needs="directory")
    Database(middleware)
    assert ask(middleware).status == 200

    class TooMany(threading.Thread):
        def start(self) -> None:
            raise RuntimeError

    monkeypatch.setattr(health, "CACHED", 0.0)
    monkeypatch.setattr(threading, "Thread", TooMany)
    for _ in range(2):
        assert ask(middleware).status == 200
