"""A store that is restored from an older copy: what has ended counts again, until it is ended as the docs say."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.last_sign_ins import LastSignIn
from oauth2_mw.identity.model import Identity
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from tests.support.hosts.guarded import JANE, App, sign_in
from tests.support.hosts.operator import Operator
from tests.support.hosts.processes import ROOT
from tests.support.hosts.stage import wait_until
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.settings.keys import text_key
from tests.support.settings.people import attributes, provider
from tests.support.stores.postgres import PostgresServer, postgres_server
from tests.support.stores.redis_servers import RedisServer

__all__ = ["postgres_server"]


@dataclass(frozen=True)
class Kept:
    """What is copied and restored, and how."""

    #: the settings of what uses it
    settings: dict[str, str]
    copy: Callable[[], object]
    restore: Callable[[], object]
    #: whether users and tokens come back with it
    has_users: bool = True


@pytest.fixture
def sqlite(tmp_path: Path) -> Kept:
    path, copy = tmp_path / "users.db", tmp_path / "copy.db"

    def save() -> None:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)

    def restore() -> None:
        # Another file under that name: this process, whose workers do not run any more, has the old one open.
        for each in path.parent.glob("users.db*"):
            each.unlink()
        shutil.copy(copy, path)

    return Kept({"directory": f"sqlite:///{path}"}, save, restore)


@pytest.fixture
def postgresql(postgres_server: PostgresServer) -> Kept:
    url, dump = postgres_server.new_database(), f"{postgres_server.folder}/sso.dump"
    return Kept(
        {"directory": url, "session": url},
        lambda: postgres_server.run("pg_dump", "--format=custom", f"--file={dump}", url),
        lambda: postgres_server.run("pg_restore", "--clean", "--if-exists", f"--dbname={url}", dump),
    )


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Kept]:
    with RedisServer(tmp_path) as server:
        dump, copy = server.folder / "dump.rdb", tmp_path / "copy.rdb"

        def save() -> None:
            with server.client() as client:
                client.save()
            shutil.copy(dump, copy)

        def restore() -> None:
            server.kill()
            shutil.copy(copy, dump)
            server.start()

        settings = {"directory": f"sqlite:///{tmp_path / 'users.db'}", "session": server.url}
        yield Kept(settings, save, restore, has_users=False)


class Worker:
    """A worker that has just started."""

    def __init__(self, ini: Path) -> None:
        self.middleware = OAuth2Middleware(App(), Settings.from_ini(ini))

    def lets_in(self, **headers: str) -> bool:
        return call(self.middleware, environ_for("/dav/", **headers)).status == 200


class People:
    """Jane and Joe, who are signed in, and a token of Jane's."""

    def __init__(self, ini: Path) -> None:
        settings = Settings.from_ini(ini)
        assert isinstance(settings.directory, Secret)
        directory, now = Directory(settings.directory), int(time.time())
        self.worker = Worker(ini)
        self.sessions: dict[str, str] = {}
        for subject, name in (("1", "jane"), ("2", "joe")):
            left = LastSignIn(settings.public_url, "default", JANE.issuer, subject, {}, now)
            user = directory.record_sign_in(
                provider(), JANE.issuer, subject, attributes(name), create=True, now=now, left=left
            )
            self.sessions[name] = self.sign_in(user.id, subject, name)
            if name == "jane":
                self.jane = user.id
        token = PersonalTokens(directory, app=settings.public_url).create(
            self.jane, name="phone", paths=("/dav/",), read_only=False, lifetime=3600
        )
        assert token is not None
        self.token = token

    def sign_in(self, user_id: str, subject: str, name: str) -> str:
        """The ``Cookie`` header of a new session."""
        return sign_in(
            self.worker.middleware, Identity(user_id, "default", JANE.issuer, subject, username=name)
        )

    def who_is_let_in(self, ini: Path) -> list[str]:
        """By a worker that has just started."""
        worker = Worker(ini)
        found = [name for name, cookie in self.sessions.items() if worker.lets_in(HTTP_COOKIE=cookie)]
        if worker.lets_in(HTTP_AUTHORIZATION=f"Bearer {self.token.text}"):
            found.append("token")
        return found


def documented() -> list[list[str]]:
    """The commands of the page on stores, in their order."""
    text = (ROOT / "docs/stores.rst").read_text(encoding="utf-8").partition(":name: restored-copy")[2]
    return [line.split() for line in re.findall(r"^   \$ oauth2-mw (.*)$", text, re.MULTILINE)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_what_had_ended_counts_again_until_it_is_ended_as_the_docs_say(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: Kept = request.getfixturevalue(kind)
    operator = Operator(tmp_path, capsys)
    operator.write_ini(secret_keys=text_key(), personal_tokens="/dav/", **kept.settings)
    people = People(operator.ini)
    everybody = ["jane", "joe", "token"]
    assert people.who_is_let_in(operator.ini) == everybody
    kept.copy()
    ends: list[tuple[Any, ...]] = [
        ("sessions", "revoke", operator.ini, "--user", "jane"),
        ("users", "disable", operator.ini, "joe"),
        ("tokens", "revoke", operator.ini, "--token", people.token.id),
    ]
    for words in ends:
        assert operator.run(*words).code == 0
    assert people.who_is_let_in(operator.ini) == []
    kept.restore()
    assert people.who_is_let_in(operator.ini) == (everybody if kept.has_users else ["jane"])
    commands = documented()
    assert [words[:2] for words in commands][::2] == [
        ["sessions", "revoke"],
        ["users", "disable"],
        ["tokens", "revoke"],
    ]
    for command in commands:
        answer = operator.run(*(operator.ini if word == "oauth2.ini" else word for word in command))
        assert answer.code == 0, answer.err
    assert people.who_is_let_in(operator.ini) == []
    # Whoever signs in now is in: what was ended is what had begun.
    wait_until(lambda: Worker(operator.ini).lets_in(HTTP_COOKIE=people.sign_in(people.jane, "1", "jane")))
