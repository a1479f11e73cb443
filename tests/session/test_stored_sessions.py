"""Sessions in a store: one round trip at most, none while the last one counts, and nothing without the cookie."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.errors import AccessDeniedError, StoreUnavailableError
from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.cookie_cache import RequestSession
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import SignInDetails
from oauth2_mw.session.revocation import user_name
from oauth2_mw.session.stored_sessions import CachedSession, StoredSessions
from oauth2_mw.session.stores.sql import SqlStore
from oauth2_mw.settings.grammar import KeyEntry, Secret, format_key_line
from oauth2_mw.sql import Database
from tests.support.clock import Clock
from tests.support.hosts.guarded import new_session
from tests.support.settings.keys import raw_key
from tests.support.settings.minimal import make_settings
from tests.support.stores.watched_store import WatchedStore

JANE = Identity("u1", "default", "https://id.example", "42", "jane", claims=freeze({"c": "canary"}))
NOW = 1_800_000_000


class Host:
    """One worker of an application, with its own memory, in front of the store that all share."""

    def __init__(self, folder: Path, clock: Clock, **keys: Any) -> None:
        url = f"sqlite:///{folder}/sessions.db"
        self.settings = make_settings(issuer="https://id.example", session=url, **keys)
        database = Database(Secret.literal(url), setting="session")
        self.store = WatchedStore(SqlStore(database, app=self.settings.public_url, clock=clock))
        self.clock = clock
        self.sessions = SessionManager(self.settings, store=self.store, clocks=Clocks(clock, clock))

    def sign_in(self, identity: Identity = JANE, sign_in: SignInDetails | None = None, **tokens: str) -> str:
        return new_session(self.sessions, identity, tokens, sign_in or SignInDetails(int(self.clock())))

    def resolve(self, cookie: str) -> RequestSession:
        current = self.sessions.resolve(cookie)
        assert current is not None
        return current

    def user(self, cookie: str) -> str | None:
        session = self.resolve(cookie).session
        return session.identity.username if session is not None else None


@pytest.fixture
def host(tmp_path: Path, clock: Clock) -> Host:
    return Host(tmp_path, clock)


@pytest.fixture
def other(tmp_path: Path, clock: Clock, host: Host) -> Host:
    return Host(tmp_path, clock, secret_keys=host.settings.secret_keys.value())


def test_what_was_signed_in_comes_back_on_another_host(host: Host, other: Host) -> None:
    cookie = host.sign_in(id_token="t" * 9000)
    current = other.resolve(cookie)
    assert current.session is not None
    assert current.session.identity == JANE
    assert current.session.tokens == {"id_token": "t" * 9000}
    assert current.environ["REMOTE_USER"] == "jane"


def test_the_cookie_stays_small_whatever_the_session_holds(host: Host) -> None:
    small, large = host.sign_in(), host.sign_in(id_token="t" * 9000)
    assert len(small) == len(large) < 250


def test_a_session_seen_lately_is_not_asked_for_again(host: Host, clock: Clock) -> None:
    cookie = host.sign_in()
    assert host.user(cookie) == "jane"
    host.store.taken()
    for number in range(3):
        assert host.user(f"other={number}; {cookie}") == "jane"
        assert host.user(f"other={number}; {cookie}") == "jane"
    assert host.store.taken() == []
    clock.now += 5
    for number in range(3):
        assert host.user(f"other={number}; {cookie}") == "jane"
    # Once for the session, and once for the moments up to which all have ended.
    assert host.store.taken() == ["read", "moments"]


@pytest.mark.parametrize("later", [0, 5, 30 * 60])
def test_no_request_costs_more_than_one_round_trip_beside_the_list_s(
    host: Host, other: Host, clock: Clock, later: int
) -> None:
    cookie = host.sign_in()
    host.store.taken()
    lists = 0
    clock.now += later
    for worker in (host, other, host, other):
        assert worker.user(cookie) == "jane"
        calls = worker.store.taken()
        lists += calls.count("moments")
        assert len(calls) - calls.count("moments") <= 1
    # Each worker asks for it once in revocation_sync.
    assert lists <= 2


def test_use_slides_the_idle_time_wherever_it_happens(tmp_path: Path, clock: Clock) -> None:
    first = Host(tmp_path, clock, session_idle="1h")
    keys = first.settings.secret_keys.value()
    cookie = first.sign_in()
    # Each request meets a worker that has never seen the session.
    for _ in range(5):
        clock.now += 50 * 60
        assert Host(tmp_path, clock, session_idle="1h", secret_keys=keys).user(cookie) == "jane"
    clock.now += 61 * 60
    assert Host(tmp_path, clock, session_idle="1h", secret_keys=keys).user(cookie) is None
    assert first.user(cookie) is None


def test_use_is_not_written_down_on_every_request(host: Host, clock: Clock) -> None:
    cookie = host.sign_in()
    host.store.taken()
    for _ in range(20):
        clock.now += 60
        host.user(cookie)
    assert host.store.taken().count("touch") == 2


def test_use_never_carries_a_session_beyond_its_lifetime(tmp_path: Path, clock: Clock) -> None:
    host = Host(tmp_path, clock, session_lifetime="2h", session_idle="1h")
    cookie = host.sign_in()
    for _ in range(4):
        clock.now += 29 * 60
        assert host.user(cookie) == "jane"
    clock.now += 10 * 60
    assert host.user(cookie) is None


def test_a_logout_here_counts_at_once_and_elsewhere_within_the_sync_time(
    host: Host, other: Host, clock: Clock
) -> None:
    cookie = host.sign_in()
    assert other.user(cookie) == "jane"
    session = host.resolve(cookie).session
    assert session is not None
    host.sessions.end(session)
    assert host.user(cookie) is None
    clock.now += 5
    assert other.user(cookie) is None
    assert other.resolve(cookie).invalid


def test_a_slow_answer_of_the_store_counts_from_when_it_was_asked(
    host: Host, other: Host, clock: Clock
) -> None:
    cookie = host.sign_in()
    session = host.resolve(cookie).session
    assert session is not None
    clock.now += 5

    def slowly() -> None:
        clock.now += 4

    # The logout comes after the record was read, and before the answer has arrived.
    other.store.after["touch"] = other.store.after["read"] = slowly
    assert other.user(cookie) == "jane"
    host.sessions.end(session)
    other.store.after.clear()
    clock.now += 1
    assert other.user(cookie) is None


def test_a_store_that_is_away_is_a_refusal_and_recovers(host: Host, clock: Clock) -> None:
    cookie = host.sign_in()
    assert host.user(cookie) == "jane"
    host.store.away = True
    assert host.user(cookie) == "jane"
    clock.now += 5
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            host.user(cookie)
    host.store.away = False
    assert host.user(cookie) == "jane"


def test_a_sign_in_that_cannot_be_written_down_is_none(host: Host) -> None:
    host.store.away = True
    with pytest.raises(StoreUnavailableError):
        host.sign_in()


@pytest.mark.requirement("3c.13")
def test_who_reads_the_store_reads_nothing_of_the_person(host: Host, tmp_path: Path) -> None:
    host.sign_in(
        id_token="canary-token", sign_in=SignInDetails(NOW, "canary-sid", "canary-device", "192.0.2.77")
    )
    octets = b"".join(path.read_bytes() for path in tmp_path.glob("sessions.db*"))
    for secret in (b"canary", b"jane", b"192.0.2", b"u1\x00", b"id.example"):
        assert secret not in octets


@pytest.mark.requirement("3c.13")
def test_a_record_in_the_place_of_another_opens_nothing(host: Host, clock: Clock) -> None:
    jane, eve = host.sign_in(), host.sign_in(replace(JANE, id="u2", username="eve"))
    ids = [
        current.session.id
        for current in (host.resolve(jane), host.resolve(eve))
        if current.session is not None
    ]
    records = [host.store.read(one) for one in ids]
    assert records[1] is not None
    assert host.store.replace(ids[0], replace(records[1], version=2))
    clock.now += 5
    assert host.user(jane) is None
    assert host.user(eve) == "eve"


@pytest.mark.requirement("3c.13")
@pytest.mark.parametrize("data", ["", "x", "AAAA" * 1000, "\x00"])
def test_a_poisoned_record_signs_nobody_in(host: Host, clock: Clock, data: str) -> None:
    cookie = host.sign_in()
    session = host.resolve(cookie).session
    assert session is not None
    record = host.store.read(session.id)
    assert record is not None
    try:
        host.store.replace(session.id, replace(record, version=2, data=data))
    except StoreUnavailableError:
        return
    clock.now += 5
    assert host.user(cookie) is None


def test_a_handle_needs_the_key_that_it_was_made_with(host: Host) -> None:
    cookie = host.sign_in()
    cached = host.resolve(cookie).cached
    assert isinstance(cached, CachedSession)
    forged = replace(cached.handle, secret=b"\x00" * 32)
    assert isinstance(host.sessions._backend, StoredSessions)
    assert host.sessions._backend._find(forged) is None
    assert host.user(cookie) == "jane"


@pytest.mark.parametrize(
    "payload", [b"", b"\x01", b"x" * 65, b"x" * 66, b"x" * 67, b"\xff" * 66, b"\x01" + b"x" * 66]
)
def test_a_sealed_handle_of_another_shape_is_none(host: Host, payload: bytes) -> None:
    name = host.sessions.cookies.session
    text = host.sessions.sealer.seal("session-handle", name, payload)
    assert host.user(f"{name}={text}") is None


def test_a_handle_whose_record_is_gone_is_no_session(host: Host) -> None:
    cookie = host.sign_in()
    session = host.resolve(cookie).session
    assert session is not None
    host.store.delete(session.id)
    fresh = Host(Path(host.settings.session.value().removeprefix("sqlite:///")).parent, host.clock)  # type: ignore[union-attr]
    assert fresh.user(cookie) is None


def test_a_session_in_a_cookie_signs_nobody_in_where_sessions_are_in_a_store(host: Host) -> None:
    keys = host.settings.secret_keys.value()
    settings = make_settings(issuer="https://id.example", secret_keys=keys)
    carried = SessionManager(settings, clocks=host.sessions.clocks)
    provider = host.settings.providers["default"]
    cookies = carried.create(provider, JANE, {}, carried.cookies.read(""))
    assert host.user("; ".join(line.partition(";")[0] for line in cookies)) is None
    current = carried.resolve(host.sign_in())
    assert current is not None and current.session is None


def test_a_cookie_with_two_sessions_means_neither(host: Host) -> None:
    assert host.user(f"{host.sign_in()}; {host.sign_in()}") is None


def test_memory_is_bounded_in_entries_and_characters(host: Host) -> None:
    assert isinstance(host.sessions._backend, StoredSessions)
    cache = host.sessions._backend._cache
    cache.max_entries = 10
    cookies = [host.sign_in() for _ in range(30)]
    assert len(cache) == 10
    cache.max_cost = 2500
    host.sign_in(id_token="t" * 1000)
    assert 0 < len(cache) < 10
    assert all(host.user(cookie) == "jane" for cookie in cookies)


def test_the_headers_of_large_sessions_are_remembered_in_small_numbers(host: Host) -> None:
    cookies = [host.sign_in(id_token="t" * 100_000) for _ in range(50)]
    assert all(host.user(f"{cookie}; a=1") == "jane" for cookie in cookies)
    assert 0 < len(host.sessions._cache) < 50
    # Another header takes the place of the one before, and so does what has become of the session meanwhile.
    opened = host.sessions._cache
    before = opened._cost
    assert all(host.user(f"{cookies[-1]}; a={number}") == "jane" for number in range(9))
    assert opened._cost == before


# Keys


OLD, NEW = KeyEntry("old", NOW - 1000, raw_key(1)), KeyEntry("new", NOW, raw_key(2))


def write_keys(folder: Path, *keys: KeyEntry, workers: Iterable[Host | Carried] = ()) -> str:
    """Write the key file, and have these workers read it. Return the setting that names it."""
    path = folder / "keys"
    path.write_text("".join(format_key_line(key) + "\n" for key in keys), encoding="ascii")
    for worker in workers:
        worker.sessions._keyring.look()
    return f"file:{path}"


def test_a_rotation_ends_no_session_and_retiring_ends_those_that_were_not_used(
    tmp_path: Path, clock: Clock
) -> None:
    host = Host(tmp_path, clock, secret_keys=write_keys(tmp_path, OLD))
    used, unused = host.sign_in(), host.sign_in()
    clock.now += 120
    write_keys(tmp_path, OLD, NEW, workers=[host])
    current = host.resolve(used)
    [line] = host.sessions.renewal.set_cookies(current)
    renewed = line.partition(";")[0]
    assert host.user(renewed) == "jane"
    assert host.sessions.renewal.set_cookies(host.resolve(renewed)) == []
    clock.now += 5
    assert host.user(renewed) == "jane"
    write_keys(tmp_path, NEW, workers=[host])
    clock.now += 5
    assert host.user(renewed) == "jane"
    assert host.user(used) is None
    assert host.user(unused) is None


def test_after_a_rotation_a_session_in_use_is_still_found_by_its_user(tmp_path: Path, clock: Clock) -> None:
    host = Host(tmp_path, clock, secret_keys=write_keys(tmp_path, OLD))
    cookie = host.sign_in(sign_in=SignInDetails(NOW, "sid-1"))
    clock.now += 120
    write_keys(tmp_path, OLD, NEW, workers=[host])
    # Once to learn that the record is sealed with the old key, once to seal it anew.
    assert host.user(cookie) == "jane"
    clock.now += 5
    assert host.user(cookie) == "jane"
    registry = host.sessions.registry
    assert registry is not None
    # While both keys are there, it can be found by either, and is one all the same.
    assert [info.username for info in registry.find_by_user("u1")] == ["jane"]
    write_keys(tmp_path, NEW, workers=[host])
    assert [info.username for info in registry.find_by_user("u1")] == ["jane"]
    assert len(registry.end_by_sid("https://id.example", "sid-1")) == 1


def test_a_session_that_ended_on_another_host_meanwhile_gets_no_cookie_of_the_new_key(
    tmp_path: Path, clock: Clock
) -> None:
    host, other = (Host(tmp_path, clock, secret_keys=write_keys(tmp_path, OLD)) for _ in range(2))
    cookie = host.sign_in()
    clock.now += 120
    write_keys(tmp_path, OLD, NEW, workers=[host])
    current = host.resolve(cookie)
    assert len(host.sessions.renewal.set_cookies(current)) == 1
    assert current.session is not None
    other.sessions.end(current.session)
    assert host.sessions.renewal.set_cookies(current) == []


def test_a_cookie_of_the_new_key_is_handed_out_for_a_record_of_the_new_key(
    tmp_path: Path, clock: Clock
) -> None:
    host = Host(tmp_path, clock, secret_keys=write_keys(tmp_path, OLD))
    cookie = host.sign_in(sign_in=SignInDetails(NOW, "sid-1"))
    clock.now += 120
    write_keys(tmp_path, OLD, NEW, workers=[host])
    current = host.resolve(cookie)
    # What cannot be written down now is for a later request: the cookie that there is still opens.
    host.store.away = True
    assert host.sessions.renewal.set_cookies(current) == []
    host.store.away = False
    # One request under the new key, and no other until the old one is gone.
    [line] = host.sessions.renewal.set_cookies(current)
    host.store.taken()
    assert len(host.sessions.renewal.set_cookies(current)) == 1
    # Only whether it has ended meanwhile.
    assert host.store.taken() == ["read"]
    write_keys(tmp_path, NEW, workers=[host])
    renewed = line.partition(";")[0]
    assert host.user(renewed) == "jane"
    registry = host.sessions.registry
    assert registry is not None
    assert len(registry.end_by_sid("https://id.example", "sid-1")) == 1
    assert host.user(renewed) is None


# Races with a logout


def test_a_logout_of_the_user_beats_a_sign_in_in_flight(host: Host, other: Host) -> None:
    registry = other.sessions.registry
    assert registry is not None
    host.store.before["add"] = lambda: registry.end_user("u1", moment=NOW)
    with pytest.raises(AccessDeniedError, match="signed out") as refused:
        host.sign_in(sign_in=SignInDetails(NOW))
    assert refused.value.code == "signed_out"
    assert registry.find_by_user("u1") == []
    # Whoever signs in after that moment is somebody who has come back.
    host.store.before.clear()
    assert host.user(host.sign_in(sign_in=SignInDetails(NOW + 1))) == "jane"


@pytest.mark.requirement("3l.6")
def test_a_logout_of_the_providers_session_beats_a_sign_in_in_flight(host: Host, other: Host) -> None:
    registry = other.sessions.registry
    assert registry is not None
    host.store.before["add"] = lambda: registry.end_by_sid("https://id.example", "s1", include_pending=True)
    with pytest.raises(AccessDeniedError):
        host.sign_in(sign_in=SignInDetails(NOW, "s1"))
    host.store.before.clear()
    assert host.user(host.sign_in(sign_in=SignInDetails(NOW, "s2"))) == "jane"


def test_a_forged_sid_is_not_remembered(host: Host) -> None:
    registry = host.sessions.registry
    assert registry is not None
    assert registry.end_by_sid("https://id.example", "s1") == []
    assert host.user(host.sign_in(sign_in=SignInDetails(NOW, "s1"))) == "jane"


def test_a_cut_off_spares_later_sign_ins(host: Host) -> None:
    early, late = host.sign_in(sign_in=SignInDetails(NOW)), host.sign_in(sign_in=SignInDetails(NOW + 10))
    registry = host.sessions.registry
    assert registry is not None
    ended = registry.end_user("u1", moment=NOW + 5)
    assert [info.issued_at for info in ended] == [NOW]
    assert host.user(early) is None
    assert host.user(late) == "jane"
    assert host.store.revoked(user_name("u1")) == NOW + 5


def test_entries_show_where_a_session_is_used(host: Host, clock: Clock) -> None:
    registry = host.sessions.registry
    assert registry is not None
    cookie = host.sign_in(sign_in=SignInDetails(NOW, None, "Firefox on Linux", "192.0.2.1"))
    host.sign_in(replace(JANE, id="u2", username="eve"))
    clock.now += 30 * 60
    host.user(cookie)
    [info] = registry.find_by_user("u1")
    assert (info.device, info.remote_addr, info.username, info.provider) == (
        "Firefox on Linux",
        "192.0.2.1",
        "jane",
        "default",
    )
    assert (info.created_at, info.last_used_at, info.expires_at) == (NOW, NOW + 30 * 60, NOW + 8 * 3600)
    assert {info.username for info in registry.all()} == {"jane", "eve"}


def reseal_summary(host: Host, cookie: str, change: Callable[[list[Any]], Any]) -> None:
    """Another version of this package seals what it tells of a session in another shape."""
    session, registry = host.resolve(cookie).session, host.sessions.registry
    assert session is not None and registry is not None
    record = host.store.read(session.id)
    assert record is not None
    text = host.sessions.sealer.open("session-summary", session.id, record.summary)
    assert text is not None
    payload = change(json.loads(text))
    octets = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    summary = host.sessions.sealer.seal("session-summary", session.id, octets)
    host.store.touch(session.id, seen=session.last_used_at, expires=session.expires_at, summary=summary)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields[:-1],
        lambda fields: {"user": fields[0]},
        lambda fields: [*fields[:-1], "an hour"],
        lambda fields: [None, *fields[1:]],
        lambda _fields: b"\xff",
        lambda _fields: b"[",
        lambda _fields: b"",
    ],
    ids=["shorter", "an object", "another type", "no user", "no UTF-8", "no JSON", "nothing"],
)
def test_a_session_told_of_in_another_shape_hides_no_other(
    host: Host, change: Callable[[list[Any]], Any]
) -> None:
    reseal_summary(host, host.sign_in(sign_in=SignInDetails(NOW, "sid-1")), change)
    cookie = host.sign_in(sign_in=SignInDetails(NOW, "sid-1"))
    registry = host.sessions.registry
    assert registry is not None
    assert len(registry.find_by_user("u1")) == len(list(registry.all())) == 1
    assert len(registry.end_by_sid("https://id.example", "sid-1")) == 1
    assert host.user(cookie) is None


def test_a_session_of_which_a_later_version_tells_more_can_be_ended(host: Host) -> None:
    cookie = host.sign_in(sign_in=SignInDetails(NOW, "sid-1"))
    reseal_summary(host, cookie, lambda fields: [*fields, "more"])
    registry = host.sessions.registry
    assert registry is not None
    assert len(registry.end_by_sid("https://id.example", "sid-1")) == 1
    assert host.user(cookie) is None


def test_the_same_store_shows_another_application_nothing(tmp_path: Path, clock: Clock, host: Host) -> None:
    keys = host.settings.secret_keys.value()
    neighbour = Host(tmp_path, clock, secret_keys=keys, public_url="https://other.example")
    cookie = host.sign_in()
    assert neighbour.sessions.registry is not None
    assert list(neighbour.sessions.registry.all()) == []
    assert neighbour.user(cookie) is None


def test_what_is_looked_up_by_is_no_plain_hash(host: Host) -> None:
    registry = host.sessions.registry
    assert registry is not None
    host.sign_in()
    session = host.resolve(host.sign_in()).session
    assert session is not None
    names = registry.indexes(session)
    assert all(base64.urlsafe_b64decode(name + "=") for name in names)
    assert host.store.find(user_name("u1")) == []
    assert len(host.store.find(names[0])) == 2


# Sessions in cookies, with a list of them beside the directory


class Carried:
    """One worker whose sessions live in cookies, in front of the database that all share."""

    def __init__(self, folder: Path, clock: Clock, **keys: Any) -> None:
        self.settings = make_settings(issuer="https://id.example", **keys)
        database = Database(Secret.literal(f"sqlite:///{folder}/users.db"))
        beside = SqlStore(database, app=self.settings.public_url, clock=clock)
        self.store = WatchedStore(beside)
        self.sessions = SessionManager(
            self.settings, store=self.store, shared=beside, clocks=Clocks(clock, clock)
        )

    def sign_in(self, sign_in: SignInDetails) -> str:
        return new_session(self.sessions, JANE, {}, sign_in)


def test_a_session_in_a_cookie_is_found_after_a_rotation_and_ended_on_every_host(
    tmp_path: Path, clock: Clock
) -> None:
    first, second = (Carried(tmp_path, clock, secret_keys=write_keys(tmp_path, OLD)) for _ in "12")
    cookie = first.sign_in(SignInDetails(NOW, "sid-1"))
    clock.now += 30 * 60
    write_keys(tmp_path, OLD, NEW, workers=[first])
    current = first.sessions.resolve(cookie)
    assert current is not None
    [line] = first.sessions.renewal.set_cookies(current)
    write_keys(tmp_path, NEW, workers=[first, second])
    renewed = line.partition(";")[0]
    current = first.sessions.resolve(renewed)
    assert current is not None and current.session is not None
    registry = second.sessions.registry
    assert registry is not None
    [info] = registry.end_by_sid("https://id.example", "sid-1")
    assert info.last_used_at == NOW + 30 * 60
    clock.now += 5
    current = first.sessions.resolve(renewed)
    assert current is not None and current.session is None


def test_a_list_that_is_away_does_not_keep_a_cookie_from_being_renewed(tmp_path: Path, clock: Clock) -> None:
    host = Carried(tmp_path, clock)
    cookie = host.sign_in(SignInDetails(NOW))
    clock.now += 30 * 60
    current = host.sessions.resolve(cookie)
    assert current is not None
    host.store.away = True
    assert len(host.sessions.renewal.set_cookies(current)) == 1
