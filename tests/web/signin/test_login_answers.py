"""The login URLs and the challenge: who is sent to which provider, and who gets an answer for programs."""

from __future__ import annotations

from typing import Any

import pytest
from webob import Response

from oauth2_mw.errors import (
    LoginLoopError,
    MethodNotAllowedError,
    MountNotNamedError,
    MountNotStrippedError,
    ProviderUnavailableError,
    SwitchedOffError,
)
from oauth2_mw.provider.demand import NO_DEMAND
from oauth2_mw.session.model import SessionRef
from oauth2_mw.web.signin.attempt import Attempt
from oauth2_mw.web.signin.destinations import LOST
from oauth2_mw.web.signin.login import SignInFailedError
from tests.support.clock import Clock
from tests.support.hosts.sign_in_parts import ISSUER, SignInParts, request, state_of

NAVIGATION = {"HTTP_ACCEPT": "text/html", "PATH_INFO": "/deep"}
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


@pytest.fixture
def parts(clock: Clock) -> SignInParts:
    return SignInParts(clock)


def switched_off(clock: Clock) -> SignInParts:
    return SignInParts(clock, enabled="false")


def challenge(parts: SignInParts, destination: str | None = "/deep", **environ: Any) -> Response:
    return parts.login.challenge(NAVIGATION | environ, parts.current(), destination)


def challenge_error(parts: SignInParts, kind: type[Exception], **environ: Any) -> str:
    with pytest.raises(SignInFailedError) as caught:
        challenge(parts, **environ)
    assert isinstance(caught.value.error, kind)
    assert caught.value.destination == "/deep"
    assert caught.value.attempt is None
    assert [*caught.value.cookies] == []
    return str(caught.value)


def attempt_of(parts: SignInParts, response: Response) -> Attempt:
    parts.take(response.headers.getall("Set-Cookie"))
    state = parts.attempts.open_state(state_of(response))
    assert state is not None
    attempt = parts.attempts.find(state, parts.current().cookies)
    assert attempt is not None
    return attempt


# The challenge


def test_a_frame_of_another_site_gets_a_page_with_a_link_and_begins_nothing(parts: SignInParts) -> None:
    framed = {"HTTP_SEC_FETCH_DEST": "iframe", "HTTP_SEC_FETCH_SITE": "cross-site"}
    response = challenge(parts, HTTP_SEC_FETCH_MODE="navigate", **framed)
    assert response.status_int == 401
    assert "frame-ancestors *" in response.headers["Content-Security-Policy"]
    assert "/deep" in response.text
    assert parts.provider.asked == []


def test_a_navigation_goes_to_the_only_provider(parts: SignInParts) -> None:
    response = challenge(parts)
    assert (response.location or "").startswith(f"{ISSUER}/authorize?state=")
    attempt = attempt_of(parts, response)
    assert (attempt.destination, attempt.state.restarts, attempt.previous_session) == ("/deep", 0, None)
    name, asked = parts.provider.asked[-1]
    assert name == "authorization_url"
    assert asked == {
        "state": state_of(response),
        "nonce": attempt.nonce,
        "code_verifier": attempt.code_verifier,
        "login_hint": None,
        "languages": (),
        "interactive": False,
        "demand": NO_DEMAND,
    }


def test_a_destination_that_cannot_be_kept_is_said_before_a_sign_in_that_leads_home(
    parts: SignInParts,
) -> None:
    response = challenge(parts, None)
    assert response.status_int == 401
    assert LOST in response.text
    assert 'href="https://app.example/auth/oauth2/login/default/"' in response.text
    assert parts.provider.asked == []


def test_a_program_is_told_where_a_person_signs_in(parts: SignInParts) -> None:
    response = challenge(parts, HTTP_ACCEPT="application/json")
    assert response.status_int == 401
    assert response.json["login_url"] == "https://app.example/auth/oauth2/login/?next=/deep"
    assert "Set-Cookie" not in response.headers
    assert parts.provider.asked == []


def test_a_page_of_buttons_in_the_place_of_another_is_a_401(clock: Clock) -> None:
    response = challenge(SignInParts(clock, login_page=True))
    assert response.status_int == 401
    assert "/auth/oauth2/login/default/?next=/deep" in response.text


def test_with_no_provider_a_navigation_and_a_program_are_told_so(clock: Clock) -> None:
    parts = switched_off(clock)
    for accepted in ("text/html", "application/json"):
        assert challenge_error(parts, SwitchedOffError, HTTP_ACCEPT=accepted) == "no provider is enabled"


@pytest.mark.requirement("R-mount-named")
@pytest.mark.parametrize(
    ("public_url", "script_name", "cure"),
    [
        ("https://app.example", "/core", "public_url = 'https://app.example/core'"),
        ("https://app.example/cor", "/core", "public_url = 'https://app.example/core'"),
        ("https://app.example/core", "/core/", "public_url = 'https://app.example/core'"),
        ("https://app.example/core", "/Core", "public_url = 'https://app.example/Core'"),
        ("https://app.example/core/x", "/core", "public_url = 'https://app.example/core'"),
    ],
)
def test_no_sign_in_begins_under_a_mount_that_public_url_does_not_name(
    clock: Clock, public_url: str, script_name: str, cure: str
) -> None:
    parts = SignInParts(clock, public_url=public_url)
    message = challenge_error(parts, MountNotNamedError, SCRIPT_NAME=script_name)
    assert repr(script_name) in message
    assert cure in message
    assert parts.provider.asked == []
    # A program begins none.
    assert challenge(parts, SCRIPT_NAME=script_name, HTTP_ACCEPT="application/json").status_int == 401


def test_a_mount_that_public_url_names_or_the_server_does_not_tell_is_none_of_these(clock: Clock) -> None:
    parts = SignInParts(clock, public_url="https://app.example/core")
    for script_name in ("", "/core"):
        assert challenge(parts, SCRIPT_NAME=script_name).status_int == 303


def test_a_mount_that_the_server_left_in_the_path_is_named(clock: Clock) -> None:
    parts = SignInParts(clock, public_url="https://app.example/core")
    message = challenge_error(parts, MountNotStrippedError, PATH_INFO="/core/auth/oauth2/login/")
    assert "'/core/auth/oauth2'" in message
    assert "the mount '/core'" in message
    # Ahead of the question who asks.
    path = {"PATH_INFO": "/core/auth/oauth2/login/", "HTTP_ACCEPT": "*/*"}
    challenge_error(parts, MountNotStrippedError, **path)


def test_a_browser_that_keeps_no_session_is_not_sent_round_for_ever(parts: SignInParts) -> None:
    for number in range(3):
        assert challenge(parts).status_int == 303, number
        parts.answer(parts.begin())
        parts.jar.pop(parts.sessions.cookies.session)
    challenge_error(parts, LoginLoopError)
    # A program is answered as ever, and a click on the login begins once more.
    assert challenge(parts, HTTP_ACCEPT="*/*").status_int == 401
    assert parts.login.answer(request({}), parts.current()).status_int == 303


@pytest.mark.parametrize("error", [ProviderUnavailableError("away"), RuntimeError("unforeseen")])
def test_whatever_fails_keeps_the_destination(parts: SignInParts, error: Exception) -> None:
    parts.provider.errors["authorization_url"] = error
    challenge_error(parts, type(error))


def test_an_error_names_the_provider(parts: SignInParts) -> None:
    error = ProviderUnavailableError("away")
    parts.provider.errors["authorization_url"] = error
    with pytest.raises(ProviderUnavailableError):
        parts.login.begin("default", "/deep", parts.current())
    assert error.provider == "default"


@pytest.mark.parametrize("way", ["challenge", "link", "late answer", "refusal"])
def test_the_provider_is_told_what_languages_the_person_reads(clock: Clock, way: str) -> None:
    parts = SignInParts(clock, ui_locales="browser")
    accept = {"HTTP_ACCEPT_LANGUAGE": "en;q=0.5,nb"}
    match way:
        case "challenge":
            challenge(parts, **accept)
        case "link":
            parts.login.answer(request({}, **accept), parts.current(), name="default")
        case "late answer":
            params = parts.begin()
            parts.jar.clear()
            parts.answer(params, **accept)
        case _:
            state = parts.begin()["state"]
            parts.answer({"state": state, "error": "authentication_expired"}, **accept)
    assert parts.provider.asked[-1][1]["languages"] == ("nb", "en")


# The login URLs


@pytest.mark.parametrize("at", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_begins_a_sign_in(parts: SignInParts, *, at: bool, method: str) -> None:
    link = request({"next": "/page?x=1", "login_hint": "jane@corp.example"}, method=method)
    current = parts.current()
    response = parts.login.answer(link, current, name="default") if at else parts.login.answer(link, current)
    assert attempt_of(parts, response).destination == "/page?x=1"
    assert parts.provider.asked[-1][1]["login_hint"] == "jane@corp.example"


@pytest.mark.parametrize("method", ["PUT", "OPTIONS"])
def test_other_methods_begin_nothing(parts: SignInParts, method: str) -> None:
    current = parts.current()
    for call in (
        lambda: parts.login.answer(request({}, method=method), current),
        lambda: parts.login.answer(request({}, method=method), current, name="default"),
    ):
        with pytest.raises(MethodNotAllowedError) as caught:
            call()
        assert caught.value.allow == "GET, HEAD, POST"


@pytest.mark.parametrize("at", [False, True])
@pytest.mark.parametrize(
    "environ",
    [{"HTTP_SEC_FETCH_DEST": "image"}, {"HTTP_SEC_FETCH_DEST": "iframe"}, {"HTTP_PURPOSE": "prefetch"}],
)
def test_what_fills_no_window_begins_nothing(
    parts: SignInParts, *, at: bool, environ: dict[str, str]
) -> None:
    link, current = request({"next": "/page"}, **environ), parts.current()
    response = parts.login.answer(link, current, name="default") if at else parts.login.answer(link, current)
    assert response.status_int == 401
    assert response.json["login_url"].endswith("/login/?next=/page")
    assert parts.provider.asked == []


def test_a_login_that_is_switched_off_says_so(clock: Clock) -> None:
    parts = switched_off(clock)
    with pytest.raises(SwitchedOffError):
        parts.login.answer(request({}), parts.current())


def test_the_login_page_offers_every_provider_once(clock: Clock, tmp_path: Any) -> None:
    (tmp_path / "one.png").write_bytes(PNG)
    parts = SignInParts(
        clock,
        issuer=None,
        client_id=None,
        client_secret=None,
        **{
            f"provider:{name}": {
                "issuer": f"https://{name}.example",
                "client_id": "app",
                "client_secret": "s",
                "username_prefix": f"{name}-",
                "provider": f"The {name}",
                **icon,
            }
            for name, icon in (("one", {"icon": str(tmp_path / "one.png")}), ("two", {}))
        },
    )
    response = parts.login.answer(request({"next": "/page", "login_hint": "jane"}), parts.current())
    assert response.status_int == 200
    for name in ("one", "two"):
        assert f"/auth/oauth2/login/{name}/?next=/page&amp;login_hint=jane" in response.text
        assert f"The {name}" in response.text
    assert "/icon/one" in response.text
    assert "/icon/two" not in response.text
    assert parts.provider.asked == []
    # A provider that is named needs no page.
    assert parts.login.answer(request({}), parts.current(), name="two").status_int == 303
    assert ("client", "two") in parts.provider.asked


def test_what_a_link_to_the_login_wants_is_read_where_it_can_be(parts: SignInParts) -> None:
    assert parts.login.wanted(request({"next": "/page"})) == "/page"
    assert parts.login.wanted(request({"next": "/page"}, REQUEST_METHOD="POST")) is None
    assert parts.login.wanted(request({"next": "/a", "x": "\0"})) is None


def test_with_several_providers_or_a_page_wished_for_nobody_is_sent_anywhere(clock: Clock) -> None:
    assert SignInParts(clock).login.answer(request({}), SignInParts(clock).current()).status_int == 303
    page = SignInParts(clock, login_page=True)
    assert page.login.answer(request({}), page.current()).status_int == 200


def test_a_sign_in_over_another_remembers_the_session_before(clock: Clock) -> None:
    parts = SignInParts(clock, response_mode="form_post")
    parts.answer(parts.begin(), method="POST")
    session = parts.current().session
    assert session is not None
    response = parts.login.answer(request({}), parts.current())
    assert attempt_of(parts, response).previous_session == SessionRef(session.id, session.expires_at)


def test_a_sign_in_that_is_begun_anew_counts(parts: SignInParts) -> None:
    response = parts.login.begin("default", "/deep", parts.current(), restarts=1)
    (asked,) = (what for name, what in parts.provider.asked if name == "authorization_url")
    assert asked["interactive"]
    assert attempt_of(parts, response).state.restarts == 1
    assert attempt_of(parts, parts.login.begin("default", "/", parts.current())).state.restarts == 0


def test_a_failure_says_what_it_was_told() -> None:
    error = ValueError("why")
    failure = SignInFailedError(error)
    assert (str(failure), failure.error, failure.destination, failure.attempt) == ("why", error, None, None)
    assert failure.cookies == ()
