"""A session: when it ends, when it is refreshed, and its form in a cookie."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.observe import new_id
from oauth2_mw.session.model import RefreshSchedule, Session, SessionRef, SignInDetails

JANE = Identity(
    id="u1",
    provider="corp",
    issuer="https://id.example",
    subject="42",
    username="jane",
    name="Jané",
    email="jane@corp.example",
    phone="+49 30 1",
    comment="from Köln",
    groups=("staff", "admin"),
    organizations=("DEFAULT",),
    acr="2",
    auth_time=990,
    claims=freeze({"roles": ["a", {"b": 1}]}),
)
SESSION = Session(
    id="s1",
    identity=JANE,
    tokens={"id_token": "i", "refresh_token": "r"},
    created_at=1000,
    expires_at=2000,
    last_used_at=1100,
    idle_timeout=80,
    refresh_schedule=RefreshSchedule(1200, 1260),
    sign_in=SignInDetails(995, "sid-1", "Firefox on Linux", "192.0.2.1"),
)
#: the least that a session is made of
#: The id of a session that is refreshed as late as any.
THE_LATEST = ""
BARE = Session("s1", Identity("u1", "corp", "https://id.example", "42", "jane"), {}, 1000, 2000, 1100, 80)


def payload(**changes: Any) -> bytes:
    """The payload of ``BARE`` with other members; ``None`` leaves one out."""
    record = json.loads(BARE.to_payload()) | changes
    return json.dumps({key: value for key, value in record.items() if value is not None}).encode()


# Times


@pytest.mark.parametrize(
    ("now", "alive"), [(0, True), (1179, True), (1179.9, True), (1180, False), (1500, False)]
)
def test_a_session_ends_when_it_was_not_used_for_too_long(now: float, *, alive: bool) -> None:
    assert SESSION.is_alive(now) is alive


@pytest.mark.parametrize(("now", "alive"), [(1999, True), (1999.9, True), (2000, False), (2001, False)])
def test_a_session_ends_at_its_end_however_much_it_is_used(now: float, *, alive: bool) -> None:
    assert replace(SESSION, last_used_at=1999).is_alive(now) is alive


@pytest.mark.parametrize(("used", "ends"), [(1100, 1180), (1920, 2000), (1999, 2000), (1000, 1080)])
def test_the_end_is_that_of_the_lifetime_or_of_the_idle_timeout(used: int, ends: int) -> None:
    session = replace(SESSION, last_used_at=used)
    assert session.ends_at == ends
    assert session.is_alive(ends - 1)
    assert not session.is_alive(ends)


def test_a_use_is_noted_and_nothing_else_changes() -> None:
    assert SESSION.touched(1150.9) == replace(SESSION, last_used_at=1150)
    assert SESSION.last_used_at == 1100


def test_a_use_is_worth_noting_after_an_eighth_of_the_idle_timeout() -> None:
    assert SESSION.renew_at() == 1110
    assert replace(SESSION, idle_timeout=84).renew_at() == 1110.5


def test_what_ends_a_session_is_its_id_and_its_end() -> None:
    assert SESSION.ref == SessionRef("s1", 2000)


@pytest.mark.parametrize(("now", "due", "expired"), [(1199.9, False, False), (1200, True, False)])
def test_tokens_are_refreshed_before_they_end(now: float, *, due: bool, expired: bool) -> None:
    assert SESSION.is_refresh_due(now) is due
    assert SESSION.has_access_token_expired(now) is expired


@pytest.mark.parametrize(("now", "expired"), [(1259.9, False), (1260, True), (1300, True)])
def test_an_access_token_ends_at_its_end(now: float, *, expired: bool) -> None:
    assert SESSION.has_access_token_expired(now) is expired


def test_where_there_is_nothing_to_refresh_nothing_is_due_and_no_token_counts() -> None:
    assert not BARE.is_refresh_due(1e12)
    assert BARE.has_access_token_expired(0)


@pytest.mark.parametrize(
    ("expires_at", "refresh_at"),
    [
        (1240, 1180),  # a quarter is a minute
        (1241, 1181),  # a minute is less than a quarter
        (5000, 4940),
        (1100, 1075),  # a quarter of what is left
        (1001, 1000),
        (1000, 1000),
        (900, 900),  # it has ended already
    ],
)
def test_tokens_are_refreshed_at_the_latest_a_minute_before_their_end_or_in_their_last_quarter(
    expires_at: int, refresh_at: int
) -> None:
    schedule = RefreshSchedule.of(expires_at, now=1000, session_id=THE_LATEST)
    assert schedule == RefreshSchedule(refresh_at, expires_at)


def test_sessions_that_began_together_are_refreshed_one_after_another() -> None:
    schedules = [RefreshSchedule.of(4600, now=1000, session_id=new_id()) for _ in range(1000)]
    moments = sorted(schedule.refresh_at for schedule in schedules if schedule is not None)
    # Over a quarter of an hour but a minute, and not a seventh of them in any minute.
    assert moments[0] >= 3700
    assert moments[-1] <= 4540
    assert all(later - earlier > 60 for earlier, later in zip(moments, moments[143:], strict=False))


def test_a_session_keeps_its_place_among_them() -> None:
    [moment] = {RefreshSchedule.of(4600, now=1000, session_id="one") for _ in range(3)}
    assert moment != RefreshSchedule.of(4600, now=1000, session_id="another")


def test_a_token_whose_end_is_unknown_has_no_schedule() -> None:
    assert RefreshSchedule.of(None, now=1000, session_id="one") is None


# In a cookie


@pytest.mark.parametrize(
    "session",
    [
        SESSION,
        BARE,
        replace(SESSION, refresh_schedule=None),
        replace(SESSION, sign_in=SignInDetails(0, "sid-1")),
        replace(SESSION, sign_in=SignInDetails(remote_addr="192.0.2.1")),
        replace(SESSION, created_at=0, identity=replace(JANE, auth_time=0)),
    ],
)
def test_what_is_written_is_read_again(session: Session) -> None:
    read = Session.from_payload(session.to_payload())
    assert read == session
    assert read.sign_in == session.sign_in
    with pytest.raises(TypeError):
        read.tokens["id_token"] = "other"  # type: ignore[index]


def test_a_payload_is_short() -> None:
    assert json.loads(BARE.to_payload()) == {
        "s": "s1",
        "u": "u1",
        "p": "corp",
        "i": "https://id.example",
        "b": "42",
        "n": "jane",
        "0": 1000,
        "1": 2000,
        "2": 1100,
        "3": 80,
    }
    assert json.loads(replace(BARE, sign_in=SignInDetails(0, "a")).to_payload())["w"] == [0, "a"]
    assert b" " not in BARE.to_payload()
    assert "Jané".encode() in SESSION.to_payload()


def test_a_text_that_utf_8_cannot_spell_does_not_stop_a_sign_in() -> None:
    session = replace(BARE, identity=replace(BARE.identity, name="J\ud800ne"))
    assert Session.from_payload(session.to_payload()).identity.name == "J?ne"


@pytest.mark.parametrize("key", list("supbin0123"))
def test_a_payload_that_lacks_what_every_session_has_is_refused(key: str) -> None:
    with pytest.raises(KeyError):
        Session.from_payload(payload(**{key: None}))


@pytest.mark.parametrize(
    "changes",
    [
        *({key: 7} for key in "supbin"),
        *({key: "7"} for key in "0123"),
        {"w": ["995"]},
        {"w": [None]},
        {"w": [1, "sid", None, None, "more"]},
        {"x": [1]},
        {"x": [1, 2, 3]},
        {"x": ["soon", 2]},
        {"x": 7},
    ],
)
def test_a_payload_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Session.from_payload(payload(**changes))


@pytest.mark.parametrize(
    "octets",
    [b"[]", b"7", b"", b"{", payload() + b" ", payload() + b"{}", b" " + payload(), b"\xff", b"null"],
)
def test_what_is_no_json_object_alone_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError):
        Session.from_payload(octets)


def test_fractions_of_seconds_are_accepted() -> None:
    assert Session.from_payload(payload(**{"0": 1000.5, "w": [995.5]})).created_at == 1000.5
    assert Session.from_payload(payload(x=[1.5, 2.5])).refresh_schedule == RefreshSchedule(1, 2)


def test_a_session_is_never_changed_in_place_and_shows_no_token() -> None:
    with pytest.raises(FrozenInstanceError):
        SESSION.expires_at = 9999  # type: ignore[misc]
    assert "tokens" not in repr(SESSION)
