"""Rows of the directory that another program wrote: a refusal that names the column, never a 500, and nobody is in."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from oauth2_mw.credentials.personal_tokens import PersonalTokens
from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.last_sign_ins import LastSignIn
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings
from oauth2_mw.sql import schema
from tests.support.hosts.guarded import JANE, App
from tests.support.hosts.operator import Operator
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.settings.keys import text_key
from tests.support.settings.people import attributes, provider
from tests.support.stores.directory_file import empty_database

#: What decides who somebody is, or is listed.
READ = {
    "users": "id issuer subject username name email phone comment last_sign_in disabled_at",
    "groups": "name",
    "memberships": "organization",
    "personal_tokens": "id user_id digest name paths read_only created_at expires used_at",
    "last_sign_ins": "provider issuer subject seen_at",
}
#: As SQL. A column of numbers takes a text that is none, and no column turns these octets into something else.
TEXTS, NUMBERS = ("x'ff00'", "zeroblob(100000)"), ("x'ff00'", "'no'", "1e300", "-2", "9223372036854775807")


def poison() -> list[tuple[str, str, str]]:
    tables = schema.tables("sqlite")
    return [
        (table, column, value)
        for table, columns in READ.items()
        for column in columns.split()
        for value in (NUMBERS if getattr(tables, table).c[column].type.python_type is int else TEXTS)
    ]


class Site:
    """An application with one person in its directory, who has a token."""

    def __init__(self, operator: Operator, path: Path) -> None:
        self.operator = operator
        self.path = path
        url = empty_database(path)
        operator.write_ini(secret_keys=text_key(), personal_tokens="/dav/", directory=url)
        self.directory, self._now = Directory(Secret.literal(url)), int(time.time())
        jane = self.sign_in()
        token = PersonalTokens(self.directory, app="https://app.example").create(
            jane, name="phone", paths=("/dav/",), read_only=False, lifetime=3600
        )
        assert token is not None
        self._token = token.text

    def sign_in(self) -> str:
        """The id of the user who signs in."""
        left = LastSignIn("https://app.example", "default", JANE.issuer, "1", {}, self._now)
        wanted = attributes("jane", groups=("staff",))
        return self.directory.record_sign_in(
            provider(), JANE.issuer, "1", wanted, create=True, now=self._now, left=left
        ).id

    def write(self, table: str, column: str, value: str) -> None:
        with closing(sqlite3.connect(self.path)) as other, other:
            other.execute(f"UPDATE oauth2_mw_{table} SET {column} = {value}")  # noqa: S608

    def answer(self) -> int:
        """The status of what the token is answered by a worker that has just started."""
        middleware = OAuth2Middleware(App(), Settings.from_ini(self.operator.ini))
        return call(middleware, environ_for("/dav/", HTTP_AUTHORIZATION=f"Bearer {self._token}")).status


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(Operator(tmp_path, capsys), tmp_path / "users.db")


@pytest.mark.parametrize(("table", "column", "value"), poison(), ids="-".join)
def test_a_value_that_no_release_writes_is_a_refusal(site: Site, table: str, column: str, value: str) -> None:
    assert site.answer() == 200
    site.write(table, column, value)
    # The token of a row that is not found any more is none.
    assert site.answer() in (401, 503)
    try:
        site.sign_in()
    except StoreUnavailableError as refusal:
        assert "no release writes there" in refusal.detail
        assert f"oauth2_mw_{table}" in refusal.detail
    for words in (("users", "list"), ("tokens", "list")):
        result = site.operator.run(*words, site.operator.ini)
        assert (result.code, "no release writes there" in result.err) in ((0, False), (1, True))


def test_a_user_who_cannot_be_read_is_told_to_the_operator(site: Site) -> None:
    site.write("users", "last_sign_in", "'yesterday'")
    result = site.operator.run("users", "list", site.operator.ini)
    assert result.code == 1
    assert "last_sign_in of oauth2_mw_users holds a value of the type str" in result.err
    assert "find the row with typeof()" in result.err
    assert "yesterday" not in result.err
