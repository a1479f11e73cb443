"""Sign-outs that the directory did not take: kept, told when it is back, and shared by the workers of a host."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from oauth2_mw.errors import EndNotToldError, StoreUnavailableError
from oauth2_mw.session import signout_file, untold
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.revocation import RETRY, Revocations
from oauth2_mw.session.signout_file import Ending, SignoutFile
from oauth2_mw.session.untold import Untold
from tests.support.clock import Clock

LATER = int(time.time()) + 3600


@dataclass
class Directory:
    """A directory that can refuse to write, or be away."""

    away: bool = False
    read_only: bool = False
    told: list[tuple[str, int, int]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def revocations(self, _since: int) -> tuple[()]:
        if self.away:
            raise StoreUnavailableError("away")
        return ()

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        if self.away or self.read_only:
            raise StoreUnavailableError("away")
        self.told.append((name, moment, expires))

    def delete(self, key: str) -> bool:
        self.deleted.append(key)
        return True


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread tells anything."""
    monkeypatch.setattr(Untold, "_start_telling", lambda _self: None)


def worker(directory: Directory, clock: Clock, file: Path | None = None) -> Revocations:
    made = SignoutFile(file) if file else None
    revocations = Revocations(shared=directory, sync=5, signout_file=made, clocks=Clocks(monotonic=clock))
    if not directory.away:
        revocations.ended("x", "u", 0)
    return revocations


def has_told(directory: Directory, count: int) -> bool:
    return len(directory.told) == len(directory.deleted) == count


def eventually(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.usefixtures("silent")
def test_what_could_not_be_told_counts_here_and_is_told_at_the_next_look(clock: Clock) -> None:
    directory = Directory()
    revocations = worker(directory, clock)
    directory.away = True
    with pytest.raises(EndNotToldError):
        revocations.revoke("s", expires=LATER)
    with pytest.raises(EndNotToldError):
        revocations.revoke_user("u", moment=7, expires=LATER)
    assert revocations.ended("s", "v", 9)
    assert revocations.ended("t", "u", 7)
    directory.away = False
    assert directory.told == []
    clock.now += 5
    assert not revocations.ended("t", "u", 8)
    assert directory.told == [("session:s", 0, LATER), ("user:u", 7, LATER)]
    assert directory.deleted == ["s"]
    clock.now += 5
    revocations.ended("t", "u", 8)
    assert len(directory.told) == 2


@pytest.mark.usefixtures("silent")
def test_a_directory_that_can_be_read_alone_refuses_nobody_and_is_told_later(clock: Clock) -> None:
    directory = Directory(read_only=True)
    revocations = worker(directory, clock)
    with pytest.raises(EndNotToldError):
        revocations.revoke("s", expires=LATER)
    clock.now += 5
    assert not revocations.ended("t", "u", 0)
    directory.read_only = False
    clock.now += 5
    assert not revocations.ended("t", "u", 0)
    assert directory.told == [("session:s", 0, LATER)]


def test_it_is_told_without_a_request(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untold, "RETRY", 0.01)
    directory = Directory()
    revocations = worker(directory, clock)
    for count, name in enumerate(("s", "t"), start=1):
        directory.away = True
        with pytest.raises(EndNotToldError):
            revocations.revoke(name, expires=LATER)
        directory.away = False
        eventually(partial(has_told, directory, count))
    assert directory.told == [("session:s", 0, LATER), ("session:t", 0, LATER)]


@pytest.mark.usefixtures("silent")
def test_too_many_are_refused_and_nothing_has_happened(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untold, "MAX_WAITING", 2)
    directory = Directory()
    revocations = worker(directory, clock)
    directory.away = True
    for name in ("a", "b", "a"):
        with pytest.raises(EndNotToldError):
            revocations.revoke(name, expires=LATER)
    with pytest.raises(StoreUnavailableError) as refused:
        revocations.revoke("c", expires=LATER)
    assert not isinstance(refused.value, EndNotToldError)
    assert not revocations.ended("c", "u", 0)


@pytest.mark.usefixtures("silent")
def test_of_two_ends_of_one_user_the_later_is_told_for_the_longer_time(clock: Clock) -> None:
    directory = Directory()
    revocations = worker(directory, clock)
    directory.away = True
    for moment, expires in ((7, LATER + 9), (9, LATER), (8, LATER + 1)):
        with pytest.raises(EndNotToldError):
            revocations.revoke_user("u", moment=moment, expires=expires)
    directory.away = False
    clock.now += 5
    revocations.ended("t", "u", 10)
    assert directory.told == [("user:u", 9, LATER + 9)]


@pytest.mark.usefixtures("silent")
def test_what_has_expired_meanwhile_is_told_to_nobody(clock: Clock) -> None:
    directory = Directory()
    revocations = worker(directory, clock)
    directory.away = True
    with pytest.raises(EndNotToldError):
        revocations.revoke("s", expires=int(time.time()) - 1)
    directory.away = False
    clock.now += 5
    revocations.ended("t", "u", 0)
    assert directory.told == []


# With signout_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sign-outs"


@pytest.mark.usefixtures("silent")
def test_a_file_survives_the_worker_and_is_emptied_when_all_is_told(clock: Clock, file: Path) -> None:
    directory = Directory()
    first = worker(directory, clock, file)
    directory.away = True
    with pytest.raises(EndNotToldError):
        first.revoke("s", expires=LATER)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == f"session:s 0 {LATER}\n"
    directory.away = False
    successor = worker(directory, clock, file)
    assert successor.ended("s", "u", 0)
    assert directory.told == [("session:s", 0, LATER)]
    assert file.read_text() == ""


@pytest.mark.usefixtures("silent")
def test_another_worker_of_the_host_learns_of_it_while_the_directory_is_away(
    clock: Clock, file: Path
) -> None:
    directory = Directory()
    one, other = worker(directory, clock, file), worker(directory, clock, file)
    directory.away = True
    with pytest.raises(EndNotToldError):
        one.revoke("s", expires=LATER)
    assert not other.is_listed("s", "u", 0)
    clock.now += 5
    assert other.ended("s", "u", 0)
    # And both tell it: the first of them may be gone by then.
    directory.away = False
    clock.now += 5
    other.ended("t", "u", 0)
    assert directory.told == [("session:s", 0, LATER)]


@pytest.mark.usefixtures("silent")
def test_what_another_worker_has_added_meanwhile_is_not_thrown_away(clock: Clock, file: Path) -> None:
    directory = Directory()
    one, other = worker(directory, clock, file), worker(directory, clock, file)
    directory.away = True
    with pytest.raises(EndNotToldError):
        one.revoke("s", expires=LATER)
    clock.now += 5
    one.ended("t", "u", 0)
    with pytest.raises(EndNotToldError):
        other.revoke("t", expires=LATER)
    directory.away = False
    assert one._untold is not None
    one._untold.tell()
    assert file.read_text() == f"session:s 0 {LATER}\nsession:t 0 {LATER}\n"
    clock.now += RETRY
    assert one.ended("t", "u", 0)
    assert file.read_text() == ""


@pytest.mark.parametrize(
    "line",
    [
        "session:s 0",
        "session:s 0 x",
        "session:s -1 5",
        f"session:s 0 {2**70}",
        "sid:s 0 5",
        "session:" + "s" * 300 + " 0 5",
        "session:\x1bs 0 5",
        "ſession:s 0 5",
        f"session:cut 0 {LATER}"[:-3] + " ",
    ],
)
def test_a_line_that_is_none_of_ours_ends_nobody(line: str, file: Path) -> None:
    file.write_text(f"session:a 0 5\n{line}\nuser:b 7 5\n", encoding="utf-8")
    file.chmod(0o600)
    assert SignoutFile(file).read_new() == [Ending("session:a", 0, 5), Ending("user:b", 7, 5)]


def test_a_file_that_others_could_write_to_is_not_used(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("session:a 0 5\n")
    file.chmod(0o622)
    assert SignoutFile(file).read_new() == []
    SignoutFile(file).add(Ending("session:b", 0, 5))
    assert file.read_text() == "session:a 0 5\n"
    assert caplog.text.count("event=signout_file_unusable") == 2


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_regular_file_is_not_used(
    kind: str, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "link":
        (tmp_path / "elsewhere").write_text("")
        (tmp_path / "elsewhere").chmod(0o600)
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(file, 0o600)
    else:
        file.mkdir(0o700)
    SignoutFile(file).add(Ending("session:b", 0, 5))
    assert SignoutFile(file).read_new() == []
    assert "event=signout_file_unusable" in caplog.text


def test_a_file_that_is_full_takes_no_more(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signout_file, "MAX_BYTES", 20)
    SignoutFile(file).add(Ending("session:a", 0, 5))
    SignoutFile(file).add(Ending("session:b", 0, 5))
    assert file.read_text() == "session:a 0 5\n"
    assert "it has 20 octets already" in caplog.text


def test_a_line_that_a_crash_cut_off_spoils_no_other(file: Path) -> None:
    SignoutFile(file).add(Ending("session:a", 0, 5))
    os.truncate(file, file.stat().st_size - 3)
    SignoutFile(file).add(Ending("session:b", 0, 5))
    assert Ending("session:b", 0, 5) in SignoutFile(file).read_new()


def test_a_worker_that_holds_the_file_for_long_holds_nobody_up(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signout_file, "LOCK_WAIT", 0.05)
    with SignoutFile(file)._opened(os.O_RDWR | os.O_CREAT):
        SignoutFile(file).add(Ending("session:a", 0, 5))
    assert "event=signout_file_unusable" in caplog.text
    assert file.read_text() == ""
