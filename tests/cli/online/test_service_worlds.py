"""What can be wrong on the way to this service, in its stores and with its files, each seen from one command."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from oauth2_mw.cli.keygen import new_key_file
from oauth2_mw.cli.online import Finding
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.hosts.certificates import self_signed
from tests.support.hosts.listening import listening
from tests.support.hosts.online_world import World
from tests.support.stores.redis_servers import RedisServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def only(found: list[Finding], what: str) -> Finding:
    (finding,) = found
    assert finding.what == what
    assert finding.cure
    return finding


# public_url


def test_another_application_at_public_url(world: World) -> None:
    def other(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("404 Not Found", [("Content-Type", "text/html")])
        return [b"nginx"]

    world.app = other
    finding = only(world.problems(), "public_url")
    assert "answered by something else (HTTP 404, text/html)" in finding.says
    assert "/auth/oauth2" in finding.cure


def test_nobody_at_public_url(world: World) -> None:
    with listening() as (port, _):
        pass
    world.provider.registered = {f"http://127.0.0.1:{port}/auth/oauth2/login/callback/"}
    finding = only(world.problems(public_url=f"http://127.0.0.1:{port}"), "public_url")
    assert finding.result == "warning"
    assert "start the application" in finding.cure


def test_http_at_a_public_url_of_https(world: World) -> None:
    url = world.public_url.replace("http:", "https:")
    world.provider.registered = {f"{url}/auth/oauth2/login/callback/"}
    finding = only(world.problems(public_url=url), "public_url")
    assert finding.result == "problem"
    assert "speaks no TLS" in finding.says


def test_a_server_with_other_settings(world: World) -> None:
    world.settings(callback_path="/oidc/callback")
    finding = only(world.problems(), "public_url: login/default/")
    assert "/oidc/callback" in finding.says
    assert "restart it with this file" in finding.cure


def test_a_server_at_which_no_sign_in_begins(world: World) -> None:
    world.settings(issuer=f"{world.provider.issuer}/gone")
    finding = only(world.problems(), "public_url: login/default/")
    assert "audit log" in finding.cure


def test_a_service_over_https_has_the_cookies_of_https(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "one.pem", days=(-1, 90))
    with ExitStack() as stack:
        world = World(tmp_path, stack, certificate=certificate)
        found = world.look(ca_bundle=str(certificate))
    assert {each.result for each in found} == {"ok"}, found
    assert {"public_url: cookies", "public_url: TLS"} <= {each.what for each in found}


def test_a_service_with_a_certificate_that_this_machine_does_not_know(world: World, tmp_path: Path) -> None:
    with ExitStack() as stack:
        other = World(tmp_path, stack, certificate=self_signed(tmp_path / "one.pem"))
        world.provider.registered = {f"{other.public_url}/auth/oauth2/login/callback/"}
        finding = only(world.problems(public_url=other.public_url), "public_url")
    assert finding.result == "warning"
    assert "browsers trust" in finding.cure


def _changing(world: World, change: Callable[[tuple[str, str]], tuple[str, str] | None]) -> None:
    """Have a proxy in front that changes the headers of responses."""
    world.settings()
    app = world.app
    assert app is not None

    def proxy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [new for header in headers if (new := change(header))], *more)

        return app(environ, start)

    world.app = proxy


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda value: value.replace("; HttpOnly", "").replace("; httponly", ""), "httponly"),
        (lambda value: value.replace("SameSite=Lax", "SameSite=None"), "samesite=lax"),
        (lambda value: value + "; Domain=example.com", "Domain is added"),
        (lambda value: value.replace("oauth2_mw", "other"), "the name oauth2_mw"),
        (lambda _value: "", "does not arrive"),
    ],
)
def test_a_proxy_that_changes_cookies(world: World, change: Callable[[str], str], says: str) -> None:
    def header(pair: tuple[str, str]) -> tuple[str, str] | None:
        if pair[0].lower() != "set-cookie":
            return pair
        return (pair[0], change(pair[1])) if change(pair[1]) else None

    _changing(world, header)
    assert says in only(world.problems(), "public_url: cookies").says


def test_a_server_that_takes_short_headers_alone(world: World) -> None:
    world.settings()
    app = world.app
    assert app is not None

    def proxy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if len(environ.get("HTTP_COOKIE", "")) > 4096:
            start_response("400 Request Header Or Cookie Too Large", [("Content-Type", "text/html")])
            return [b""]
        return app(environ, start_response)

    world.app = proxy
    finding = only(world.problems(), "public_url: header limits")
    assert "HTTP 400" in finding.says
    assert "large_client_header_buffers" in finding.cure
    assert world.problems(session=f"sqlite:///{world.folder}/s.db") == []


# Stores


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), password="right") as server:
        yield server


def test_a_redis_store_that_works(world: World, redis: RedisServer) -> None:
    found = world.look(session=f"redis://:right@127.0.0.1:{redis.port}")
    assert ("session", "ok") in {(each.what, each.result) for each in found}


def test_a_wrong_password_of_redis(world: World, redis: RedisServer) -> None:
    finding = world.problems(session=f"redis://:canary@127.0.0.1:{redis.port}")[0]
    assert (finding.what, finding.result) == ("session", "problem")
    assert "invalid username-password pair" in finding.says
    assert finding.cure == "check the user and the password in the URL"
    assert "canary" not in str(finding)


def test_a_redis_that_is_not_there(world: World) -> None:
    with listening() as (port, _):
        pass
    finding = world.problems(session=f"redis://127.0.0.1:{port}")[0]
    assert (finding.what, finding.result) == ("session", "problem")
    assert str(port) in finding.says
    assert finding.cure.startswith("check that the server runs")


def test_a_directory_that_does_not_exist_yet(world: World) -> None:
    found = world.look(directory="sqlite:///users.db")
    assert "the first sign-in makes it" in next(each for each in found if each.what == "directory").says
    assert not (world.folder / "users.db").exists()


def made(path: Path) -> Database:
    database = Database(Secret.literal(f"sqlite:///{path}"))
    with database.writing():
        pass
    return database


def test_a_directory_of_this_release_for_users_and_sessions(world: World) -> None:
    made(world.folder / "users.db")
    found = world.look(directory="sqlite:///users.db", session="sqlite:///users.db")
    says = {each.what: each.says for each in found if each.result == "ok"}
    assert "has the tables of this release" in says["directory"]
    assert "in the directory's database" in says["session"]


def test_a_directory_that_is_not_migrated(world: World) -> None:
    made(world.folder / "users.db")
    with sqlite3.connect(world.folder / "users.db") as connection:
        connection.execute("DELETE FROM oauth2_mw_migrations WHERE version > 3")
    finding = world.problems(directory="sqlite:///users.db")[0]
    assert (finding.what, finding.result) == ("directory", "warning")
    assert "not migrated" in finding.says


def test_a_directory_that_is_no_database(world: World) -> None:
    (world.folder / "users.db").write_text("no database " * 100)
    finding = world.problems(directory="sqlite:///users.db")[0]
    assert (finding.what, finding.result) == ("directory", "problem")
    assert "not a database" in finding.says + finding.cure


def test_a_database_without_its_folder(world: World) -> None:
    finding = world.problems(session="sqlite:///gone/sessions.db")[0]
    assert (finding.what, finding.result) == ("session", "problem")
    assert "does not exist" in finding.says


@pytest.mark.parametrize("closed", ["", "users.db"])
def test_a_folder_or_a_file_that_cannot_be_written(world: World, closed: str) -> None:
    folder = world.folder / "data"
    folder.mkdir()
    made(folder / "users.db")
    (folder / closed).chmod(0o555)
    finding = world.problems(directory="sqlite:///data/users.db")[0]
    assert (finding.what, finding.result) == ("directory", "problem")
    assert "cannot be written by this user" in finding.says
    assert "chown" in finding.cure
    (folder / closed).chmod(0o755)


class _Usage(NamedTuple):
    free: int


def test_a_disk_that_is_full(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(8 * 1024))
    finding = world.problems(directory="sqlite:///users.db")[0]
    assert "is full: 8 KiB are free" in finding.says
    assert "make room" in finding.cure


def test_a_postgresql_that_is_not_there(world: World) -> None:
    with listening() as (port, _):
        pass
    finding = world.problems(directory=f"postgresql://jane:canary@127.0.0.1:{port}/sso")[0]
    assert (finding.what, finding.result) == ("directory", "problem")
    assert "canary" not in str(finding)


# Files


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (0o600, ""),
        (0o640, ""),
        (0o644, "every user of this machine can read"),
        (0o660, "its group can change"),
    ],
)
def test_files_with_secrets_are_their_owners(world: World, mode: int, says: str) -> None:
    secret = world.folder / "secret"
    secret.write_text("s3cret")
    secret.chmod(mode)
    found = world.look(client_secret="file:secret")
    (finding,) = (each for each in found if each.what == "file of client_secret of provider default")
    assert finding.result == ("warning" if says else "ok")
    assert says in finding.says
    assert finding.cure.startswith("chmod 600" if says else "")


def test_a_file_that_cannot_be_read_any_more(world: World) -> None:
    from oauth2_mw.cli.online.files import check_files

    secret = world.folder / "secret"
    secret.write_text("s3cret")
    settings = world.settings(client_secret="file:secret")
    secret.unlink()
    finding = next(each for each in check_files(settings, world.ini) if "client_secret" in each.what)
    assert finding.result == "problem"
    assert "cannot be read" in finding.says


@pytest.mark.parametrize(
    ("directory", "results"),
    [("sqlite:///users.db", []), ("postgresql://app:s3cret@127.0.0.1/app", ["warning"])],
)
def test_settings_with_the_password_of_a_database_are_their_owners(
    world: World, directory: str, results: list[str]
) -> None:
    from oauth2_mw.cli.online.files import check_files

    (world.folder / "keys").write_text(new_key_file())
    (world.folder / "secret").write_text("s3cret")
    world.app = lambda _environ, _start_response: []
    settings = world.settings(secret_keys="file:keys", client_secret="file:secret", directory=directory)
    world.ini.chmod(0o644)
    told = [each for each in check_files(settings, world.ini) if "in which secrets stand" in each.what]
    assert [each.result for each in told] == results
