"""What a session becomes when its tokens are refreshed, by what the provider says; the client is a stand-in."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from oauth2_mw.errors import (
    OAuth2Error,
    ProviderError,
    ProviderUnavailableError,
    StoreUnavailableError,
    TokenError,
)
from oauth2_mw.identity.admission import Admission
from oauth2_mw.identity.model import Identity, freeze, user_key
from oauth2_mw.provider.claim_sources import KnownClaims
from oauth2_mw.provider.client import RefreshResult, Tokens
from oauth2_mw.session.clocks import Clocks
from oauth2_mw.session.lease import LEASE
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.session.model import RefreshSchedule, Session
from oauth2_mw.session.token_refresh import RETRY, UNANSWERED_RETRY, TokenRefresher
from tests.support.clock import Clock
from tests.support.settings.minimal import make_settings

ISSUER = "https://id.example"
NOW = 1_800_000_000
TOKENS = {"id_token": "id-1", "access_token": "access-1", "refresh_token": "refresh-1"}
SESSION = Session(
    id="s1",
    identity=Identity(
        user_key(ISSUER, "42"),
        "default",
        ISSUER,
        "42",
        "jane",
        name="Jane Doe",
        acr="2",
        auth_time=5,
        claims=freeze({"email": "jane@corp.example", "email_verified": True}),
    ),
    tokens=TOKENS,
    created_at=NOW - 500,
    expires_at=NOW + 5000,
    last_used_at=NOW - 100,
    idle_timeout=1000,
    refresh_schedule=RefreshSchedule(NOW - 10, NOW + 50),
)
NEW = Tokens("id-2", "refresh-2", "access-2", NOW + 400)


class Parts:
    """A refresher, and a provider that answers what a test has said."""

    def __init__(self, clock: Clock, **keys: Any) -> None:
        self.settings = make_settings(
            **{
                "issuer": ISSUER,
                "keep_tokens": "id access refresh",
                "attribute_map": '{"username": "preferred_username", "name": "name", "email": "email"}',
                **keys,
            }
        )
        self.answer: RefreshResult | Exception = RefreshResult(NEW, None, frozenset())
        self.asked: list[tuple[Any, ...]] = []
        clients: Any = self._client
        self.admission = Admission(self.settings, None)
        self.refresher = TokenRefresher(
            self.settings.providers,
            SessionManager(self.settings, clocks=Clocks(clock, clock)),
            clients,
            self.admission,
        )

    def _client(self, name: str) -> Parts:
        self.asked.append(("client", name))
        return self

    def _say(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def refresh(self, token: str, **others: Any) -> RefreshResult:
        self.asked.append((token, others))
        answer = self._say()
        assert isinstance(answer, RefreshResult)
        return answer

    def revoke(self, token: str, *, kind: str) -> bool:
        self.asked.append((token, kind))
        self._say()
        return True


@pytest.fixture
def parts(clock: Clock, caplog: pytest.LogCaptureFixture) -> Parts:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    return Parts(clock)


def says(parts: Parts, **claims: Any) -> None:
    parts.answer = RefreshResult(NEW, {"sub": "42", "preferred_username": "jane", **claims}, frozenset())


# New tokens


def test_new_tokens_take_the_place_of_the_old_ones(parts: Parts) -> None:
    refreshed = parts.refresher.refresh(SESSION)
    assert refreshed is not None
    assert refreshed == replace(
        SESSION,
        last_used_at=NOW,
        tokens={"id_token": "id-2", "access_token": "access-2", "refresh_token": "refresh-2"},
        refresh_schedule=RefreshSchedule.of(NOW + 400, now=NOW, session_id=SESSION.id),
    )
    assert refreshed.identity is SESSION.identity
    assert parts.asked == [
        ("client", "default"),
        (
            "refresh-1",
            {
                "subject": "42",
                "issuer": "https://id.example",
                "auth_time": 5,
                "id_token": "id-1",
                "known": KnownClaims(SESSION.identity.claims),
            },
        ),
    ]
    with pytest.raises(TypeError):
        refreshed.tokens["access_token"] = "other"  # type: ignore[index]


def test_what_does_not_come_stays(parts: Parts) -> None:
    parts.answer = RefreshResult(Tokens(None, None, "access-2", None), None, frozenset())
    refreshed = parts.refresher.refresh(SESSION)
    assert refreshed is not None
    assert refreshed.tokens == {**TOKENS, "access_token": "access-2"}
    assert refreshed.refresh_schedule is None


def test_tokens_that_are_not_kept_are_not_kept(clock: Clock) -> None:
    parts = Parts(clock, keep_tokens="refresh")
    refreshed = parts.refresher.refresh(replace(SESSION, tokens={"refresh_token": "refresh-1"}))
    assert refreshed is not None
    assert refreshed.tokens == {"refresh_token": "refresh-2"}
    assert parts.asked[1][1]["id_token"] is None


# The person


def test_the_person_is_who_the_provider_says_now(parts: Parts) -> None:
    says(parts, name="Jane Roe", acr="3", auth_time=9)
    refreshed = parts.refresher.refresh(SESSION)
    assert refreshed is not None
    assert (refreshed.identity.name, refreshed.identity.acr, refreshed.identity.auth_time) == (
        "Jane Roe",
        "2",
        5,
    )


def test_how_the_person_signed_in_is_a_matter_of_the_sign_in(parts: Parts) -> None:
    says(parts)
    refreshed = parts.refresher.refresh(SESSION)
    assert refreshed is not None
    assert (refreshed.identity.acr, refreshed.identity.auth_time) == ("2", 5)


@pytest.mark.parametrize(
    ("claims", "kept"),
    [
        ({"email": "jane@corp.example"}, True),
        ({"email": "eve@corp.example"}, None),
        ({"email": "jane@corp.example", "email_verified": False}, False),
    ],
)
def test_a_poorer_answer_takes_no_proof_back(parts: Parts, claims: dict[str, Any], kept: object) -> None:
    says(parts, **claims)
    refreshed = parts.refresher.refresh(SESSION)
    assert refreshed is not None
    assert refreshed.identity.claims.get("email_verified") is kept


def test_who_may_not_enter_any_more_is_out(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    parts = Parts(clock, allow="user:jane")
    says(parts, preferred_username="eve")
    assert parts.refresher.refresh(SESSION) is None
    assert "event=access_withdrawn code=not_allowed" in caplog.text


def test_who_has_become_another_user_is_out(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    says(parts)
    other = replace(SESSION, identity=replace(SESSION.identity, id="u-before"))
    assert parts.refresher.refresh(other) is None
    assert "code=user_changed" in caplog.text
    assert "u-before" in caplog.text


def test_a_directory_that_is_away_costs_no_tokens(
    parts: Parts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(parts, name="Jane Roe")

    def away(*_args: Any, **_options: Any) -> Identity:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(parts.admission, "admit_again", away)
    refreshed = parts.refresher.refresh(SESSION)
    assert refreshed is not None
    assert refreshed.identity is SESSION.identity
    assert refreshed.tokens["refresh_token"] == "refresh-2"
    assert "event=refresh_without_directory" in caplog.text


def test_the_person_is_judged_at_the_time_of_the_refresh(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(parts)
    assert isinstance(parts.answer, RefreshResult)
    parts.answer = replace(parts.answer, unknown=frozenset({"groups"}))
    seen: dict[str, Any] = {}

    def admit_again(provider: Any, **given: Any) -> Identity:
        seen.update(given, provider=provider.name)
        return SESSION.identity

    monkeypatch.setattr(parts.admission, "admit_again", admit_again)
    parts.refresher.refresh(SESSION)
    claims = {"sub": "42", "preferred_username": "jane"}
    assert seen == {
        "provider": "default",
        "issuer": ISSUER,
        "subject": "42",
        "claims": claims,
        "unknown": frozenset({"groups"}),
        "now": NOW,
    }


def test_a_session_that_cannot_be_made_to_fit_ends(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    says(parts, name="x" * 20_000)
    assert parts.refresher.refresh(SESSION) is None
    assert "event=access_withdrawn code=session_too_big" in caplog.text


def test_a_session_that_has_grown_is_cut_down(parts: Parts) -> None:
    parts.answer = RefreshResult(replace(NEW, access_token="a" * 20_000), None, frozenset())
    refreshed = parts.refresher.refresh(SESSION)
    assert refreshed is not None
    assert "access_token" not in refreshed.tokens


def test_what_userinfo_said_is_known_with_its_claims_and_not_without(parts: Parts) -> None:
    before = replace(SESSION, from_userinfo=("email",))
    parts.answer = RefreshResult(NEW, None, frozenset({"name"}))
    refreshed = parts.refresher.refresh(before)
    assert refreshed is not None
    assert refreshed.from_userinfo == ("email",)
    assert parts.asked[1][1]["known"].from_userinfo == {"email"}
    claims = {"sub": "42", "preferred_username": "jane"}
    parts.answer = RefreshResult(NEW, claims, frozenset({"name", "department"}))
    refreshed = parts.refresher.refresh(before)
    assert refreshed is not None
    assert refreshed.from_userinfo == ("department", "name")


def test_a_refresh_that_says_nothing_new_counts_as_having_seen_the_person(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[Identity, int]] = []
    monkeypatch.setattr(parts.admission, "note_seen", lambda identity, now: seen.append((identity, now)))
    assert parts.refresher.refresh(SESSION) is not None
    assert seen == [(SESSION.identity, NOW)]

    def unavailable(_identity: Identity, now: int) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(parts.admission, "note_seen", unavailable)
    assert parts.refresher.refresh(SESSION) is not None
    assert caplog.messages[-1].startswith("event=refresh_without_directory")


def test_how_the_person_signed_in_stays_in_the_claims_too(parts: Parts) -> None:
    says(parts, acr="3", amr=["face"], department="X")
    claims = freeze({"acr": "2", "amr": ["otp"]})
    session = replace(SESSION, identity=replace(SESSION.identity, claims=claims))
    refreshed = parts.refresher.refresh(session)
    assert refreshed is not None
    assert {name: refreshed.identity.claims.get(name) for name in ("acr", "amr", "department")} == {
        "acr": "2",
        "amr": ("otp",),
        "department": "X",
    }


@pytest.mark.parametrize(
    ("keys", "id_token", "from_userinfo", "told"),
    [
        ({}, None, (), "allow reads department, email, which stay"),
        ({}, None, ("department",), "allow reads email, which stay"),
        ({}, None, ("department", "email"), None),
        ({}, "id-2", (), None),
        ({"allow": "claim:team=x"}, None, (), None),
        ({"allow": "*"}, None, (), None),
        ({"issuer": None}, None, (), None),
    ],
)
def test_that_allow_decides_by_what_no_refresh_says_anew_is_told_once(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    keys: dict[str, Any],
    id_token: str | None,
    from_userinfo: tuple[str, ...],
    told: str | None,
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    if "issuer" in keys:
        endpoints = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
        keys = {**keys, **{name: f"{ISSUER}/{name}" for name in endpoints}}
    keys = {"allow": "claim:department=X email:jane@corp.example", "email_verified": "always", **keys}
    parts = Parts(clock, **keys)
    parts.answer = RefreshResult(replace(NEW, id_token=id_token), None, frozenset())
    claims = freeze({"department": "X", "email": "jane@corp.example"})
    identity = replace(SESSION.identity, claims=claims)
    for _ in range(2):
        assert parts.refresher.refresh(replace(SESSION, identity=identity, from_userinfo=from_userinfo))
    lines = [line for line in caplog.messages if "event=claims_kept" in line]
    assert len(lines) == (0 if told is None else 1)
    assert told is None or told in lines[0]


# What fails


def test_a_provider_that_is_away_is_tried_again_later(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    parts.answer = ProviderUnavailableError("away")
    assert parts.refresher.refresh(SESSION) == replace(
        SESSION, refresh_schedule=RefreshSchedule(NOW + RETRY, NOW + 50)
    )
    assert RETRY == 30
    assert "event=refresh_postponed code=provider_unavailable" in caplog.text
    assert "detail=away" in caplog.text
    unscheduled = replace(SESSION, refresh_schedule=None)
    assert parts.refresher.refresh(unscheduled) == unscheduled


@pytest.mark.requirement("R-refresh")
def test_a_refresh_token_that_may_have_left_is_sent_again_within_the_grace_and_not_at_once(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    parts.answer = ProviderUnavailableError("silent")
    parts.answer.is_sent = True
    assert parts.refresher.refresh(SESSION) == replace(
        SESSION, refresh_schedule=RefreshSchedule(NOW + UNANSWERED_RETRY, NOW + 50)
    )
    assert UNANSWERED_RETRY == LEASE == 10
    assert "event=refresh_postponed code=refresh_unanswered" in caplog.text


@pytest.mark.parametrize("keys", [{}, {"refresh_failure": "keep"}])
def test_what_cannot_be_true_of_this_session_ends_it(
    clock: Clock, caplog: pytest.LogCaptureFixture, keys: dict[str, Any]
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    parts = Parts(clock, **keys)
    parts.answer = TokenError("another person", code="subject_changed")
    assert parts.refresher.refresh(SESSION) is None
    assert "event=refresh_refused code=subject_changed" in caplog.text


@pytest.mark.parametrize("failure", ["end", "keep"])
def test_a_refusal_ends_the_session_or_leaves_it_without_a_refresh_token(
    clock: Clock, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    parts = Parts(clock, refresh_failure=failure)
    parts.answer = ProviderError("used up", code="refresh_refused")
    kept = replace(SESSION, tokens={"id_token": "id-1", "access_token": "access-1"}, refresh_schedule=None)
    expected = kept if failure == "keep" else None
    assert parts.refresher.refresh(SESSION) == expected
    assert "event=refresh_refused code=refresh_refused" in caplog.text
    caplog.clear()
    assert parts.refresher.give_up(SESSION, "never arrived") == expected
    assert "event=refresh_refused code=refresh_lost" in caplog.text
    assert "never arrived" in caplog.text


# Revocation


@pytest.mark.parametrize(
    ("tokens", "asked"),
    [
        (TOKENS, [("client", "default"), ("refresh-1", "refresh_token")]),
        ({"access_token": "access-1"}, [("client", "default"), ("access-1", "access_token")]),
        ({"id_token": "id-1"}, []),
        ({}, []),
    ],
)
def test_the_refresh_token_is_revoked_or_else_the_access_token(
    parts: Parts, tokens: dict[str, str], asked: list[Any]
) -> None:
    parts.refresher.revoke(replace(SESSION, tokens=tokens))
    assert parts.asked == asked


@pytest.mark.parametrize(
    "error", [ProviderUnavailableError("away"), ProviderError("no", code="revocation_refused")]
)
def test_a_revocation_that_fails_is_written_down_and_no_more(
    parts: Parts, error: OAuth2Error, caplog: pytest.LogCaptureFixture
) -> None:
    parts.answer = error
    parts.refresher.revoke(SESSION)
    assert f"event=revocation_failed code={error.code}" in caplog.text
    assert len(parts.asked) == 2
