"""What ``check --online`` says of the hosts that share the store: by key, and which host."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.cli.online.hosts import check_hosts
from oauth2_mw.session.host_watch import HostRecords
from oauth2_mw.session.hosts import HostSettings
from oauth2_mw.session.opening import open_directory, open_sessions
from oauth2_mw.settings.model import Settings
from tests.support.hosts.listening import listening
from tests.support.hosts.online_world import World
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import make_settings
from tests.support.stores.redis_servers import RedisServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["cookies and a directory", "redis", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Where sessions are kept."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("server")
        with server.client() as client:
            client.flushall()
        return {"session": server.url}
    setting = "session" if request.param == "sqlite" else "directory"
    return {setting: f"sqlite:///{tmp_path}/users.db"}


def settings_of(**keys: Any) -> Settings:
    return make_settings(issuer="https://id.example", **keys)


def host(settings: Settings, name: str, *, ahead: int = 0) -> None:
    """Let a host be there with these settings."""
    sessions = open_sessions(settings, open_directory(settings))
    assert sessions.registry is not None
    records = HostRecords(sessions.registry.store, clock=lambda: time.time() + ahead, host=name)
    records.write(HostSettings.of(settings, sessions.sealer.keyring), records.read())


def test_hosts_that_have_what_the_file_says(place: dict[str, str]) -> None:
    settings = settings_of(**place)
    host(settings, "app1")
    host(settings, "app2")
    (finding,) = check_hosts(settings)
    assert (finding.what, finding.result) == ("hosts", "ok")
    assert f"app1 (process {os.getpid()}), app2 (process" in finding.says


@pytest.mark.parametrize(
    ("keys", "what", "values"),
    [
        ({"secret_keys": text_key(1)}, "[oauth2_mw] secret_keys", ["key ", " seals on app2 (process "]),
        (
            {"public_url": "https://www.app.example"},
            "[oauth2_mw] public_url",
            ["https://www.app.example on app2", "https://app.example in this file"],
        ),
        (
            {"revocation_sync": "30s"},
            "[oauth2_mw] revocation_sync",
            ["30s on app2 (process ", "and 5s in this file"],
        ),
    ],
)
def test_a_host_with_another_setting_is_named(
    place: dict[str, str], keys: dict[str, str], what: str, values: list[str]
) -> None:
    host(settings_of(**place), "app1")
    host(settings_of(**place, **keys), "app2")
    (finding,) = check_hosts(settings_of(**place))
    assert (finding.what, finding.result) == (what, "warning")
    assert all(value in finding.says for value in values)
    assert "app1" not in finding.says
    assert finding.cure
    assert text_key(1) not in str(finding)


def test_nothing_is_said_where_hosts_share_nothing(tmp_path: Path) -> None:
    assert [*check_hosts(settings_of())] == []


def test_nothing_is_made_for_the_question(tmp_path: Path) -> None:
    file = tmp_path / "users.db"
    assert [*check_hosts(settings_of(directory=f"sqlite:///{file}"))] == []
    assert not file.exists()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE others (id)")
        assert [*check_hosts(settings_of(directory=f"sqlite:///{file}"))] == []
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("others",)]


def test_a_store_that_is_away_is_another_ones_finding(tmp_path: Path) -> None:
    with listening() as (port, _):
        pass
    assert [*check_hosts(settings_of(session=f"redis://127.0.0.1:{port}"))] == []


def test_a_clock_that_differs_from_the_server_s_is_said(server: RedisServer) -> None:
    settings = settings_of(session=server.url)
    with server.client() as client:
        client.flushall()
        tells = "server_time_usec" in client.info("server")
    host(settings, "app1", ahead=3600)
    found = [each for each in check_hosts(settings) if each.what == "clock"]
    assert [each.says for each in found] == (["3600 s ahead of the store's on app1"] if tells else [])


def test_the_whole_command_says_it(world: World) -> None:
    directory = f"sqlite:///{world.folder}/users.db"
    host(world.settings(directory=directory, revocation_sync="30s"), "app2")
    (finding,) = world.problems(directory=directory)
    assert finding.what == "[oauth2_mw] revocation_sync"
