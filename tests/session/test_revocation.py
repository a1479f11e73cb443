"""The list of ended sessions: shared through the directory, read from memory, closed when it cannot be known."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest

from oauth2_mw.errors import StoreUnavailable
from oauth2_mw.session.revocation import GRACE, KEPT_LONGER, RETRY, Revocations

LATER = int(time.time()) + 3600


@dataclass
class Snapshot:
    disabled_ids: frozenset[str] = frozenset()
    revoked: tuple[tuple[int, str, int], ...] = ()


@dataclass
class Source:
    """A directory that can go away."""

    away: bool = False
    snapshots: list[Snapshot] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    def snapshot(self, since: int) -> Snapshot:
        if self.away:
            raise StoreUnavailable("the directory is away")
        self.asked.append(since)
        return self.snapshots.pop(0) if self.snapshots else Snapshot()

    def revoke_session(self, session_id: str, *, expires: int) -> None:
        if self.away:
            raise StoreUnavailable("the directory is away")
        self.written.append(session_id)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_directory_a_logout_ends_the_session_in_this_process(clock: Clock) -> None:
    revocations = Revocations(None, sync=5, clock=clock)
    assert not revocations.ended("s", "u")
    revocations.revoke("s", expires=LATER)
    assert revocations.ended("s", "u")
    assert not revocations.ended("t", "u")


def test_an_expired_revocation_is_forgotten_and_an_unexpired_one_never(clock: Clock) -> None:
    revocations = Revocations(None, sync=5, clock=clock)
    revocations.revoke("kept", expires=LATER + 3600)
    for number in range(100):
        revocations.revoke(f"old{number}", expires=1)
    assert revocations.ended("old5", "u")
    clock.now += KEPT_LONGER + 1
    revocations.revoke("new", expires=LATER)
    assert revocations.ended("kept", "u")
    assert not revocations.ended("old5", "u")


def test_a_logout_elsewhere_is_seen_within_the_sync_time(clock: Clock) -> None:
    source = Source(snapshots=[Snapshot(), Snapshot(revoked=((7, "s", LATER),))])
    revocations = Revocations(source, sync=5, clock=clock)
    assert not revocations.ended("s", "u")
    clock.now += 4.9
    assert not revocations.ended("s", "u")
    clock.now += 0.1
    assert revocations.ended("s", "u")
    clock.now += 5
    revocations.ended("s", "u")
    assert source.asked == [0, 0, 7]


@pytest.mark.row("3k.8")
def test_a_disabled_user_is_out_and_an_enabled_one_back(clock: Clock) -> None:
    source = Source(snapshots=[Snapshot(disabled_ids=frozenset({"u"})), Snapshot()])
    revocations = Revocations(source, sync=5, clock=clock)
    assert revocations.ended("s", "u")
    clock.now += 5
    assert not revocations.ended("s", "u")


def test_our_own_logout_counts_at_once_and_is_written_down(clock: Clock) -> None:
    source = Source()
    revocations = Revocations(source, sync=5, clock=clock)
    revocations.revoke("s", expires=LATER)
    assert revocations.ended("s", "u")
    assert source.written == ["s"]


def test_a_logout_that_cannot_be_told_to_others_still_counts_here(clock: Clock) -> None:
    source = Source()
    revocations = Revocations(source, sync=5, clock=clock)
    revocations.ended("x", "u")
    source.away = True
    with pytest.raises(StoreUnavailable):
        revocations.revoke("s", expires=LATER)
    assert revocations.ended("s", "u")


def test_with_no_list_at_all_every_request_is_refused(clock: Clock) -> None:
    revocations = Revocations(Source(away=True), sync=5, clock=clock)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            revocations.ended("s", "u")


def test_a_list_up_to_a_minute_old_serves_then_requests_are_refused_and_recover(clock: Clock) -> None:
    source = Source()
    revocations = Revocations(source, sync=5, clock=clock)
    revocations.ended("s", "u")
    source.away = True
    clock.now += GRACE - 1
    assert not revocations.ended("s", "u")
    clock.now += 1
    with pytest.raises(StoreUnavailable):
        revocations.ended("s", "u")
    source.away = False
    clock.now += RETRY
    assert not revocations.ended("s", "u")


def test_while_one_request_reads_the_list_the_others_do_not_wait(clock: Clock) -> None:
    class Slow(Source):
        entered = threading.Event()
        leave = threading.Event()

        def snapshot(self, since: int) -> Snapshot:
            if self.asked:
                self.entered.set()
                self.leave.wait(10)
            return super().snapshot(since)

    source = Slow()
    revocations = Revocations(source, sync=5, clock=clock)
    revocations.ended("s", "u")
    clock.now += 5
    reader = threading.Thread(target=revocations.ended, args=("s", "u"))
    reader.start()
    assert source.entered.wait(10)
    assert not revocations.ended("s", "u")
    source.leave.set()
    reader.join(10)
    assert len(source.asked) == 2
