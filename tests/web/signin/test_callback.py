"""The callback: nothing is asked of a provider before the answer was judged, and each step follows the one before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oauth2_mw.credentials.strangers import MAX_OF_ONE, PERIOD
from oauth2_mw.errors import (
    AccessDeniedError,
    AttemptLostError,
    BadRequestError,
    LoginTriesError,
    MethodNotAllowedError,
    OAuth2Error,
    ProviderError,
    ProviderUnavailableError,
    SignInDeclinedError,
    StateError,
)
from oauth2_mw.provider.demand import NO_DEMAND
from oauth2_mw.web.signin.attempt import VALID_FOR
from oauth2_mw.web.signin.login import SignInFailedError
from tests.support.clock import Clock
from tests.support.hosts.sign_in_parts import SignInParts, state_of

TWO = {
    "issuer": None,
    "client_id": None,
    "client_secret": None,
    **{
        f"provider:{name}": {
            "issuer": f"https://{name}.example",
            "client_id": "app",
            "client_secret": "s",
            "username_prefix": f"{name}-",
        }
        for name in ("one", "two")
    },
}


@pytest.fixture
def parts(clock: Clock) -> SignInParts:
    return SignInParts(clock)


def refusal(parts: SignInParts, params: dict[str, str], kind: type[OAuth2Error], **more: Any) -> OAuth2Error:
    """The error with which an answer is refused before the provider is asked anything."""
    before = len(parts.provider.asked)
    with pytest.raises(kind) as caught:
        parts.answer(params, **more)
    assert parts.provider.asked[before:] == []
    assert parts.user is None
    return caught.value


def failure(parts: SignInParts, params: dict[str, str], kind: type[Exception]) -> Exception:
    """The error that an answer to an attempt of ours ends with, the attempt's cookie being closed."""
    cookies = {*parts.jar}
    with pytest.raises(SignInFailedError) as caught:
        parts.answer(params)
    assert isinstance(caught.value.error, kind)
    assert caught.value.attempt is not None
    assert caught.value.attempt.destination == "/deep?x=1"
    parts.take(list(caught.value.cookies))
    assert {*parts.jar} == cookies
    assert parts.user is None
    # It cannot be used again, and still says where it led to.
    again = parts.answer(params)
    assert state_of(again) != params["state"]
    return caught.value.error


# The way through


def test_an_answer_signs_in_and_leads_back(parts: SignInParts, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    answer = parts.begin()
    begun = parts.provider.asked[-1][1]
    response = parts.answer({**answer, "iss": "https://id.example"})
    assert response.status_int == 303
    assert response.location == "https://app.example/deep?x=1"
    assert parts.user == "jane"
    assert parts.provider.asked[-3:] == [
        ("client", "default"),
        ("check_issuer", "https://id.example"),
        (
            "redeem",
            {
                "code": "code-1",
                "nonce": begun["nonce"],
                "code_verifier": begun["code_verifier"],
                "issuer": "https://id.example",
                "demand": NO_DEMAND,
            },
        ),
    ]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["event=login"]


def test_what_is_known_of_a_sign_in_is_in_the_session(parts: SignInParts, clock: Clock) -> None:
    parts.provider.authentication = {"issued_at": 123}
    parts.answer(parts.begin(), HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    session = parts.current().session
    assert session is not None
    assert session.sign_in.issued_at == 123
    assert session.sign_in.sid == "sid-1"
    assert session.sign_in.device == "Firefox 140 on Linux"
    assert session.sign_in.remote_addr == "192.0.2.1"
    assert session.tokens == {"id_token": "id", "access_token": "access", "refresh_token": "refresh"}
    assert session.refresh_schedule is not None
    assert session.refresh_schedule.token_expires_at == int(clock()) + 300


def test_without_an_id_token_a_session_is_issued_before_the_provider_was_asked(
    parts: SignInParts, clock: Clock
) -> None:
    """A logout that arrives meanwhile is later."""
    parts.provider.authentication = {"issued_at": None}
    answer, now = parts.begin(), int(clock())
    parts.answer(answer)
    session = parts.current().session
    assert session is not None
    assert session.sign_in.issued_at == now
    assert session.created_at == now + 7


def test_a_time_of_issue_of_zero_is_one(parts: SignInParts) -> None:
    parts.provider.authentication = {"issued_at": 0}
    parts.answer(parts.begin())
    session = parts.current().session
    assert session is not None
    assert session.sign_in.issued_at == 0


def test_the_session_before_ends(parts: SignInParts) -> None:
    parts.answer(parts.begin())
    first = parts.current().session
    assert first is not None
    parts.provider.claims = {"sub": "42", "preferred_username": "janet"}
    parts.answer(parts.begin())
    second = parts.current().session
    assert second is not None
    assert parts.user == "janet"
    assert parts.sessions.has_ended(first)
    assert not parts.sessions.has_ended(second)


def test_the_session_before_ends_although_its_cookie_did_not_come(clock: Clock) -> None:
    parts = SignInParts(clock, response_mode="form_post")
    parts.answer(parts.begin(), method="POST")
    first = parts.current().session
    assert first is not None
    answer = parts.begin()
    # A form from another site: Lax cookies stay behind.
    session_cookie = parts.jar.pop(parts.sessions.cookies.session)
    assert session_cookie
    parts.answer(answer, method="POST")
    assert parts.sessions.has_ended(first)
    assert parts.user == "jane"


def test_the_attempt_is_closed_as_one_that_led_to_a_session(parts: SignInParts) -> None:
    for _ in range(3):
        parts.answer(parts.begin())
    assert parts.attempts.is_login_loop(parts.current().cookies)


# What is refused before anything is asked


def test_the_method_is_that_of_the_response_mode(clock: Clock) -> None:
    query, form = SignInParts(clock), SignInParts(clock, response_mode="form_post")
    answer = query.begin()
    for method in ("POST", "HEAD", "PUT"):
        error = refusal(query, answer, MethodNotAllowedError, method=method)
        assert isinstance(error, MethodNotAllowedError)
        assert error.allow == "GET"
    answer = form.begin()
    for method in ("GET", "HEAD", "PUT"):
        error = refusal(form, answer, MethodNotAllowedError, method=method)
        assert isinstance(error, MethodNotAllowedError)
        assert error.allow == "POST"
    form.answer(answer, method="POST")
    assert form.user == "jane"


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_prose_may_have_line_breaks_and_nothing_else_may(clock: Clock, mode: str) -> None:
    parts, method = SignInParts(clock, response_mode=mode), "POST" if mode == "form_post" else "GET"
    for name in ("code", "iss", "error", "error_uri", "session_state"):
        answer = {**parts.begin(), name: "a\r\nb"}
        refusal(parts, answer, BadRequestError, method=method)
    answer = {**parts.begin(), "error": "server_error", "error_description": "two\r\nlines"}
    del answer["code"]
    with pytest.raises(SignInFailedError):
        parts.answer(answer, method=method)


@pytest.mark.parametrize("state", [None, ""])
def test_an_answer_without_a_state_is_refused(parts: SignInParts, state: str | None) -> None:
    answer = parts.begin()
    del answer["state"]
    if state is not None:
        answer["state"] = state
    assert refusal(parts, answer, StateError).code == "state_missing"


@pytest.mark.parametrize(
    ("name", "length", "code"),
    [("state", 512, "state_foreign"), ("state", 513, "too_long"), ("code", 4097, "too_long")],
)
def test_a_state_and_a_code_have_a_length(parts: SignInParts, name: str, length: int, code: str) -> None:
    assert refusal(parts, {**parts.begin(), name: "x" * length}, OAuth2Error).code == code


def test_a_code_of_that_length_is_redeemed(parts: SignInParts) -> None:
    parts.answer({**parts.begin(), "code": "x" * 4096})
    assert parts.user == "jane"


def test_a_state_of_somebody_else_is_refused(parts: SignInParts, clock: Clock) -> None:
    other = SignInParts(clock)
    answer = other.begin()
    answer["state"] = answer["state"][::-1]
    assert refusal(parts, answer, StateError).code == "state_foreign"


def test_an_answer_at_another_providers_callback_is_refused(clock: Clock) -> None:
    parts = SignInParts(clock, **TWO)
    answer = parts.begin(provider="one")
    assert refusal(parts, answer, StateError, name="two").code == "state_of_other_provider"
    parts.provider.authentication = {"issuer": "https://one.example"}
    parts.answer(answer, name="one")
    assert parts.user == "one-jane"


# Late answers


def test_a_used_answer_leads_a_person_who_is_signed_in_to_the_destination(parts: SignInParts) -> None:
    answer = parts.begin()
    parts.answer(answer)
    asked = len(parts.provider.asked)
    response = parts.answer(answer)
    assert response.location == "https://app.example/deep?x=1"
    assert len(parts.provider.asked) == asked
    assert parts.user == "jane"


def test_without_its_cookie_it_leads_them_home(parts: SignInParts) -> None:
    answer = parts.begin()
    parts.answer(parts.begin())
    state = parts.attempts.open_state(answer["state"])
    assert state is not None
    del parts.jar[f"{parts.sessions.cookies.attempt_prefix}{state.slot}"]
    assert parts.answer(answer).location == "https://app.example/"


@pytest.mark.parametrize("later", [VALID_FOR - 1, VALID_FOR])
def test_an_answer_that_took_too_long_is_begun_anew(
    parts: SignInParts, clock: Clock, later: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = parts.begin()
    clock.now += later
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    response = parts.answer(answer)
    if later < VALID_FOR:
        assert parts.user == "jane"
        return
    assert [name for name, _ in parts.provider.asked].count("redeem") == 0
    assert "event=login_restarted" in caplog.text
    new = {"state": state_of(response), "code": "code-2"}
    assert new["state"] != answer["state"]
    # It still leads to the destination.
    assert parts.answer(new).location == "https://app.example/deep?x=1"


def test_an_attempt_is_used_once_even_if_its_cookie_says_otherwise(parts: SignInParts) -> None:
    answer, cookies = parts.begin(), dict(parts.jar)
    parts.answer(answer)
    parts.jar = cookies
    state_of(parts.answer(answer))
    assert [name for name, _ in parts.provider.asked].count("redeem") == 1
    assert parts.user is None


def test_a_sign_in_is_begun_anew_once(parts: SignInParts) -> None:
    answer = parts.begin()
    parts.jar.clear()
    second = {"state": state_of(parts.answer(answer)), "code": "code-2"}
    parts.jar.clear()
    error = refusal(parts, second, AttemptLostError)
    assert "its cookie is gone" in error.detail


def test_a_used_attempt_is_told_from_a_lost_one(parts: SignInParts, clock: Clock) -> None:
    answer = parts.begin()
    parts.jar.clear()
    second = {"state": state_of(parts.answer(answer)), "code": "code-2"}
    clock.now += VALID_FOR
    with pytest.raises(SignInFailedError) as caught:
        parts.answer(second)
    assert isinstance(caught.value.error, AttemptLostError)
    assert "was used or has expired" in caught.value.error.detail
    assert caught.value.destination == "/"


@pytest.mark.parametrize(
    "environ",
    [{"HTTP_SEC_FETCH_DEST": "iframe"}, {"HTTP_SEC_FETCH_MODE": "no-cors"}, {"HTTP_PURPOSE": "prefetch"}],
)
def test_an_answer_in_a_frame_is_not_begun_anew(parts: SignInParts, environ: dict[str, str]) -> None:
    answer = parts.begin()
    parts.jar.clear()
    refusal(parts, answer, AttemptLostError, **environ)


@pytest.mark.parametrize("signed_in", [True, False])
def test_attempts_that_do_not_open_are_cleared_away(parts: SignInParts, *, signed_in: bool) -> None:
    answer = parts.begin()
    if signed_in:
        parts.answer(answer)
    else:
        parts.jar.clear()
    prefix = parts.sessions.cookies.attempt_prefix
    slot = next(slot for slot in "abcdefgh" if prefix + slot not in parts.jar)
    parts.jar[prefix + slot] = "unreadable"
    response = parts.answer(answer)
    # Where a new attempt begins, it may take the very place.
    assert any(line.startswith(f"{prefix}{slot}=") for line in response.headers.getall("Set-Cookie"))


# What fails after the attempt was used


def lost() -> ProviderUnavailableError:
    error = ProviderUnavailableError("the answer was lost")
    error.is_sent = error.is_on_kept_connection = True
    return error


@pytest.mark.requirement("R-connections")
def test_a_code_that_is_lost_with_a_kept_connection_is_replaced_by_itself_once(
    parts: SignInParts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oauth2_mw.audit")
    first = parts.begin()
    parts.provider.errors["redeem"] = lost()
    second = {"state": state_of(parts.answer(first)), "code": "code-2"}
    assert second["state"] != first["state"]
    assert "event=login_restarted" in caplog.text
    assert "the answer was lost" in caplog.text
    with pytest.raises(SignInFailedError) as caught:
        parts.answer(second)
    assert isinstance(caught.value.error, ProviderUnavailableError)


@pytest.mark.requirement("R-connections")
def test_a_code_that_is_lost_otherwise_is_not_replaced(parts: SignInParts) -> None:
    parts.provider.errors["redeem"] = ProviderUnavailableError("no connection")
    failure(parts, parts.begin(), ProviderUnavailableError)


def test_after_a_code_was_lost_the_person_is_signed_in_where_they_wanted_to_go(parts: SignInParts) -> None:
    first = parts.begin()
    parts.provider.errors["redeem"] = lost()
    response = parts.answer(first)
    del parts.provider.errors["redeem"]
    done = parts.answer({"state": state_of(response), "code": "code-2"})
    assert done.location == "https://app.example/deep?x=1"
    assert parts.user == "jane"


@pytest.mark.parametrize(
    ("params", "kind", "code"),
    [
        ({"error": "access_denied"}, SignInDeclinedError, "sign_in_declined"),
        ({"error": "server_error"}, ProviderUnavailableError, "provider_unavailable"),
        ({"error": "invalid_scope"}, ProviderError, "error_response"),
        ({"error": ""}, SignInDeclinedError, "sign_in_declined"),
        ({}, SignInDeclinedError, "sign_in_declined"),
        ({"code": ""}, SignInDeclinedError, "sign_in_declined"),
        ({"code": "c", "error": "access_denied"}, BadRequestError, "error_and_code"),
        ({"code": "", "error": ""}, SignInDeclinedError, "sign_in_declined"),
    ],
)
def test_an_answer_without_a_code_alone_signs_nobody_in(
    parts: SignInParts, params: dict[str, str], kind: type[OAuth2Error], code: str
) -> None:
    error = failure(parts, {"state": parts.begin()["state"], **params}, kind)
    assert isinstance(error, OAuth2Error)
    assert error.code == code
    assert "redeem" not in [name for name, _ in parts.provider.asked]


def test_the_description_of_an_error_is_in_the_detail(parts: SignInParts) -> None:
    for error, kind in (("access_denied", SignInDeclinedError), ("invalid_scope", ProviderError)):
        answer = {"state": parts.begin()["state"], "error": error, "error_description": "because"}
        found = failure(parts, answer, kind)
        assert isinstance(found, OAuth2Error)
        assert f"{error} (because)" in found.detail


def test_an_answer_of_another_issuer_is_refused_before_its_code_or_error_is_looked_at(
    parts: SignInParts,
) -> None:
    parts.provider.errors["check_issuer"] = ProviderError("mix-up", code="issuer_mismatch")
    failure(parts, {"state": parts.begin()["state"], "error": "access_denied"}, ProviderError)
    failure(parts, parts.begin(), ProviderError)
    assert "redeem" not in [name for name, _ in parts.provider.asked]


@pytest.mark.parametrize("error", [ProviderError("no", code="token_error"), RuntimeError("unforeseen")])
def test_whatever_fails_while_the_code_is_redeemed_closes_the_attempt(
    parts: SignInParts, error: Exception
) -> None:
    parts.provider.errors["redeem"] = error
    assert failure(parts, parts.begin(), type(error)) is error


def test_who_may_not_enter_gets_no_session(clock: Clock) -> None:
    failure(parts := SignInParts(clock, allow="user:bob"), parts.begin(), AccessDeniedError)


# Tries in vain


def fail(parts: SignInParts, times: int, *, name: str = "default", **more: Any) -> list[OAuth2Error]:
    """What so many sign-ins end with whose codes are invented."""
    parts.provider.errors["redeem"] = ProviderError("invalid_grant")
    errors = []
    for _ in range(times):
        with pytest.raises(SignInFailedError) as caught:
            parts.answer(parts.begin(provider=name), name=name, **more)
        assert isinstance(caught.value.error, OAuth2Error)
        errors.append(caught.value.error)
        parts.jar.clear()
    del parts.provider.errors["redeem"]
    return errors


def redeemed(parts: SignInParts) -> int:
    return [name for name, _ in parts.provider.asked].count("redeem")


@pytest.mark.requirement("R-calls")
def test_whoever_invents_codes_does_not_keep_the_provider_busy(clock: Clock) -> None:
    parts = SignInParts(clock, trusted_peers="10.0.0.1")
    errors = fail(parts, 300)
    assert redeemed(parts) == MAX_OF_ONE
    assert {type(each) for each in errors[MAX_OF_ONE:]} == {LoginTriesError}
    assert [each.is_repeated for each in errors[MAX_OF_ONE:]] == [False, *[True] * (299 - MAX_OF_ONE)]
    # Nobody else is kept out, nor the same person for long.
    parts.answer(parts.begin(), REMOTE_ADDR="192.0.2.2")
    assert parts.user == "jane"
    parts.jar.clear()
    clock.now += PERIOD
    parts.answer(parts.begin())
    assert parts.user == "jane"


@pytest.mark.requirement("R-calls")
def test_who_signs_in_has_not_failed(clock: Clock) -> None:
    parts = SignInParts(clock)
    fail(parts, MAX_OF_ONE - 1)
    for _ in range(2):
        parts.answer(parts.begin())
        assert parts.user == "jane"
        parts.jar.clear()
    assert not isinstance(fail(parts, 1)[0], LoginTriesError)
    assert isinstance(fail(parts, 1)[0], LoginTriesError)


@pytest.mark.requirement("R-calls")
def test_whoever_waits_for_a_place_has_not_failed(
    clock: Clock, parts: SignInParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def place() -> Iterator[None]:
        # As many as like have come meanwhile.
        if depth < MAX_OF_ONE + 5:
            sign_in()
        yield

    depth = 0

    def sign_in() -> None:
        nonlocal depth
        depth += 1
        answer = parts.begin()
        parts.answer(answer)

    monkeypatch.setattr(parts.provider, "place", place)
    sign_in()
    assert redeemed(parts) == MAX_OF_ONE + 5


@pytest.mark.requirement("R-calls")
def test_an_outage_of_the_provider_is_nobodys_failure(parts: SignInParts) -> None:
    parts.provider.errors["redeem"] = ProviderUnavailableError("HTTP 503")
    for _ in range(2 * MAX_OF_ONE):
        failure(parts, parts.begin(), ProviderUnavailableError)
    del parts.provider.errors["redeem"]
    parts.answer(parts.begin())
    assert parts.user == "jane"


def test_whoever_is_refused_at_one_provider_may_sign_in_at_another(clock: Clock) -> None:
    parts = SignInParts(clock, **TWO)
    assert isinstance(fail(parts, MAX_OF_ONE + 1, name="one")[-1], LoginTriesError)
    parts.provider.authentication["issuer"] = "https://two.example"
    parts.answer(parts.begin(provider="two"), name="two")
    assert parts.user == "two-jane"


def test_a_failure_leaves_the_session_before_alone(parts: SignInParts) -> None:
    parts.answer(parts.begin())
    first = parts.current().session
    assert first is not None
    parts.provider.errors["redeem"] = ProviderError("no", code="token_error")
    with pytest.raises(SignInFailedError):
        parts.answer(parts.begin())
    assert parts.user == "jane"
    assert not parts.sessions.has_ended(first)
