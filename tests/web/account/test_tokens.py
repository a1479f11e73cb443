"""The page where a person makes tokens for their programs: nobody else can, and each is shown once."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth2_mw.credentials import personal_tokens
from oauth2_mw.web.account.tokens import FRESH_FOR
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import Guarded, guarded, signed_in
from tests.support.hosts.shared_sessions import settings
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN

URL = f"{ORIGIN}/auth/oauth2/tokens/"
DAY = 86400


@pytest.fixture
def clocks() -> ShiftedClocks:
    return ShiftedClocks()


@pytest.fixture
def site(provider: StandIn, tmp_path: Path, clocks: ShiftedClocks) -> Iterator[Guarded]:
    keys = settings(provider, tmp_path, personal_tokens="/dav/ /feed", session_idle="8h")
    with guarded(clocks=clocks.clocks, **keys) as site:
        yield site


def opened(browser: Browser) -> Page:
    page = browser.navigate(URL, initiator=ORIGIN)
    assert page.status == 200
    assert "Tokens for your programs" in page.visible_text
    return page


def made(browser: Browser, name: str = "laptop", lifetime: str = "86400") -> str:
    """Make a token, and return it."""
    opened(browser)
    page = browser.submit("Make the token", name=name, lifetime=lifetime)
    assert page.status == 200
    return token_in(page)


def token_in(page: Page) -> str:
    (token,) = [word for word in page.visible_text.split() if word.startswith("omwpat_")]
    return token


def csrf_token(page: Page) -> str:
    return page.forms[0].value("csrf_token") or ""


def form(page: Page, **changes: str) -> dict[str, str]:
    """The fields of the form that makes a token, as a script could copy them."""
    fields = {"csrf_token": csrf_token(page), "create": "1", "name": "x", "lifetime": "3600", "path0": "1"}
    return {name: value for name, value in {**fields, **changes}.items() if value}


def send(site: Guarded, token: str, path: str = "/dav/x", **keys: Any) -> int:
    """The status of a program's request."""
    header = "Basic " + b64encode(f"jane:{token}".encode()).decode()
    return site.browser().fetch(ORIGIN + path, headers={"Authorization": header}, **keys).status


def events(site: Guarded, name: str) -> list[str]:
    return [line for line in site.audit if line.startswith(f"event={name} ")]


# Making one


def test_a_person_makes_a_token_and_their_program_comes_in(site: Guarded) -> None:
    browser = signed_in(site)
    token = made(browser)
    assert send(site, token) == 200
    assert site.app.seen[-1]["user"] == "jane"
    (line,) = events(site, "token_created")
    assert "username=jane" in line
    assert f"token={token[7:23]}" in line
    assert 'detail="laptop: /dav/ /feed, for 86400 seconds"' in line
    assert token not in repr(site.audit)


def test_a_token_is_shown_once(site: Guarded) -> None:
    browser = signed_in(site)
    token = made(browser)
    page = opened(browser)
    assert "laptop" in page.visible_text
    assert token not in page.text
    assert token[24:] not in page.text


def test_the_page_says_where_a_token_serves_when_it_ends_and_when_it_was_used(
    site: Guarded, clocks: ShiftedClocks
) -> None:
    browser = signed_in(site)
    token = made(browser, lifetime="3600")
    text = opened(browser).visible_text
    assert "/dav/ /feed" in text
    assert "never" in text
    assert send(site, token) == 200
    clocks.ahead += 3600
    text = opened(browser).visible_text
    assert "never" not in text
    assert "has ended" in text


def test_a_token_may_be_for_some_paths_and_for_reading_alone(site: Guarded) -> None:
    browser = signed_in(site)
    page = browser.post(URL, form(opened(browser), path0="", path1="1", read_only="1"), initiator=ORIGIN)
    token = token_in(page)
    assert send(site, token, "/feed") == 200
    assert send(site, token, "/dav/x") == 403
    assert send(site, token, "/feed", method="PUT", body=b"x") == 403
    assert "reads only" in opened(browser).visible_text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": " "}, "Give the token a name"),
        ({"name": "x" * 101}, "Give the token a name"),
        ({"path0": ""}, "Choose at least one address"),
        ({"path0": "/"}, "Choose at least one address"),
        ({"lifetime": ""}, "could not be understood"),
        ({"lifetime": "0"}, "could not be understood"),
        ({"lifetime": "-1"}, "could not be understood"),
        ({"lifetime": str(90 * DAY + 1)}, "could not be understood"),
        ({"lifetime": "9" * 500}, "could not be understood"),
        ({"create": ""}, "could not be understood"),
        ({"csrf_token": "x"}, "open for too long"),
        ({"csrf_token": ""}, "open for too long"),
    ],
)
def test_a_form_that_asks_for_something_else_makes_none(
    site: Guarded, changes: dict[str, str], says: str
) -> None:
    browser = signed_in(site)
    page = browser.post(URL, form(opened(browser), **changes), initiator=ORIGIN)
    assert page.status == 400
    assert says in page.visible_text
    assert "omwpat_" not in page.text
    assert events(site, "token_created") == []


def test_a_form_makes_one_token_however_often_it_is_sent(site: Guarded) -> None:
    browser = signed_in(site)
    fields = form(opened(browser))
    assert "omwpat_" in browser.post(URL, fields, initiator=ORIGIN).text
    page = browser.post(URL, fields, initiator=ORIGIN)
    assert "had been sent already" in page.visible_text
    assert len(events(site, "token_created")) == 1


def test_nobody_makes_more_tokens_than_anyone_needs(site: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_tokens, "MAX_TOKENS", 3)
    browser = signed_in(site)
    for _ in range(3):
        assert "omwpat_" in browser.post(URL, form(opened(browser)), initiator=ORIGIN).text
    page = browser.post(URL, form(opened(browser)), initiator=ORIGIN)
    assert "Revoke one that you no longer need" in page.visible_text


# By the person alone


@pytest.mark.requirement("R-token-birth")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_script_of_the_application_reads_the_page_or_sends_its_form(site: Guarded, method: str) -> None:
    browser = signed_in(site)
    page = opened(browser)
    body = "&".join(f"{name}={value}" for name, value in form(page).items()).encode()
    answer = browser.fetch(
        URL,
        method=method,
        body=body if method == "POST" else None,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        initiator=ORIGIN,
    )
    assert answer.status == 400
    assert "csrf_token" not in answer.text
    assert events(site, "token_created") == []


@pytest.mark.requirement("R-token-birth")
def test_no_frame_shows_the_page(site: Guarded) -> None:
    browser = signed_in(site)
    framed = browser.frame(URL, initiator=ORIGIN)
    assert framed.status == 400
    assert "csrf_token" not in framed.text
    assert opened(browser).header("Cross-Origin-Opener-Policy") == "same-origin"


@pytest.mark.requirement("R-token-birth")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_that_comes_from_elsewhere_makes_none(site: Guarded, headers: dict[str, str]) -> None:
    browser = signed_in(site)
    fields = form(opened(browser))
    browser.headers = headers
    page = browser.post(URL, fields, initiator=ORIGIN)
    assert page.status == 400
    assert "omwpat_" not in page.text
    assert events(site, "token_created") == []


@pytest.mark.requirement("R-token-birth")
def test_the_form_of_another_session_makes_none(site: Guarded) -> None:
    other = form(opened(signed_in(site)))
    browser = signed_in(site)
    assert "open for too long" in browser.post(URL, other, initiator=ORIGIN).visible_text
    assert events(site, "token_created") == []


@pytest.mark.requirement("R-token-birth")
def test_an_old_sign_in_makes_none_and_one_more_does(site: Guarded, clocks: ShiftedClocks) -> None:
    browser = signed_in(site)
    clocks.ahead += FRESH_FOR - 5
    fields = form(opened(browser))
    clocks.ahead += 5
    page = browser.post(URL, fields, initiator=ORIGIN)
    assert page.status == 403
    assert "too long ago" in page.visible_text
    assert "Make the token" not in opened(browser).visible_text
    page = browser.submit("Sign in again")
    assert page.url == f"{URL}?again=1"
    assert "Make the token" in page.visible_text
    (asked,) = [step.url for step in browser.steps if "prompt=login" in step.url]
    assert parse_qs(urlsplit(asked).query)["max_age"] == ["0"]
    assert "omwpat_" in browser.submit("Make the token", name="x").text


@pytest.mark.requirement("R-token-birth")
def test_a_provider_that_does_not_ask_is_not_asked_again(
    site: Guarded, provider: StandIn, clocks: ShiftedClocks
) -> None:
    old = int(clocks.wall()) - FRESH_FOR - 120
    provider.claims = {"auth_time": old}
    browser = signed_in(site)
    assert "Make the token" not in opened(browser).visible_text
    page = browser.submit("Sign in again")
    assert "has not asked you to sign in again" in page.visible_text
    assert [form for form in page.forms if form.value("again")] == []
    refused = browser.post(URL, form(opened(browser)), initiator=ORIGIN)
    assert refused.status == 403
    assert events(site, "token_created") == []


def test_a_provider_that_says_nothing_of_its_own_sign_in_is_asked_by_prompt_alone(
    site: Guarded, provider: StandIn, clocks: ShiftedClocks
) -> None:
    provider.claims = {"auth_time": None}
    browser = signed_in(site)
    clocks.ahead += FRESH_FOR
    opened(browser)
    assert "Make the token" in browser.submit("Sign in again").visible_text
    (asked,) = [step.url for step in browser.steps if "prompt=login" in step.url]
    assert "max_age" not in asked


def test_a_browser_that_does_not_say_whence_is_told_of_the_command(provider: StandIn, tmp_path: Path) -> None:
    keys = settings(provider, tmp_path, personal_tokens="/dav/", insecure_http="true")
    with guarded(public_url="http://app.example", **keys) as site:
        browser = Browser(behind_tls={"http://app.example": site.loopback})
        browser.navigate("http://app.example/")
        page = browser.navigate("http://app.example/auth/oauth2/tokens/")
        assert "oauth2-mw tokens create" in page.visible_text
        assert "Make the token" not in page.visible_text


# Revoking


def test_a_person_revokes_a_token(site: Guarded, clocks: ShiftedClocks) -> None:
    browser = signed_in(site)
    token = made(browser)
    assert send(site, token) == 200
    opened(browser)
    page = browser.submit("Revoke")
    assert page.url == f"{URL}?done=revoked"
    assert "That token is revoked" in page.visible_text
    assert "laptop" not in page.visible_text
    clocks.ahead += 5
    assert send(site, token) == 401
    (line,) = events(site, "token_revoked")
    assert f"token={token[7:23]} address=127.0.0.1 detail=laptop" in line


def test_nobody_sees_or_revokes_the_tokens_of_somebody_else(site: Guarded, provider: StandIn) -> None:
    token = made(signed_in(site))
    provider.userinfo = {"sub": "user-2", "preferred_username": "joe"}
    joe = signed_in(site)
    page = opened(joe)
    assert "laptop" not in page.visible_text
    page = joe.post(URL, {"csrf_token": csrf_token(page), "revoke": token[7:23]}, initiator=ORIGIN)
    assert "revoked already" in page.visible_text
    assert send(site, token) == 200
    assert events(site, "token_revoked") == []


def test_an_old_sign_in_still_revokes(site: Guarded, clocks: ShiftedClocks) -> None:
    browser = signed_in(site)
    token = made(browser)
    clocks.ahead += 3600 * 3
    opened(browser)
    browser.submit("Revoke")
    assert send(site, token) == 401


def test_the_page_says_when_the_tokens_are_about_to_fall_asleep(
    provider: StandIn, tmp_path: Path, clocks: ShiftedClocks
) -> None:
    keys = settings(
        provider, tmp_path, personal_tokens="/dav/ /feed", session_idle="60d", session_lifetime="60d"
    )
    with guarded(clocks=clocks.clocks, personal_token_owner_seen="30d", **keys) as site:
        browser = signed_in(site)
        made(browser)
        clocks.ahead += 16 * DAY - 60
        assert "fall asleep at" not in opened(browser).visible_text
        clocks.ahead += 60
        assert "fall asleep at" in opened(browser).visible_text


# Whoever is not signed in


def test_a_stranger_signs_in_first_and_comes_back(site: Guarded) -> None:
    page = site.browser().navigate(URL)
    assert page.url == URL
    assert "Tokens for your programs" in page.visible_text


def test_without_the_setting_there_is_no_page(provider: StandIn, tmp_path: Path) -> None:
    with guarded(**settings(provider, tmp_path)) as site:
        assert signed_in(site).navigate(URL).status == 404


def test_what_a_token_is_called_stays_text(site: Guarded) -> None:
    browser = signed_in(site)
    made(browser, name="<script>alert(1)</script>")
    assert "<script>" not in opened(browser).text
