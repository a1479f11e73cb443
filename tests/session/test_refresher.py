"""Who refreshes a session and who waits, step by step: the provider is a stand-in, and time passes as a test says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import (
    ProviderError,
    ProviderUnavailableError,
    RefreshUnderWayError,
    StoreTakesNoWritesError,
    StoreUnavailableError,
)
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import Identity, user_key
from oauth2_mw.provider.client import RefreshResult, Tokens
from oauth2_mw.provider.http.waiting import SLICE, meanwhile
from oauth2_mw.session import refresh as module
from oauth2_mw.session import turns
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.lease import LEASE, MAX_WATCHED, SILENCE
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import Session
from oauth2_mw.session.refresh import (
    GRACE,
    MAX_RESULTS,
    POLL,
    UNWRITTEN_LIFETIME,
    WAIT_ELSEWHERE,
    WRITE_TIMEOUT,
    Refresher,
)
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.session.token_refresh import TokenRefresher
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.clock import Clock
from tests.support.settings.minimal import make_settings
from tests.support.stores.watched_store import WatchedStore

ISSUER = "https://id.example"
JANE = Identity(user_key(ISSUER, "42"), "default", ISSUER, "42", "jane")
FIRST = "refresh-1"
MODES = ("cookie", "cookie and directory", "store")


@pytest.fixture(autouse=True)
def due_at_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session is due a minute before the end of its access token, and none earlier."""
    monkeypatch.setattr("oauth2_mw.session.model.crc32", lambda _: 0)


class Provider:
    """Counts, and gives numbered tokens that last an hour; ``during`` happens while it is asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.revoked: list[str] = []
        self.error: Exception | None = None
        self.during: Callable[[], object] = lambda: None

    def refresh(self, token: str, **_: Any) -> RefreshResult:
        self.asked.append(token)
        self.during()
        if self.error is not None:
            raise self.error
        number = len(self.asked) + 1
        return RefreshResult(
            Tokens(None, f"refresh-{number}", f"access-{number}", int(self.clock()) + 3600), None, frozenset()
        )

    def revoke(self, token: str, *, kind: str) -> bool:
        self.revoked.append(token)
        return True


class Worker:
    """A worker of an application, with a session whose access token lasts an hour."""

    def __init__(self, folder: Path, clock: Clock, provider: Provider, mode: str, **keys: Any) -> None:
        url = f"sqlite:///{folder}/site.db"
        where = {"cookie": {}, "cookie and directory": {"directory": url}, "store": {"session": url}}[mode]
        self.settings = make_settings(
            **{
                "issuer": ISSUER,
                "keep_tokens": "access refresh",
                "session_idle": "8h",
                **where,
                **keys,
            }
        )
        self.store = None
        if mode != "cookie":
            database = Database(Secret.literal(url))
            self.store = WatchedStore(SqlStore(database, app="https://app.example", clock=clock))
        self.sessions = SessionManager(self.settings, store=self.store, clocks=Clocks(clock, clock))
        clients: Any = lambda _: provider  # noqa: E731
        self.tokens = TokenRefresher(
            self.settings.providers, self.sessions, clients, Admission(self.settings, None)
        )
        self.refresher = Refresher(self.sessions, self.tokens)
        self.clock, self.provider = clock, provider

    def sign_in(self, token: str = FIRST, *, access: str | None = "access-1") -> str:
        lines = self.sessions.create(
            self.settings.providers["default"],
            JANE,
            {"access_token": access, "refresh_token": token},
            self.sessions.cookies.read(""),
            expires_at=int(self.clock()) + 3600,
        )
        return "; ".join(line.partition(";")[0] for line in lines)

    def current(self, cookie: str) -> RequestSession:
        current = self.sessions.resolve(cookie)
        assert current is not None
        return current

    def refresh(self, cookie: str) -> RequestSession:
        return self.refresher.refresh(self.current(cookie))

    def token(self, cookie: str) -> str | None:
        """The access token of a request with that cookie, once it was refreshed."""
        session = self.refresh(cookie).session
        return None if session is None else session.tokens["access_token"]

    def session(self, cookie: str) -> Session:
        session = self.current(cookie).session
        assert session is not None
        return session


@pytest.fixture
def provider(clock: Clock) -> Provider:
    return Provider(clock)


@pytest.fixture
def sleeps(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens while a request waits, sleep by sleep; the time passes by itself."""
    happens: list[Callable[[], object]] = []

    def sleep(seconds: float) -> None:
        assert seconds == POLL
        clock.now += seconds
        if happens:
            happens.pop(0)()

    monkeypatch.setattr("oauth2_mw.session.refresh.time.sleep", sleep)
    return happens


@pytest.fixture(params=MODES)
def worker(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, provider: Provider) -> Worker:
    return Worker(tmp_path, clock, provider, request.param)


@pytest.fixture
def in_cookie(tmp_path: Path, clock: Clock, provider: Provider) -> Worker:
    return Worker(tmp_path, clock, provider, "cookie")


@pytest.fixture
def beside_directory(tmp_path: Path, clock: Clock, provider: Provider) -> Worker:
    return Worker(tmp_path, clock, provider, "cookie and directory")


@pytest.fixture
def in_store(tmp_path: Path, clock: Clock, provider: Provider) -> Worker:
    return Worker(tmp_path, clock, provider, "store")


# Everywhere


def test_tokens_are_refreshed_when_they_are_due_and_not_before(
    worker: Worker, clock: Clock, provider: Provider
) -> None:
    cookie = worker.sign_in()
    clock.now += 3539
    assert worker.token(cookie) == "access-1"
    assert provider.asked == []
    clock.now += 1
    assert worker.token(cookie) == "access-2"
    assert provider.asked == ["refresh-1"]
    # Whoever still has the cookie of before gets the same.
    assert worker.token(cookie) == "access-2"
    assert provider.asked == ["refresh-1"]
    assert provider.revoked == []


def test_a_request_whose_session_another_has_refreshed_meanwhile_asks_nobody(
    in_store: Worker, clock: Clock, provider: Provider
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    before = in_store.current(cookie)
    assert in_store.token(cookie) == "access-2"
    late = in_store.refresher.refresh(before).session
    assert late is not None
    assert late.tokens["access_token"] == "access-2"
    assert len(provider.asked) == 1


def test_a_refused_refresh_ends_the_session(
    worker: Worker, clock: Clock, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    cookie = worker.sign_in()
    session = worker.session(cookie)
    clock.now += 3550
    provider.error = ProviderError("no", code="invalid_grant")
    current = worker.current(cookie)
    assert worker.refresher.refresh(current).session is None
    assert worker.sessions.has_ended(session)
    assert "event=session_ended" in caplog.text
    assert worker.current(cookie).session is None
    if worker.sessions.in_cookies:
        # Another request was on its way with it.
        assert worker.refresher.refresh(current).session is None
    assert len(provider.asked) == 1


def test_a_provider_that_is_away_is_asked_again_after_a_while(
    worker: Worker, clock: Clock, provider: Provider
) -> None:
    cookie = worker.sign_in()
    clock.now += 3550
    provider.error = ProviderUnavailableError("away")
    current = worker.refresh(cookie)
    assert current.session is not None
    assert current.session.refresh_schedule is not None
    assert current.session.refresh_schedule.refresh_at == int(clock()) + 30
    assert worker.refresher.refresh(current).session == current.session
    assert len(provider.asked) == 1


def test_a_session_that_was_ended_meanwhile_does_not_come_back(
    worker: Worker, clock: Clock, provider: Provider
) -> None:
    cookie = worker.sign_in()
    session = worker.session(cookie)
    clock.now += 3550
    provider.during = lambda: worker.sessions.end(session)
    assert worker.refresh(cookie).session is None
    assert provider.revoked == ["refresh-2"]
    assert worker.current(cookie).session is None


def test_revoking_is_left_to_the_provider(worker: Worker, provider: Provider) -> None:
    worker.tokens.revoke(worker.session(worker.sign_in()))
    assert provider.revoked == ["refresh-1"]


# Followers in the same worker


@pytest.fixture
def waits(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long the requests of this worker have waited for the one that refreshes, in vain; the time passes."""
    waits: list[float] = []

    def wait(_: threading.Event, seconds: float) -> bool:
        waits.append(seconds)
        clock.now += seconds
        return False

    monkeypatch.setattr(threading.Event, "wait", wait)
    return waits


def begin(worker: Worker, cookie: str) -> str:
    """Somebody else of this worker is refreshing that session."""
    key = module._refresh_key(worker.session(cookie))
    assert worker.refresher._turns.begin(key)
    return key


def test_a_follower_goes_on_while_the_access_token_is_good(
    worker: Worker, clock: Clock, provider: Provider, waits: list[float]
) -> None:
    cookie = worker.sign_in()
    clock.now += 3599
    begin(worker, cookie)
    assert worker.token(cookie) == "access-1"
    assert provider.asked == []
    assert waits == []


@pytest.mark.requirement("R-refresh")
def test_one_follower_waits_the_others_do_so_for_a_moment_and_soon_nobody_does(
    worker: Worker, clock: Clock, provider: Provider, waits: list[float]
) -> None:
    cookie = worker.sign_in()
    clock.now += 3600
    begin(worker, cookie)
    for _ in range(3):
        with pytest.raises(RefreshUnderWayError) as refusal:
            worker.token(cookie)
        assert (refusal.value.status, refusal.value.retry_after) == (503, 2)
    assert waits == [turns.WAIT] == [3]
    # Clients come again, and find that one of them may try once more.
    clock.now += turns.IN_VAIN
    for _ in range(3):
        with pytest.raises(RefreshUnderWayError):
            worker.token(cookie)
    assert waits == [turns.WAIT, turns.MOMENT]
    assert turns.MOMENT < 1
    assert provider.asked == []


def test_without_an_access_token_a_follower_goes_on_in_any_case(
    worker: Worker, clock: Clock, provider: Provider, waits: list[float]
) -> None:
    cookie = worker.sign_in(access=None)
    clock.now += 3600
    begin(worker, cookie)
    assert worker.refresh(cookie).session == worker.session(cookie)
    assert waits == [turns.WAIT]


def test_a_follower_takes_what_the_leader_got_or_leads_itself(
    worker: Worker, clock: Clock, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = worker.sign_in()
    clock.now += 3600
    taken = worker.refresher._turns
    key = begin(worker, cookie)

    def leader_fails(_: threading.Event, _seconds: float) -> bool:
        taken.end(key)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", leader_fails)
        assert worker.token(cookie) == "access-2"
        assert taken._turns == {}
        if worker.sessions.in_cookies:
            # And one that came back with the leader's.
            assert taken.begin(key)
            assert worker.token(cookie) == "access-2"
            assert len(provider.asked) == 1


def test_a_follower_whose_leader_is_done_by_now_does_not_wait(worker: Worker, waits: list[float]) -> None:
    assert worker.refresher._turns.wait("of a moment ago")
    assert waits == []


def test_a_follower_takes_what_the_leader_has_written(
    in_store: Worker, clock: Clock, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3600
    late = in_store.current(cookie)
    key = begin(in_store, cookie)

    def leader_is_done(_: threading.Event, _seconds: float) -> bool:
        monkeypatch.undo()
        in_store.refresher._turns.end(key)
        assert in_store.token(cookie) == "access-2"
        return True

    monkeypatch.setattr(threading.Event, "wait", leader_is_done)
    session = in_store.refresher.refresh(late).session
    assert session is not None
    assert session.tokens["access_token"] == "access-2"
    assert provider.asked == ["refresh-1"]


def test_a_leader_that_fails_makes_room_for_the_next(
    worker: Worker, clock: Clock, provider: Provider
) -> None:
    cookie = worker.sign_in()
    clock.now += 3550
    provider.error = RuntimeError("unforeseen")
    waiting: list[threading.Event] = []
    taken = worker.refresher._turns
    provider.during = lambda: waiting.extend(turn.done for turn in taken._turns.values())
    with pytest.raises(RuntimeError):
        worker.refresh(cookie)
    assert taken._turns == {}
    assert [event.is_set() for event in waiting] == [True]


# Sessions in cookies


def test_a_result_is_kept_for_a_minute(in_cookie: Worker, clock: Clock, provider: Provider) -> None:
    cookie = in_cookie.sign_in()
    clock.now += 3550
    in_cookie.refresh(cookie)
    clock.now += GRACE - 1
    assert in_cookie.token(cookie) == "access-2"
    assert provider.asked == ["refresh-1"]
    clock.now += 1
    assert in_cookie.token(cookie) == "access-3"
    assert provider.asked == ["refresh-1"] * 2
    assert GRACE == 60


def test_new_tokens_need_a_new_cookie(in_cookie: Worker, clock: Clock) -> None:
    cookie = in_cookie.sign_in()
    clock.now += 3550
    current = in_cookie.refresh(cookie)
    assert current.needs_new_cookie
    assert not in_cookie.current(cookie).needs_new_cookie


def test_a_refresh_token_that_another_worker_used_is_not_used_again(
    beside_directory: Worker, tmp_path: Path, clock: Clock, provider: Provider
) -> None:
    """The browser is about to bring the other's cookie; only if it never does, the refresh token is lost."""
    other = Worker(
        tmp_path,
        clock,
        provider,
        "cookie and directory",
        secret_keys=beside_directory.settings.secret_keys.value(),
    )
    cookie = beside_directory.sign_in()
    clock.now += 3550
    assert beside_directory.token(cookie) == "access-2"
    assert other.token(cookie) == "access-1"
    clock.now += GRACE - 1
    assert other.token(cookie) == "access-1"
    # No longer awaited, but the access token has ended less than a minute ago.
    clock.now += 1
    assert other.token(cookie) == "access-1"
    clock.now += 49
    assert other.token(cookie) == "access-1"
    clock.now += 1
    assert other.token(cookie) is None
    assert len(provider.asked) == 1


def test_who_comes_back_after_hours_is_awaited_for_a_minute(
    beside_directory: Worker, tmp_path: Path, clock: Clock, provider: Provider
) -> None:
    keys = beside_directory.settings.secret_keys.value()
    other = Worker(tmp_path, clock, provider, "cookie and directory", secret_keys=keys)
    cookie = beside_directory.sign_in()
    clock.now += 3 * 3600
    assert beside_directory.token(cookie) == "access-2"
    assert other.token(cookie) == "access-1"
    clock.now += GRACE - 1
    assert other.token(cookie) == "access-1"
    clock.now += 1
    assert other.token(cookie) is None


def test_a_refresh_token_that_was_lost_leaves_the_session_where_it_may_stay(
    tmp_path: Path, clock: Clock, provider: Provider
) -> None:
    worker = Worker(tmp_path, clock, provider, "cookie and directory", refresh_failure="keep")
    cookie = worker.sign_in()
    clock.now += 4000
    assert worker.sessions.registry is not None
    session = worker.session(cookie)
    key = module._refresh_key(session)
    assert worker.sessions.registry.consume_once(f"refresh:{key}", expires=session.expires_at)
    worker.token(cookie)
    clock.now += GRACE
    current = worker.refresh(cookie)
    assert current.session is not None
    assert current.session.tokens == {"access_token": "access-1"}
    assert current.session.refresh_schedule is None


def test_the_use_of_a_refresh_token_is_remembered_as_long_as_its_session(
    beside_directory: Worker, clock: Clock
) -> None:
    cookie, kept = beside_directory.sign_in(), []
    clock.now += 3550
    registry = beside_directory.sessions.registry
    assert registry is not None
    consume = registry.consume_once

    def consume_once(name: str, *, expires: int) -> bool:
        kept.append(expires)
        return consume(name, expires=expires)

    registry.consume_once = consume_once  # type: ignore[method-assign]
    session = beside_directory.session(cookie)
    beside_directory.refresh(cookie)
    assert kept == [session.expires_at]


def test_while_that_use_cannot_be_written_down_the_session_goes_on_with_what_it_has(
    beside_directory: Worker, clock: Clock, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = beside_directory.sign_in()
    clock.now += 3550

    def consume_once(_name: str, *, expires: int) -> bool:
        raise StoreTakesNoWritesError(f"the disk is full until {expires}")

    with monkeypatch.context() as full:
        full.setattr(beside_directory.sessions.registry, "consume_once", consume_once)
        assert beside_directory.token(cookie) == "access-1"
        assert provider.asked == []
    assert beside_directory.token(cookie) == "access-2"


def test_two_sessions_with_one_refresh_token_stay_two(
    worker: Worker, clock: Clock, provider: Provider
) -> None:
    one, two = worker.sign_in("same"), worker.sign_in("same")
    clock.now += 3550
    assert worker.token(one) == "access-2"
    assert worker.token(two) == "access-3"
    assert provider.asked == ["same", "same"]


def test_memory_is_bounded(in_cookie: Worker) -> None:
    for number in range(MAX_RESULTS + 10):
        in_cookie.refresher._remember(str(number), None)
        in_cookie.refresher._is_result_awaited(str(number))
    assert len(in_cookie.refresher._recent) == len(in_cookie.refresher._awaited) == MAX_RESULTS == 1000


# Sessions in a store


def read(worker: Worker, cookie: str) -> Any:
    assert worker.sessions.registry is not None
    return worker.sessions.registry.read(worker.session(cookie).id)


def take_lease(worker: Worker, cookie: str, seconds: int) -> None:
    """Another worker says that it refreshes the session."""
    assert worker.store is not None
    session_id, record = worker.session(cookie).id, read(worker, cookie)
    assert worker.store.replace(
        session_id, replace(record, version=record.version + 1, lease=int(worker.clock()) + seconds)
    )


def test_who_refreshes_holds_the_lease_and_gives_it_back(
    in_store: Worker, clock: Clock, provider: Provider
) -> None:
    cookie, leases = in_store.sign_in(), []
    clock.now += 3550
    provider.during = lambda: leases.append(read(in_store, cookie).lease)
    in_store.refresh(cookie)
    assert leases == [int(clock()) + LEASE]
    assert read(in_store, cookie).lease == 0
    assert LEASE == 10


def worker_beside(in_store: Worker, folder: Path) -> Worker:
    keys = in_store.settings.secret_keys.value()
    return Worker(folder, in_store.clock, in_store.provider, "store", secret_keys=keys)


def test_while_another_worker_refreshes_requests_go_on_with_a_token_that_is_good(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    take_lease(in_store, cookie, 60)
    before = clock.now
    assert in_store.token(cookie) == "access-1"
    assert (clock.now, provider.asked) == (before, [])


def test_without_a_good_token_they_wait_for_the_other_workers(
    in_store: Worker, tmp_path: Path, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie, other = in_store.sign_in(), worker_beside(in_store, tmp_path)
    clock.now += 3600
    take_lease(in_store, cookie, 60)

    def other_is_done() -> None:
        session_id, record = in_store.session(cookie).id, read(in_store, cookie)
        assert in_store.store is not None
        in_store.store.replace(session_id, replace(record, version=record.version + 1, lease=0))
        assert other.token(cookie) == "access-2"

    sleeps[:] = [lambda: None, other_is_done]
    before = clock.now
    assert in_store.token(cookie) == "access-2"
    assert clock.now - before == pytest.approx(2 * POLL)
    assert provider.asked == ["refresh-1"]


@pytest.mark.requirement("R-refresh")
def test_they_wait_less_than_a_second_and_the_next_do_not(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3600
    take_lease(in_store, cookie, LEASE)
    before = clock.now
    with pytest.raises(RefreshUnderWayError):
        in_store.token(cookie)
    assert WAIT_ELSEWHERE <= clock.now - before < WAIT_ELSEWHERE + POLL
    assert WAIT_ELSEWHERE + POLL <= 1
    before = clock.now
    with pytest.raises(RefreshUnderWayError):
        in_store.token(cookie)
    assert clock.now == before
    clock.now += turns.IN_VAIN
    with pytest.raises(RefreshUnderWayError):
        in_store.token(cookie)
    assert clock.now > before + turns.IN_VAIN
    assert provider.asked == []


def come_again(worker: Worker, cookie: str, clock: Clock) -> float:
    """Come back each second until there is a new token, and return for how many seconds that took."""
    begin = clock.now
    while True:
        try:
            assert worker.token(cookie) == "access-2"
        except RefreshUnderWayError:
            clock.now += 1
        else:
            return clock.now - begin


@pytest.mark.requirement("R-refresh")
@pytest.mark.parametrize(
    ("lease", "seconds"),
    [
        (LEASE, LEASE),  # its holder is killed at once
        (1, SILENCE),  # and has been silent before anybody watched
        (-3600, SILENCE),  # long ago, or by a clock that is an hour behind
        (3600, LEASE + SILENCE),  # by one that is an hour ahead
    ],
)
def test_a_lease_that_its_holder_leaves_behind_is_taken_over(
    in_store: Worker,
    clock: Clock,
    provider: Provider,
    sleeps: list[Callable[[], object]],
    lease: int,
    seconds: int,
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3600
    take_lease(in_store, cookie, lease)
    assert come_again(in_store, cookie, clock) == pytest.approx(seconds, abs=2)
    assert provider.asked == ["refresh-1"]


@pytest.mark.requirement("R-refresh")
@pytest.mark.parametrize("ahead", [-3600, 0, 3600])
def test_a_lease_that_is_renewed_is_left_to_its_holder_whatever_the_clocks_say(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]], ahead: int
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3600
    for _ in range(20):
        take_lease(in_store, cookie, ahead + LEASE)
        with pytest.raises(RefreshUnderWayError):
            in_store.token(cookie)
        clock.now += SLICE
    assert provider.asked == []


def test_leases_that_are_watched_are_bounded(in_store: Worker, clock: Clock) -> None:
    current = in_store.current(in_store.sign_in())
    leases = in_store.refresher._leases
    assert current.session is not None
    for number in range(MAX_WATCHED + 10):
        session = replace(current.session, id=str(number))
        assert leases.is_held(replace(current, lease_expires=int(clock()) + LEASE), session)
    assert len(leases._watched) == MAX_WATCHED == 1000


def silent(
    clock: Clock, seconds: float, *, happens: Callable[[], object] = lambda: None
) -> Callable[[], None]:
    """A provider that is silent for that long; each slice, its caller does what it has to do meanwhile."""

    def during() -> None:
        end = clock.now + seconds
        while clock.now < end:
            clock.now += SLICE
            happens()
            keep = meanwhile()
            assert keep is not None
            keep()

    return during


@pytest.mark.requirement("R-refresh")
def test_the_holder_renews_its_lease_while_the_provider_is_silent(
    in_store: Worker, tmp_path: Path, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie, other = in_store.sign_in(), worker_beside(in_store, tmp_path)
    clock.now += 3600
    left: list[int] = []

    def somebody_comes() -> None:
        left.append(read(in_store, cookie).lease - int(clock()))
        before = clock.now
        with pytest.raises(RefreshUnderWayError):
            other.token(cookie)
        clock.now = before

    provider.during = silent(clock, 120, happens=somebody_comes)
    assert in_store.token(cookie) == "access-2"
    assert min(left) == LEASE - SLICE
    assert read(in_store, cookie).lease == 0
    assert other.token(cookie) == "access-2"
    assert provider.asked == ["refresh-1"]


def test_a_store_that_is_away_for_a_moment_costs_no_lease(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    store = in_store.store
    assert store is not None
    begin = clock.now + 1

    def comes_and_goes() -> None:
        store.away = 2 * SLICE < clock.now - begin < 4 * SLICE

    provider.during = silent(clock, 30, happens=comes_and_goes)
    assert in_store.token(cookie) == "access-2"
    assert provider.asked == ["refresh-1"]


@pytest.mark.requirement("R-refresh")
def test_a_lease_that_cannot_be_renewed_is_given_up_before_it_ends(
    in_store: Worker,
    clock: Clock,
    provider: Provider,
    sleeps: list[Callable[[], object]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    cookie = in_store.sign_in()
    clock.now += 3550
    begin, current, store = clock.now, in_store.current(cookie), in_store.store
    assert store is not None

    def leaves() -> None:
        store.away = True

    provider.during = silent(clock, 120, happens=leaves)
    with pytest.raises(StoreUnavailableError):
        in_store.refresher.refresh(current)
    assert clock.now - begin == 3 * SLICE < LEASE
    assert "event=refresh_postponed code=refresh_unanswered" in caplog.text
    assert "the store is away" in caplog.text
    # Nothing is kept that could be written in the place of what another worker gets.
    store.away, provider.during = False, lambda: None
    clock.now += LEASE
    assert in_store.token(cookie) == "access-1"
    clock.now += SILENCE
    assert in_store.token(cookie) == "access-3"
    assert len(provider.asked) == 2


def test_a_lease_that_another_has_taken_is_given_up(
    in_store: Worker, tmp_path: Path, clock: Clock, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    cookie = in_store.sign_in()
    clock.now += 3550
    provider.during = silent(clock, 120, happens=lambda: take_lease(in_store, cookie, LEASE))
    begin = clock.now
    assert in_store.token(cookie) == "access-1"
    assert clock.now - begin == SLICE
    assert "another worker has taken it over" in caplog.text


def test_what_comes_for_a_session_that_was_ended_meanwhile_is_waited_for_and_revoked(
    in_store: Worker, clock: Clock, provider: Provider
) -> None:
    cookie = in_store.sign_in()
    session = in_store.session(cookie)
    clock.now += 3550
    provider.during = silent(clock, 30, happens=lambda: in_store.sessions.end(session))
    assert in_store.refresh(cookie).session is None
    assert provider.revoked == ["refresh-2"]


def test_a_worker_whose_copy_is_out_of_date_looks_again_before_it_leads(
    in_store: Worker, tmp_path: Path, clock: Clock, provider: Provider
) -> None:
    cookie, other = in_store.sign_in(), worker_beside(in_store, tmp_path)
    clock.now += 3550
    before = in_store.current(cookie)
    assert other.token(cookie) == "access-2"
    session = in_store.refresher.refresh(before).session
    assert session is not None
    assert session.tokens["access_token"] == "access-2"
    assert provider.asked == ["refresh-1"]


def test_a_result_that_comes_after_its_lease_is_thrown_away(
    in_store: Worker, tmp_path: Path, clock: Clock, provider: Provider
) -> None:
    cookie, other = in_store.sign_in(), worker_beside(in_store, tmp_path)
    clock.now += 3550

    def another() -> None:
        provider.during = lambda: None
        assert other.token(cookie) == "access-1"
        clock.now += LEASE
        assert other.token(cookie) == "access-3"

    provider.during = another
    assert in_store.token(cookie) == "access-3"
    assert provider.revoked == []


def away_while_writing(worker: Worker) -> None:
    """The store goes away while the provider is asked."""

    def refuse() -> None:
        raise StoreUnavailableError("away")

    def leave() -> None:
        assert worker.store is not None
        worker.store.before["replace"] = refuse

    worker.provider.during = leave


def test_new_tokens_that_cannot_be_written_are_tried_again(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    away_while_writing(in_store)
    assert in_store.store is not None
    sleeps[:] = [lambda: None, in_store.store.before.clear]
    begin = clock.now
    assert in_store.token(cookie) == "access-2"
    assert clock.now - begin == pytest.approx(2 * POLL)


@pytest.mark.parametrize(
    ("later", "written"), [(UNWRITTEN_LIFETIME - 11, True), (UNWRITTEN_LIFETIME + 11, False)]
)
def test_and_kept_for_the_next_request_when_the_store_stays_away(
    in_store: Worker,
    clock: Clock,
    provider: Provider,
    sleeps: list[Callable[[], object]],
    later: int,
    *,
    written: bool,
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    away_while_writing(in_store)
    begin, current = clock.now, in_store.current(cookie)
    with pytest.raises(StoreUnavailableError):
        in_store.refresher.refresh(current)
    assert WRITE_TIMEOUT <= clock.now - begin < WRITE_TIMEOUT + 2 * POLL
    assert (WRITE_TIMEOUT, UNWRITTEN_LIFETIME) == (10, 3600)
    assert in_store.store is not None
    in_store.store.before.clear()
    provider.during = lambda: None
    clock.now = begin + later
    if not written:
        # Its lease was left behind, and is watched first.
        assert in_store.refresher._leases.is_held(in_store.current(cookie), in_store.session(cookie))
        clock.now += SILENCE
    session = in_store.refresh(cookie).session
    assert session is not None
    # What was kept may be due itself by now: what counts is which refresh token is used.
    assert provider.asked[1:2] in ([], ["refresh-2"] if written else ["refresh-1"])
    assert (provider.asked[1:2] == ["refresh-1"]) is not written


def test_what_was_kept_is_written_even_while_the_lease_of_this_worker_lasts(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    away_while_writing(in_store)
    with pytest.raises(StoreUnavailableError):
        in_store.refresh(cookie)
    assert in_store.store is not None
    in_store.store.before.clear()
    assert in_store.token(cookie) == "access-2"
    assert read(in_store, cookie).lease == 0
    assert provider.asked == ["refresh-1"]


def test_a_store_that_is_away_before_anything_refuses(
    in_store: Worker, clock: Clock, provider: Provider
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    current = in_store.current(cookie)
    assert in_store.store is not None
    in_store.store.away = True
    with pytest.raises(StoreUnavailableError):
        in_store.refresher.refresh(current)
    assert provider.asked == []
    assert in_store.refresher._turns._turns == {}


def test_a_lease_that_this_worker_knows_of_is_looked_up_again_before_it_waits(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3600
    take_lease(in_store, cookie, 600)
    clock.now += 5
    current = in_store.current(cookie)
    assert current.lease_expires > clock.now
    # Given back in this very moment.
    take_lease(in_store, cookie, -int(clock()))
    before = clock.now
    session = in_store.refresher.refresh(current).session
    assert session is not None
    assert session.tokens["access_token"] == "access-2"
    assert clock.now == before


def test_what_was_kept_is_written_over_the_latest_version(
    in_store: Worker, clock: Clock, provider: Provider, sleeps: list[Callable[[], object]]
) -> None:
    cookie = in_store.sign_in()
    clock.now += 3550
    away_while_writing(in_store)
    with pytest.raises(StoreUnavailableError):
        in_store.refresh(cookie)
    assert in_store.store is not None
    in_store.store.before.clear()
    current = in_store.current(cookie)
    take_lease(in_store, cookie, 0)
    session = in_store.refresher.refresh(current).session
    assert session is not None
    assert session.tokens["access_token"] == "access-2"
    assert provider.asked == ["refresh-1"]
