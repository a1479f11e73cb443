"""What becomes of a sign-in when the provider answers with an error: declined, begun anew, later, or misconfigured."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN

CALLBACK = f"{ORIGIN}/auth/oauth2/login/callback/"


def answered(browser: Browser, site: Guarded, **changes: str | None) -> Page:
    """The page that a person sees whose provider answers with *changes* in place of a code."""
    asked = browser.navigate(site.url + "/deep?x=1", stop_before=CALLBACK).location or ""
    return browser.navigate(changed(asked, **changes), stop_before=CALLBACK)


def changed(url: str, **changes: str | None) -> str:
    parts = urlsplit(url)
    right = {name: values[0] for name, values in parse_qs(parts.query).items() if name != "code"}
    query = {name: value for name, value in {**right, **changes}.items() if value is not None}
    return parts._replace(query=urlencode(query)).geturl()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        # RFC 6749, section 4.1.2.1
        ("access_denied", 403, "sign_in_declined"),
        ("invalid_request", 502, "error_response"),
        ("unauthorized_client", 502, "error_response"),
        ("unsupported_response_type", 502, "error_response"),
        ("invalid_scope", 502, "error_response"),
        ("server_error", 503, "provider_unavailable"),
        ("temporarily_unavailable", 503, "provider_unavailable"),
        # OpenID Connect Core, section 3.1.2.6, to a request without prompt=none
        ("interaction_required", 502, "error_response"),
        ("login_required", 502, "error_response"),
        ("account_selection_required", 502, "error_response"),
        ("consent_required", 502, "error_response"),
        ("invalid_request_uri", 502, "error_response"),
        ("invalid_request_object", 502, "error_response"),
        ("request_not_supported", 502, "error_response"),
        ("request_uri_not_supported", 502, "error_response"),
        ("registration_not_supported", 502, "error_response"),
        ("unmet_authentication_requirements", 403, "sign_in_declined"),
        # the words of providers
        ("user_cancelled_login", 403, "sign_in_declined"),
        ("user_cancelled_authorize", 403, "sign_in_declined"),
        ("user_denied", 403, "sign_in_declined"),
        ("unauthorized", 403, "sign_in_declined"),
        ("ACCESS_DENIED", 502, "error_response"),
        ("a_word_of_its_own", 502, "error_response"),
    ],
)
def test_an_error_says_whose_turn_it_is(site: Guarded, error: str, status: int, code: str) -> None:
    browser = site.browser()
    page = answered(browser, site, error=error, error_description="some words")
    assert page.status == status
    assert (page.header("Retry-After") == "5") == (status == 503)
    assert len(site.audit) == 1
    assert f"code={code}" in site.audit[0]
    assert f"the provider answered {error} (some words)" in site.audit[0]
    assert "some words" not in page.text
    assert site.session_cookie not in browser.jar.names(site.url)


@pytest.mark.parametrize(
    "empty", [{}, {"code": ""}, {"error": ""}, {"error": "", "code": "", "session_state": "x"}]
)
def test_a_state_alone_is_a_decline(site: Guarded, empty: dict[str, Any]) -> None:
    page = answered(site.browser(), site, **empty)
    assert page.status == 403
    assert "code=sign_in_declined" in site.audit[0]


@pytest.mark.parametrize("tokens", [{"access_token": "x"}, {"id_token": "x"}])
def test_tokens_in_place_of_a_code_are_a_flow_that_nobody_asked_for(
    site: Guarded, tokens: dict[str, Any]
) -> None:
    page = answered(site.browser(), site, **tokens)
    assert page.status == 502
    assert "code=code_missing" in site.audit[0]


# Once more, by itself

EXPIRED = [
    {"error": "temporarily_unavailable", "error_description": "authentication_expired"},
    {"error": "authentication_expired"},
]


@pytest.mark.parametrize("expired", EXPIRED)
def test_a_login_page_that_was_open_for_too_long_is_opened_again(
    site: Guarded, expired: dict[str, Any]
) -> None:
    browser = site.browser()
    again = answered(browser, site, **expired).location or ""
    assert again.startswith(CALLBACK)
    (line,) = site.audit
    assert "event=login_restarted" in line
    assert "authentication_expired" in line
    page = browser.navigate(again)
    assert page.url == site.url + "/deep?x=1"
    assert page.json()["user"] == "jane"


@pytest.mark.parametrize("expired", EXPIRED)
def test_it_is_opened_again_once_and_then_the_person_decides(site: Guarded, expired: dict[str, Any]) -> None:
    browser = site.browser()
    again = answered(browser, site, **expired).location or ""
    page = browser.navigate(changed(again, **expired))
    assert (page.status, page.header("Retry-After")) == (503, "5")
    assert "code=provider_unavailable" in site.audit[-1]


def test_it_is_not_opened_again_in_a_frame(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    asked = browser.navigate(site.url + "/", stop_before=CALLBACK).location or ""
    page = browser.navigate(changed(asked, **EXPIRED[1]), headers={"Sec-Fetch-Dest": "iframe"})
    assert page.status == 503
    assert len(provider.asked("/authorize")) == 1


def test_an_answer_is_used_once_even_if_it_begins_the_sign_in_anew(site: Guarded) -> None:
    browser = site.browser()
    asked = browser.navigate(site.url + "/", stop_before=CALLBACK).location or ""
    answer = changed(asked, **EXPIRED[1])
    browser.navigate(answer, stop_before=CALLBACK)
    again = browser.navigate(answer, stop_before=CALLBACK).location or ""
    assert "fits no attempt" not in site.audit[-1]
    assert "the attempt was used" in site.audit[-1]
    assert browser.navigate(again).json()["user"] == "jane"


NEEDS_THE_PERSON = [
    "interaction_required",
    "login_required",
    "account_selection_required",
    "consent_required",
]


@pytest.mark.parametrize("error", NEEDS_THE_PERSON)
def test_a_silent_sign_in_that_needs_the_person_is_begun_with_them(provider: StandIn, error: str) -> None:
    with guarded(issuer=provider.issuer, prompt="none") as site:
        browser = site.browser()
        again = answered(browser, site, error=error).location or ""
        silent, open_ = (request.query for request in provider.asked("/authorize"))
        assert silent["prompt"] == "none"
        assert "prompt" not in open_
        assert browser.navigate(again).json()["user"] == "jane"


def test_a_provider_that_still_wants_the_person_is_set_up_wrongly(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, prompt="none") as site:
        browser = site.browser()
        again = answered(browser, site, error="login_required").location or ""
        page = browser.navigate(changed(again, error="login_required"))
        assert page.status == 502
        assert "code=error_response" in site.audit[-1]
        assert len(provider.asked("/authorize")) == 2


def test_another_prompt_stays_when_a_sign_in_begins_anew(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, prompt="login") as site:
        answered(site.browser(), site, **EXPIRED[1])
        assert [request.query["prompt"] for request in provider.asked("/authorize")] == ["login", "login"]


def test_a_form_that_begins_the_sign_in_anew_still_ends_the_session_before(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, response_mode="form_post") as site:
        browser = site.browser()
        browser.headers = {}

        def form(url: str) -> dict[str, str]:
            page = browser.navigate(url, stop_before=CALLBACK)
            return {name: values[0] for name, values in parse_qs(urlsplit(page.location or "").query).items()}

        browser.post(CALLBACK, form(site.url + "/"), initiator=provider.url)
        before = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)
        assert before.fetch(site.url + "/whoami").status == 200
        asked = form(f"{site.url}/auth/oauth2/login/")
        refused = {**asked, "error": "authentication_expired"}
        del refused["code"]
        redirect = browser.post(CALLBACK, refused, initiator=provider.url, follow=False).location or ""
        browser.post(CALLBACK, form(redirect), initiator=provider.url)
        assert browser.fetch(site.url + "/whoami").status == 200
        assert before.fetch(site.url + "/whoami").status == 401


# The log


@pytest.mark.parametrize(
    ("state", "code"),
    [(None, "state_missing"), ("", "state_missing"), ("x", "state_foreign"), ("x" * 600, "too_long")],
)
def test_the_log_quotes_an_error_whose_state_is_not_ours_and_nothing_else_heeds_it(
    site: Guarded, provider: StandIn, state: str | None, code: str
) -> None:
    browser = site.browser()
    page = answered(
        browser, site, state=state, error="access_denied", error_description="AADSTS50105 \u202e no"
    )
    assert page.status == 400
    assert len(site.audit) == 1
    assert f"code={code}" in site.audit[0]
    assert "the provider answered access_denied (AADSTS50105 \\u202e no)" in site.audit[0]
    assert "AADSTS50105" not in page.text


def test_an_error_of_another_issuer_is_quoted_and_not_heeded(site: Guarded) -> None:
    page = answered(site.browser(), site, iss="https://evil.example", error="access_denied")
    assert page.status == 400
    assert "code=issuer" in site.audit[0]
    assert "the provider answered access_denied" in site.audit[0]


def test_an_error_is_quoted_although_the_metadata_cannot_be_read_to_judge_it(
    site: Guarded, provider: StandIn
) -> None:
    browser = site.browser()
    asked = browser.navigate(site.url + "/", stop_before=CALLBACK).location or ""
    site.middleware._site()._clients._clients.clear()
    provider.close()
    page = browser.navigate(changed(asked, iss=None, error="invalid_scope"))
    assert page.status == 503
    assert "the provider answered invalid_scope" in site.audit[-1]


def test_an_error_that_comes_too_late_is_quoted(site: Guarded) -> None:
    browser = site.browser()
    asked = browser.navigate(site.url + "/", stop_before=CALLBACK).location or ""
    browser.jar.clear()
    browser.navigate(changed(asked, error="invalid_scope"), stop_before=CALLBACK)
    assert "event=login_restarted" in site.audit[0]
    assert "the provider answered invalid_scope" in site.audit[0]


def test_what_a_provider_says_is_cut(site: Guarded) -> None:
    answered(site.browser(), site, state=None, error="e" * 2000, error_description="d" * 2000)
    assert "e" * 197 + "... (" + "d" * 197 + "...)" in site.audit[0]
