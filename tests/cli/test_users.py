"""``oauth2-mw users``: who is in the directory, who may no longer, and which sign-ins are theirs."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.cli.listing import with_progress
from oauth2_mw.identity.directory import Directory, Link, User
from oauth2_mw.identity.users import PAGE, UserTable
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import guarded
from tests.support.hosts.operator import Operator
from tests.support.hosts.worker import Worker
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.people import NOW, attributes, provider
from tests.support.stores.directory_file import empty_database

ISSUER = "https://id.example"
CORP = "https://corp.example"
#: what ``moment`` makes of NOW
NOW_TEXT = "2026-01-01T00:00:00Z"


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    ini = operator.write_ini(secret_keys=text_key(), directory="sqlite:///users.db")
    with ini.open("a") as file:
        file.write(
            f"[provider:corp]\nissuer = {CORP}\nclient_id = a\nclient_secret = b\nalways_update = no\n"
        )
    return operator


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(Secret.literal(empty_database(tmp_path / "users.db")))


def sign_in(
    directory: Directory, subject: str = "1", username: str = "jane", *, issuer: str = ISSUER, **others: Any
) -> User:
    found = attributes(username, **others)
    return directory.record_sign_in(provider(), issuer, subject, found, create=True, now=NOW)


@pytest.fixture
def clock() -> ShiftedClocks:
    return ShiftedClocks()


@pytest.fixture
def jane(directory: Directory) -> User:
    return sign_in(directory, name="Jane Doe", email="jane@x.example", groups=("staff", "dev"))


# list


def test_list_prints_a_table_of_all_users(operator: Operator, directory: Directory, jane: User) -> None:
    joan = sign_in(directory, "2", "joan")
    directory.set_disabled(joan.id, disabled=True, now=NOW)
    answer = operator.run("users", "list", operator.ini)
    assert answer.code == 0
    assert sorted(answer.rows) == sorted(
        [
            [jane.id, "jane", "Jane Doe", "jane@x.example", "dev,staff", "DEFAULT", ""],
            [joan.id, "joan", "", "", "", "DEFAULT", NOW_TEXT],
        ]
    )


def test_list_prints_json_for_programs(operator: Operator, directory: Directory, jane: User) -> None:
    sign_in(directory, "2", "joan")
    listed = json.loads(operator.run("users", "list", operator.ini, "--json").out)
    assert len(listed) == 2
    assert next(user for user in listed if user["username"] == "jane") == {
        "id": jane.id,
        "issuer": ISSUER,
        "subject": "1",
        "username": "jane",
        "name": "Jane Doe",
        "email": "jane@x.example",
        "phone": None,
        "comment": None,
        "groups": ["dev", "staff"],
        "organizations": ["DEFAULT"],
        "disabled_since": None,
        "waiting": False,
    }


def test_list_without_users_prints_an_empty_table(operator: Operator, directory: Directory) -> None:
    assert directory.find(ISSUER, "1") is None
    assert operator.run("users", "list", operator.ini).rows == []
    assert json.loads(operator.run("users", "list", operator.ini, "--json").out) == []


HOSTILE = "a\tb\nc\x1b]0;x\x07\x9b31m\u202e\\x"


@pytest.fixture
def crowd(directory: Directory) -> list[User]:
    """Twelve users, in the order of their ids."""
    for number in range(12):
        directory.record_sign_in(
            provider(
                issuer=CORP if number % 2 else ISSUER,
                organization=("ACME",) if number % 3 == 0 else ("DEFAULT",),
            ),
            CORP if number % 2 else ISSUER,
            str(number),
            attributes(f"user-{number}", groups=("staff",) if number % 4 == 0 else ()),
            create=True,
            now=int(time.time()) - number * 86400,
        )
    directory.link(next(iter(directory.users())).id, CORP, "linked", now=NOW)
    return list(directory.users())


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--organization", "ACME"], {0, 3, 6, 9}),
        (["--group", "staff"], {0, 4, 8}),
        (["--group", "staff", "--organization", "ACME"], {0}),
        (["--group", "staff", "--organization", "DEFAULT"], {4, 8}),
        (["--group", "staff", "--provider", "default", "--since", "5d"], {0, 4}),
        (["--since", "36h"], {0, 1}),
        (["--since", "2999-01-01"], set()),
        (["--since", "1999-01-01T00:00:00Z", "--group", "staff"], {0, 4, 8}),
        (["--group", "nobody"], set()),
    ],
)
def test_a_list_is_narrowed_down(
    operator: Operator, crowd: list[User], words: list[str], numbers: set[int]
) -> None:
    answer = operator.run("users", "list", operator.ini, *words)
    assert answer.code == 0
    assert {row[1] for row in answer.rows} == {f"user-{number}" for number in numbers}


def test_a_provider_s_users_are_also_those_who_are_linked(operator: Operator, crowd: list[User]) -> None:
    listed = operator.run("users", "list", operator.ini, "--provider", "corp").rows
    assert [row[0] for row in listed] == [
        user.id for number, user in enumerate(crowd) if user.issuer == CORP or number == 0
    ]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_long_list_is_read_in_parts(operator: Operator, crowd: list[User], words: list[str]) -> None:
    seen: list[str] = []
    after: list[str] = []
    while True:
        answer = operator.run("users", "list", operator.ini, "--limit", 5, *words, *after)
        part = [each["id"] for each in json.loads(answer.out)] if words else [row[0] for row in answer.rows]
        seen += part
        if not answer.err:
            break
        assert answer.err == f"There are more: --after={part[-1]}\n"
        after = [f"--after={part[-1]}"]
    assert seen == [user.id for user in crowd]


@pytest.mark.parametrize(
    "words", [["--limit", "0"], ["--limit", "-1"], ["--limit", "x"], ["--since", "yesterday"]]
)
def test_a_part_that_means_nothing_is_a_wrong_command_line(operator: Operator, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        operator.run("users", "list", operator.ini, *words)
    assert caught.value.code == 2


def test_a_provider_that_is_not_there_is_told(operator: Operator, jane: User) -> None:
    answer = operator.run("users", "list", operator.ini, "--provider", "crop")
    assert (answer.code, answer.out) == (1, "")
    assert "did you mean corp?" in answer.err


def test_the_first_part_of_a_list_reads_no_more_than_a_page(
    operator: Operator, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with directory.database.writing() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
            "INSERT INTO oauth2_mw_users (id, user_key, issuer, subject, username, created_at, updated_at, "
            "last_sign_in) SELECT 'i' || i, 'k' || i, 'x', 's' || i, 'u' || i, 0, 0, 1 FROM n"
        )
    pages: list[int] = []

    def page(*words: Any, **others: Any) -> list[User]:
        found = read(*words, **others)
        pages.append(len(found))
        return found

    read = UserTable.page
    monkeypatch.setattr(UserTable, "page", page)
    assert len(operator.run("users", "list", operator.ini, "--limit", 9).rows) == 9
    assert pages == [PAGE]


def test_a_terminal_is_told_how_far_a_list_in_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told, shown = io.StringIO(), io.StringIO()
    monkeypatch.setattr(told, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", told)
    monkeypatch.setattr("sys.stdout", shown)
    assert len(list(with_progress(range(2500), "users"))) == 2500
    assert told.getvalue() == "\r1000 users\r2000 users\r2500 users\n"
    monkeypatch.setattr(shown, "isatty", lambda: True)
    assert len(list(with_progress(range(2500), "users"))) == 2500
    assert told.getvalue().count("users") == 3


@pytest.mark.parametrize(
    "words", [("list",), ("list", "--json"), ("show", "jane"), ("show", "jane", "--json")]
)
def test_no_name_steers_the_terminal(
    operator: Operator, directory: Directory, words: tuple[str, ...]
) -> None:
    sign_in(
        directory, HOSTILE, name=HOSTILE, email=HOSTILE, phone=HOSTILE, comment=HOSTILE, groups=(HOSTILE,)
    )
    out = operator.run("users", words[0], operator.ini, *words[1:]).out
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)
    if "--json" not in words:
        assert r"a\tb\nc\x1b]0;x\x07\x9b31m\u202e\\x" in out


def test_a_tab_in_a_name_moves_no_column(operator: Operator, directory: Directory) -> None:
    user = sign_in(directory, name="a\tb\nc")
    assert operator.run("users", "list", operator.ini).rows == [
        [user.id, "jane", r"a\tb\nc", "", "", "DEFAULT", ""]
    ]


# show


def test_show_tells_everything_about_a_user(operator: Operator, directory: Directory, jane: User) -> None:
    directory.link(jane.id, CORP, "77", now=NOW)
    directory.set_disabled(jane.id, disabled=True, now=NOW)
    assert operator.run("users", "show", operator.ini, "jane").out.splitlines() == [
        f"id:             {jane.id}",
        "username:       jane",
        "name:           Jane Doe",
        "email:          jane@x.example",
        "group:          dev",
        "group:          staff",
        "organization:   DEFAULT",
        f"identity:       {ISSUER} 1",
        f"identity:       {CORP} 77 (linked {NOW_TEXT})",
        f"disabled since: {NOW_TEXT}",
    ]


def test_show_prints_json_for_programs(operator: Operator, directory: Directory, jane: User) -> None:
    directory.link(jane.id, CORP, "77", now=NOW)
    directory.set_disabled(jane.id, disabled=True, now=NOW)
    shown = json.loads(operator.run("users", "show", operator.ini, "--json", "jane").out)
    assert shown["links"] == [{"issuer": CORP, "subject": "77", "linked_at": NOW}]
    assert (shown["id"], shown["disabled_since"]) == (jane.id, NOW)


@pytest.mark.parametrize(
    "words", [["{id}"], ["JANE"], [ISSUER, "1"], ["default", "1"], [CORP, "77"], ["corp", "77"]]
)
def test_a_user_has_many_names(
    operator: Operator, directory: Directory, jane: User, words: list[str]
) -> None:
    directory.link(jane.id, CORP, "77", now=NOW)
    answer = operator.run("users", "show", operator.ini, *(word.format(id=jane.id) for word in words))
    assert (answer.code, answer.out.splitlines()[0]) == (0, f"id:             {jane.id}")


def test_an_earlier_name_finds_the_user_and_says_so(
    operator: Operator, directory: Directory, jane: User
) -> None:
    sign_in(directory, username="janet")
    answer = operator.run("users", "show", operator.ini, "jane")
    assert answer.out.startswith(f"id:             {jane.id}")
    assert answer.err == "note: jane is an earlier name of janet\n"


@pytest.mark.usefixtures("jane")
def test_a_name_that_only_looks_like_a_users_says_so(operator: Operator, directory: Directory) -> None:
    ceo = sign_in(directory, "2", username="\u0441\u0435\u043e")
    answer = operator.run("users", "show", operator.ini, "ceo")
    assert answer.out.startswith(f"id:             {ceo.id}")
    assert answer.err == "note: ceo looks like the name of \u0441\u0435\u043e\n"


@pytest.mark.usefixtures("jane")
@pytest.mark.parametrize("words", [["joan"], [ISSUER, "2"], ["https://elsewhere.example", "1"], ["j\udcffx"]])
@pytest.mark.parametrize("action", ["show", "disable", "enable"])
def test_show_tells_that_a_user_is_unknown(operator: Operator, action: str, words: list[str]) -> None:
    answer = operator.run("users", action, operator.ini, *words)
    assert (answer.code, answer.out) == (1, "")
    assert "there is no user" in answer.err


def test_a_word_that_could_mean_two_is_told_with_both(
    operator: Operator, directory: Directory, jane: User
) -> None:
    sign_in(directory, "2", jane.id)
    answer = operator.run("users", "disable", operator.ini, jane.id)
    assert answer.code == 1
    assert f"jane ({jane.id}), {ISSUER} 1 and {jane.id} (" in answer.err
    assert directory.disabled_users().read() == frozenset()
    assert operator.run("users", "disable", operator.ini, ISSUER, "1").code == 0


@pytest.mark.usefixtures("jane")
def test_more_words_than_a_user_has_are_a_wrong_command_line(operator: Operator) -> None:
    with pytest.raises(SystemExit) as ended:
        operator.run("users", "show", operator.ini, ISSUER, "1", "2")
    assert ended.value.code == 2


# Where there is no directory


def test_without_a_directory_the_setting_is_named(operator: Operator) -> None:
    operator.write_ini(secret_keys=text_key())
    answer = operator.run("users", "list", operator.ini)
    assert answer.code == 1
    assert "no directory is configured" in answer.err


def test_a_command_makes_no_database(operator: Operator) -> None:
    answer = operator.run("users", "list", operator.ini)
    assert answer.code == 1
    assert "users.db: does not exist yet; the first sign-in creates it" in answer.err
    assert not (operator.folder / "users.db").exists()


@pytest.mark.parametrize("option", ["--group", "--organization", "--after"])
def test_what_is_no_text_is_not_looked_for(operator: Operator, option: str) -> None:
    with pytest.raises(SystemExit) as ended:
        operator.run("users", "list", operator.ini, option, "\udcff")
    assert ended.value.code == 2


def test_a_database_that_cannot_be_used_is_told(operator: Operator) -> None:
    (operator.folder / "users.db").write_bytes(b"precious" * 1000)
    answer = operator.run("users", "list", operator.ini)
    assert answer.code == 1
    assert "not a database" in answer.err


# disable, enable


def test_disable_says_from_when_the_user_is_out(operator: Operator, directory: Directory, jane: User) -> None:
    answer = operator.run("users", "disable", operator.ini, "jane")
    assert answer.out.startswith(f"disabled jane ({jane.id})\n")
    assert "Sessions end within 5s" in answer.out
    assert directory.disabled_users().read() == {jane.id}


def test_disabling_again_changes_nothing(operator: Operator, directory: Directory, jane: User) -> None:
    directory.set_disabled(jane.id, disabled=True, now=NOW)
    answer = operator.run("users", "disable", operator.ini, "jane")
    assert (answer.code, answer.out) == (0, f"jane ({jane.id}) is disabled already, since {NOW_TEXT}\n")
    assert directory.get(jane.id) == directory.find(ISSUER, "1")


def test_enable_lets_in_again(operator: Operator, directory: Directory, jane: User) -> None:
    assert operator.run("users", "enable", operator.ini, "jane").out == f"jane ({jane.id}) is not disabled\n"
    directory.set_disabled(jane.id, disabled=True, now=NOW)
    assert operator.run("users", "enable", operator.ini, "jane").out.startswith(f"enabled jane ({jane.id})\n")
    assert directory.disabled_users().read() == frozenset()


def cookie_of(worker: Worker, user: User, **origin: Any) -> str:
    """Sign a user in at a worker."""
    return worker.sign_in(user.id, user.username, user.subject, **origin)


@pytest.mark.requirement("3k.8")
@pytest.mark.parametrize("store", [{}, {"session": "sqlite:///sessions.db"}])
def test_a_disabled_user_is_out_of_running_workers_within_revocation_sync(
    operator: Operator, clock: ShiftedClocks, jane: User, store: dict[str, str]
) -> None:
    operator.write_ini(secret_keys=text_key(), directory="sqlite:///users.db", **store)
    workers = [Worker(operator.ini, clock), Worker(operator.ini, clock)]
    cookie = cookie_of(workers[0], jane)
    assert [worker.lets_in(cookie) for worker in workers] == [True, True]
    answer = operator.run("users", "disable", operator.ini, "jane")
    assert (answer.code, answer.out.splitlines()[1]) == (0, "ended 1 session")
    clock.ahead += 5
    assert [worker.lets_in(cookie) for worker in workers] == [False, False]


@pytest.mark.parametrize("store", [{}, {"session": "sqlite:///sessions.db"}])
def test_an_enabled_user_signs_in_again_and_no_earlier_session_comes_back(
    operator: Operator, clock: ShiftedClocks, jane: User, store: dict[str, str]
) -> None:
    operator.write_ini(secret_keys=text_key(), directory="sqlite:///users.db", **store)
    workers = [Worker(operator.ini, clock), Worker(operator.ini, clock)]
    # No browser brings these while the user is disabled; one is dated by a clock that is ahead.
    cookies = [cookie_of(workers[0], jane), cookie_of(workers[0], jane, issued_at=int(time.time()) + 60)]
    operator.run("users", "disable", operator.ini, "jane")
    operator.run("users", "enable", operator.ini, "jane")
    clock.ahead += 5
    assert not any(worker.lets_in(cookie) for worker in workers for cookie in cookies)
    again = cookie_of(workers[0], jane, issued_at=int(time.time()) + 1)
    assert [worker.lets_in(again) for worker in workers] == [True, True]


def test_disabling_again_ends_what_could_not_be_ended_before(
    operator: Operator, clock: ShiftedClocks, directory: Directory, jane: User
) -> None:
    url = f"sqlite:///{operator.folder / 'sessions.db'}"
    operator.write_ini(secret_keys=text_key(), directory="sqlite:///users.db", session=url)
    cookie = cookie_of(Worker(operator.ini, clock), jane)
    store = Database(Secret.literal(url))
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE oauth2_mw_session_indexes RENAME TO elsewhere")
    answer = operator.run("users", "disable", operator.ini, "jane")
    assert (answer.code, answer.out) == (1, f"disabled jane ({jane.id})\n")
    assert f"the sessions of jane ({jane.id}) could not be ended" in answer.err
    assert f"oauth2-mw sessions revoke {operator.ini} --user={jane.id}" in answer.err
    assert directory.disabled_users().read() == {jane.id}
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO oauth2_mw_session_indexes")
    again = operator.run("users", "disable", operator.ini, "jane")
    assert (again.code, again.out.splitlines()[1]) == (0, "ended 1 session")
    operator.run("users", "enable", operator.ini, "jane")
    assert not Worker(operator.ini, clock).lets_in(cookie)


def test_disabling_makes_no_session_store(operator: Operator, jane: User) -> None:
    operator.write_ini(
        secret_keys=text_key(), directory="sqlite:///users.db", session="sqlite:///sessions.db"
    )
    answer = operator.run("users", "disable", operator.ini, "jane")
    assert (answer.code, answer.out.splitlines()[0]) == (0, f"disabled jane ({jane.id})")
    assert not (operator.folder / "sessions.db").exists()


def test_the_sessions_of_a_disabled_user_are_in_the_audit_log(
    operator: Operator, clock: ShiftedClocks, jane: User, caplog: pytest.LogCaptureFixture
) -> None:
    cookie_of(Worker(operator.ini, clock), jane)
    caplog.clear()
    operator.run("users", "disable", operator.ini, "jane")
    assert [record.getMessage() for record in caplog.records] == [
        f"event=user_disabled user={jane.id} username=jane",
        f"event=sessions_revoked user={jane.id} username=jane count=1",
    ]


# link


def test_link_lets_a_pair_sign_a_user_in(operator: Operator, directory: Directory, jane: User) -> None:
    answer = operator.run("users", "link", operator.ini, "jane", CORP, "77")
    assert (answer.code, answer.out) == (0, f"linked {CORP} 77: it signs in jane ({jane.id}) from now on\n")
    [link] = directory.links(jane.id)
    assert (link.issuer, link.subject) == (CORP, "77")
    assert sign_in(directory, "77", "whoever", issuer=CORP).id == jane.id


def test_link_warns_where_the_sign_in_would_overwrite_the_user(
    operator: Operator, directory: Directory, jane: User
) -> None:
    answer = operator.run("users", "link", operator.ini, ISSUER, "1", "default", "77")
    assert answer.code == 0
    assert "Provider default has always_update on" in answer.out
    assert [link.issuer for link in directory.links(jane.id)] == [ISSUER]


def test_linking_again_says_so(operator: Operator, directory: Directory, jane: User) -> None:
    directory.link(jane.id, CORP, "77", now=NOW)
    for pair in ((CORP, "77"), (ISSUER, "1")):
        answer = operator.run("users", "link", operator.ini, "jane", *pair)
        assert (answer.code, answer.out) == (0, f"{pair[0]} {pair[1]} signs in jane ({jane.id}) already\n")
    assert directory.links(jane.id) == [Link(CORP, "77", NOW)]


def test_a_pair_that_is_a_user_is_refused_with_what_can_be_done(
    operator: Operator, directory: Directory, jane: User
) -> None:
    joan = sign_in(directory, "77", "joan", issuer=CORP)
    answer = operator.run("users", "link", operator.ini, "jane", "corp", "77")
    assert (answer.code, answer.out) == (1, "")
    assert f"{CORP} 77 is a user of its own: joan ({joan.id})" in answer.err
    assert "oauth2-mw users disable" in answer.err
    assert "a name once given is never given to another" in answer.err
    assert directory.links(jane.id) == []


def test_a_pair_that_is_linked_to_another_is_refused(
    operator: Operator, directory: Directory, jane: User
) -> None:
    joan = sign_in(directory, "2", "joan")
    directory.link(joan.id, CORP, "77", now=NOW)
    answer = operator.run("users", "link", operator.ini, "jane", CORP, "77")
    assert answer.code == 1
    assert f"is linked to joan ({joan.id}), and signs in one user only" in answer.err


def test_an_issuer_that_no_provider_has_is_refused(
    operator: Operator, directory: Directory, jane: User
) -> None:
    answer = operator.run("users", "link", operator.ini, "jane", f"{CORP}/", "77")
    assert answer.code == 1
    assert f"corp ({CORP})" in answer.err
    assert directory.links(jane.id) == []


@pytest.mark.usefixtures("jane")
@pytest.mark.parametrize("subject", ["", "x" * 256, "j\udcff"])
def test_a_subject_that_nobody_has_is_refused(operator: Operator, subject: str) -> None:
    answer = operator.run("users", "link", operator.ini, "jane", CORP, subject)
    assert answer.code == 1
    assert "the subject is empty, longer than 255 characters" in answer.err


@pytest.mark.usefixtures("jane")
@pytest.mark.parametrize("words", [("jane", CORP), ("jane",), ("a", "b", "c", "d", "e")])
def test_a_link_without_all_its_words_is_a_wrong_command_line(
    operator: Operator, words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        operator.run("users", "link", operator.ini, *words)
    assert ended.value.code == 2


# unlink


@pytest.mark.parametrize("issuer", [CORP, "corp"])
def test_unlink_undoes_a_link(operator: Operator, directory: Directory, jane: User, issuer: str) -> None:
    directory.link(jane.id, CORP, "77", now=NOW)
    answer = operator.run("users", "unlink", operator.ini, issuer, "77")
    assert answer.code == 0
    assert answer.out.startswith(f"unlinked {CORP} 77: it signs in jane ({jane.id}) no more\n")
    assert f"oauth2-mw sessions revoke {operator.ini} --user={jane.id}" in answer.out
    assert directory.links(jane.id) == []
    assert sign_in(directory, "77", "janet", issuer=CORP).id != jane.id


def test_a_link_to_an_issuer_that_no_provider_has_any_more_can_be_undone(
    operator: Operator, directory: Directory, jane: User
) -> None:
    directory.link(jane.id, "https://gone.example", "77", now=NOW)
    assert operator.run("users", "unlink", operator.ini, "https://gone.example", "77").code == 0
    assert directory.links(jane.id) == []


def test_a_link_to_a_user_who_is_gone_can_be_undone(
    operator: Operator, directory: Directory, jane: User
) -> None:
    directory.link(jane.id, CORP, "77", now=NOW)
    with directory.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM oauth2_mw_users")
    answer = operator.run("users", "unlink", operator.ini, CORP, "77")
    assert (answer.code, answer.out) == (0, f"unlinked {CORP} 77: it signs in {jane.id} no more\n")


@pytest.mark.usefixtures("jane")
def test_unlink_tells_that_a_sign_in_is_not_linked(operator: Operator) -> None:
    answer = operator.run("users", "unlink", operator.ini, CORP, "77")
    assert (answer.code, answer.out) == (1, "")
    assert f"{CORP} 77 is not linked to anybody" in answer.err


def test_a_user_s_own_pair_stays(operator: Operator, directory: Directory, jane: User) -> None:
    answer = operator.run("users", "unlink", operator.ini, ISSUER, "1")
    assert (answer.code, answer.out) == (1, "")
    assert f"is the user jane ({jane.id}) itself" in answer.err
    assert directory.find(ISSUER, "1") == directory.get(jane.id)


@pytest.mark.usefixtures("jane")
def test_a_subject_that_nobody_has_is_not_unlinked(operator: Operator) -> None:
    answer = operator.run("users", "unlink", operator.ini, CORP, "j\udcff")
    assert answer.code == 1
    assert "the subject is empty, longer than 255 characters" in answer.err


# Linked sign-ins


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn(client_id="app", client_secret="s3cret") as standin:
        yield standin


def test_a_linked_sign_in_is_a_session_of_that_provider_and_of_that_user(
    operator: Operator, directory: Directory, jane: User, standin: StandIn
) -> None:
    # Two sections: the pair that is linked comes from another provider than the user's own.
    settings = {
        "secret_keys": text_key(),
        "directory": f"sqlite:///{operator.folder / 'users.db'}",
        "issuer": standin.issuer,
        "always_update": "false",
    }
    operator.write_ini(**settings, public_url="http://localhost")
    assert operator.run("users", "link", operator.ini, "jane", "default", "user-1").code == 0
    with guarded(client_secret="s3cret", **settings) as site:
        browser = site.browser()
        for path in ("/", "/again"):
            assert browser.navigate(site.url + path).status == 200
            identity = site.app.seen[-1]["Identity"]
            assert (identity.id, identity.username, identity.groups) == (jane.id, "jane", ("dev", "staff"))
            assert (identity.provider, identity.issuer, identity.subject) == (
                "default",
                standin.issuer,
                "user-1",
            )
        assert len(list(directory.users())) == 1
        assert len(standin.asked("/token")) == 1
