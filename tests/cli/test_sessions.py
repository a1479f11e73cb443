"""``oauth2-mw sessions``: who is signed in where, and ending that."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.identity.directory import Directory
from oauth2_mw.identity.model import user_key
from oauth2_mw.session.registry import SessionRegistry
from oauth2_mw.settings.grammar import Secret
from tests.support.clock import ShiftedClocks
from tests.support.hosts.operator import Operator
from tests.support.hosts.worker import ISSUER, Worker
from tests.support.settings.keys import text_key
from tests.support.settings.people import attributes, provider
from tests.support.stores.database import Rows, statements
from tests.support.stores.directory_file import empty_database

HOSTILE = "a\tb\nc\x1b]0;x\x07\x9b31m\u202e\\x"
KINDS = {
    "cookie": {"directory": "sqlite:///users.db"},
    "store": {"session": "sqlite:///sessions.db"},
    "both": {"directory": "sqlite:///users.db", "session": "sqlite:///sessions.db"},
    "one database": {"directory": "sqlite:///users.db", "session": "sqlite:///users.db"},
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


@pytest.fixture
def clock() -> ShiftedClocks:
    return ShiftedClocks()


class Site:
    """An application with a server of its own: an INI file, users, workers."""

    def __init__(self, operator: Operator, clock: ShiftedClocks, **settings: str) -> None:
        operator.write_ini(secret_keys=text_key(), **settings)
        for url in {settings[key] for key in ("directory", "session") if key in settings}:
            if not (file := operator.folder / url.removeprefix("sqlite:///")).exists():
                empty_database(file)
        self._clock = clock
        self.operator = operator
        self.directory = (
            Directory(Secret.literal(f"sqlite:///{operator.folder / 'users.db'}"))
            if "directory" in settings
            else None
        )
        self.worker = self.start()

    def start(self) -> Worker:
        """One more worker."""
        return Worker(self.operator.ini, self._clock)

    def user(self, username: str, subject: str = "1") -> str:
        """The id of a user who has just signed in."""
        if self.directory is None:
            return user_key(ISSUER, subject)
        found = attributes(username)
        now = int(time.time())
        return self.directory.record_sign_in(provider(), ISSUER, subject, found, create=True, now=now).id

    def sign_in(self, username: str = "jane", subject: str = "1", **origin: object) -> str:
        """The cookie of a new session."""
        return self.worker.sign_in(self.user(username, subject), username, subject, **origin)

    def ids(self) -> list[str]:
        """The sessions that there are, as the list has them."""
        return [row[0] for row in self.operator.run("sessions", "list", self.operator.ini).rows]


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(operator: Operator, clock: ShiftedClocks) -> MakeSite:
    return lambda kind, **settings: Site(operator, clock, **KINDS[kind], **settings)


# list


def test_list_prints_a_table_of_all_sessions(operator: Operator, make_site: MakeSite, kind: str) -> None:
    site = make_site(kind)
    site.sign_in(device="Firefox on Linux", remote_addr="192.0.2.7")
    site.sign_in("joan", "2")
    answer = operator.run("sessions", "list", operator.ini)
    assert answer.code == 0
    assert sorted(row[1:6] for row in answer.rows) == sorted(
        [
            [site.user("jane"), "jane", "default", "Firefox on Linux", "192.0.2.7"],
            [site.user("joan", "2"), "joan", "default", "", ""],
        ]
    )
    for row in answer.rows:
        assert len(row[0]) == 22
        assert row[6] == row[7] < row[8]


def test_list_prints_json_for_programs(operator: Operator, make_site: MakeSite, kind: str) -> None:
    site = make_site(kind)
    site.sign_in(device="Firefox on Linux", remote_addr="192.0.2.7")
    [listed] = json.loads(operator.run("sessions", "list", operator.ini, "--json").out)
    assert listed == {
        "id": site.ids()[0],
        "user_id": site.user("jane"),
        "username": "jane",
        "provider": "default",
        "device": "Firefox on Linux",
        "address": "192.0.2.7",
        "created": listed["seen"],
        "seen": listed["seen"],
        "expires": listed["seen"] + 8 * 3600,
    }
    assert listed["seen"] == pytest.approx(time.time(), abs=120)


def test_list_without_sessions_prints_an_empty_table(
    operator: Operator, make_site: MakeSite, kind: str
) -> None:
    site = make_site(kind)
    site.sign_in()
    operator.run("sessions", "revoke", operator.ini, "--all")
    assert operator.run("sessions", "list", operator.ini).rows == []
    assert json.loads(operator.run("sessions", "list", operator.ini, "--json").out) == []


@pytest.mark.parametrize("words", [["{id}"], ["jane"], ["default", "1"], [ISSUER, "1"]])
def test_list_of_one_user(operator: Operator, make_site: MakeSite, kind: str, words: list[str]) -> None:
    site = make_site(kind)
    for _ in range(2):
        site.sign_in()
    site.sign_in("joan", "2")
    user_id = site.user("jane")
    words = [word.format(id=user_id) for word in words]
    for how in ([], ["--json"]):
        answer = operator.run("sessions", "list", operator.ini, *how, "--user", *words)
        assert answer.code == 0
        if not how:
            assert [row[1] for row in answer.rows] == [user_id, user_id]
    assert {entry["user_id"] for entry in json.loads(answer.out)} == {user_id}


def test_a_long_list_is_read_in_parts(operator: Operator, make_site: MakeSite, kind: str) -> None:
    site = make_site(kind)
    for number in range(5):
        site.sign_in(f"user-{number}", str(number))
    ids = sorted(site.ids())
    first = operator.run("sessions", "list", operator.ini, "--limit", 2)
    assert [row[0] for row in first.rows] == ids[:2]
    assert first.err == f"There are more: --after={ids[1]}\n"
    rest = operator.run("sessions", "list", operator.ini, f"--after={ids[1]}")
    assert ([row[0] for row in rest.rows], rest.err) == (ids[2:], "")


def test_a_list_is_narrowed_down(operator: Operator, make_site: MakeSite, kind: str) -> None:
    site = make_site(kind)
    site.sign_in("jane", "1")
    site.sign_in("joan", "2")

    def names(*words: str) -> set[str]:
        answer = operator.run("sessions", "list", operator.ini, *words)
        assert answer.code == 0, answer.err
        return {row[2] for row in answer.rows}

    assert names("--provider", "default", "--since", "1h") == {"jane", "joan"}
    assert names("--since", "2999-01-01") == set()
    assert names("--user", "jane", "--limit", "3") == {"jane"}
    refused = operator.run("sessions", "list", operator.ini, "--provider", "corp")
    assert (refused.code, "there is no enabled provider" in refused.err) == (1, True)
    if site.directory is None:
        refused = operator.run("sessions", "list", operator.ini, "--group", "staff")
        assert (refused.code, "are in a directory" in refused.err) == (1, True)
        return
    operator.run("users", "groups", "add", operator.ini, "jane", "staff")
    assert names("--group", "staff") == {"jane"}
    assert names("--organization", "DEFAULT") == {"jane", "joan"}
    assert names("--organization", "ACME", "--group", "staff") == set()


def test_sessions_of_another_application_in_the_same_store_are_not_listed(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str
) -> None:
    site = make_site(kind)
    cookie = site.sign_in()
    Site(operator, clock, **KINDS[kind], public_url="https://other.example")
    assert site.ids() == []
    clock.ahead += 5
    assert site.worker.lets_in(cookie)


def test_no_name_steers_the_terminal(operator: Operator, make_site: MakeSite, kind: str) -> None:
    site = make_site(kind)
    site.worker.sign_in(site.user("jane"), HOSTILE, device=HOSTILE, remote_addr=HOSTILE)
    shown = r"a\tb\nc\x1b]0;x\x07\x9b31m\u202e\\x"
    [row] = operator.run("sessions", "list", operator.ini).rows
    assert row[2] == row[4] == row[5] == shown
    said = [
        operator.run("sessions", "list", operator.ini, "--json"),
        operator.run("sessions", "revoke", operator.ini, "--session", HOSTILE),
        operator.run("sessions", "list", operator.ini, "--user", HOSTILE + "x"),
        operator.run("sessions", "revoke", operator.ini, "--session", row[0]),
    ]
    assert shown in said[3].out
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set("".join(answer.out + answer.err for answer in said))


def test_list_prints_no_secret(operator: Operator, make_site: MakeSite, kind: str) -> None:
    site = make_site(kind)
    cookie = site.sign_in(sid="canary-sid")
    for how in ([], ["--json"]):
        out = operator.run("sessions", "list", operator.ini, *how).out
        assert "canary" not in out
        assert cookie.partition("=")[2][:20] not in out


def test_a_key_that_has_not_been_retired_still_tells_whose_a_session_is(
    operator: Operator, clock: ShiftedClocks
) -> None:
    now = time.time()
    operator.write_keys(("old", now - 5000))
    operator.write_ini(**KINDS["store"])
    Worker(operator.ini, clock).sign_in("u1", "jane")
    operator.write_keys(("old", now - 5000), ("new", now - 100))
    assert [row[2] for row in operator.run("sessions", "list", operator.ini, "--user", "u1").rows] == ["jane"]


def test_a_hostile_name_can_be_typed_as_the_list_shows_it(operator: Operator, make_site: MakeSite) -> None:
    site = make_site("store")
    site.sign_in(HOSTILE)
    [row] = operator.run("sessions", "list", operator.ini).rows
    answer = operator.run("sessions", "revoke", operator.ini, "--user", row[2])
    assert answer.out.startswith(f"ended 1 session of {row[2]} (")


# revoke


@pytest.mark.parametrize("how", ["--session", "--user"])
def test_what_is_revoked_is_out_of_running_workers_within_revocation_sync(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str, how: str
) -> None:
    site = make_site(kind)
    workers = [site.worker, site.start()]
    cookies = [site.sign_in() for _ in range(2)]
    assert [worker.lets_in(cookie) for worker in workers for cookie in cookies] == [True] * 4
    words = {"--session": site.ids(), "--user": ["jane"]}[how]
    answer = operator.run("sessions", "revoke", operator.ini, how, *words)
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "Every worker notices within 5s.")
    clock.ahead += 5
    assert [worker.lets_in(cookie) for worker in workers for cookie in cookies] == [False] * 4
    assert site.ids() == []


def test_revoking_a_session_leaves_the_others(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str
) -> None:
    site = make_site(kind)
    gone = site.sign_in()
    [gone_id] = site.ids()
    stays = site.sign_in()
    answer = operator.run("sessions", "revoke", operator.ini, "--session", gone_id)
    assert answer.out.startswith(f"ended {gone_id} of jane ({site.user('jane')})\n")
    clock.ahead += 5
    assert (site.worker.lets_in(gone), site.worker.lets_in(stays)) == (False, True)
    assert gone_id not in site.ids()


@pytest.mark.parametrize("unknown", ["A" * 22, "nonsense", "x" * 300, "ä" * 22, "j\udcffx"])
def test_a_session_that_is_not_there_is_told_and_the_others_end(
    operator: Operator, make_site: MakeSite, kind: str, unknown: str
) -> None:
    site = make_site(kind)
    site.sign_in()
    [there] = site.ids()
    answer = operator.run("sessions", "revoke", operator.ini, "--session", unknown, there)
    assert answer.code == 1
    assert "there is no session" in answer.err
    assert answer.out.startswith(f"ended {there} of jane")
    assert site.ids() == []


def test_a_user_whose_id_begins_with_a_dash_can_be_named(operator: Operator, make_site: MakeSite) -> None:
    # Without a directory an id is made of issuer and subject.
    site = make_site("store")
    subject = next(text for text in map(str, range(10_000)) if user_key(ISSUER, text).startswith("-"))
    site.sign_in("jane", subject)
    answer = operator.run("sessions", "revoke", operator.ini, f"--user={user_key(ISSUER, subject)}")
    assert (answer.code, site.ids()) == (0, [])


@pytest.mark.parametrize("words", [["{id}"], ["jane"], ["default", "1"], [ISSUER, "1"]])
def test_revoking_a_user_ends_theirs_alone(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str, words: list[str]
) -> None:
    site = make_site(kind)
    gone = [site.sign_in() for _ in range(3)]
    stays = site.sign_in("joan", "2")
    user_id = site.user("jane")
    words = [word.format(id=user_id) for word in words]
    answer = operator.run("sessions", "revoke", operator.ini, "--user", *words)
    assert answer.code == 0
    assert answer.out.startswith("ended 3 sessions of ")
    clock.ahead += 5
    assert [site.worker.lets_in(cookie) for cookie in (*gone, stays)] == [False, False, False, True]


def test_a_sign_in_that_a_fast_clock_has_dated_later_is_revoked_as_well(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str
) -> None:
    site = make_site(kind)
    cookie = site.sign_in(issued_at=int(time.time()) + 60)
    assert operator.run("sessions", "revoke", operator.ini, "--user", "jane").out.startswith(
        "ended 1 session of"
    )
    clock.ahead += 5
    assert not site.worker.lets_in(cookie)


def test_whoever_was_revoked_can_sign_in_again(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str
) -> None:
    site = make_site(kind)
    site.sign_in()
    operator.run("sessions", "revoke", operator.ini, "--user", "jane")
    clock.ahead += 5
    assert site.worker.lets_in(site.sign_in(issued_at=int(time.time()) + 1))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the second in which the command runs is not waited for."""
    monkeypatch.setattr("oauth2_mw.cli.sessions.time.sleep", lambda _seconds: None)


@pytest.mark.requirement("R-cut-off")
@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("how", [["--all"], ["--provider", "default"]])
def test_all_sessions_end_at_once_and_later_ones_live(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str, how: list[str]
) -> None:
    site = make_site(kind)
    other = site.start()
    cookies = [site.sign_in(), site.sign_in(issued_at=int(time.time()) + 900), site.sign_in("joan", "2")]
    assert all(map(other.lets_in, cookies))
    answer = operator.run("sessions", "revoke", operator.ini, *how)
    assert answer.code == 0
    assert answer.out.startswith("ended all sessions ")
    assert answer.out.endswith("\nEvery worker notices within 5s.\n")
    assert site.ids() == []
    clock.ahead += 6
    assert not any(map(site.worker.lets_in, cookies))
    assert not any(map(other.lets_in, cookies))
    assert not any(map(site.start().lets_in, cookies))
    assert other.lets_in(site.sign_in())
    assert len(site.ids()) == 1


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("how", [["--all"], ["--provider", "default"]])
def test_beside_a_release_that_knows_no_cut_offs_each_session_is_ended(
    operator: Operator, make_site: MakeSite, kind: str, how: list[str]
) -> None:
    site = make_site(kind)
    place = site.worker.settings.session or site.worker.settings.directory
    assert place is not None
    rows = Rows(place.value())
    with operator.ini.open("a") as file:
        file.write("compatible = 0.1\n")
    site.sign_in()
    assert rows.count("sessions") == 1
    assert operator.run("sessions", "revoke", operator.ini, *how).code == 0
    assert rows.count("sessions") == 0
    rows.close()


@pytest.mark.requirement("R-cut-off")
@pytest.mark.usefixtures("no_waiting")
def test_the_sessions_of_another_provider_go_on(
    operator: Operator, clock: ShiftedClocks, make_site: MakeSite, kind: str
) -> None:
    site = make_site(kind)
    with operator.ini.open("a") as file:
        file.write(
            "[provider:corp]\nissuer = https://corp.example\nclient_id = a\nclient_secret = b\nusername_prefix = c-\n"
        )
    if site.directory is None:
        operator.ini.write_text(
            operator.ini.read_text().replace("client_id = app", "client_id = app\nusername_prefix = d-")
        )
    site.worker = site.start()
    cookie = site.sign_in()
    assert operator.run("sessions", "revoke", operator.ini, "--provider", "corp").code == 0
    clock.ahead += 6
    assert site.worker.lets_in(cookie)
    answer = operator.run("sessions", "revoke", operator.ini, "--provider", "crop")
    assert answer.code == 1
    assert "there are: default, corp" in answer.err


@pytest.mark.usefixtures("no_waiting")
def test_a_million_sessions_end_by_one_write(
    operator: Operator, make_site: MakeSite, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(kind)
    site.sign_in()
    caplog.clear()
    with statements() as seen:
        assert operator.run("sessions", "revoke", operator.ini, "--all").code == 0
    # Whoever writes removes, now and then, what has run out.
    written = [text for text in seen if not text.startswith(("SELECT", "DELETE FROM oauth2_mw_revocations"))]
    assert [text.split()[:3] for text in written] == [["INSERT", "INTO", "oauth2_mw_revocations"]]
    assert "sessions_" not in "".join(seen)
    [line] = [record.getMessage() for record in caplog.records if record.name == "oauth2_mw.audit"]
    assert line.startswith("event=sessions_cut_off detail=")


def test_a_cut_off_that_cannot_be_written_ends_nothing(
    operator: Operator, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site("store")
    cookie = site.sign_in()

    def fail(*_words: object, **_others: object) -> None:
        raise StoreUnavailableError("the store is gone")

    caplog.clear()
    with monkeypatch.context() as patch:
        patch.setattr("oauth2_mw.session.stores.sql.SqlStore.revoke", fail)
        answer = operator.run("sessions", "revoke", operator.ini, "--all")
    assert (answer.code, answer.out, answer.err) == (1, "", "the store is gone\n")
    assert caplog.records == []
    assert site.start().lets_in(cookie)


def test_revoking_twice_ends_nothing_more(operator: Operator, make_site: MakeSite, kind: str) -> None:
    site = make_site(kind)
    site.sign_in()
    [one] = site.ids()
    assert operator.run("sessions", "revoke", operator.ini, "--session", one, one).code == 0
    assert operator.run("sessions", "revoke", operator.ini, "--session", one).code == 1
    if site.directory is not None:
        answer = operator.run("sessions", "revoke", operator.ini, "--user", "jane")
        assert (answer.code, answer.out) == (0, f"ended 0 sessions of jane ({site.user('jane')})\n")


@pytest.mark.parametrize("how", ["--session", "--user"])
def test_what_is_revoked_is_in_the_audit_log_a_line_a_user(
    operator: Operator, make_site: MakeSite, kind: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(kind)
    for _ in range(2):
        site.sign_in()
    words = {"--session": site.ids(), "--user": ["jane"]}[how]
    caplog.clear()
    operator.run("sessions", "revoke", operator.ini, how, *words)
    lines = [record for record in caplog.records if record.name == "oauth2_mw.audit"]
    assert [line.getMessage() for line in lines] == [
        f"event=sessions_revoked user={site.user('jane')} username=jane count=2"
    ]
    # Nobody has configured logging for a command: only warnings are seen then.
    assert lines[0].levelno == logging.WARNING


def test_what_ended_before_a_failure_is_in_the_audit_log(
    operator: Operator, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site("store")
    for _ in range(3):
        site.sign_in()
    end, left = SessionRegistry.end, iter([True, True])

    def end_two(registry: SessionRegistry, session_id: str, *, expires: int | None = None) -> bool:
        if not next(left, False):
            raise StoreUnavailableError("the store is gone")
        return end(registry, session_id, expires=expires)

    monkeypatch.setattr(SessionRegistry, "end", end_two)
    ids = site.ids()
    caplog.clear()
    answer = operator.run("sessions", "revoke", operator.ini, "--session", *ids)
    assert (answer.code, answer.err) == (1, "the store is gone\n")
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["count=2"]


# Which user is meant where no directory knows


def test_a_name_that_two_users_have_is_told_with_both(operator: Operator, make_site: MakeSite) -> None:
    site = make_site("store")
    for subject in ("1", "2"):
        site.sign_in("jane", subject)
    answer = operator.run("sessions", "revoke", operator.ini, "--user", "jane")
    assert (answer.code, answer.out) == (1, "")
    for subject in ("1", "2"):
        assert f"jane ({user_key(ISSUER, subject)})" in answer.err
    assert len(site.ids()) == 2


@pytest.mark.parametrize("action", ["list", "revoke"])
@pytest.mark.parametrize("word", ["joan", "Jane", "j\udcffx"])
def test_somebody_who_is_not_signed_in_is_told(
    operator: Operator, make_site: MakeSite, action: str, word: str
) -> None:
    make_site("store").sign_in()
    answer = operator.run("sessions", action, operator.ini, "--user", word)
    assert (answer.code, answer.out) == (1, "")
    assert "nobody is signed in as" in answer.err


def test_somebody_unknown_to_the_directory_is_told(operator: Operator, make_site: MakeSite) -> None:
    make_site("cookie").sign_in()
    answer = operator.run("sessions", "revoke", operator.ini, "--user", "joan")
    assert (answer.code, answer.out) == (1, "")
    assert "there is no user joan in the directory" in answer.err


# What cannot be done


@pytest.mark.parametrize("action", [["list"], ["revoke", "--all"]])
def test_sessions_that_nothing_lists_are_told_with_the_settings_that_would(
    operator: Operator, action: list[str]
) -> None:
    operator.write_ini(secret_keys=text_key())
    answer = operator.run("sessions", action[0], operator.ini, *action[1:])
    assert (answer.code, answer.out) == (1, "")
    assert "sessions are in cookies alone" in answer.err
    assert "Write a directory" in answer.err


def test_a_command_makes_no_database(operator: Operator, kind: str) -> None:
    operator.write_ini(secret_keys=text_key(), **KINDS[kind])
    answer = operator.run("sessions", "list", operator.ini)
    assert answer.code == 1
    assert "does not exist yet; the first sign-in creates it" in answer.err
    assert list(operator.folder.glob("*.db")) == []


def test_a_store_that_cannot_be_used_is_told(operator: Operator) -> None:
    (operator.folder / "sessions.db").write_bytes(b"precious" * 1000)
    operator.write_ini(secret_keys=text_key(), **KINDS["store"])
    answer = operator.run("sessions", "list", operator.ini)
    assert answer.code == 1
    assert "not a database" in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["revoke"],
        ["revoke", "--all", "--user", "jane"],
        ["revoke", "--session"],
        ["list", "--user", ISSUER, "1", "2"],
        ["nonsense"],
    ],
)
def test_a_command_line_that_means_nothing_ends_with_2(
    operator: Operator, make_site: MakeSite, kind: str, words: list[str]
) -> None:
    make_site(kind).sign_in()
    with pytest.raises(SystemExit) as ended:
        operator.run("sessions", words[0], operator.ini, *words[1:])
    assert ended.value.code == 2
