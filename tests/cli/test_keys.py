"""``oauth2-mw keys``: a key file changed while workers use it, and nobody signed out by that."""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import time_machine

from oauth2_mw.cli import key_file
from oauth2_mw.cli.main import main
from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.keyring import Key
from oauth2_mw.settings.grammar import parse_key_file
from oauth2_mw.settings.keys import parse_ended
from oauth2_mw.settings.model import Settings
from tests.support.hosts.guarded import App, sign_in
from tests.support.hosts.operator import Operator
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.settings.keys import raw_key, text_key

NOW = 1_800_000_000
DAY = 86400
LIFETIME = 8 * 3600


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    operator.write_ini()
    return operator


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


# list


@pytest.mark.usefixtures("clock")
def test_list_says_what_each_key_does(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 59), ("now", NOW - 60), ("old", NOW - DAY))
    assert operator.run("keys", "list", operator.ini).rows == [
        ["new", Key(raw_key(0)).id.hex(), "2027-01-15T07:59:01Z", "seals from 2027-01-15T08:00:01Z"],
        ["now", Key(raw_key(1)).id.hex(), "2027-01-15T07:59:00Z", "seals now"],
        ["old", Key(raw_key(2)).id.hex(), "2027-01-14T08:00:00Z", "opens"],
    ]


@pytest.mark.usefixtures("clock")
def test_list_of_keys_that_are_all_new_says_which_one_seals_meanwhile(operator: Operator) -> None:
    operator.write_keys(("new", NOW), ("first", NOW - 1))
    assert [line[3] for line in operator.run("keys", "list", operator.ini).rows] == [
        "seals from 2027-01-15T08:01:00Z",
        "seals now",
    ]


def test_list_takes_a_moment_at_the_end_of_all_dates(operator: Operator) -> None:
    operator.write_keys(("a", NOW), ("never", 253402300799))
    assert operator.run("keys", "list", operator.ini).rows[1][3] == "seals from 9999-12-31T23:59:59Z"


def test_no_command_prints_a_key(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY), ("b", NOW - 2 * DAY))
    for words in (("list",), ("rotate",), ("retire", "b"), ("list",)):
        answer = operator.run("keys", words[0], operator.ini, *words[1:])
        assert answer.code == 0
        for line in operator.keys.read_text().splitlines():
            assert line.startswith("#") or line.split()[2] not in answer.out + answer.err


def test_the_key_file_itself_can_be_named(operator: Operator) -> None:
    operator.write_keys(("a", NOW))
    assert operator.run("keys", "list", operator.keys).out == operator.run("keys", "list", operator.ini).out


def test_keys_that_stand_in_the_setting_are_left_to_the_operator(operator: Operator) -> None:
    operator.write_ini(secret_keys=text_key())
    for action in ("list", "rotate"):
        answer = operator.run("keys", action, operator.ini)
        assert (answer.code, answer.out) == (1, "")
        assert "say secret_keys = file:PATH" in answer.err
        assert text_key() not in answer.err


def test_list_names_the_broken_line_of_a_key_file(operator: Operator) -> None:
    operator.keys.write_text("# keys\nnonsense\n")
    answer = operator.run("keys", "list", operator.keys)
    assert answer.code == 1
    assert f"{operator.keys}: line 2:" in answer.err


def test_a_file_that_is_missing_or_empty_is_named(operator: Operator) -> None:
    operator.ini.write_text("")
    for path in (operator.ini, operator.folder / "nothing.ini"):
        answer = operator.run("keys", "list", path)
        assert answer.code == 1
        assert str(path) in answer.err


def test_problems_of_the_settings_are_told(operator: Operator) -> None:
    operator.write_ini(client_idd="x")
    answer = operator.run("keys", "list", operator.ini)
    assert answer.code == 1
    assert "did you mean client_id?" in answer.err


# rotate


@pytest.mark.usefixtures("clock")
def test_rotate_adds_a_key_that_seals_in_a_minute_and_says_so(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY))
    answer = operator.run("keys", "rotate", operator.ini)
    assert answer.code == 0
    old, new = parse_key_file(operator.keys.read_text())
    assert (old.key, new.kid, new.not_before) == (raw_key(0), "k20270115", NOW)
    assert "seals from 2027-01-15T08:01:00Z" in answer.out
    assert "Running workers read it within 5s" in answer.out
    assert f"from 2027-01-15T16:01:00Z on:\n  oauth2-mw keys retire {operator.ini} a\n" in answer.out


def test_rotate_keeps_every_line_that_was_there(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY), ("b", NOW - 2 * DAY))
    before = operator.keys.read_text()
    operator.run("keys", "rotate", operator.ini)
    after = operator.keys.read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == len(before.splitlines()) + 1


@pytest.mark.usefixtures("clock")
def test_each_rotation_of_one_second_has_a_name_and_a_moment_of_its_own(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY))
    for _ in range(3):
        operator.run("keys", "rotate", operator.ini)
    entries = parse_key_file(operator.keys.read_text())
    assert [(entry.kid, entry.not_before - NOW) for entry in entries[1:]] == [
        ("k20270115", 0),
        ("k20270115-2", 1),
        ("k20270115-3", 2),
    ]


@pytest.mark.usefixtures("clock")
def test_a_rotation_can_leave_time_to_copy_the_file(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY))
    answer = operator.run("keys", "rotate", operator.ini, "--after", "2h")
    assert "seals from 2027-01-15T10:01:00Z" in answer.out
    assert parse_key_file(operator.keys.read_text())[1].not_before == NOW + 7200


@pytest.mark.parametrize("text", ["soon", "367d"])
def test_a_time_that_is_none_is_a_wrong_command_line(operator: Operator, text: str) -> None:
    operator.write_keys(("a", NOW))
    with pytest.raises(SystemExit) as ended:
        operator.run("keys", "rotate", operator.ini, "--after", text)
    assert ended.value.code == 2
    assert len(parse_key_file(operator.keys.read_text())) == 1


@pytest.mark.usefixtures("clock")
def test_rotate_tells_of_a_key_that_will_take_over_from_the_new_one(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY), ("later", NOW + DAY))
    assert "From 2027-01-16T08:01:00Z on later seals" in operator.run("keys", "rotate", operator.ini).out


def test_a_changed_key_file_has_the_mode_and_the_owner_of_the_old_one(operator: Operator) -> None:
    operator.write_keys(("a", NOW))
    operator.keys.chmod(0o640)
    # Only root can give files away.
    with suppress(PermissionError):
        os.chown(operator.keys, 12345, 12346)
    before = operator.keys.stat()
    assert operator.run("keys", "rotate", operator.ini).code == 0
    after = operator.keys.stat()
    assert after.st_ino != before.st_ino
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, before.st_uid, before.st_gid)


def test_a_file_whose_owner_cannot_be_kept_is_not_replaced(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.write_keys(("a", NOW))
    of_another = list(operator.keys.stat())
    of_another[stat.ST_UID] += 1

    def only_for_root(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", only_for_root)
    with operator.keys.open() as file, pytest.raises(CommandError, match="run this as that user, or as root"):
        key_file._copy_owner_and_mode(file.fileno(), operator.keys, os.stat_result(of_another))


def test_a_key_file_behind_a_link_is_changed_where_it_lies(operator: Operator) -> None:
    operator.write_keys(("a", NOW))
    elsewhere = operator.folder / "elsewhere"
    elsewhere.mkdir()
    operator.keys.rename(elsewhere / "real")
    operator.keys.symlink_to(elsewhere / "real")
    assert operator.run("keys", "rotate", operator.ini).code == 0
    assert operator.keys.is_symlink()
    assert len(parse_key_file((elsewhere / "real").read_text())) == 2


def test_a_file_that_workers_could_not_read_any_more_does_not_come_to_be(operator: Operator) -> None:
    operator.write_keys(("a", NOW))
    with operator.keys.open("a") as file:
        file.write("#" * (64 * 1024 - operator.keys.stat().st_size - 10))
    before = operator.keys.read_bytes()
    answer = operator.run("keys", "rotate", operator.ini)
    assert answer.code == 1
    assert "larger than 64 KiB" in answer.err
    assert operator.keys.read_bytes() == before
    assert sorted(path.name for path in operator.folder.iterdir()) == ["keys", "oauth2.ini"]


def test_many_rotations_at_once_lose_no_key(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY))
    words = ["keys", "rotate", str(operator.ini)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(main, [words] * 24)) == [0] * 24
    entries = parse_key_file(operator.keys.read_text())
    assert len(entries) == 25
    assert len({entry.not_before for entry in entries}) == 25


# retire


@pytest.mark.usefixtures("clock")
def test_retire_removes_one_key_and_its_line_alone(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY), ("b", NOW - 2 * DAY), ("c", NOW - 3 * DAY))
    lines = operator.keys.read_text().splitlines()
    assert operator.run("keys", "retire", operator.ini, "b").code == 0
    assert operator.keys.read_text().splitlines() == [line for line in lines if not line.startswith("b ")]


@pytest.mark.usefixtures("clock")
def test_the_last_line_of_a_key_file_can_be_retired(operator: Operator) -> None:
    first = f"new 2027-01-01T00:00:00Z {text_key(0)}\n"
    operator.keys.write_text(f"{first}old 2026-01-01T00:00:00Z {text_key(1)}")
    assert operator.run("keys", "retire", operator.ini, "old").code == 0
    assert operator.keys.read_text() == first


def test_a_key_that_is_not_there_is_told_with_those_that_are(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY), ("b", NOW - 2 * DAY))
    answer = operator.run("keys", "retire", operator.ini, "c")
    assert answer.code == 1
    assert "no key 'c'; there are a, b" in answer.err


@pytest.mark.parametrize("now", [(), ("--now",)])
def test_retire_keeps_the_only_key(operator: Operator, now: tuple[str, ...]) -> None:
    operator.write_keys(("a", NOW - DAY))
    answer = operator.run("keys", "retire", operator.ini, "a", *now)
    assert answer.code == 1
    assert "the only key" in answer.err
    assert len(parse_key_file(operator.keys.read_text())) == 1


@pytest.mark.parametrize("now", [(), ("--now",)])
@pytest.mark.usefixtures("clock")
def test_the_key_that_seals_stays(operator: Operator, now: tuple[str, ...]) -> None:
    operator.write_keys(("new", NOW - 59), ("a", NOW - DAY))
    answer = operator.run("keys", "retire", operator.ini, "a", *now)
    assert answer.code == 1
    assert "a seals now" in answer.err
    assert len(parse_key_file(operator.keys.read_text())) == 2


@pytest.mark.usefixtures("clock")
def test_a_key_whose_sessions_may_live_is_retired_only_when_told_so(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 60 - LIFETIME + 1), ("a", NOW - DAY))
    answer = operator.run("keys", "retire", operator.ini, "a")
    assert (answer.code, answer.out) == (1, "")
    assert "a sealed cookies until 2027-01-15T00:00:01Z. Whoever signed in before then" in answer.err
    assert "would have to sign in again: sessions live up to 8h" in answer.err
    assert "Wait until 2027-01-15T08:00:01Z, or add --now" in answer.err
    assert operator.run("keys", "retire", operator.ini, "a", "--now").code == 0


@pytest.mark.usefixtures("clock")
def test_a_key_is_retired_once_the_longest_session_is_over(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 60 - LIFETIME), ("a", NOW - DAY))
    assert operator.run("keys", "retire", operator.ini, "a").code == 0
    assert [entry.kid for entry in parse_key_file(operator.keys.read_text())] == ["new"]


@pytest.mark.usefixtures("clock")
def test_the_longest_session_of_any_provider_counts(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 60 - LIFETIME), ("a", NOW - DAY))
    with operator.write_ini(username_prefix="x-").open("a") as file:
        file.write(
            "[provider:corp]\nissuer = https://corp.example\nclient_id = a\nclient_secret = b\n"
            "username_prefix = y-\nsession_lifetime = 7d\n"
        )
    answer = operator.run("keys", "retire", operator.ini, "a")
    assert answer.code == 1
    assert "up to 7d" in answer.err


@pytest.mark.usefixtures("clock")
def test_short_sessions_do_not_hurry_the_cookies_of_attempts(operator: Operator) -> None:
    operator.write_ini(session_lifetime="10m", session_idle="10m")
    operator.write_keys(("new", NOW - 60 - 3599), ("a", NOW - DAY))
    assert operator.run("keys", "retire", operator.ini, "a").code == 1
    operator.write_keys(("new", NOW - 60 - 3600), ("a", NOW - DAY))
    assert operator.run("keys", "retire", operator.ini, "a").code == 0


@pytest.mark.usefixtures("clock")
def test_a_key_that_was_replaced_long_ago_need_not_wait_for_the_latest_rotation(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 100), ("b", NOW - DAY), ("a", NOW - 2 * DAY))
    assert operator.run("keys", "retire", operator.ini, "a").code == 0
    assert operator.run("keys", "retire", operator.ini, "b").code == 1


@pytest.mark.usefixtures("clock")
def test_a_key_that_has_not_sealed_yet_can_go_at_once(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 59), ("a", NOW - DAY))
    assert operator.run("keys", "retire", operator.ini, "new").code == 0


@pytest.mark.usefixtures("clock")
def test_without_the_settings_nobody_knows_how_long_sessions_live(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 100 * DAY), ("a", NOW - 200 * DAY))
    answer = operator.run("keys", "retire", operator.keys, "a")
    assert answer.code == 1
    assert "Name that in place of the key file, or add --now" in answer.err
    assert operator.run("keys", "retire", operator.keys, "a", "--now").code == 0


# With a worker that runs meanwhile


class Worker:
    """A middleware whose clocks a test sets."""

    def __init__(self, ini: Path) -> None:
        self.middleware = OAuth2Middleware(App(), Settings.from_ini(ini), clocks=Clocks(time.time, time.time))
        self.sessions = self.middleware._sessions
        self.ring = self.sessions._keyring

    def sign_in(self) -> str:
        """The ``Cookie`` header of a new session."""
        return sign_in(self.middleware)

    def lets_in(self, cookie: str) -> bool:
        return call(self.middleware, environ_for("/", HTTP_COOKIE=cookie)).status == 200


@pytest.mark.requirement("3c.3")
def test_a_rotation_under_running_workers_signs_nobody_out(operator: Operator) -> None:
    operator.write_ini(session_idle="8h")
    operator.write_keys(("a", NOW - DAY))
    with time_machine.travel(NOW, tick=False) as clock:
        one, other = Worker(operator.ini), Worker(operator.ini)
        old_key, early = one.ring.sealing_key().id, one.sign_in()
        operator.run("keys", "rotate", operator.ini)
        clock.shift(5)
        assert one.lets_in(early)
        assert other.lets_in(early)
        clock.shift(54)
        assert one.ring.sealing_key().id == other.ring.sealing_key().id == old_key
        late = one.sign_in()
        clock.shift(1)
        new_key = one.ring.sealing_key().id
        assert new_key == other.ring.sealing_key().id != old_key
        fresh = one.sign_in()
        assert [other.lets_in(cookie) for cookie in (early, late, fresh)] == [True, True, True]
        clock.shift(LIFETIME - 2)
        assert operator.run("keys", "retire", operator.ini, "a").code == 1
        assert [other.lets_in(cookie) for cookie in (early, late, fresh)] == [False, True, True]
        clock.shift(2)
        # Nothing lives any more that the old key sealed.
        assert not other.lets_in(late)
        fresh = one.sign_in()
        assert operator.run("keys", "retire", operator.ini, "a").code == 0
        clock.shift(5)
        assert other.lets_in(fresh)
        assert other.ring.find(old_key) is None


@pytest.mark.usefixtures("clock")
def test_a_key_retired_now_opens_no_more_in_running_workers(operator: Operator, clock: Any) -> None:
    operator.write_keys(("a", NOW - DAY))
    worker = Worker(operator.ini)
    cookie = worker.sign_in()
    operator.run("keys", "rotate", operator.ini)
    clock.shift(60)
    assert worker.lets_in(cookie)
    operator.run("keys", "retire", operator.ini, "a", "--now")
    clock.shift(5)
    assert not worker.lets_in(cookie)


# A key that leaked

MODES = {
    "cookies alone": {},
    "cookies and a directory": {"directory": "sqlite:///users.db"},
    "a store": {"session": "sqlite:///sessions.db"},
}
every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())


def listed(worker: Worker) -> int:
    registry = worker.sessions.registry
    return 0 if registry is None else len(list(registry.all()))


@every_mode
@pytest.mark.parametrize("words", [("retire", "--now"), ("revoke",)])
def test_a_key_that_was_replaced_takes_its_sessions_along_wherever_they_are_and_renewed_ones_too(
    words: tuple[str, ...], mode: dict[str, str], operator: Operator, clock: Any
) -> None:
    operator.write_ini(**mode)
    operator.write_keys(("a", NOW - DAY))
    worker = Worker(operator.ini)
    early = worker.sign_in()
    operator.run("keys", "rotate", operator.ini)
    clock.shift(600)
    # The server has sealed this one with the new key, whoever sent it.
    renewed = renew(worker, early)
    late = worker.sign_in()
    assert [worker.lets_in(cookie) for cookie in (early, renewed, late)] == [True] * 3
    command, *more = words
    assert operator.run("keys", command, operator.ini, "a", *more).code == 0
    clock.shift(5)
    assert [worker.lets_in(cookie) for cookie in (early, renewed, late)] == [False, False, True]
    assert [Worker(operator.ini).lets_in(cookie) for cookie in (early, renewed, late)] == [False, False, True]
    assert listed(worker) == (1 if mode else 0)


@every_mode
def test_a_key_that_seals_is_revoked_with_all_sessions_and_another_seals_at_once(
    mode: dict[str, str], operator: Operator, clock: Any
) -> None:
    operator.write_ini(**mode)
    operator.write_keys(("a", NOW - DAY))
    worker, idle = Worker(operator.ini), Worker(operator.ini)
    cookie = worker.sign_in()
    answer = operator.run("keys", "revoke", operator.ini, "a")
    assert (answer.code, "which seals at once" in answer.out) == (0, True)
    clock.shift(5)
    assert not worker.lets_in(cookie)
    assert listed(worker) == 0
    # A worker that has not looked yet reads the file when it meets the new key.
    idle.ring.next_look = float("inf")
    assert idle.lets_in(worker.sign_in())
    assert [row[3] for row in operator.run("keys", "list", operator.ini).rows] == ["seals now"]


@pytest.mark.parametrize("shift", [0, 600])
def test_who_forges_a_cookie_cannot_date_it_past_the_end_of_its_key(
    shift: int, operator: Operator, clock: Any
) -> None:
    operator.write_keys(("a", NOW - DAY))
    worker = Worker(operator.ini)
    name, _, sealed = worker.sign_in().partition("=")
    backend: Any = Worker(operator.ini).sessions._backend
    dated = replace(backend.open(1, sealed).session, created_at=NOW + DAY, last_used_at=NOW - 600)
    forged = f"{name}={backend._seal(dated)}"
    if shift:
        operator.run("keys", "rotate", operator.ini)
    clock.shift(shift)
    renewed = renew(worker, forged)
    assert [worker.lets_in(cookie) for cookie in (forged, renewed)] == [True, True]
    assert operator.run("keys", "revoke", operator.ini, "a").code == 0
    clock.shift(5)
    assert [worker.lets_in(cookie) for cookie in (forged, renewed)] == [False, False]


@pytest.mark.usefixtures("clock")
def test_a_store_that_is_away_keeps_no_key_in_its_file(operator: Operator) -> None:
    operator.write_ini(session="redis://127.0.0.1:1")
    operator.write_keys(("new", NOW - DAY), ("a", NOW - 2 * DAY))
    answer = operator.run("keys", "revoke", operator.ini, "a")
    assert answer.code == 1
    assert "The workers end them all the same" in answer.err
    assert [entry.kid for entry in parse_key_file(operator.keys.read_text())] == ["new"]
    assert parse_ended(operator.keys.read_text()) == NOW - DAY + 60


@pytest.mark.usefixtures("clock")
def test_the_latest_end_stays_in_the_file(operator: Operator) -> None:
    operator.write_keys(("new", NOW - 100), ("a", NOW - 500), ("b", NOW - 900))
    assert operator.run("keys", "retire", operator.keys, "a", "--now").code == 0
    assert operator.run("keys", "retire", operator.keys, "b", "--now").code == 0
    assert parse_ended(operator.keys.read_text()) == NOW - 40
    assert operator.keys.read_text().count("!ended") == 1


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("words", [("revoke", "b"), ("retire", "a", "--now")])
def test_no_key_file_is_written_that_the_release_beside_this_one_cannot_read(
    operator: Operator, words: tuple[str, ...]
) -> None:
    operator.write_keys(("a", NOW - DAY), ("b", NOW - 600))
    operator.write_ini(compatible="0.1")
    before = operator.keys.read_text()
    command, *more = words
    answer = operator.run("keys", command, operator.ini, *more)
    assert (answer.code, "take compatible out" in answer.err) == (1, True)
    assert operator.keys.read_text() == before
    assert operator.run("keys", "rotate", operator.ini).code == 0


def test_revoke_names_the_keys_that_there_are(operator: Operator) -> None:
    operator.write_keys(("a", NOW - DAY))
    answer = operator.run("keys", "revoke", operator.ini, "b")
    assert (answer.code, "there is no key 'b'; there are a" in answer.err) == (1, True)


def renew(worker: Worker, cookie: str) -> str:
    """The cookie that a browser sends after the server has renewed it."""
    answer = call(worker.middleware, environ_for("/", HTTP_COOKIE=cookie))
    set_cookies = [value for name, value in answer.headers if name.lower() == "set-cookie"]
    return "; ".join(value.partition(";")[0] for value in set_cookies)


@every_mode
def test_the_drill_of_the_documentation_ends_what_a_leaked_key_has_sealed(
    mode: dict[str, str], operator: Operator, clock: Any
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.rst").read_text(encoding="utf-8")
    drill = text.partition(":name: leaked-key")[2].partition(".. ")[0]
    commands = [line.strip()[2:].split() for line in drill.splitlines() if line.strip().startswith("$ ")]
    assert [words[:3] for words in commands].count(["oauth2-mw", "keys", "revoke"]) == 1
    operator.write_ini(**mode)
    operator.write_keys(("k20260501", NOW - DAY))
    worker = Worker(operator.ini)
    cookie = worker.sign_in()
    for _, *words in commands:
        answer = operator.run(*(operator.ini if word == "oauth2.ini" else word for word in words))
        assert answer.code == 0, answer.err
    clock.shift(5)
    assert not worker.lets_in(cookie)
    assert listed(worker) == 0
    assert worker.lets_in(worker.sign_in())
