"""What an earlier version wrote is read by this one: cookies, a key file, a database, and what Redis held.

``tests/recorded/README.rst`` says which version that was.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import time_machine

from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings
from tests.support.hosts.operator import Operator
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.stores.redis_servers import RedisServer

RECORDED = Path(__file__).parent / "recorded"
_TEXTS = json.loads((RECORDED / "cookies.json").read_text(encoding="utf-8"))
NOW: int = _TEXTS["now"]
COOKIES: dict[str, Any] = _TEXTS["cookies"]
REDIS = json.loads((RECORDED / "redis.json").read_text(encoding="utf-8"))
CALLBACK = "/auth/oauth2/login/callback/"
SIGNED_IN = [name for name, recorded in COOKIES.items() if "environ" in recorded]


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def provider(clock: time_machine.Traveller) -> Iterator[StandIn]:
    names = {
        "preferred_username": "jane",
        "name": "Jane Doe",
        "email": "jane@example.com",
        "phone_number": "1",
    }
    claims = {"iss": "https://127.0.0.1:1", "groups": ["staff"], "locale": "de-AT", **names}
    with StandIn(client_id="app", client_secret="s3cret", claims=claims) as provider:
        yield provider


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Host:
    """The middleware of this version, with the settings and the files that were recorded beside the cookies."""

    def __init__(self, folder: Path, provider: StandIn, redis: RedisServer) -> None:
        self.database = folder / "users.db"
        self._keys = folder / "keys"
        self._provider = provider
        self._redis = redis
        self._middlewares: dict[str, OAuth2Middleware] = {}
        self.environ: WSGIEnvironment | None = None
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript((RECORDED / "database.sql").read_text(encoding="utf-8"))
        self._keys.write_text((RECORDED / "keys.txt").read_text(encoding="utf-8"), encoding="utf-8")
        self._keys.chmod(0o600)
        with redis.client() as client:
            client.flushall()
            for key, entry in REDIS.items():
                match entry["type"]:
                    case "hash":
                        client.hset(key, mapping=entry["value"])
                    case "zset":
                        client.zadd(key, entry["value"])
                    case _:
                        client.set(key, entry["value"])

    def settings(self, name: str) -> dict[str, Any]:
        """The settings under which that cookie was written."""
        places = {
            "DATABASE": f"sqlite:///{self.database}",
            "REDIS": self._redis.url,
            "KEYS": f"file:{self._keys}",
        }
        written = {key: places.get(value, value) for key, value in COOKIES[name]["settings"].items()}
        return {
            **_TEXTS["settings"],
            **written,
            "token_endpoint": f"{self._provider.url}/token",
            "userinfo_endpoint": f"{self._provider.url}/userinfo",
            "jwks_uri": f"{self._provider.url}/jwks",
        }

    def request(self, name: str, path: str = "/", *, cookie: str | None = None, **keys: Any) -> WsgiResponse:
        """One request with that cookie; :attr:`environ` is what the application was given."""
        self.environ = None
        if name not in self._middlewares:
            settings = Settings.from_mapping(self.settings(name))
            self._middlewares[name] = OAuth2Middleware(self._application, settings)
        header = COOKIES[name]["cookie"] if cookie is None else cookie
        environ = environ_for(path, HTTP_COOKIE=header or None, HTTP_ACCEPT="text/html", **keys)
        return call(self._middlewares[name], environ)

    def answer(
        self, name: str, request: dict[str, str] | None = None, *, cookie: str | None = None
    ) -> WsgiResponse:
        """What becomes of the provider's answer to the attempt that was recorded, or to *request*."""
        request = request or COOKIES[name]["request"]
        query = urlencode({"code": self._provider.issue_code(request), "state": request["state"]})
        if COOKIES[name]["settings"].get("response_mode") != "form_post":
            return self.request(name, CALLBACK, cookie=cookie, QUERY_STRING=query)
        form = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(query)),
            "wsgi.input": io.BytesIO(query.encode()),
        }
        return self.request(name, CALLBACK, cookie=cookie, **form)

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        self.environ = environ
        start_response("200 OK", [])
        return [b"hello"]


@pytest.fixture
def host(tmp_path: Path, provider: StandIn, redis: RedisServer) -> Host:
    return Host(tmp_path, provider, redis)


@pytest.fixture
def operator(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


def write_ini(operator: Operator, host: Host, name: str) -> None:
    """The settings of that cookie as a file, for the command line."""
    flat = {key: text for key, text in host.settings(name).items() if isinstance(text, str)}
    operator.write_ini(**flat)


def header_of(answer: WsgiResponse) -> str:
    """The ``Cookie`` header of a browser that had no cookies before *answer*."""
    return "; ".join(text.partition(";")[0] for text in answer.cookies.values() if "Max-Age=0" not in text)


# Cookies


@pytest.mark.parametrize("name", SIGNED_IN)
def test_a_session_signs_the_same_person_in(host: Host, name: str) -> None:
    assert host.request(name).status == 200
    assert host.environ is not None
    expected = COOKIES[name]["environ"]
    assert {key: host.environ.get(key) for key in expected} == expected
    assert host.environ["oauth2_mw.identity"].id == expected["X_ID"]
    session = host.environ["oauth2_mw.session"]
    # A key that was replaced before cannot have sealed it later.
    began = NOW - 540 if name == "session of the first key in the file" else NOW
    assert (session.created_at, session.expires_at, session.idle_timeout) == (began, NOW + 8 * 3600, 3600)
    assert tuple(session.sign_in) == (NOW, "sid-1", "Firefox on Linux", "192.0.2.7")


def test_a_session_ends_when_it_was_to_end(host: Host, clock: time_machine.Traveller) -> None:
    clock.shift(3600)
    assert host.request("session in one cookie").status == 303


def test_a_refreshed_session_is_refreshed_again(
    host: Host, provider: StandIn, clock: time_machine.Traveller
) -> None:
    name = "refreshed session"
    clock.shift(2 * 3600 - 60 - 30 - 1)
    assert host.request(name).status == 200
    assert not provider.asked("/token")
    clock.shift(1)
    again = {"auth_time": NOW - 5}
    provider.answers["token"] = lambda _: {
        "access_token": "new",
        "token_type": "Bearer",
        "id_token": provider.id_token(None, "new", again),
    }
    answer = host.request(name)
    assert answer.status == 200
    assert [request.form["refresh_token"] for request in provider.asked("/token")] == [
        COOKIES[name]["refresh_token"]
    ]
    assert header_of(answer)


@pytest.mark.parametrize("name", ["attempt", "attempt whose answer comes as a form"])
def test_an_attempt_ends_in_a_session(host: Host, provider: StandIn, name: str) -> None:
    answer = host.answer(name)
    assert answer.status == 303
    assert answer.header("Location") in ("https://app.example/deep?x=1", "https://app.example/deep")
    assert len(provider.asked("/token")) == 1
    assert host.request(name, cookie=header_of(answer)).status == 200


def test_an_attempt_ends_the_session_before_it(host: Host) -> None:
    name = "attempt whose answer comes as a form"
    before = COOKIES[name]["before"]
    assert host.request(name, cookie=before).status == 200
    assert host.answer(name).status == 303
    assert host.request(name, cookie=before).status == 303


def test_an_attempt_without_its_cookie_is_begun_anew(host: Host, provider: StandIn) -> None:
    answer = host.answer("attempt", cookie="")
    assert (answer.header("Location") or "").startswith("https://127.0.0.1:1/authorize?")
    assert not provider.asked("/token")


@pytest.mark.parametrize("name", ["attempt that was used", "attempt that was used, in Redis"])
def test_an_attempt_is_used_once(host: Host, provider: StandIn, name: str) -> None:
    answer = host.answer(name)
    url = urlsplit(answer.header("Location") or "")
    assert f"{url.scheme}://{url.netloc}" == "https://127.0.0.1:1"
    assert not provider.asked("/token")
    second = host.answer(name, dict(parse_qsl(url.query)), cookie=header_of(answer))
    assert second.header("Location") == "https://app.example/deep?x=1"


def test_what_is_left_of_an_attempt_says_where_it_led_to(host: Host, provider: StandIn) -> None:
    answer = host.answer("session and what is left of its attempt")
    assert answer.header("Location") == "https://app.example/deep?x=1"
    assert not provider.asked("/token")


def test_a_key_file_seals_with_its_newest_key(host: Host) -> None:
    name = "session of the second key in the file"
    start = "/auth/oauth2/login/"
    request = dict(parse_qsl(urlsplit(host.request(name, start, cookie="").header("Location") or "").query))
    recorded = COOKIES[name]["cookie"].partition("=")[2]
    # The version and the key's name.
    assert request["state"][:12] == recorded[:12]
    assert recorded[:12] != COOKIES["session of the first key in the file"]["cookie"].partition("=")[2][:12]


# A database


@pytest.mark.parametrize("name", ["session that was ended", "session of a disabled user"])
def test_what_has_ended_lets_nobody_in(host: Host, name: str) -> None:
    assert host.request(name).status == 303
    assert host.environ is None


def test_the_database_gains_columns_and_keeps_all_that_it_holds(host: Host) -> None:
    def everything() -> tuple[set[Any], dict[str, list[Any]]]:
        with closing(sqlite3.connect(host.database)) as connection:
            schema = set(connection.execute("SELECT name, sql FROM sqlite_master"))
            tables = [name for name, sql in schema if (sql or "").startswith("CREATE TABLE oauth2_mw")]
            return schema, {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}  # noqa: S608

    (schema, rows), users = everything(), "oauth2_mw_users"
    assert host.request("session beside the directory").status == 200
    schema_now, rows_now = everything()
    assert {name for name, _ in schema - schema_now} == {users}
    width = len(rows[users][0])
    assert [row[:width] for row in rows_now[users]] == rows[users]
    assert rows_now["oauth2_mw_schema"][: len(rows["oauth2_mw_schema"])] == rows["oauth2_mw_schema"]
    for name in ("oauth2_mw_usernames", "oauth2_mw_links", "oauth2_mw_groups", "oauth2_mw_memberships"):
        assert rows_now[name] == rows[name]


def test_a_stored_session_lives_on_in_its_record(host: Host, clock: time_machine.Traveller) -> None:
    clock.shift(1800)
    assert host.request("session in the database").status == 200
    with closing(sqlite3.connect(host.database)) as connection:
        rows = connection.execute("SELECT seen, expires FROM oauth2_mw_sessions WHERE data != ''").fetchall()
    assert rows == [(NOW + 1800, NOW + 1800 + 3600)]


def test_users_and_their_links_are_found(host: Host, operator: Operator) -> None:
    write_ini(operator, host, "session beside the directory")
    jane, joe = sorted(operator.run("users", "list", operator.ini).rows, key=lambda row: row[1])
    assert jane[0] == COOKIES["session beside the directory"]["environ"]["X_ID"]
    assert (jane[1], joe[1]) == ("jane", "joe")
    shown = operator.run("users", "show", operator.ini, "jane").out
    assert "user-1" in shown
    assert "user-3" in shown
    assert "2026-01-01" in operator.run("users", "show", operator.ini, "joe").out


@pytest.mark.parametrize(
    ("name", "count"),
    [("session beside the directory", 3), ("session in the database", 1), ("session in Redis", 1)],
)
def test_a_session_is_listed_and_ended(host: Host, operator: Operator, name: str, count: int) -> None:
    write_ini(operator, host, name)
    person = COOKIES[name]["environ"]["X_ID"]
    rows = operator.run("sessions", "list", operator.ini, "--user", person).rows
    assert len(rows) == count
    details = ["jane", "default", "Firefox on Linux", "192.0.2.7"]
    times = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]
    assert {tuple(row[1:8]) for row in rows} == {(person, *details, *times)}
    assert operator.run("sessions", "revoke", operator.ini, "--user", person).code == 0
    assert host.request(name).status == 303
    assert operator.run("sessions", "list", operator.ini, "--user", person).rows == []


# Redis


def test_somebody_who_was_signed_out_meanwhile_stays_out(host: Host, provider: StandIn) -> None:
    provider.claims["sub"] = "user-2"
    answer = host.answer("attempt of somebody who was signed out meanwhile")
    assert answer.status == 403
    assert host.request("session in Redis", cookie=header_of(answer)).status == 303


def test_keys_are_called_as_they_were(
    host: Host, redis: RedisServer, operator: Operator, provider: StandIn
) -> None:
    """What the same acts write today stands under the recorded keys; only the session's id is a new one."""
    provider.sid = "sid-1"
    write_ini(operator, host, "session in Redis")
    with redis.client() as client:
        client.flushall()
        assert host.answer("attempt that was used, in Redis").status == 303
        keys = {key.decode() for key in client.scan_iter()}
        person = COOKIES["session in Redis"]["environ"]["X_ID"]
        assert operator.run("sessions", "revoke", operator.ini, "--user", person).code == 0
        keys |= {key.decode() for key in client.scan_iter()}
    (session,) = (key for key in keys if key.endswith(":s"))
    (recorded,) = (key for key in REDIS if key.endswith(":s"))
    assert session.partition(".")[0] == recorded.partition(".")[0]
    assert len(session) == len(recorded)
    assert sorted(key[-2:] for key in keys) == [":i", ":i", ":r", ":s", ":u"]
    assert keys - {session} < REDIS.keys()
