"""Real servers as the documentation configures them: what ``servers.tsv`` says works does work, and nobody gets round.

The rules of every server close ``/admin/`` before they open all the rest, so that a spelling of it that is taken for
another path would be let through.
"""

from __future__ import annotations

import csv
import hashlib
import json
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlencode

import pytest

from oauth2_mw.access.rules import AccessRules
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.proxy_headers import ANNOUNCERS
from tests.support.browser.protected_targets import RAW_TARGETS
from tests.support.hosts.raw_client import Answer, read
from tests.support.hosts.server_app import ETAG, FILE, LARGE, PIECE
from tests.support.hosts.wsgi_servers import OWN_VENV, SETUPS, Running, started
from tests.support.providers.standin import StandIn

TABLE = Path(__file__).with_name("servers.tsv")
RULES = """
denied   /admin/
denied   DELETE /items/
public   /public/
required /wiki/
optional /
"""
PERSON = {"Accept": "text/html"}


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


@dataclass(frozen=True)
class Visited:
    """A running server, and somebody who has signed in there."""

    works: Mapping[str, str]
    server: Running
    provider: StandIn
    #: the ``Cookie`` header of Jane's browser
    jane: Mapping[str, str]

    def send(self, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        return self.server.client.send(self.server.target(path), headers, **more)


def sign_in(server: Running, provider: StandIn, path: str) -> tuple[dict[str, str], str | None]:
    """Sign Jane in who wanted to see *path*; return her ``Cookie`` header, and where she is led."""
    client = server.client
    asked = client.send(server.target(path), PERSON)
    assert asked.status == 303, (asked.status, asked.body, server.process.output)
    query = urlencode(provider.follow(asked.headers["Location"]))
    callback = server.target("/auth/oauth2/login/callback/")
    back = client.send(f"{callback}?{query}", {**PERSON, "Cookie": cookie_header(asked)})
    assert back.status == 303, (back.status, back.body, server.process.output)
    return {"Cookie": cookie_header(back)}, back.headers["Location"]


def cookie_header(answer: Answer) -> str:
    return "; ".join(f"{name}={value}" for name, value in answer.cookies.items() if value)


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    with StandIn() as provider:
        yield provider


@pytest.fixture(scope="module", params=rows(), ids=lambda row: row["name"])
def visited(
    request: pytest.FixtureRequest, provider: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visited]:
    assert OWN_VENV.exists(), "the servers are not installed: run `make test-servers`"
    works = request.param
    settings = {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "access": {"rules": RULES},
    }
    folder = tmp_path_factory.mktemp("server") / works["name"]
    with started(SETUPS[works["name"]], folder, settings) as server:
        jane, _ = sign_in(server, provider, "/wiki/")
        yield Visited(works, server, provider, jane)
        assert ": unexpected " not in server.process.output, server.process.output


def test_every_server_that_can_be_started_is_in_the_table() -> None:
    assert {row["name"] for row in rows()} == SETUPS.keys()


# What works


def deep_link(visited: Visited) -> None:
    path = "/wiki/caf%C3%A9%20x/a+b?x=%ff&y=%2F%26&z=a+b"
    cookie, location = sign_in(visited.server, visited.provider, path)
    assert location == visited.server.public_url + path
    told = json.loads(visited.send(path, cookie).body)["environ"]
    assert (told["PATH_INFO"], told["QUERY_STRING"], told["REMOTE_USER"]) == (
        "/wiki/caf\xc3\xa9 x/a+b",
        path.partition("?")[2],
        "jane",
    )


def thirty_megabytes(visited: Visited) -> None:
    content = PIECE * (LARGE // len(PIECE))
    digest = hashlib.sha256(content).hexdigest().encode()
    sent = visited.send("/upload", visited.jane, method="POST", body=content)
    assert (sent.status, sent.body) == (200, digest)
    received = visited.send("/download", visited.jane)
    assert (received.status, received.body == content) == (200, True)


def streaming(visited: Visited) -> None:
    arrived = visited.server.folder / "yourproject" / "first-is-here"
    arrived.unlink(missing_ok=True)
    client = visited.server.client
    with client.connected() as connection:
        connection.sendall(client.head(visited.server.target("/stream"), visited.jane))
        received = b""
        while b"first\n" not in received and (piece := connection.recv(65536)):
            received += piece
        arrived.touch()
        while piece := connection.recv(65536):
            received += piece
    assert b"last\n" in received
    assert b"late\n" not in received


def written(visited: Visited) -> None:
    assert visited.send("/write", visited.jane).body == b"written, and returned"


def file_wrapper(visited: Visited) -> None:
    answer = visited.send("/file", visited.jane)
    assert (answer.body == FILE, answer.headers["Content-Length"]) == (True, str(len(FILE)))
    assert answer.headers["X-File-Wrapper"] == "yes"


def not_modified(visited: Visited) -> None:
    assert visited.send("/etag", visited.jane).body == b"page"
    answer = visited.send("/etag", {**visited.jane, "If-None-Match": ETAG})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", ETAG)


def head(visited: Visited) -> None:
    answer = visited.send("/etag", visited.jane, method="HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "4")
    # Nothing follows that would be taken for the next response.
    client = visited.server.client
    with client.connected() as connection:
        connection.sendall(client.head(visited.server.target("/etag"), visited.jane, "HEAD"))
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.endswith(b"\r\n\r\n")


def range_of_a_file(visited: Visited) -> None:
    answer = visited.send("/file", {**visited.jane, "Range": "bytes=8-15"})
    assert (answer.status, answer.body) == (206, b"0000001\n")
    assert answer.headers["Content-Range"] == f"bytes 8-15/{len(FILE)}"


def continued(visited: Visited) -> None:
    client = visited.server.client
    body = b"x" * 1000
    fields = {**visited.jane, "Expect": "100-continue", "Content-Length": str(len(body))}
    with client.connected() as connection:
        connection.settimeout(3)
        connection.sendall(client.head(visited.server.target("/upload"), fields, "POST"))
        try:
            asked = connection.recv(65536)
        except TimeoutError:
            asked = b""
        assert asked.startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert read(connection).body == hashlib.sha256(body).hexdigest().encode()


CHECKS: Mapping[str, Callable[[Visited], None]] = MappingProxyType(
    {
        "deep link": deep_link,
        "30 MB": thirty_megabytes,
        "streaming": streaming,
        "write()": written,
        "file wrapper": file_wrapper,
        "304": not_modified,
        "HEAD": head,
        "Range": range_of_a_file,
        "100-continue": continued,
    }
)


@pytest.mark.parametrize("column", CHECKS)
def test_what_the_table_says(visited: Visited, column: str) -> None:
    if visited.works[column] == "yes":
        CHECKS[column](visited)
        return
    assert visited.works[column] == "no"
    with pytest.raises(AssertionError):
        CHECKS[column](visited)


@pytest.mark.parametrize(
    ("row", "column"),
    [(row, column) for row in rows() for column in CHECKS if row[column] == "no"],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_what_does_not_work_is_the_servers_own(
    provider: StandIn, tmp_path: Path, row: dict[str, str], column: str
) -> None:
    with started(SETUPS[row["name"]], tmp_path / "alone", None) as server:
        alone = Visited(row, server, provider, {})
        assert alone.send("/admin/").status == 200
        with pytest.raises(AssertionError):
            CHECKS[column](alone)


# Who somebody says they are

_NAMES = sorted(
    {name.replace("*", "X") for announcer in ANNOUNCERS for name in announcer.headers}
    | {"Remote-User", "X-Remote-User", "Auth-Type", "Oauth2-Mw-Identity", "Oauth2-Mw.Identity"}
)
SPELLINGS: Mapping[str, Callable[[str], tuple[str, ...]]] = MappingProxyType(
    {
        "hyphens": lambda name: (name,),
        "underscores": lambda name: (name.replace("-", "_"),),
        "both": lambda name: (name, name.replace("-", "_")),
        "dots": lambda name: (name.replace("-", "."),),
        "mixed": lambda name: (name.replace("-", "_", 1).lower(), f"Http-{name}"),
    }
)


@pytest.mark.requirement("3e.1", "3e.2")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_a_client_says_of_itself_tells_the_application_nothing(visited: Visited, spelling: str) -> None:
    names = [each for name in _NAMES for each in SPELLINGS[spelling](name)]
    for some in (names[start : start + 40] for start in range(0, len(names), 40)):
        forged = dict.fromkeys(some, "forged")
        for path, cookie, user in (
            ("/public/x", visited.jane, None),
            ("/x", {}, None),
            ("/x", visited.jane, "jane"),
        ):
            for method in ("GET", "OPTIONS"):
                answer = visited.send(path, {**forged, **cookie}, method=method)
                assert answer.status == 200, (answer.status, answer.body)
                told = json.loads(answer.body)["environ"]
                assert (told["REQUEST_METHOD"], told.get("REMOTE_USER")) == (method, user)
                assert [key for key, value in told.items() if "forged" in value] == []


# How a path is spelled

#: Headers by which some programs take another address, or another method, for the one that was asked for.
REWRITING: tuple[dict[str, str], ...] = (
    {},
    {"X-Original-URL": "/admin/x"},
    {"X-Rewrite-URL": "/admin/x"},
    {"X-Original-URI": "/public/x"},
    {"X-Forwarded-Uri": "/public/x"},
    {"X-Forwarded-Prefix": "/public"},
    {"Script-Name": "/public"},
    {"SCRIPT_NAME": "/public"},
    {"SCRIPT_NAME": "/admin"},
    {"Path-Info": "/public/x", "PATH_INFO": "/public/x"},
)


@pytest.mark.requirement("3g", "3g.1", "R-odd")
def test_no_spelling_of_a_path_gets_round_a_rule(visited: Visited) -> None:
    """Nothing arrives where a rule closes, in any reading; what arrives was judged as the path that arrives."""
    settings = Settings.from_ini(visited.server.folder / "oauth2.ini")
    rules = AccessRules(settings.rules, protect=settings.protect)
    mount = visited.server.mount.encode()
    arrived = 0
    for target in RAW_TARGETS:
        for spelled in {mount + target, target}:
            for cookie in ({}, visited.jane):
                answer = visited.server.client.send(spelled, cookie)
                assert answer.status < 500, (spelled, answer.status)
                if answer.headers.get("Content-Type") != "application/json" or answer.status != 200:
                    continue
                told = json.loads(answer.body)["environ"]
                assert_was_judged(told, rules, visited, spelled, is_jane=bool(cookie))
                arrived += 1
    assert arrived > 5, "this shows nothing"


@pytest.mark.requirement("3g.9", "3g.2")
@pytest.mark.parametrize("headers", REWRITING, ids=lambda headers: "+".join(headers) or "none")
def test_no_header_leads_round_a_rule(visited: Visited, headers: dict[str, str]) -> None:
    settings = Settings.from_ini(visited.server.folder / "oauth2.ini")
    rules = AccessRules(settings.rules, protect=settings.protect)
    for path in ("/admin/x", "/public/x", "/public/admin/x", "/x", "/wiki/x"):
        for cookie in ({}, visited.jane):
            answer = visited.send(path, {**headers, **cookie})
            # gunicorn fails when it believes a client's SCRIPT_NAME that is no beginning of the path.
            assert answer.status < 500 or "SCRIPT_NAME" in headers, (path, answer.status)
            if answer.status == 200:
                told = json.loads(answer.body)["environ"]
                assert_was_judged(told, rules, visited, path, is_jane=bool(cookie))


@pytest.mark.requirement("R-methods")
@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"]
)
def test_no_header_makes_another_method_of_one(visited: Visited, name: str) -> None:
    assert visited.send("/items/1", {name: "PUT"}, method="POST").status == 200
    answer = visited.send("/items/1", {name: "DELETE"}, method="POST")
    # A server that drops the header lets nobody take it for a method.
    if answer.status == 200:
        assert "DELETE" not in json.loads(answer.body)["environ"].values()
    else:
        assert answer.status == 403
    assert visited.send("/items/1", method="DELETE").status == 403


def assert_was_judged(
    told: Mapping[str, str], rules: AccessRules, visited: Visited, sent: object, *, is_jane: bool
) -> None:
    path, script_name = told["PATH_INFO"], told.get("SCRIPT_NAME", "")
    assert script_name in ("", visited.server.mount), sent
    seen = (sent, script_name, path)
    for reading in readings(path):
        assert reading != "/admin", seen
        assert not reading.startswith("/admin/"), seen
    effect = rules.find(path, told["REQUEST_METHOD"]).effect
    assert effect in (("public", "optional", "required") if is_jane else ("public", "optional")), seen
    # A rule that opens a path to everybody tells the application of nobody.
    assert told.get("REMOTE_USER") == (None if effect == "public" or not is_jane else "jane"), seen


def readings(path: str) -> set[str]:
    """Everything that some program could take a path for: each step that one takes, in every order."""
    found: set[str] = set()
    unread = {path}
    while unread:
        reading = unread.pop()
        found.add(reading)
        unread |= {step(reading) for step in STEPS} - found
    return found


STEPS: tuple[Callable[[str], str], ...] = (
    posixpath.normpath,
    lambda path: path.replace("//", "/"),
    lambda path: path.replace("\\", "/"),
    lambda path: unquote(path, "latin-1"),
    lambda path: re.split("[\0\r\n?#]", path)[0],
    lambda path: re.sub(";[^/]*", "", path),
    lambda path: re.sub("^[a-z]+://[^/]*", "", path),
    lambda path: (
        unicodedata.normalize("NFKC", path.encode("latin-1").decode("utf-8", "replace"))
        .encode("utf-8")
        .decode("latin-1")
    ),
)
