"""The registry of sessions, on a real store: who is found, what ends, and what a logout in between does."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from oauth2_mw.encoding import pair_hash
from oauth2_mw.errors import AccessDeniedError, StoreUnavailableError
from oauth2_mw.identity.model import Identity
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cut_offs import CutOffs
from oauth2_mw.session.keyring import Keyring
from oauth2_mw.session.model import Session, SignInDetails
from oauth2_mw.session.registry import PENDING, SessionInfo, SessionRegistry
from oauth2_mw.session.revocation import Revocations, session_name, user_name
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database
from tests.support.clock import Clock
from tests.support.settings.keys import text_key
from tests.support.stores.watched_store import WatchedStore

APP, ISSUER = "https://app.example", "https://id.example"
NOW = 1_800_000_000
JANE = Identity("u1", "corp", ISSUER, "42", "jane")
SESSION = Session(
    id="s1",
    identity=JANE,
    tokens={},
    created_at=NOW - 10,
    expires_at=NOW + 1000,
    last_used_at=NOW - 5,
    idle_timeout=100,
    sign_in=SignInDetails(NOW - 20, "sid-1", "Firefox — Köln", "192.0.2.1"),
)
INFO = SessionInfo(
    id="s1",
    user_id="u1",
    username="jane",
    provider="corp",
    device="Firefox — Köln",
    remote_addr="192.0.2.1",
    created_at=NOW - 10,
    issued_at=NOW - 20,
    last_used_at=NOW - 5,
    expires_at=NOW + 1000,
)


class Worker:
    """A worker of an application; several share a database."""

    def __init__(self, folder: Path, clock: Clock, *, keys: str = "", in_cookie: bool = False) -> None:
        database = Database(Secret.literal(f"sqlite:///{folder}/sessions.db"), setting="session")
        self.store = WatchedStore(SqlStore(database, app=APP, clock=clock))
        self.sealer = Sealer(Keyring(Secret.literal(keys or text_key(0)), sync=5), app_id=APP)
        clocks = Clocks(clock, clock)
        self.revocations = Revocations(sync=5, clocks=clocks)
        self.registry = SessionRegistry(
            self.store,
            self.sealer,
            self.revocations,
            CutOffs(self.store, ["corp"], clocks=clocks),
            data_in_cookie=in_cookie,
            longest=5000,
            clocks=clocks,
        )

    def has_ended(self, session: Session) -> bool:
        return self.revocations.is_listed(session.id, session.identity.id, session.sign_in.issued_at)


@pytest.fixture
def worker(tmp_path: Path, clock: Clock) -> Worker:
    """One where sessions live in the store."""
    return Worker(tmp_path, clock)


@pytest.fixture
def beside_cookies(tmp_path: Path, clock: Clock) -> Worker:
    """One where sessions live in cookies."""
    return Worker(tmp_path, clock, in_cookie=True)


def ids(sessions: list[SessionInfo]) -> list[str]:
    return [info.id for info in sessions]


# Writing


def test_a_session_is_told_as_it_was_written(worker: Worker) -> None:
    worker.registry.write(SESSION, data="sealed")
    record = worker.registry.read("s1")
    assert record is not None
    assert (record.version, record.data, record.lease, record.seen) == (1, "sealed", 0, NOW - 5)
    assert worker.registry.find("s1") == INFO
    assert worker.registry.find_by_user("u1") == [INFO]
    assert [*worker.registry.all()] == [INFO]
    assert worker.registry.find("s2") is None
    assert worker.registry.find_by_user("u2") == []


def test_what_a_store_can_read_of_a_session_is_when_it_ends(worker: Worker) -> None:
    worker.registry.write(SESSION)
    record = worker.registry.read("s1")
    assert record is not None
    assert record.data == ""
    assert "jane" not in record.summary
    assert worker.sealer.open("session-summary", "s2", record.summary) is None
    opened = worker.sealer.open("session-summary", "s1", record.summary)
    assert opened is not None
    assert "Köln".encode() in opened


def test_a_store_forgets_a_session_that_was_not_used(worker: Worker, beside_cookies: Worker) -> None:
    assert worker.registry.expires(SESSION, NOW) == NOW + 100
    assert worker.registry.expires(SESSION, NOW + 950) == NOW + 1000
    # Its last use may not have been written here.
    assert beside_cookies.registry.expires(SESSION, NOW) == NOW + 1000
    worker.registry.write(SESSION)
    record = worker.registry.read("s1")
    assert record is not None
    assert record.expires == NOW + 95


def test_a_session_is_found_by_hashes_that_need_the_key(worker: Worker) -> None:
    key = worker.sealer.keyring.sealing_key()
    by_user = key.mac("session-index", user_name("u1"))
    by_sid = key.mac("session-index", "sid:" + pair_hash(ISSUER, "sid-1"))
    assert worker.registry.indexes(SESSION) == [by_user, by_sid]
    assert worker.registry.indexes(replace(SESSION, sign_in=SignInDetails(1))) == [by_user]


def test_use_is_noted_and_what_is_read_of_a_session_sealed_anew(
    tmp_path: Path, clock: Clock, worker: Worker
) -> None:
    worker.registry.write(SESSION)
    later = Worker(tmp_path, clock, keys=f"{text_key(1)} {text_key(0)}")
    record = later.registry.read("s1")
    assert record is not None
    assert worker.registry.is_current(record)
    assert not later.registry.is_current(record)
    # Without a step every second is noted, and what is older than the last one noted is not.
    for seen, expires, known in ((NOW - 5, NOW + 97, 97), (NOW - 4, NOW + 98, 98), (NOW - 5, NOW + 99, 98)):
        touched = later.registry.touch("s1", seen=seen, expires=expires)
        assert touched is not None
        assert touched.expires == NOW + known
    # Too soon to be noted.
    same = later.registry.touch("s1", seen=NOW, expires=NOW + 100, step=6)
    assert same is not None
    assert (same.seen, same.summary) == (NOW - 4, record.summary)
    noted = later.registry.touch("s1", seen=NOW, expires=NOW + 100)
    assert noted is not None
    assert (noted.seen, noted.expires, noted.summary) == (NOW, NOW + 100, record.summary)
    renamed = replace(SESSION, identity=replace(JANE, username="janet"))
    sealed = later.registry.touch("s1", seen=NOW, expires=NOW + 100, reseal=renamed)
    assert sealed is not None
    assert later.registry.is_current(sealed)
    # Listed under both keys, and told once.
    assert [info.username for info in later.registry.find_by_user("u1")] == ["janet"]
    alone = Worker(tmp_path, clock, keys=text_key(1))
    assert ids(alone.registry.find_by_user("u1")) == ["s1"]
    assert ids(alone.registry.end_by_sid(ISSUER, "sid-1")) == ["s1"]


def test_a_session_that_has_ended_is_not_touched_back_to_life(worker: Worker) -> None:
    assert worker.registry.touch("s1", seen=NOW, expires=NOW + 100) is None
    assert worker.registry.read("s1") is None


# Reading


def test_the_latest_sign_in_comes_first(worker: Worker) -> None:
    for number, created in enumerate((3, 9, 5, 5)):
        worker.registry.write(replace(SESSION, id=f"s{number}", created_at=NOW - 100 + created))
    assert ids(worker.registry.find_by_user("u1")) == ["s1", "s3", "s2", "s0"]


@pytest.mark.parametrize(
    ("later", "known"), [(0, True), (94, True), (95, False), (999, False), (1000, False), (1001, False)]
)
def test_a_session_that_has_run_out_is_not_told(
    beside_cookies: Worker, clock: Clock, later: int, *, known: bool
) -> None:
    beside_cookies.registry.write(SESSION)
    clock.now = NOW + later
    assert (beside_cookies.registry.find("s1") is not None) is known
    assert (len([*beside_cookies.registry.all()]) == 1) is known


def test_a_session_that_was_used_to_the_last_ends_all_the_same(beside_cookies: Worker, clock: Clock) -> None:
    beside_cookies.registry.write(replace(SESSION, idle_timeout=5000))
    clock.now = NOW + 999
    assert beside_cookies.registry.find("s1") is not None
    # The store forgets it at that moment as well: it keeps this one longer.
    record = beside_cookies.registry.read("s1")
    assert record is not None
    beside_cookies.store.replace("s1", replace(record, version=2, expires=NOW + 9000))
    clock.now = NOW + 1000
    assert beside_cookies.registry.read("s1") is not None
    assert beside_cookies.registry.find("s1") is None


FIELDS = ["u1", "jane", "corp", None, None, 1, 2, NOW + 1000, 100]


def write_summary(worker: Worker, payload: bytes, session_id: str = "s1") -> None:
    worker.registry.write(replace(SESSION, id=session_id))
    worker.registry.store.touch(
        session_id,
        seen=NOW - 5,
        expires=NOW + 95,
        summary=worker.sealer.seal("session-summary", session_id, payload),
    )


def test_what_a_later_version_adds_to_a_summary_is_passed_over(worker: Worker) -> None:
    write_summary(worker, json.dumps([*FIELDS, "more", 7]).encode())
    found = worker.registry.find("s1")
    assert found is not None
    assert (found.device, found.remote_addr, found.issued_at) == (None, None, 2)


@pytest.mark.parametrize(
    "fields",
    [
        *([*FIELDS[:at], [], *FIELDS[at + 1 :]] for at in range(9)),
        FIELDS[:8],
        {"user": "u1"},
        None,
    ],
)
def test_a_summary_of_another_shape_is_passed_over(worker: Worker, fields: object) -> None:
    write_summary(worker, json.dumps(fields).encode())
    worker.registry.write(replace(SESSION, id="s2"))
    assert worker.registry.find("s1") is None
    assert ids([*worker.registry.all()]) == ["s2"]


def test_a_summary_that_is_no_json_or_that_no_key_opens_is_passed_over(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    write_summary(worker, b"{")
    worker.registry.write(replace(SESSION, id="s2"))
    worker.registry.store.touch("s2", seen=NOW - 5, expires=NOW + 95, summary="foreign")
    worker.registry.write(replace(SESSION, id="s3"))
    assert ids([*worker.registry.all()]) == ["s3"]


@pytest.mark.parametrize("user_id", ["u0", "u2"])
def test_what_another_user_left_under_a_hash_is_not_told(worker: Worker, user_id: str) -> None:
    worker.registry.write(SESSION)
    write_summary(worker, json.dumps([user_id, *FIELDS[1:]]).encode(), "s2")
    assert ids(worker.registry.find_by_user("u1")) == ["s1"]
    assert ids(worker.registry.end_user("u1", moment=NOW)) == ["s1"]
    assert worker.registry.find("s2") is not None


# Ending


def test_a_session_that_is_ended_is_gone_and_this_worker_knows_it(worker: Worker) -> None:
    worker.registry.write(SESSION)
    assert worker.registry.end("s1")
    assert worker.registry.read("s1") is None
    assert worker.has_ended(SESSION)
    assert not worker.registry.end("s1")


def test_where_the_session_is_in_a_cookie_its_end_is_remembered_before_anything_else(
    beside_cookies: Worker,
) -> None:
    registry = beside_cookies.registry
    registry.write(SESSION)
    seen: list[bool] = []
    beside_cookies.store.before["delete"] = lambda: seen.append(beside_cookies.has_ended(SESSION))
    assert registry.end("s1")
    assert seen == [True]
    assert registry.read("s1") is None


def test_an_unknown_id_ends_nothing_where_sessions_are_in_cookies(beside_cookies: Worker) -> None:
    assert not beside_cookies.registry.end("s1")
    assert not beside_cookies.has_ended(SESSION)
    # Whoever knows its end has seen its cookie.
    assert not beside_cookies.registry.end("s1", expires=NOW + 1000)
    assert beside_cookies.has_ended(SESSION)


def test_where_the_record_is_the_session_nothing_has_happened_until_it_is_deleted(worker: Worker) -> None:
    worker.registry.write(SESSION)
    seen: list[bool] = []
    worker.store.before["delete"] = lambda: seen.append(worker.has_ended(SESSION))
    assert worker.registry.end("s1")
    assert seen == [False]


@pytest.mark.parametrize(("expires", "until"), [(NOW + 40, NOW + 40), (None, NOW + 5000)])
def test_an_end_is_remembered_as_long_as_the_session_could_have_lived(
    worker: Worker, clock: Clock, expires: int | None, until: int
) -> None:
    worker.registry.end("s1", expires=expires)
    # An hour longer, because the clocks of hosts differ.
    clock.now = until + 3600
    worker.revocations.revoke("other", expires=until)
    assert worker.has_ended(SESSION)
    clock.now = until + 3601
    worker.revocations.revoke("other", expires=until)
    assert not worker.has_ended(SESSION)


def test_the_sessions_of_one_of_the_providers_own_end(worker: Worker) -> None:
    worker.registry.write(SESSION)
    worker.registry.write(replace(SESSION, id="s2"))
    worker.registry.write(replace(SESSION, id="s3", sign_in=SignInDetails(NOW, "sid-2")))
    worker.registry.write(replace(SESSION, id="s4", identity=replace(JANE, issuer="https://other.example")))
    assert sorted(ids(worker.registry.end_by_sid(ISSUER, "sid-1"))) == ["s1", "s2"]
    assert sorted(ids([*worker.registry.all()])) == ["s3", "s4"]
    assert worker.registry.end_by_sid(ISSUER, "sid-1") == []


def test_the_sessions_of_a_user_end_that_were_issued_up_to_a_moment(worker: Worker) -> None:
    for number, issued in enumerate((NOW - 1, NOW, NOW + 1)):
        worker.registry.write(replace(SESSION, id=f"s{number}", sign_in=SignInDetails(issued)))
    assert sorted(ids(worker.registry.end_user("u1", moment=NOW))) == ["s0", "s1"]
    assert ids([*worker.registry.all()]) == ["s2"]
    assert worker.revocations.is_listed("any", "u1", NOW)
    assert not worker.revocations.is_listed("any", "u1", NOW + 1)


def test_what_somebody_else_ends_meanwhile_is_not_told_as_ended(worker: Worker) -> None:
    worker.registry.write(SESSION)
    worker.store.before["delete"] = lambda: worker.store._inner.delete("s1")
    assert worker.registry.end_user("u1", moment=NOW) == []


# A logout while a session is being created


def assert_signed_out(worker: Worker, session: Session) -> None:
    with pytest.raises(AccessDeniedError) as refusal:
        worker.registry.write(session)
    assert refusal.value.code == "signed_out"
    assert worker.registry.read(session.id) is None
    assert worker.has_ended(session)


def test_who_is_signed_out_while_signing_in_gets_no_session(
    worker: Worker, tmp_path: Path, clock: Clock
) -> None:
    other = Worker(tmp_path, clock)
    other.registry.end_user("u1", moment=NOW - 20)
    assert_signed_out(worker, SESSION)
    assert_signed_out(worker, replace(SESSION, sign_in=SignInDetails(NOW - 21)))
    worker.registry.write(replace(SESSION, id="s2", sign_in=SignInDetails(NOW - 19)))
    worker.registry.write(replace(SESSION, id="s3", identity=replace(JANE, id="u2")))


def test_where_sessions_are_in_cookies_the_shared_list_tells_the_store_of_a_users_logout(
    beside_cookies: Worker,
) -> None:
    beside_cookies.registry.end_user("u1", moment=NOW)
    assert "revoke" not in beside_cookies.store.calls


@pytest.mark.parametrize("include_pending", [True, False])
def test_a_logout_that_the_provider_signed_reaches_a_session_that_is_still_being_created(
    worker: Worker, tmp_path: Path, clock: Clock, *, include_pending: bool
) -> None:
    Worker(tmp_path, clock).registry.end_by_sid(ISSUER, "sid-1", include_pending=include_pending)
    if include_pending:
        assert_signed_out(worker, SESSION)
    else:
        worker.registry.write(SESSION)
    worker.registry.write(replace(SESSION, id="s2", sign_in=SignInDetails(NOW, "sid-2")))
    worker.registry.write(replace(SESSION, id="s3", sign_in=SignInDetails(NOW, None)))
    # Ten minutes, and the hour that a store keeps everything longer.
    clock.now = NOW + PENDING + 3599
    if include_pending:
        assert_signed_out(worker, replace(SESSION, last_used_at=int(clock.now), expires_at=NOW + 9000))
    clock.now = NOW + PENDING + 3601
    worker.registry.write(replace(SESSION, id="s4", last_used_at=int(clock.now), expires_at=NOW + 9000))
    assert PENDING == 600


def test_a_frame_that_named_a_session_while_it_was_being_created_ends_it(
    worker: Worker, tmp_path: Path, clock: Clock
) -> None:
    began, other = clock.now, Worker(tmp_path, clock)
    nameless = replace(SESSION, id="s2", sign_in=SignInDetails(NOW, None))
    assert other.registry.end_by_frame("https://other.example", "sid-1") == ([], True)
    worker.registry.write(SESSION, began_at=began)
    # What came before the sign-in does not keep anybody out.
    assert other.registry.end_by_frame(ISSUER, "sid-1") == ([INFO], True)
    worker.registry.write(replace(SESSION, id="s3"), began_at=began + 0.001)
    worker.registry.write(replace(SESSION, id="s4"))
    worker.registry.write(nameless, began_at=began)
    with pytest.raises(AccessDeniedError) as refusal:
        worker.registry.write(SESSION, began_at=began)
    assert refusal.value.code == "signed_out"
    assert worker.registry.read("s1") is None
    assert worker.has_ended(SESSION)
    assert worker.registry.find("s2") is not None


def test_a_users_logout_is_known_to_this_worker_for_as_long_as_a_session_can_last(
    worker: Worker, clock: Clock
) -> None:
    worker.registry.end_user("u1", moment=NOW)
    # An hour longer, because the clocks of hosts differ.
    for later, known in ((5000 + 3600, True), (5000 + 3601, False)):
        clock.now = NOW + later
        worker.revocations.revoke("other", expires=NOW)
        assert worker.revocations.is_listed("any", "u1", NOW) is known


def test_a_logout_that_reached_a_new_session_is_remembered_until_its_end(
    beside_cookies: Worker, tmp_path: Path, clock: Clock
) -> None:
    Worker(tmp_path, clock).store.revoke(user_name("u1"), moment=NOW, expires=NOW + 1000)
    assert_signed_out(beside_cookies, SESSION)
    clock.now = NOW + 1000
    assert beside_cookies.has_ended(SESSION)


# What is kept for a while


def test_a_text_is_kept_sealed_for_so_many_seconds_and_is_no_session(
    worker: Worker, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "oauth2_mw")
    kept_id = worker.registry.keep("/déjà?vu", seconds=10)
    other = Worker(tmp_path, clock)
    assert other.registry.kept(kept_id) == "/déjà?vu"
    record = other.store.read(kept_id)
    assert record is not None
    assert (record.version, record.summary, record.seen, record.lease) == (1, "", NOW, 0)
    assert "vu" not in record.data
    assert worker.registry.keep("/déjà?vu", seconds=10) != kept_id
    # Listed before and after sessions, it hides none.
    for number in range(5):
        worker.registry.write(replace(SESSION, id=f"zz{number}"))
        worker.registry.keep("/x", seconds=10)
    assert len(ids([*other.registry.all()])) == 5
    assert other.registry.find(kept_id) is None
    assert caplog.messages == []
    clock.now += 9
    assert other.registry.kept(kept_id) == "/déjà?vu"
    clock.now += 1
    assert other.registry.kept(kept_id) is None


def test_what_another_key_or_another_id_keeps_is_nothing(
    worker: Worker, tmp_path: Path, clock: Clock
) -> None:
    kept_id = worker.registry.keep("/x", seconds=10)
    worker.registry.write(SESSION, data="sealed")
    assert worker.registry.kept("s1") is None
    assert worker.registry.kept("nothing") is None
    assert Worker(tmp_path, clock, keys=text_key(1)).registry.kept(kept_id) is None


# What may be used once


def test_what_may_be_used_once_is_used_once(worker: Worker, tmp_path: Path, clock: Clock) -> None:
    other = Worker(tmp_path, clock)
    assert worker.registry.consume_once("attempt:1", expires=NOW + 10)
    assert not other.registry.consume_once("attempt:1", expires=NOW + 10)
    assert worker.registry.consume_once("attempt:2", expires=NOW + 10)


def test_what_was_processed_is_known_to_all(worker: Worker, tmp_path: Path, clock: Clock) -> None:
    other = Worker(tmp_path, clock)
    assert not other.registry.is_processed("jti:1")
    worker.registry.mark_processed("jti:1", expires=NOW + 10)
    assert other.registry.is_processed("jti:1")
    assert other.store.revoked("jti:1") == NOW
    assert not other.registry.is_processed("jti:2")


def test_what_is_told_of_a_session_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        INFO.user_id = "u2"  # type: ignore[misc]
    assert session_name("s1") == "session:s1"


def test_a_session_whose_record_stays_behind_has_ended_all_the_same(tmp_path: Path, clock: Clock) -> None:
    worker = Worker(tmp_path, clock, in_cookie=True)
    worker.registry.write(SESSION)

    def fail() -> None:
        raise StoreUnavailableError("away")

    worker.store.before["delete"] = fail
    assert worker.registry.end(SESSION.id, expires=SESSION.expires_at)
    assert worker.has_ended(SESSION)
