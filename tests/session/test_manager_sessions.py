"""Sessions from a ``Cookie`` header and back: what a manager reads, keeps and ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from oauth2_mw.errors import AccessDeniedError, LoginError
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.cookies import MAX_COPIES
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import RefreshSchedule, Session, SessionRef, SignInDetails
from oauth2_mw.session.revocation import user_name
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import KeyEntry, Secret, format_key_line
from oauth2_mw.sql import Database
from tests.support.clock import Clock
from tests.support.settings.keys import raw_key
from tests.support.settings.minimal import make_settings
from tests.support.stores.watched_store import WatchedStore

ISSUER = "https://id.example"
NOW = 1_800_000_000
JANE = Identity("u1", "default", ISSUER, "42", "jane")
TOKENS = {"id_token": "id", "access_token": "access", "refresh_token": "refresh", "other_token": "other"}


class Worker:
    """A worker whose sessions are in cookies, or in a database if there is a folder for one."""

    def __init__(self, clock: Clock, folder: Path | None = None, **keys: Any) -> None:
        url = f"sqlite:///{folder}/sessions.db"
        in_cookies = folder is None or "directory" in keys
        self.settings = make_settings(
            **{
                "issuer": ISSUER,
                "session_lifetime": "1000",
                "session_idle": "80",
                "keep_tokens": "id access refresh",
                **({} if in_cookies else {"session": url}),
                **keys,
            }
        )
        self.store = None
        if folder is not None:
            self.store = WatchedStore(
                SqlStore(Database(Secret.literal(url)), app="https://app.example", clock=clock)
            )
        self.sessions = SessionManager(self.settings, store=self.store, clocks=Clocks(clock, clock))

    def sign_in(self, identity: Identity = JANE, tokens: dict[str, str] | None = None, **more: Any) -> str:
        lines = self.sessions.create(
            self.settings.providers[identity.provider],
            identity,
            TOKENS if tokens is None else tokens,
            self.sessions.cookies.read(""),
            **more,
        )
        return "; ".join(line.partition(";")[0] for line in lines)

    def current(self, cookie: str) -> RequestSession:
        current = self.sessions.resolve(cookie)
        assert current is not None
        return current

    def session(self, cookie: str) -> Session:
        session = self.current(cookie).session
        assert session is not None
        return session


@pytest.fixture(params=["cookie", "store"])
def worker(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Worker:
    return Worker(clock, tmp_path if request.param == "store" else None)


@pytest.fixture
def in_cookies(clock: Clock) -> Worker:
    return Worker(clock)


# Creating


def test_a_session_is_what_was_signed_in(worker: Worker, clock: Clock) -> None:
    clock.now += 0.9
    details = SignInDetails(NOW - 3, "sid-1", "Firefox", "192.0.2.1")
    session = worker.session(worker.sign_in(sign_in=details, expires_at=NOW + 400))
    assert session == Session(
        id=session.id,
        identity=JANE,
        tokens={"id_token": "id", "access_token": "access", "refresh_token": "refresh"},
        created_at=NOW,
        expires_at=NOW + 1000,
        last_used_at=NOW,
        idle_timeout=80,
        refresh_schedule=RefreshSchedule.of(NOW + 400, now=NOW, session_id=session.id),
        sign_in=details,
    )
    assert session.id != worker.session(worker.sign_in()).id


def test_without_details_a_session_is_issued_now(worker: Worker) -> None:
    assert worker.session(worker.sign_in()).sign_in == SignInDetails(NOW)


def test_only_a_refresh_token_that_is_kept_makes_a_refresh_due(clock: Clock) -> None:
    worker = Worker(clock, keep_tokens="access")
    session = worker.session(worker.sign_in(expires_at=NOW + 400))
    assert session.tokens == {"access_token": "access"}
    assert session.refresh_schedule is None


@pytest.mark.parametrize(("keep_tokens", "kept"), [("refresh", ("email", "name")), ("access", ())])
def test_what_userinfo_gave_is_remembered_for_a_refresh_alone(
    clock: Clock, keep_tokens: str, kept: tuple[str, ...]
) -> None:
    worker = Worker(clock, keep_tokens=keep_tokens)
    session = worker.session(worker.sign_in(from_userinfo=frozenset({"name", "email"})))
    assert session.from_userinfo == kept


def test_a_frame_that_came_while_a_session_was_being_created_ends_it(tmp_path: Path, clock: Clock) -> None:
    worker, details = Worker(clock, tmp_path), SignInDetails(NOW, "sid-1")
    registry = worker.sessions.registry
    assert registry is not None
    registry.end_by_frame(ISSUER, "sid-1")
    with pytest.raises(AccessDeniedError) as refusal:
        worker.sign_in(sign_in=details, began_at=clock.now)
    assert refusal.value.code == "signed_out"
    assert list(registry.all()) == []
    assert worker.session(worker.sign_in(sign_in=details, began_at=clock.now + 1)).identity == JANE
    # A session that came of no sign-in was never at the provider.
    assert worker.session(worker.sign_in(sign_in=details)).identity == JANE


def test_where_workers_share_nothing_no_frame_is_looked_for(in_cookies: Worker, clock: Clock) -> None:
    assert in_cookies.session(in_cookies.sign_in(began_at=clock.now)).identity == JANE


def test_tokens_that_did_not_come_or_are_not_to_be_kept_are_not(clock: Clock) -> None:
    select = Worker(clock, keep_tokens="id refresh").sessions.select_tokens
    assert select({"id_token": "i", "access_token": "a", "refresh_token": None}) == {"id_token": "i"}
    assert select({"id_token": "i", "access_token": "", "refresh_token": ""}) == {"id_token": "i"}
    assert Worker(clock, keep_tokens="none").sessions.select_tokens({"id_token": "i"}) == {}


def test_a_session_that_grew_is_cut_down_or_refused(in_cookies: Worker) -> None:
    session = in_cookies.session(in_cookies.sign_in())
    assert in_cookies.sessions.shrink_to_fit(session) == session
    large = replace(session, tokens={"access_token": "a" * 20_000})
    assert in_cookies.sessions.shrink_to_fit(large).tokens == {}
    with pytest.raises(LoginError) as refusal:
        in_cookies.sessions.shrink_to_fit(replace(session, identity=replace(JANE, name="x" * 20_000)))
    assert refusal.value.code == "session_too_big"


def test_claims_that_the_environ_names_are_kept_when_a_session_is_cut_down(clock: Clock) -> None:
    worker = Worker(clock, environ={"HTTP_X_DEPT": "claims.dept"})
    claims = freeze({"dept": "sales", "rest": "x" * 9000})
    session = worker.session(worker.sign_in(replace(JANE, claims=claims)))
    assert dict(session.identity.claims) == {"dept": "sales"}


# Reading


def test_a_header_without_our_cookie_is_nothing_of_ours(worker: Worker) -> None:
    assert worker.sessions.resolve("a=1; b=2") is None
    assert worker.sessions.resolve("") is None
    assert worker.sessions.remaining_cookies("a=1") == "a=1"


def test_the_application_sees_its_own_cookies(worker: Worker) -> None:
    cookie = worker.sign_in()
    name = worker.sessions.cookies.session
    for header, rest in ((cookie, None), (f"a=1; {cookie}; b=2", "a=1; b=2"), (f"{name}=x; a=1", "a=1")):
        assert worker.sessions.remaining_cookies(header) == rest
        assert worker.current(header).remaining_cookies == rest
        assert worker.sessions.remaining_cookies(header) == rest


def test_what_stands_for_no_session_is_invalid(worker: Worker) -> None:
    current = worker.current(f"a=1; {worker.sessions.cookies.session}=rubbish")
    assert (current.session, current.environ, current.invalid) == (None, {}, True)
    # The cookie of an attempt alone is none of a session.
    attempt = worker.current(f"{worker.sessions.cookies.attempt_prefix}a=rubbish")
    assert (attempt.session, attempt.invalid) == (None, False)


def test_what_stands_for_no_session_is_not_remembered(worker: Worker) -> None:
    for number in range(5):
        worker.sessions.resolve(f"a={number}; {worker.sessions.cookies.session}=rubbish")
    assert len(worker.sessions._cache) == 0


@pytest.mark.parametrize(("later", "alive"), [(79, True), (80, False), (1000, False)])
def test_a_session_ends_by_itself(worker: Worker, clock: Clock, later: int, *, alive: bool) -> None:
    cookie = worker.sign_in()
    clock.now += later
    current = worker.current(cookie)
    assert (current.session is not None) is alive
    assert current.invalid is not alive


def test_a_session_ends_by_itself_in_the_cache_too(in_cookies: Worker, clock: Clock) -> None:
    cookie = in_cookies.sign_in()
    in_cookies.session(cookie)
    clock.now += 80
    assert in_cookies.current(cookie).session is None


def test_a_copy_beside_the_session_is_the_same_session_and_anothers_is_nobodys(worker: Worker) -> None:
    name = worker.sessions.cookies.session
    jane, bob = worker.sign_in(), worker.sign_in(Identity("u2", "default", ISSUER, "43", "bob"))
    assert worker.session(f"{jane}; {jane}").identity == JANE
    assert worker.session(f"{name}=rubbish; {jane}").identity == JANE
    assert worker.session(f"{jane}; {name}=rubbish").identity == JANE
    for both in (f"{jane}; {bob}", f"{bob}; {jane}"):
        current = worker.current(both)
        assert (current.session, current.invalid) == (None, True)


def test_no_more_copies_than_that_are_tried(worker: Worker) -> None:
    name, cookie = worker.sessions.cookies.session, worker.sign_in()
    copies = "; ".join(f"{name}=rubbish{number}" for number in range(MAX_COPIES + 1))
    assert worker.current(f"{copies}; {cookie}").session is None


def test_a_session_does_not_outlive_its_provider(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(format_key_line(KeyEntry("k", 1_700_000_000, raw_key(1))) + "\n")
    keys = f"file:{path}"
    cookie = Worker(clock, secret_keys=keys).sign_in()
    assert Worker(clock, secret_keys=keys).session(cookie).identity == JANE
    for changed in ({"issuer": "https://other.example"}, {"enabled": False}):
        current = Worker(clock, secret_keys=keys, **changed).current(cookie)
        assert (current.session, current.invalid) == (None, True)


def test_a_session_that_cannot_be_told_to_the_application_is_ignored(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(clock)
    cookie = worker.sign_in(replace(JANE, username="jane\r\nX-Admin: 1"))
    current = worker.current(cookie)
    assert (current.session, current.environ, current.invalid) == (None, {}, True)
    assert "a session was ignored" in caplog.text


def test_the_environ_is_that_of_the_person(worker: Worker) -> None:
    current = worker.current(worker.sign_in())
    assert current.environ == {
        "REMOTE_USER": "jane",
        "AUTH_TYPE": "OAuth2",
        "oauth2_mw.identity": JANE,
        "oauth2_mw.session": current.session,
    }


def test_use_is_worth_a_new_cookie_after_a_while(in_cookies: Worker) -> None:
    current = in_cookies.current(in_cookies.sign_in())
    assert current.renew_at == NOW + 10
    assert not current.needs_new_cookie


# In a store


def test_a_store_is_asked_again_after_the_sync_time(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(clock, tmp_path)
    cookie = worker.sign_in()
    assert worker.store is not None
    worker.session(cookie)
    worker.store.calls.clear()
    clock.now += 4
    worker.session(cookie)
    assert worker.store.calls == []
    clock.now += 1
    worker.session(cookie)
    assert worker.store.calls == ["read", "moments"]
    worker.session(cookie)
    assert worker.store.calls == ["read", "moments"]
    # What another worker has ended is gone with the next look.
    worker.store._inner.delete(worker.session(cookie).id)
    clock.now += 5
    current = worker.current(cookie)
    assert (current.session, current.invalid) == (None, True)


def test_a_session_that_is_gone_is_so_at_this_moment(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(clock, tmp_path)
    current = worker.current(worker.sign_in())
    assert worker.store is not None
    assert current.session is not None
    worker.store._inner.delete(current.session.id)
    assert worker.sessions.recall(current).session is not None
    gone = worker.sessions.reload(current)
    assert (gone.session, gone.invalid) == (None, True)


def test_what_a_browser_must_be_given_is_not_forgotten_over_a_look_at_the_store(worker: Worker) -> None:
    current = replace(worker.current(worker.sign_in()), needs_new_cookie=True)
    assert worker.sessions.recall(current).needs_new_cookie
    assert worker.sessions.reload(current).needs_new_cookie


def test_a_session_is_replaced_once(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(clock, tmp_path)
    current = worker.current(worker.sign_in())
    assert current.session is not None
    changed = replace(current.session, tokens={"access_token": "new"})
    first = worker.sessions.replace(current, changed, lease=NOW + 60)
    assert first is not None
    assert first.session == changed
    assert first.lease_expires == NOW + 60
    assert worker.sessions.replace(current, changed) is None
    last = worker.sessions.replace(first, changed)
    assert last is not None
    assert last.lease_expires == 0


# Beside a directory


def beside_a_directory(clock: Clock, tmp_path: Path) -> Worker:
    return Worker(clock, tmp_path, directory="sqlite:////nowhere.db")


def test_a_program_that_keeps_its_first_cookie_lives_on_by_the_use_that_is_listed(
    tmp_path: Path, clock: Clock
) -> None:
    worker = beside_a_directory(clock, tmp_path)
    registry, store = worker.sessions.registry, worker.store
    assert registry is not None
    assert store is not None
    cookie = worker.sign_in()
    session = worker.session(cookie)
    assert registry.touch(session.id, seen=NOW + 60, expires=NOW + 1000) is not None
    store.calls.clear()
    clock.now = NOW + 79
    assert worker.session(cookie).last_used_at == NOW
    # No record was read; the moments up to which all have ended are asked for once in revocation_sync.
    assert store.calls == ["moments"]
    store.calls.clear()
    clock.now = NOW + 80
    current = worker.current(cookie)
    assert current.session is not None
    assert (current.session.last_used_at, current.is_due) == (NOW + 60, True)
    # Looked up once.
    assert worker.session(cookie).last_used_at == NOW + 60
    assert store.calls == ["read"]
    clock.now = NOW + 140
    ended = worker.current(cookie)
    assert (ended.session, ended.invalid) == (None, True)


def test_there_is_something_to_do_from_the_moment_on_when_a_cookie_is_to_be_renewed(
    in_cookies: Worker, clock: Clock
) -> None:
    cookie = in_cookies.sign_in()
    for later, is_due in ((9.9, False), (10, True)):
        clock.now = NOW + later
        assert in_cookies.current(cookie).is_due is is_due


# Run out


def run_out(worker: Worker, cookie: str) -> str | None:
    """The id of the session that a header stood for."""
    session = worker.sessions.run_out(worker.sessions.cookies.read(cookie))
    return None if session is None else session.id


@pytest.mark.parametrize(
    ("later", "known"), [(79, False), (80, True), (80 + 3599, True), (80 + 3600, False), (9000, False)]
)
def test_a_session_that_has_run_out_is_known_for_an_hour(
    worker: Worker, clock: Clock, later: int, *, known: bool
) -> None:
    cookie = worker.sign_in()
    session = worker.session(cookie)
    clock.now = NOW + later
    assert run_out(worker, cookie) == (session.id if known else None)


def test_what_stood_for_no_session_or_for_two_has_not_run_out(worker: Worker, clock: Clock) -> None:
    name, cookie = worker.sessions.cookies.session, worker.sign_in()
    other = worker.sign_in(Identity("u2", "default", ISSUER, "43", "bob"))
    session = worker.session(cookie)
    clock.now = NOW + 90
    assert run_out(worker, "a=1") is None
    assert run_out(worker, f"{name}=rubbish") is None
    assert run_out(worker, f"{cookie}; {other}") is None
    assert run_out(worker, f"{cookie}; {cookie}") == session.id
    for copies, known in ((MAX_COPIES - 1, True), (MAX_COPIES, False)):
        rubbish = "; ".join(f"{name}=rubbish{number}" for number in range(copies))
        assert run_out(worker, f"{rubbish}; {cookie}") == (session.id if known else None)


def test_a_session_that_was_ended_before_its_time_has_not_run_out(worker: Worker, clock: Clock) -> None:
    cookie, other = worker.sign_in(), worker.sign_in()
    session = worker.session(other)
    worker.sessions.end(worker.session(cookie))
    clock.now = NOW + 90
    assert run_out(worker, cookie) is None
    assert run_out(worker, other) == session.id


def test_who_was_signed_out_by_another_worker_has_no_session_that_ran_out(
    tmp_path: Path, clock: Clock
) -> None:
    worker = Worker(clock, tmp_path)
    cookie = worker.sign_in()
    session = worker.session(cookie)
    assert worker.store is not None
    worker.store.revoke(user_name("u1"), moment=NOW - 1, expires=NOW + 1000)
    clock.now = NOW + 90
    assert run_out(worker, cookie) == session.id
    worker.store.revoke(user_name("u1"), moment=NOW, expires=NOW + 1000)
    assert run_out(worker, cookie) is None


def test_a_session_whose_provider_is_another_now_has_not_run_out(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(format_key_line(KeyEntry("k", 1_700_000_000, raw_key(1))) + "\n")
    keys = f"file:{path}"
    cookie = Worker(clock, secret_keys=keys).sign_in()
    clock.now = NOW + 90
    assert run_out(Worker(clock, secret_keys=keys), cookie) is not None
    assert run_out(Worker(clock, secret_keys=keys, issuer="https://other.example"), cookie) is None


# Refreshing


@pytest.mark.parametrize(("later", "due"), [(38, False), (39, True)])
def test_a_refresh_is_due_by_its_schedule(worker: Worker, clock: Clock, later: int, *, due: bool) -> None:
    current = worker.current(worker.sign_in(expires_at=NOW + 52))
    clock.now += later
    assert worker.sessions.is_refresh_due(current) is due


def test_without_a_session_or_a_schedule_none_is_due(worker: Worker, clock: Clock) -> None:
    current = worker.current(worker.sign_in(tokens={}))
    assert not worker.sessions.is_refresh_due(current)
    assert not worker.sessions.is_refresh_due(current.without_session())


# Ending


@pytest.mark.parametrize("by_ref", [True, False])
def test_a_session_that_was_ended_stays_ended(worker: Worker, *, by_ref: bool) -> None:
    cookie, other = worker.sign_in(), worker.sign_in()
    session = worker.session(cookie)
    assert not worker.sessions.has_ended(session)
    worker.sessions.end(session.ref if by_ref else session)
    assert worker.sessions.has_ended(session)
    current = worker.current(cookie)
    assert (current.session, current.invalid) == (None, True)
    assert worker.session(other).identity == JANE


def test_where_workers_share_a_list_an_end_is_written_there(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(clock, tmp_path, directory="sqlite:////nowhere.db")
    assert worker.sessions.in_cookies
    session = worker.session(worker.sign_in())
    registry = worker.sessions.registry
    assert registry is not None
    assert registry.find(session.id) is not None
    worker.sessions.end(SessionRef(session.id, session.expires_at))
    assert registry.find(session.id) is None
    assert worker.sessions.has_ended(session)


@pytest.mark.parametrize("in_store", [True, False])
def test_an_end_is_remembered_as_long_as_the_session_could_live(
    tmp_path: Path, clock: Clock, *, in_store: bool
) -> None:
    worker = Worker(clock, tmp_path if in_store else None)
    session = worker.session(worker.sign_in())
    worker.sessions.end(session)
    clock.now = NOW + 1000 + 3600
    worker.sessions.revocations._forget_expired()
    assert worker.sessions.has_ended(session)
    clock.now += 1
    worker.sessions.revocations._forget_expired()
    assert not worker.sessions.has_ended(session)


def test_every_session_of_a_user_ends_for_as_long_as_the_longest_lives(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(
        clock,
        tmp_path,
        directory="sqlite:////nowhere.db",
        **{
            "provider:long": {
                "issuer": "https://long.example",
                "client_id": "long",
                "client_secret": "s",
                "session_lifetime": "5000",
            }
        },
    )
    registry = worker.sessions.registry
    assert registry is not None
    registry.end_user("u1", moment=NOW)
    clock.now = NOW + 5000 + 3600
    worker.sessions.revocations._forget_expired()
    assert worker.sessions.revocations.is_listed("s", "u1", NOW)
    clock.now += 1
    worker.sessions.revocations._forget_expired()
    assert not worker.sessions.revocations.is_listed("s", "u1", NOW)


def test_with_no_provider_at_all_a_manager_can_be_made(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(clock, tmp_path, enabled=False)
    assert worker.sessions.registry is not None
    assert worker.sessions.now() == NOW


# Cut off, and read again


def test_sessions_from_before_a_cut_off_are_over_for_their_provider_or_all(
    worker: Worker, clock: Clock
) -> None:
    cookie = worker.sign_in()
    cut_offs = worker.sessions.cut_offs
    cut_offs.moments = {"other": NOW}
    assert worker.current(cookie).session is not None
    cut_offs.moments = {"default": NOW - 1}
    assert worker.current(cookie).session is not None
    cut_offs.moments = {"default": NOW}
    assert worker.current(cookie).session is None
    clock.now += 1
    assert worker.current(worker.sign_in()).session is not None


def test_what_was_read_again_is_not_read_once_more_for_the_next_request(clock: Clock, tmp_path: Path) -> None:
    worker = Worker(clock, tmp_path)
    cookie = worker.sign_in()
    first = worker.current(cookie)
    clock.now += 6
    again = worker.current(cookie)
    assert again is not first
    assert worker.current(cookie) is again


@pytest.mark.parametrize("metrics", ["none", "prometheus"])
def test_hits_and_misses_are_counted_where_metrics_are_kept(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, metrics: Literal["none", "prometheus"]
) -> None:
    counted: list[tuple[str, ...]] = []
    monkeypatch.setattr("oauth2_mw.session.cookie_cache.count", lambda *names: counted.append(names))
    worker = Worker(clock)
    cookie = worker.sign_in()
    sessions = SessionManager(
        replace(worker.settings, metrics=metrics), store=None, clocks=Clocks(clock, clock)
    )
    for _ in range(2):
        assert sessions.resolve(cookie) is not None
    expected = [] if metrics == "none" else [("opened_cache", "miss"), ("opened_cache", "hit")]
    assert counted == expected


# At hand


def test_a_session_that_was_found_is_at_hand_for_the_next_request(worker: Worker) -> None:
    cookie = worker.sign_in()
    assert worker.sessions.at_hand(cookie) is None
    current = worker.current(cookie)
    assert worker.sessions.at_hand(cookie) is current
    # Somebody else's sessions are over, and this one goes on.
    worker.sessions.cut_offs.moments = {"other": NOW}
    assert worker.sessions.at_hand(cookie) is current
    assert worker.sessions.at_hand("a=b") is None


def test_a_cookie_that_stands_for_nobody_is_never_at_hand(worker: Worker) -> None:
    cookie = worker.sign_in()
    header = f"{cookie[:-4]}AAAA"
    assert worker.current(header).session is None
    assert worker.sessions.at_hand(header) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda sessions, _: setattr(sessions._keyring, "generation", 1),
        lambda sessions, _: setattr(sessions._keyring, "next_look", NOW),
        lambda sessions, _: setattr(sessions.revocations, "next_sync_at", NOW),
        lambda sessions, session: sessions.revocations.revoke(session.id, expires=session.expires_at),
        lambda sessions, _: setattr(sessions.cut_offs, "moments", {"default": NOW}),
    ],
    ids=["keys", "look at the keys", "look at what has ended", "ended", "cut off"],
)
def test_nothing_is_at_hand_once_there_is_something_to_read_or_to_doubt(worker: Worker, change: Any) -> None:
    cookie = worker.sign_in()
    session = worker.session(cookie)
    worker.sessions.revocations.next_sync_at = float("inf")
    assert worker.sessions.at_hand(cookie) is not None
    change(worker.sessions, session)
    assert worker.sessions.at_hand(cookie) is None


def test_nothing_is_at_hand_from_the_moment_on_when_there_is_something_to_do(
    in_cookies: Worker, clock: Clock
) -> None:
    cookie = in_cookies.sign_in()
    quiet_until = in_cookies.current(cookie).quiet_until
    clock.now = quiet_until - 1
    assert in_cookies.sessions.at_hand(cookie) is not None
    clock.now = quiet_until
    assert in_cookies.sessions.at_hand(cookie) is None


def test_nothing_is_at_hand_once_the_store_is_to_be_asked_again(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(clock, tmp_path)
    cookie = worker.sign_in()
    fresh_until = worker.current(cookie).fresh_until
    worker.sessions.revocations.next_sync_at = float("inf")
    clock.now = fresh_until - 1
    assert worker.sessions.at_hand(cookie) is not None
    clock.now = fresh_until
    assert worker.sessions.at_hand(cookie) is None


def test_the_keys_are_looked_at_when_it_is_time_and_not_later(
    in_cookies: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie, keyring, looks = in_cookies.sign_in(), in_cookies.sessions._keyring, []
    keyring.next_look = NOW
    monkeypatch.setattr(type(keyring), "look", lambda _: looks.append(1))
    in_cookies.session(cookie)
    assert looks == [1]


def test_what_began_in_the_second_in_which_its_key_ended_has_ended_with_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = worker.sign_in()
    monkeypatch.setattr(worker.sessions._keyring._ring, "ended", NOW)
    assert worker.current(cookie).session is None
