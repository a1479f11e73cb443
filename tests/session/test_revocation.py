"""The list of ended sessions: shared through the directory, read from memory, closed when it cannot be known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cut_offs import CutOffs
from oauth2_mw.session.revocation import GRACE, RETRY, Revocations, session_name, user_name
from oauth2_mw.session.stores.record import EXPIRY_GRACE
from oauth2_mw.sql.revocations import Revocation
from tests.support.clock import Clock

LATER = int(time.time()) + 3600


def line(row: int, name: str, moment: int = 0, expires: int = LATER) -> Revocation:
    return Revocation(row, name, moment, expires)


@dataclass
class Shared:
    """A directory that can go away."""

    away: bool = False
    answers: list[tuple[Revocation, ...]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    #: how often it was called, also when it was away
    calls: int = 0
    written: list[tuple[str, int]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    disabled: frozenset[str] = frozenset()

    def delete(self, key: str) -> bool:
        self.deleted.append(key)
        return True

    def revocations(self, since: int) -> tuple[Revocation, ...]:
        self.calls += 1
        if self.away:
            raise StoreUnavailableError("the directory is away")
        self.asked.append(since)
        return self.answers.pop(0) if self.answers else ()

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        if self.away:
            raise StoreUnavailableError("the directory is away")
        self.written.append((name, moment))

    def disabled_ids(self) -> frozenset[str]:
        return self.disabled


def make(shared: Shared, clock: Clock) -> Revocations:
    return Revocations(shared=shared, disabled=shared.disabled_ids, sync=5, clocks=Clocks(monotonic=clock))


def test_without_a_directory_a_logout_ends_the_session_in_this_process(clock: Clock) -> None:
    revocations = Revocations(sync=5, clocks=Clocks(monotonic=clock))
    assert not revocations.ended("s", "u", 0)
    revocations.revoke("s", expires=LATER)
    assert revocations.ended("s", "u", 0)
    assert not revocations.ended("t", "u", 0)


def test_an_expired_revocation_is_forgotten_and_an_unexpired_one_never(clock: Clock) -> None:
    revocations = Revocations(sync=5, clocks=Clocks(monotonic=clock))
    revocations.revoke("kept", expires=LATER + 3600)
    for number in range(100):
        revocations.revoke(f"old{number}", expires=1)
    assert revocations.ended("old5", "u", 0)
    clock.now += EXPIRY_GRACE + 1
    revocations.revoke("new", expires=LATER)
    assert revocations.ended("kept", "u", 0)
    assert not revocations.ended("old5", "u", 0)


def test_a_logout_elsewhere_is_seen_within_the_sync_time(clock: Clock) -> None:
    source = Shared(answers=[(), (line(7, session_name("s")),)])
    revocations = make(source, clock)
    assert not revocations.ended("s", "u", 0)
    clock.now += 4.9
    assert not revocations.ended("s", "u", 0)
    clock.now += 0.1
    assert revocations.ended("s", "u", 0)
    clock.now += 5
    revocations.ended("s", "u", 0)
    assert source.asked == [0, 0, 7]


@pytest.mark.requirement("3k.8")
def test_a_disabled_user_is_out_and_an_enabled_one_back(clock: Clock) -> None:
    source = Shared(disabled=frozenset({"u"}))
    revocations = make(source, clock)
    assert revocations.ended("s", "u", 0)
    source.disabled = frozenset()
    clock.now += 5
    assert not revocations.ended("s", "u", 0)


def test_our_own_logout_counts_at_once_and_is_written_down(clock: Clock) -> None:
    source = Shared()
    revocations = make(source, clock)
    revocations.revoke("s", expires=LATER)
    assert revocations.ended("s", "u", 0)
    assert source.written == [(session_name("s"), 0)]


def test_a_logout_that_cannot_be_told_to_others_still_counts_here(clock: Clock) -> None:
    source = Shared()
    revocations = make(source, clock)
    revocations.ended("x", "u", 0)
    source.away = True
    with pytest.raises(StoreUnavailableError):
        revocations.revoke("s", expires=LATER)
    assert revocations.ended("s", "u", 0)


def test_with_no_list_at_all_every_request_is_refused(clock: Clock) -> None:
    revocations = make(Shared(away=True), clock)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            revocations.ended("s", "u", 0)


def test_a_list_up_to_a_minute_old_serves_then_requests_are_refused_and_recover(clock: Clock) -> None:
    source = Shared()
    revocations = make(source, clock)
    revocations.ended("s", "u", 0)
    source.away = True
    clock.now += GRACE - 1
    assert not revocations.ended("s", "u", 0)
    clock.now += 1
    with pytest.raises(StoreUnavailableError):
        revocations.ended("s", "u", 0)
    source.away = False
    clock.now += RETRY
    assert not revocations.ended("s", "u", 0)


def test_while_one_request_reads_the_list_the_others_do_not_wait(clock: Clock) -> None:
    class Slow(Shared):
        entered = threading.Event()
        leave = threading.Event()

        def revocations(self, since: int) -> tuple[Revocation, ...]:
            if self.asked:
                self.entered.set()
                self.leave.wait(10)
            return super().revocations(since)

    source = Slow()
    revocations = make(source, clock)
    revocations.ended("s", "u", 0)
    clock.now += 5
    reader = threading.Thread(target=revocations.ended, args=("s", "u", 0))
    reader.start()
    assert source.entered.wait(10)
    assert not revocations.ended("s", "u", 0)
    source.leave.set()
    reader.join(10)
    assert len(source.asked) == 2


def test_a_user_is_cut_off_up_to_a_moment(clock: Clock) -> None:
    shared = Shared()
    revocations = make(shared, clock)
    revocations.revoke_user("u", moment=100, expires=LATER)
    assert revocations.ended("s", "u", 99)
    assert revocations.ended("s", "u", 100)
    assert not revocations.ended("s", "u", 101)
    assert not revocations.ended("s", "v", 99)
    assert shared.written == [(user_name("u"), 100)]


def test_of_several_moments_the_latest_counts_wherever_it_comes_from(clock: Clock) -> None:
    shared = Shared(answers=[(line(1, user_name("u"), 200), line(2, user_name("u"), 150))])
    revocations = make(shared, clock)
    revocations.revoke_user("u", moment=100, expires=LATER)
    assert revocations.ended("s", "u", 200)
    assert not revocations.ended("s", "u", 201)


def test_a_cut_off_is_forgotten_with_the_last_session_that_it_ended(clock: Clock) -> None:
    revocations = Revocations(sync=5, clocks=Clocks(monotonic=clock))
    revocations.revoke_user("u", moment=100, expires=1)
    clock.now += EXPIRY_GRACE + 1
    revocations.revoke_user("v", moment=100, expires=LATER)
    assert not revocations.ended("s", "u", 100)
    assert revocations.ended("s", "v", 100)


def test_a_cut_off_that_another_thread_forgets_meanwhile_is_no_error(clock: Clock) -> None:
    class Name(str):
        """A user's id; whenever it was looked up, another thread clears up before it is looked up once more."""

        looked_up = 0

        def __hash__(self) -> int:
            # The first time among the disabled users.
            self.looked_up += 1
            if self.looked_up > 2:
                revocations._revoked_before.clear()
            return str.__hash__(self)

        __eq__ = str.__eq__

    revocations = Revocations(sync=5, clocks=Clocks(monotonic=clock))
    revocations.revoke_user("u", moment=100, expires=1)
    assert revocations.ended("s", Name("u"), 100)


def test_a_line_of_another_kind_is_left_aside(clock: Clock) -> None:
    shared = Shared(answers=[(line(1, "sid:x", 200), line(2, session_name("s")))])
    assert make(shared, clock).ended("s", "u", 1)


class Overtaken(Clock):
    """While one request reads the time, another one goes first."""

    reading = 0
    other: Callable[[], object] | None = None

    def __call__(self) -> float:
        self.reading -= 1
        if self.reading == 0 and self.other is not None:
            self.other()
        return self.now


@pytest.mark.parametrize("away", ["away", ""])
@pytest.mark.parametrize("reading", range(1, 7))
def test_of_two_requests_that_find_the_list_old_one_asks_for_it(reading: int, away: str) -> None:
    class Counting(Shared):
        tries = 0

        def revocations(self, since: int) -> tuple[Revocation, ...]:
            self.tries += 1
            return super().revocations(since)

    source, clock = Counting(answers=[(line(1, session_name("s")),)]), Overtaken()
    revocations = make(source, clock)
    assert revocations.ended("s", "u", 0)
    clock.now += 5
    source.away, source.tries = bool(away), 0
    others: list[bool] = []
    clock.reading, clock.other = reading, lambda: others.append(revocations.ended("s", "u", 0))
    assert revocations.ended("s", "u", 0)
    assert others in ([True], [])
    assert source.tries == 1


# At this moment


def test_at_this_moment_means_a_list_that_is_read_now(clock: Clock) -> None:
    shared = Shared(answers=[(), (line(1, session_name("s")),)])
    revocations = make(shared, clock)
    assert not revocations.ended("s", "u", 0)
    assert not revocations.ended("s", "u", 0)
    assert revocations.ended_by_now("s", "u", 0)
    assert shared.asked == [0, 0]
    # The next request goes by what was just read.
    clock.now += 4
    assert revocations.ended("s", "u", 0)
    assert shared.asked == [0, 0]


def test_each_source_alone_is_read(clock: Clock) -> None:
    shared = Shared(answers=[(), (line(1, session_name("s")),)], disabled=frozenset({"v"}))
    listed = Revocations(shared=shared, sync=5, clocks=Clocks(monotonic=clock))
    assert not listed.ended("s", "u", 0)
    assert listed.ended_by_now("s", "u", 0)
    disabled = Revocations(disabled=shared.disabled_ids, sync=5, clocks=Clocks(monotonic=clock))
    assert disabled.ended("s", "v", 0)
    shared.disabled = frozenset({"w"})
    assert not disabled.ended("s", "w", 0)
    assert disabled.ended_by_now("s", "w", 0)


def test_a_worker_that_was_just_started_reads_the_list_first() -> None:
    now = Clock(0.0)
    assert make(Shared(disabled=frozenset({"u"})), now).ended("s", "u", 0)
    listed = Revocations(
        shared=Shared(answers=[(line(1, session_name("s")),)]), sync=5, clocks=Clocks(monotonic=now)
    )
    assert listed.ended("s", "u", 0)


def test_without_a_list_this_workers_own_is_the_list_of_this_moment(clock: Clock) -> None:
    revocations = Revocations(sync=5, clocks=Clocks(monotonic=clock))
    assert not revocations.ended_by_now("s", "u", 0)
    revocations.revoke("s", expires=LATER)
    assert revocations.ended_by_now("s", "u", 0)


def test_what_cannot_be_read_at_this_moment_is_asked_for_once_a_second(clock: Clock) -> None:
    shared = Shared(away=True)
    revocations = make(shared, clock)
    with pytest.raises(StoreUnavailableError, match="the directory is away"):
        revocations.ended_by_now("s", "u", 0)
    shared.away = False
    clock.now += RETRY - 0.5
    with pytest.raises(StoreUnavailableError) as again:
        revocations.ended_by_now("s", "u", 0)
    assert again.value.detail == "the directory is away"
    assert shared.asked == []
    clock.now += 0.5
    assert not revocations.ended_by_now("s", "u", 0)
    assert shared.asked == [0]


def test_a_copy_serves_for_a_minute_and_its_list_is_asked_for_once_a_second(clock: Clock) -> None:
    shared = Shared()
    revocations = make(shared, clock)
    assert not revocations.ended("s", "u", 0)
    begin, shared.away = clock.now, True
    tries = []
    for step in range(4 * 60):
        clock.now, before = begin + step / 4, shared.calls
        assert not revocations.ended("s", "u", 0)
        if shared.calls > before:
            tries.append(clock.now - begin)
    assert tries == [*range(5, 60)]
    clock.now = begin + 60
    assert GRACE == 60
    with pytest.raises(StoreUnavailableError):
        revocations.ended("s", "u", 0)


def test_the_list_is_cleared_of_what_has_expired_whenever_it_is_read(clock: Clock) -> None:
    wall = Clock(float(LATER))
    shared = Shared(
        answers=[(line(1, session_name("s"), expires=LATER), line(2, user_name("u"), 7, expires=LATER))]
    )
    revocations = Revocations(shared=shared, sync=5, clocks=Clocks(wall, clock))
    assert revocations.ended("s", "-", 0)
    clock.now += EXPIRY_GRACE
    assert revocations.ended("s", "-", 0)
    assert revocations.ended("-", "u", 7)
    clock.now += 5
    assert not revocations.ended("s", "-", 0)
    assert not revocations.ended("-", "u", 7)


def test_what_has_expired_before_it_was_told_is_remembered_for_the_hour(clock: Clock) -> None:
    revocations = Revocations(sync=5, clocks=Clocks(Clock(float(LATER)), clock))
    revocations.revoke("s", expires=LATER - 7)
    clock.now += EXPIRY_GRACE
    revocations.revoke("other", expires=LATER)
    assert revocations.is_listed("s", "u", 0)
    clock.now += 0.5
    revocations.revoke("other", expires=LATER)
    assert not revocations.is_listed("s", "u", 0)


# The moments up to which all sessions have ended


class Moments:
    """A store that knows of cut-offs, and is asked for nothing else."""

    def __init__(self, **known: int) -> None:
        self.known = {f"begun:{name}": moment for name, moment in known.items()}
        self.asked = 0

    def moments(self, names: Collection[str]) -> dict[str, int]:
        self.asked += 1
        return {name: moment for name, moment in self.known.items() if name in names}


@pytest.mark.requirement("R-cut-off")
def test_cut_offs_are_asked_for_where_nothing_else_is_shared(clock: Clock) -> None:
    store: Any = Moments(corp=7)
    cut_offs = CutOffs(store, ["corp"])
    revocations = Revocations(cut_offs=cut_offs, sync=5, clocks=Clocks(monotonic=clock))
    assert not revocations.ended("s", "u", 0)
    assert (cut_offs.covers(7, "corp"), cut_offs.covers(8, "corp"), cut_offs.covers(7, "bank")) == (
        True,
        False,
        False,
    )
    store.known = {"begun:*": 9}
    clock.now += 4
    revocations.ended("s", "u", 0)
    assert (store.asked, cut_offs.covers(9, "bank")) == (1, False)
    clock.now += 1
    revocations.ended("s", "u", 0)
    assert (store.asked, cut_offs.covers(9, "bank"), cut_offs.covers(10, "bank")) == (2, True, False)


@pytest.mark.requirement("R-cut-off")
def test_cut_offs_in_the_shared_list_are_learnt_from_it(clock: Clock) -> None:
    store: Any = Moments(corp=7)
    cut_offs = CutOffs(store, ["corp"])
    shared = Shared(answers=[(line(1, "begun:corp", 8), line(2, "begun:gone", 9), line(3, "sid:x", 9))])
    revocations = Revocations(shared=shared, cut_offs=cut_offs, sync=5, clocks=Clocks(monotonic=clock))
    assert not revocations.ended("s", "u", 0)
    assert (store.asked, dict(cut_offs.moments)) == (0, {"corp": 8})


def test_a_cut_off_is_never_forgotten_and_never_goes_back() -> None:
    store: Any = Moments(corp=7)
    cut_offs = CutOffs(store, ["corp"])
    cut_offs.read()
    for known in ({}, {"begun:corp": 5}):
        store.known = known
        cut_offs.read()
        assert cut_offs.covers(7, "corp")
        assert not cut_offs.covers(8, "corp")


def test_where_nothing_is_shared_a_cut_off_is_this_worker_s_own(clock: Clock) -> None:
    cut_offs = CutOffs(None, ["corp"], clocks=Clocks(wall=clock))
    cut_offs.read()
    moment = cut_offs.end("corp")
    assert (cut_offs.covers(moment, "corp"), cut_offs.covers(moment, "bank")) == (True, False)
