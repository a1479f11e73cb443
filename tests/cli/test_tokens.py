"""``oauth2-mw tokens``: which there are, making one for a user, and ending some."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.cli.main import main
from oauth2_mw.credentials.personal_tokens import MAX_TOKENS, PersonalTokens
from oauth2_mw.credentials.token_text import TokenText
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.last_sign_ins import LastSignIn
from oauth2_mw.identity.model import User
from oauth2_mw.settings.grammar import Secret
from tests.support.clock import Clock
from tests.support.hosts.operator import Operator
from tests.support.settings.keys import text_key
from tests.support.settings.people import NOW, attributes, provider
from tests.support.stores.directory_file import empty_database

DAY = 86400


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    operator.write_ini(
        secret_keys=text_key(),
        directory="sqlite:///users.db",
        personal_tokens="/dav/ /feed",
        session="cookie",
    )
    return operator


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(Secret.literal(empty_database(tmp_path / "users.db")))


@pytest.fixture
def tokens(directory: Directory) -> PersonalTokens:
    return PersonalTokens(directory, app="https://app.example", clock=Clock(NOW))


@pytest.fixture
def jane(directory: Directory) -> User:
    return sign_in(directory, "1", "jane")


@pytest.fixture
def joe(directory: Directory) -> User:
    return sign_in(directory, "2", "joe")


def sign_in(
    directory: Directory,
    subject: str,
    username: str,
    *,
    seen_at: int | None = None,
    issuer: str = "https://id.example",
) -> User:
    """Write a sign-in down, and when the person was seen if that is said."""
    left = None
    if seen_at is not None:
        left = LastSignIn("https://app.example", "default", issuer, subject, {}, seen_at)
    return directory.record_sign_in(
        provider(), issuer, subject, attributes(username), create=True, now=NOW, left=left
    )


def make(tokens: PersonalTokens, owner: User, name: str = "phone", **changes: Any) -> TokenText:
    given: dict[str, Any] = {"paths": ("/dav/",), "read_only": False, "lifetime": DAY, **changes}
    made = tokens.create(owner.id, name=name, **given)
    assert made is not None
    return made


# Listing


def test_tokens_are_listed_without_their_secrets(
    operator: Operator, tokens: PersonalTokens, jane: User, joe: User
) -> None:
    first, second = make(tokens, jane), make(tokens, joe, "a\tb", read_only=True, paths=("/dav/", "/feed"))
    assert tokens.note_use(second.id)
    result = operator.run("tokens", "list", operator.ini)
    assert result.code == 0
    times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    assert sorted(result.rows, key=lambda row: row[2]) == [
        [first.id, jane.id, "jane", "phone", "/dav/", "", *times, "", ""],
        [second.id, joe.id, "joe", "a\\tb", "/dav/ /feed", "yes", *times, times[0], ""],
    ]
    assert "omwpat_" not in result.out
    assert [line[0] for line in operator.run("tokens", "list", operator.ini, "--user", "joe").rows] == [
        second.id
    ]


def test_tokens_are_listed_for_programs(operator: Operator, tokens: PersonalTokens, jane: User) -> None:
    made = make(tokens, jane)
    assert json.loads(operator.run("tokens", "list", operator.ini, "--json").out) == [
        {
            "id": made.id,
            "user_id": jane.id,
            "username": "jane",
            "name": "phone",
            "paths": ["/dav/"],
            "read_only": False,
            "created": NOW,
            "expires": NOW + DAY,
            "used": None,
            "sleeps": None,
        }
    ]


# Sleeping


@pytest.fixture
def sleepers(operator: Operator, directory: Directory) -> PersonalTokens:
    """Tokens of people who were seen 91, 80 and 1 days ago, of others who are out, and of a service."""
    tokens = PersonalTokens(directory, app="https://app.example")
    for username, ago in {"joe": 91, "jim": 80, "jane": 1, "out": 91, "late": 91}.items():
        user = sign_in(directory, username, username, seen_at=int(time.time()) - ago * DAY)
        make(tokens, user, lifetime=-1 if username == "late" else DAY)
        make(tokens, user)
        if username == "out":
            directory.set_disabled(user.id, disabled=True, now=NOW)
    stranger = sign_in(directory, "elsewhere", "ann", seen_at=int(time.time()), issuer="https://gone.example")
    make(tokens, stranger)
    make(tokens, sign_in(directory, "never", "bea"))
    service = directory.add_service("https://app.example", "backup", now=NOW)
    assert service is not None
    make(tokens, service)
    return tokens


@pytest.mark.usefixtures("sleepers")
@pytest.mark.requirement("R-token-life")
def test_the_list_says_which_tokens_sleep_or_will_soon(operator: Operator) -> None:
    rows = operator.run("tokens", "list", operator.ini).rows
    asleep = {row[2] for row in rows if row[9] == "asleep"}
    assert asleep == {"joe", "late", "ann", "bea"}
    assert [row[9] for row in rows if row[2] == "late"].count("asleep") == 1
    assert {row[2] for row in rows if row[9] == "soon"} == {"jim"}
    listed = json.loads(operator.run("tokens", "list", operator.ini, "--json", "--user", "jim").out)
    assert [token["sleeps"] for token in listed] == ["soon", "soon"]


@pytest.mark.usefixtures("sleepers")
@pytest.mark.requirement("R-token-life")
def test_check_counts_the_tokens_that_sleep_and_those_that_will_soon(operator: Operator) -> None:
    result = operator.run("check", operator.ini)
    assert result.code == 0
    assert (
        "warning: personal tokens that sleep, because their owners were not seen for 90d: 5; " in result.out
    )
    assert "warning: personal tokens that will sleep within 14d: 2; " in result.out


def test_check_says_nothing_of_tokens_while_all_are_awake(
    operator: Operator, tokens: PersonalTokens, directory: Directory
) -> None:
    make(tokens, sign_in(directory, "1", "jane", seen_at=int(time.time())), lifetime=2000 * DAY)
    assert "sleep" not in operator.run("check", operator.ini).out


def test_check_creates_no_database_and_changes_no_schema(operator: Operator, tmp_path: Path) -> None:
    assert "sleep" not in operator.run("check", operator.ini).out
    assert not (tmp_path / "users.db").exists()
    (tmp_path / "users.db").touch()
    before = operator.run("check", operator.ini)
    assert before.code == 0
    assert "personal tokens that sleep are counted once this release has served a request" in before.out
    with closing(sqlite3.connect(tmp_path / "users.db")) as file:
        assert file.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_check_says_when_the_tokens_cannot_be_counted(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "users.db").write_text("This is no database, and long enough to be none.")
    result = operator.run("check", operator.ini)
    assert result.code == 0
    assert "warning: personal tokens that sleep cannot be counted: " in result.out


# Making


def test_a_token_is_made_and_printed_alone(
    operator: Operator, tokens: PersonalTokens, jane: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    result = operator.run("tokens", "create", operator.ini, "--user", "jane", "--name", "backup")
    assert result.code == 0
    made = TokenText.parse(result.out.strip())
    assert made is not None
    found = tokens.look_up(made)
    assert found is not None
    token = found.token
    assert (token.user_id, token.name, token.paths, token.read_only) == (
        jane.id,
        "backup",
        ("/dav/", "/feed"),
        False,
    )
    assert token.expires_at - token.created_at == 90 * DAY
    assert f"token {made.id} of jane ({jane.id})" in result.err
    assert "omwpat_" not in result.err
    assert caplog.messages == [
        f'event=token_created user={jane.id} username=jane token={made.id} detail="by an operator: backup"'
    ]


def test_a_token_may_be_narrower(operator: Operator, tokens: PersonalTokens, jane: User) -> None:
    words = ["--path", "/feed", "--lifetime", "1h", "--read-only"]
    assert operator.run("tokens", "create", operator.ini, "--user", "jane", "--name", "x", *words).code == 0
    (token,) = tokens.of_user(jane.id)
    assert (token.paths, token.read_only, token.expires_at - token.created_at) == (("/feed",), True, 3600)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--user", "nobody", "--name", "x"], "there is no user nobody"),
        (["--user", "jane", "--name", " "], "the name has 1 to 100 characters"),
        (["--user", "jane", "--name", "x" * 101], "the name has 1 to 100 characters"),
        (["--user", "jane", "--name", "a\nb"], "the name has 1 to 100 characters"),
        (
            ["--user", "jane", "--name", "x", "--path", "/"],
            "/ is not in personal_tokens, which has /dav/ /feed",
        ),
    ],
)
def test_a_token_that_cannot_be_is_not_made(
    operator: Operator, tokens: PersonalTokens, jane: User, words: list[str], says: str
) -> None:
    result = operator.run("tokens", "create", operator.ini, *words)
    assert (result.code, result.out) == (1, "")
    assert says in result.err
    assert tokens.all() == []


@pytest.mark.parametrize("lifetime", ["367d", "-1", "soon"])
def test_nobody_asks_for_a_life_of_more_than_a_year(operator: Operator, jane: User, lifetime: str) -> None:
    with pytest.raises(SystemExit):
        main(
            ["tokens", "create", str(operator.ini), "--user", "jane", "--name", "x", f"--lifetime={lifetime}"]
        )


def test_a_disabled_user_and_one_who_has_enough_get_none(
    operator: Operator, tokens: PersonalTokens, directory: Directory, jane: User, joe: User
) -> None:
    directory.set_disabled(joe.id, disabled=True, now=NOW)
    assert "is disabled" in operator.run("tokens", "create", operator.ini, "--user", "joe", "--name", "x").err
    for _ in range(MAX_TOKENS):
        make(tokens, jane, lifetime=10_000 * DAY)
    result = operator.run("tokens", "create", operator.ini, "--user", "jane", "--name", "x")
    assert f"has {MAX_TOKENS} tokens already" in result.err


# Ending


def test_tokens_are_revoked_by_their_ids(
    operator: Operator, tokens: PersonalTokens, jane: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    first, second = make(tokens, jane), make(tokens, jane)
    result = operator.run("tokens", "revoke", operator.ini, "--token", first.id)
    assert result.code == 0
    assert result.out == (f"revoked {first.id} of jane: phone\nEvery worker notices within 5s.\n")
    assert [owned.token.id for owned in tokens.all()] == [second.id]
    assert caplog.messages == [
        f'event=token_revoked user={jane.id} username=jane token={first.id} detail="by an operator: phone"'
    ]
    result = operator.run("tokens", "revoke", operator.ini, "--token", first.id, second.id)
    assert result.code == 1
    assert f"there is no token {first.id}" in result.err
    assert tokens.all() == []


def test_the_tokens_of_a_user_are_revoked(
    operator: Operator, tokens: PersonalTokens, jane: User, joe: User
) -> None:
    make(tokens, jane)
    kept = make(tokens, joe)
    assert operator.run("tokens", "revoke", operator.ini, "--user", "jane").code == 0
    assert [owned.token.id for owned in tokens.all()] == [kept.id]
    assert "has no tokens" in operator.run("tokens", "revoke", operator.ini, "--user", "jane").out


@pytest.mark.requirement("R-token-life")
def test_disabling_a_user_ends_their_tokens_for_good(
    operator: Operator, tokens: PersonalTokens, jane: User, joe: User
) -> None:
    make(tokens, jane)
    make(tokens, jane)
    kept = make(tokens, joe)
    result = operator.run("users", "disable", operator.ini, "jane")
    assert "ended 2 personal tokens" in result.out
    operator.run("users", "enable", operator.ini, "jane")
    assert [owned.token.id for owned in tokens.all()] == [kept.id]


@pytest.mark.parametrize(
    "action", [["list"], ["create", "--user", "jane", "--name", "x"], ["revoke", "--user", "jane"]]
)
def test_without_the_setting_there_are_none(
    operator: Operator, directory: Directory, action: list[str]
) -> None:
    operator.write_ini(secret_keys=text_key(), directory="sqlite:///users.db")
    name, *words = action
    result = operator.run("tokens", name, operator.ini, *words)
    assert result.code == 1
    assert "write in personal_tokens where they serve" in result.err


# Users who are programs


def test_a_service_has_a_user_of_its_own(
    operator: Operator, directory: Directory, tokens: PersonalTokens
) -> None:
    result = operator.run("users", "add", operator.ini, "--service", "backup")
    assert result.code == 0
    user = directory.find("https://app.example", "service:backup")
    assert user is not None
    assert (user.username, user.groups, user.organizations) == ("backup", (), ())
    assert f"added backup ({user.id})" in result.out
    assert "--user backup --name NAME" in result.out
    made = operator.run("tokens", "create", operator.ini, "--user", "backup", "--name", "nightly")
    assert made.code == 0
    assert "sleeps" not in made.err
    assert [token.name for token in tokens.of_user(user.id)] == ["nightly"]


@pytest.mark.parametrize("name", ["", "Backup", "-x", "a b", "x" * 65, "\u043e", "service:x"])
def test_a_service_has_a_plain_name(operator: Operator, directory: Directory, name: str) -> None:
    result = operator.run("users", "add", operator.ini, f"--service={name}")
    assert result.code == 1
    assert "is not a name for a service" in result.err
    assert list(directory.users()) == []


def test_a_service_takes_no_name_that_somebody_has(
    operator: Operator, directory: Directory, jane: User
) -> None:
    assert "belongs" in operator.run("users", "add", operator.ini, "--service", "jane").err
    assert operator.run("users", "add", operator.ini, "--service", "ci").code == 0
    assert "already" in operator.run("users", "add", operator.ini, "--service", "ci").err
    assert [user.username for user in directory.users() if user.id != jane.id] == ["ci"]


def test_no_sign_in_leads_to_a_service(operator: Operator, directory: Directory) -> None:
    operator.run("users", "add", operator.ini, "--service", "ci")
    result = operator.run("users", "link", operator.ini, "ci", "https://id.example", "7")
    assert result.code == 1
    assert "is a program: no sign-in leads to it" in result.err
    assert directory.find("https://id.example", "7") is None
