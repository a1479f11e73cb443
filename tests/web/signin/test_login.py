"""Signing in, over real sockets, against a provider that can be told to fail.

The failure matrix stands at the end: whatever goes wrong, there is a page, one audit line, no session and no user.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine

from oauth2_mw.credentials import strangers
from oauth2_mw.identity.directory import Directory
from oauth2_mw.settings.grammar import Secret
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN

CALLBACK = f"{ORIGIN}/auth/oauth2/login/callback/"


def whoami(browser: Browser, site: Guarded) -> str | None:
    """Return the user that the application sees, or ``None`` if the request does not reach it."""
    page = browser.fetch(site.url + "/whoami")
    return page.json()["user"] if page.status == 200 else None


def at_callback(browser: Browser, site: Guarded, path: str = "/deep?x=1") -> str:
    """Start a sign-in and return the address at which the provider's answer would arrive."""
    page = browser.navigate(site.url + path, stop_before=CALLBACK)
    assert page.location is not None
    assert page.location.startswith(CALLBACK)
    return page.location


def assert_refused(page: Page, browser: Browser, site: Guarded, *, status: int, code: str) -> None:
    """Check for a page with a reference, one audit line that names it, and no session."""
    assert page.status == status
    assert page.content_type == "text/html"
    reference = re.search(r"\b[0-9a-f]{8}\b", page.visible_text)
    assert reference is not None, page.visible_text
    lines = [line for line in site.audit if f"ref={reference[0]} code=" in line]
    assert len(lines) == 1
    assert f"code={code}" in lines[0], lines
    assert "Traceback" not in page.text
    assert site.session_cookie not in browser.jar.names(site.url)
    assert whoami(browser, site) is None


# The way there and back


def test_a_sign_in_ends_where_it_was_meant_to(site: Guarded) -> None:
    browser = site.browser()
    page = browser.navigate(site.url + "/deep/er?x=1&y=%C3%A4")
    assert page.url == site.url + "/deep/er?x=1&y=%C3%A4"
    assert page.json()["user"] == "jane"
    assert site.app.calls == 1
    assert [line.split()[0] for line in site.audit] == ["event=login"]


@pytest.mark.requirement("N2.5.1", "N2.5.2")
def test_the_authorization_request_says_what_the_specifications_ask(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    page = browser.navigate(site.url + "/", follow=False)
    assert page.status == 303
    url = urlsplit(page.location or "")
    query = parse_qs(url.query)
    assert f"{url.scheme}://{url.netloc}" == provider.url
    assert query["response_type"] == ["code"]
    assert query["client_id"] == ["app"]
    assert query["redirect_uri"] == [CALLBACK]
    assert query["scope"] == ["openid profile email"]
    assert query["code_challenge_method"] == ["S256"]
    assert all(len(query[name]) == 1 for name in ("state", "nonce", "code_challenge"))


def test_a_login_makes_no_more_calls_than_it_needs(site: Guarded, provider: StandIn) -> None:
    provider.claims = dict(provider.userinfo, phone_number="1", groups=[])
    site.browser().navigate(site.url + "/")
    del provider.requests[:]
    assert whoami_after_login(site) == "jane"
    assert sorted(request.path for request in provider.requests) == ["/authorize", "/token"]


def whoami_after_login(site: Guarded) -> str | None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    return whoami(browser, site)


@pytest.mark.requirement("3a.16", "3c.9")
def test_every_sign_in_is_a_fresh_session_and_ends_the_one_before(site: Guarded) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    thief = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)
    assert whoami(thief, site) == "jane"
    browser.navigate(site.url + "/auth/oauth2/login/")
    assert whoami(browser, site) == "jane"
    assert whoami(thief, site) is None


def test_a_programs_request_begins_no_attempt(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    page = browser.fetch(site.url + "/api")
    assert page.status == 401
    assert browser.jar.names(site.url) == []
    assert page.json()["login_url"] == f"{ORIGIN}/auth/oauth2/login/?next=/api"
    assert provider.requests == []


@pytest.mark.requirement("3a.7")
def test_several_tabs_sign_in_beside_each_other(site: Guarded) -> None:
    browser = site.browser()
    answers = [at_callback(browser, site, f"/tab/{number}") for number in range(8)]
    for number, answer in reversed(list(enumerate(answers))):
        assert browser.navigate(answer).url == f"{site.url}/tab/{number}"


@pytest.mark.requirement("3d.8", "N2.1.13", "V28")
def test_next_is_followed_only_inside_the_application(site: Guarded) -> None:
    for wanted, expected in (
        ("/page?a=1", "/page?a=1"),
        (f"{ORIGIN}/page", "/page"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/auth/oauth2/logout/", "/"),
        ("javascript:alert(1)", "/"),
    ):
        page = site.browser().navigate(f"{site.url}/auth/oauth2/login/?" + urlencode({"next": wanted}))
        assert page.url == site.url + expected


# Two providers


@pytest.mark.requirement("N2.4.4", "N2.1.21")
def test_with_two_providers_a_page_offers_both_and_each_has_its_own_callback(provider: StandIn) -> None:
    with (
        StandIn(
            client_id="other", client_secret="x", userinfo={"id": 7, "login": "joe"}, oidc=False
        ) as second,
        guarded(
            issuer=provider.issuer,
            provider="First & Co",
            username_prefix="one-",
            **{
                "provider:corp": {
                    "provider": "Corp",
                    "client_id": "other",
                    "client_secret": "x",
                    "authorization_endpoint": second.url + "/authorize",
                    "token_endpoint": second.url + "/token",
                    "userinfo_endpoint": second.url + "/userinfo",
                    "attribute_map": '{"username": "login"}',
                    "username_prefix": "corp-",
                }
            },
        ) as site,
    ):
        browser = site.browser()
        page = browser.navigate(site.url + "/deep")
        assert page.status == 401
        assert "Continue with First & Co" in page.visible_text
        page = browser.click("Corp", stop_before=ORIGIN)
        assert (page.location or "").startswith(f"{CALLBACK}corp/?")
        page = browser.navigate(page.location or "")
        assert page.url == site.url + "/deep"
        assert page.json()["user"] == "corp-joe"
        page = browser.navigate(site.url + "/auth/oauth2/login/default/?next=/deep")
        assert page.json()["user"] == "one-jane"


@pytest.mark.requirement("3a.2", "3b.16", "3a.3")
def test_an_answer_at_another_providers_callback_is_refused(provider: StandIn) -> None:
    named = {"issuer": provider.issuer, "client_id": "app", "client_secret": CLIENT_SECRET}
    with guarded(
        client_id=None,
        client_secret=None,
        **{
            "provider:a": {**named, "username_prefix": "a-"},
            "provider:b": {**named, "username_prefix": "b-", "same_users_as": "a"},
        },
    ) as site:
        browser = site.browser()
        page = browser.navigate(f"{site.url}/auth/oauth2/login/a/", stop_before=ORIGIN)
        crossed = (page.location or "").replace("/callback/a/", "/callback/b/")
        page = browser.navigate(crossed)
        assert_refused(page, browser, site, status=400, code="state_of_other_provider")
        assert provider.asked("/token") == []


def test_a_providers_picture_stands_on_its_button(provider: StandIn, tmp_path: Path) -> None:
    with guarded(issuer=provider.issuer, provider="Example", icon="github", login_page=True) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/")
        assert f'<img src="{ORIGIN}/auth/oauth2/icon/default"' in page.text
        picture = browser.fetch(f"{ORIGIN}/auth/oauth2/icon/default")
        assert (picture.status, picture.content_type) == (200, "image/svg+xml")
        assert browser.fetch(f"{ORIGIN}/auth/oauth2/icon/other").status == 404


# What an answer must prove


@pytest.mark.requirement("3a.1", "N2.1.11", "V6")
def test_an_answer_from_another_browser_signs_nobody_in(site: Guarded, provider: StandIn) -> None:
    answer = at_callback(site.browser(), site)
    victim = site.browser()
    victim.navigate(answer, initiator="https://evil.example", stop_before=provider.url)
    assert provider.asked("/token") == []
    assert whoami(victim, site) is None


@pytest.mark.requirement("F10", "F11")
@pytest.mark.parametrize("state", [None, "", "x", "A" * 513, "A" * 104])
def test_an_answer_whose_state_is_not_ours_is_refused(
    site: Guarded, provider: StandIn, state: str | None
) -> None:
    browser = site.browser()
    at_callback(browser, site)
    query = {"code": "c"} if state is None else {"code": "c", "state": state}
    page = browser.navigate(CALLBACK + "?" + urlencode(query))
    code = {None: "state_missing", "": "state_missing", "A" * 513: "too_long"}.get(state, "state_foreign")
    assert_refused(page, browser, site, status=400, code=code)
    assert provider.asked("/token") == []


@pytest.mark.requirement("3a.9", "3a.10", "3a.14")
def test_malformed_answers_are_refused_before_the_code_is_sent_anywhere(
    site: Guarded, provider: StandIn
) -> None:
    for change, status, code in (
        (lambda q: q + "&code=second", 400, "bad_request"),
        (lambda q: q + "&state=second", 400, "bad_request"),
        (lambda q: q + "&x=%ff", 400, "bad_request"),
        (lambda q: q + "&x=%00", 400, "bad_request"),
        (lambda q: q + "&error=access_denied", 400, "error_and_code"),
        (lambda q: re.sub("code=[^&]*", "code=" + "A" * 4097, q), 400, "too_long"),
        (lambda q: re.sub("code=[^&]*", "code=", q), 403, "sign_in_declined"),
        (lambda q: re.sub("code=[^&]*&?", "", q), 403, "sign_in_declined"),
        (lambda q: re.sub("code=[^&]*&?", "id_token=x&", q), 502, "code_missing"),
        (lambda q: re.sub("iss=[^&]*", "iss=https://evil.example", q), 400, "issuer"),
    ):
        browser = site.browser()
        url = urlsplit(at_callback(browser, site))
        page = browser.navigate(url._replace(query=change(url.query)).geturl())
        assert_refused(page, browser, site, status=status, code=code)
    assert provider.asked("/token") == []


@pytest.mark.requirement("N2.1.6")
def test_parameters_that_nobody_knows_are_ignored(site: Guarded) -> None:
    browser = site.browser()
    assert browser.navigate(at_callback(browser, site) + "&foo=1&foo=2&session_state=x").status == 200


# An answer that does not fit: the sign-in heals itself, once


@pytest.mark.requirement("3a.6")
def test_the_back_button_after_a_sign_in_leads_to_the_destination(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    answer = at_callback(browser, site, "/deep?x=1")
    browser.navigate(answer)
    page = browser.navigate(answer)
    assert page.url == site.url + "/deep?x=1"
    assert len(provider.asked("/token")) == 1


def test_an_expired_attempt_is_begun_anew_and_keeps_its_destination(site: Guarded) -> None:
    browser = site.browser()
    with time_machine.travel(0, tick=True) as clock:
        clock.move_to(1_900_000_000)
        answer = at_callback(browser, site, "/deep?x=1")
        clock.shift(11 * 60)
        page = browser.navigate(answer)
        assert page.url == site.url + "/deep?x=1"
        assert page.json()["user"] == "jane"
    assert "event=login_restarted" in site.audit[0]


def test_a_restored_tab_with_its_cookies_gone_is_begun_anew(site: Guarded) -> None:
    browser = site.browser()
    answer = at_callback(browser, site, "/deep")
    browser.jar.clear()
    page = browser.navigate(answer)
    assert page.url == site.url + "/"
    assert whoami(browser, site) == "jane"


@pytest.mark.requirement("3a.20")
def test_with_cookies_blocked_a_page_explains_instead_of_a_loop(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    browser.jar.clear()
    second = browser.navigate(answer, stop_before=CALLBACK)
    browser.jar.clear()
    page = browser.navigate(second.location or "")
    assert_refused(page, browser, site, status=400, code="attempt_lost")
    assert "cookies" in page.visible_text
    assert provider.asked("/token") == []


def test_an_answer_that_does_not_fill_the_window_is_not_begun_anew(site: Guarded) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    browser.jar.clear()
    page = browser.navigate(answer, headers={"Sec-Fetch-Dest": "iframe"})
    assert_refused(page, browser, site, status=400, code="attempt_lost")


@pytest.mark.requirement("3a.13")
def test_a_failed_answer_leaves_the_session_alone(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    provider.denies = "access_denied"
    page = browser.navigate(f"{site.url}/auth/oauth2/login/")
    assert page.status == 403
    assert whoami(browser, site) == "jane"


@pytest.mark.requirement("3a.6")
def test_a_used_answer_without_a_session_begins_anew_and_sends_no_code_twice(
    site: Guarded, provider: StandIn
) -> None:
    browser = site.browser()
    provider.denies = "access_denied"
    page = browser.navigate(site.url + "/deep", stop_before=CALLBACK)
    answer = page.location or ""
    assert browser.navigate(answer).status == 403
    provider.denies = None
    page = browser.navigate(answer)
    assert page.url == site.url + "/deep"
    assert page.json()["user"] == "jane"


# The session that a sign-in makes


def test_a_session_too_big_gives_up_tokens_first_then_claims_that_nobody_reads(provider: StandIn) -> None:
    provider.claims = {"junk": "x" * 3000, "kept": "y" * 100}
    with guarded(
        issuer=provider.issuer,
        keep_tokens="id access",
        session_max_bytes="2000",
        environ={"HTTP_X_KEPT": "claims.kept"},
    ) as site:
        browser = site.browser()
        browser.navigate(site.url + "/")
        seen = site.app.seen[-1]
        assert seen["environ"]["HTTP_X_KEPT"] == "y" * 100
        assert "junk" not in seen["Identity"].claims
        assert 'dropped="access_token, id_token, unmapped claims"' in site.audit[0]


@pytest.mark.requirement("3c.8")
def test_a_session_that_cannot_be_made_to_fit_is_refused(provider: StandIn) -> None:
    provider.userinfo["groups"] = [f"group-{number}" for number in range(400)]
    with guarded(issuer=provider.issuer, session_max_bytes="2000") as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/")
        assert_refused(page, browser, site, status=400, code="session_too_big")


@pytest.mark.requirement("3c.7")
def test_a_session_in_two_cookies_works_and_shrinks_again(provider: StandIn) -> None:
    provider.claims = {"much": "x" * 2500}
    with guarded(issuer=provider.issuer) as site:
        browser = site.browser()
        browser.navigate(site.url + "/")
        assert f"{site.session_cookie}.1" in browser.jar.names(site.url)
        provider.claims = {}
        browser.navigate(site.url + "/auth/oauth2/login/")
        assert f"{site.session_cookie}.1" not in browser.jar.names(site.url)
        assert whoami(browser, site) == "jane"


# The failure matrix


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


TOKEN_ANSWERS: dict[str, Any] = {
    "HTML": Answer(b"<html>Sign in first</html>", content_type="text/html"),
    "an error with HTTP 200": {"error": "bad_verification_code", "error_description": "<b>x</b>\r\nX: y"},
    "invalid_client": Answer(b'{"error": "invalid_client"}', status=401),
    "invalid_grant": Answer(b'{"error": "invalid_grant"}', status=400),
    "a list": [{"access_token": "x"}],
    "huge": b'{"access_token": "' + b"x" * 400_000 + b'"}',
    "deep": deep(5000),
    "without access_token": {"token_type": "Bearer"},
    "a list as access_token": {"access_token": ["x"], "token_type": "Bearer"},
    "another token type": {"access_token": "x", "token_type": "mac"},
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "a server error": Answer(b"oops", status=500),
    "a redirect": Answer(status=302, headers=(("Location", "http://127.0.0.1:1/"),)),
    "no ID token": {"access_token": "x", "token_type": "Bearer"},
    "a broken ID token": {"access_token": "x", "token_type": "Bearer", "id_token": "a.b.c"},
}


@pytest.fixture
def with_directory(provider: StandIn, tmp_path: Path) -> Iterator[Guarded]:
    with guarded(issuer=provider.issuer, directory=f"sqlite:///{tmp_path / 'users.db'}") as site:
        yield site


def users(tmp_path: Path) -> int:
    """Return the number of users in the directory."""
    path = tmp_path / "users.db"
    return len(list(Directory(Secret.literal(f"sqlite:///{path}")).users())) if path.exists() else 0


def assert_nothing_happened(page: Page, browser: Browser, site: Guarded, tmp_path: Path) -> None:
    assert 400 <= page.status < 600
    assert page.status != 500
    assert page.content_type == "text/html"
    reference = re.search(r"\b[0-9a-f]{8}\b", page.visible_text)
    assert reference is not None
    assert len(site.audit) == 1
    assert f"ref={reference[0]}" in site.audit[0]
    assert "\n" not in site.audit[0]
    assert CLIENT_SECRET not in site.audit[0]
    assert site.session_cookie not in browser.jar.names(site.url)
    assert users(tmp_path) == 0
    assert site.app.calls == 0


def test_a_sign_in_that_works_leaves_a_user(with_directory: Guarded, tmp_path: Path) -> None:
    with_directory.browser().navigate(with_directory.url + "/")
    assert users(tmp_path) == 1


@pytest.mark.parametrize("name", TOKEN_ANSWERS)
def test_a_token_response_of_no_use(
    name: str, with_directory: Guarded, provider: StandIn, tmp_path: Path
) -> None:
    provider.answers["token"] = TOKEN_ANSWERS[name]
    browser = with_directory.browser()
    page = browser.navigate(with_directory.url + "/")
    assert_nothing_happened(page, browser, with_directory, tmp_path)
    assert provider.asked("/userinfo") == []


USERINFO_ANSWERS: dict[str, Any] = {
    "HTML": Answer(b"<html>", content_type="text/html"),
    "a list": [],
    "another subject": {"sub": "somebody-else", "preferred_username": "jane"},
    "no subject": {"preferred_username": "jane"},
    "no username": {"sub": "user-1", "name": "Jane"},
    "an empty username": {"sub": "user-1", "preferred_username": ""},
    "a username of control characters": {"sub": "user-1", "preferred_username": "jane\r\nX: y"},
    "refused": Answer(b"{}", status=401),
    "a server error": Answer(b"", status=500),
    "deep": deep(5000),
}


@pytest.mark.parametrize("name", USERINFO_ANSWERS)
def test_a_userinfo_answer_of_no_use(
    name: str, with_directory: Guarded, provider: StandIn, tmp_path: Path
) -> None:
    provider.answers["userinfo"] = USERINFO_ANSWERS[name]
    browser = with_directory.browser()
    page = browser.navigate(with_directory.url + "/")
    assert_nothing_happened(page, browser, with_directory, tmp_path)


@pytest.mark.requirement("N2.6.18", "V11")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("access_denied", 403),
        ("server_error", 503),
        ("login_required", 502),
        ("<script>alert(1)</script>", 502),
    ],
)
def test_an_error_response(
    error: str, status: int, with_directory: Guarded, provider: StandIn, tmp_path: Path
) -> None:
    provider.denies = error
    browser = with_directory.browser()
    page = browser.navigate(with_directory.url + "/deep")
    assert_nothing_happened(page, browser, with_directory, tmp_path)
    assert page.status == status
    assert (page.header("Retry-After") == "5") == (status == 503)
    assert "<script" not in page.text
    provider.denies = None
    assert browser.click("Try again").url == with_directory.url + "/deep"


@pytest.mark.requirement("R-calls")
def test_invented_codes_beyond_the_bound_are_not_redeemed(
    site: Guarded, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ALL", 3)
    for _ in range(6):
        browser = site.browser()
        address = re.sub(r"code=[^&]*", "code=invented", at_callback(browser, site))
        page = browser.navigate(address)
    assert len(provider.asked("/token")) == 3
    assert page.status == 429
    assert 0 < int(page.header("Retry-After") or "0") <= strangers.PERIOD
    assert "Please try again in a minute" in page.visible_text
    assert [line.split("code=")[1].split()[0] for line in site.audit] == [
        *["invalid_grant"] * 3,
        "login_tries",
    ]
    monkeypatch.setattr(strangers, "MAX_OF_ALL", 4)
    assert browser.click("Try again").url == site.url + "/deep?x=1"


def test_a_wrong_secret_tells_the_operator_what_to_look_at(provider: StandIn, tmp_path: Path) -> None:
    with guarded(
        issuer=provider.issuer, client_secret="wrong", directory=f"sqlite:///{tmp_path / 'users.db'}"
    ) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/")
        assert_nothing_happened(page, browser, site, tmp_path)
        assert "client_secret" in site.audit[0]
        assert "client_secret" not in page.visible_text


def test_a_provider_that_is_down_at_the_start(
    with_directory: Guarded, provider: StandIn, tmp_path: Path
) -> None:
    provider.close()
    browser = with_directory.browser()
    page = browser.navigate(with_directory.url + "/")
    assert page.status == 503
    assert page.header("Retry-After")
    assert_nothing_happened(page, browser, with_directory, tmp_path)


def test_a_provider_that_goes_down_in_the_middle(
    with_directory: Guarded, provider: StandIn, tmp_path: Path
) -> None:
    browser = with_directory.browser()
    answer = at_callback(browser, with_directory)
    provider.close()
    page = browser.navigate(answer)
    assert page.status == 503
    assert_nothing_happened(page, browser, with_directory, tmp_path)


def test_a_directory_that_is_away(provider: StandIn, tmp_path: Path) -> None:
    with guarded(issuer=provider.issuer, directory=f"sqlite:///{tmp_path / 'no' / 'folder.db'}") as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/")
        assert page.status == 503
        assert site.session_cookie not in browser.jar.names(site.url)
        assert site.app.calls == 0


def test_nobody_outside_allow_gets_in_or_leaves_a_trace(provider: StandIn, tmp_path: Path) -> None:
    with guarded(
        issuer=provider.issuer,
        allow="email_domain:example.org user:joe",
        directory=f"sqlite:///{tmp_path / 'users.db'}",
    ) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/")
        assert page.status == 403
        assert_nothing_happened(page, browser, site, tmp_path)


def test_pages_never_show_what_a_provider_says_of_itself(site: Guarded, provider: StandIn) -> None:
    provider.answers["token"] = {"error": "x", "error_description": "<img src=x onerror=alert(1)>"}
    page = site.browser().navigate(site.url + "/")
    assert "onerror" not in page.text


@pytest.mark.requirement("3i.1")
@pytest.mark.requirement("3j.2")
def test_an_address_that_a_providers_error_names_is_never_linked(site: Guarded) -> None:
    browser = site.browser()
    url = urlsplit(at_callback(browser, site))
    asked = parse_qs(url.query)
    query = urlencode(
        {
            "error": "server_error",
            "error_uri": "https://evil.example/help",
            "state": asked["state"][0],
            "iss": asked["iss"][0],
        }
    )
    page = browser.navigate(url._replace(query=query).geturl())
    assert page.status == 503
    assert "evil.example" not in page.text


def test_an_error_description_of_several_lines_is_one_audit_line(site: Guarded) -> None:
    browser = site.browser()
    url = urlsplit(at_callback(browser, site))
    state = parse_qs(url.query)["state"][0]
    query = urlencode(
        {
            "error": "server_error",
            "state": state,
            "iss": parse_qs(url.query)["iss"][0],
            "error_description": "AADSTS1\r\nTrace\tID",
        }
    )
    browser.navigate(url._replace(query=query).geturl())
    assert len(site.audit) == 1
    assert "AADSTS1" in json.dumps(site.audit[0])
    assert "\n" not in site.audit[0]


# The answer as a form (OAuth 2.0 Form Post Response Mode)


@pytest.fixture
def form_post(provider: StandIn) -> Iterator[Guarded]:
    with guarded(issuer=provider.issuer, response_mode="form_post") as site:
        yield site


def as_form(browser: Browser, site: Guarded, provider: StandIn, path: str = "/deep?x=1") -> dict[str, str]:
    """Start a sign-in and return the fields that the provider's page would post."""
    page = browser.navigate(site.url + path, follow=False)
    location = page.location or ""
    assert parse_qs(urlsplit(location).query)["response_mode"] == ["form_post"]
    return provider.follow(location)


@pytest.mark.requirement("N2.8.12")
def test_an_answer_as_a_form_signs_in(form_post: Guarded, provider: StandIn) -> None:
    browser = form_post.browser()
    fields = as_form(browser, form_post, provider)
    page = browser.post(CALLBACK, fields, initiator=provider.url)
    assert page.url == form_post.url + "/deep?x=1"
    assert page.json()["user"] == "jane"


@pytest.mark.requirement("3a.12", "N2.8.12")
def test_where_a_form_was_asked_for_an_address_says_nothing(form_post: Guarded, provider: StandIn) -> None:
    browser = form_post.browser()
    fields = as_form(browser, form_post, provider)
    assert browser.navigate(CALLBACK + "?" + urlencode(fields)).status == 405
    page = browser.post(CALLBACK + "?" + urlencode(fields), {}, initiator=provider.url)
    assert_refused(page, browser, form_post, status=400, code="state_missing")
    assert provider.asked("/token") == []


@pytest.mark.requirement("3a.12")
def test_where_an_address_was_asked_for_a_form_says_nothing(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    fields = {
        name: values[0] for name, values in parse_qs(urlsplit(at_callback(browser, site)).query).items()
    }
    assert browser.post(CALLBACK, fields, initiator=provider.url).status == 405
    assert provider.asked("/token") == []


@pytest.mark.requirement("X8")
def test_an_error_as_a_form_shows_a_page(form_post: Guarded, provider: StandIn) -> None:
    browser = form_post.browser()
    fields = as_form(browser, form_post, provider)
    del fields["code"]
    page = browser.post(CALLBACK, {**fields, "error": "login_required"}, initiator=provider.url)
    assert_refused(page, browser, form_post, status=502, code="error_response")


@pytest.mark.requirement("3a.1", "3a.10")
def test_a_form_proves_as_much_as_an_address(form_post: Guarded, provider: StandIn) -> None:
    browser, other = form_post.browser(), form_post.browser()
    fields = as_form(browser, form_post, provider)
    other.post(CALLBACK, fields, initiator="https://evil.example", follow=False)
    assert whoami(other, form_post) is None
    assert provider.asked("/token") == []


@pytest.mark.requirement("3a.16")
def test_a_sign_in_by_a_form_ends_the_session_before_although_its_cookie_stays_behind(
    form_post: Guarded, provider: StandIn
) -> None:
    browser = form_post.browser()
    browser.post(CALLBACK, as_form(browser, form_post, provider), initiator=provider.url)
    thief = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)
    other = form_post.browser()
    other.post(CALLBACK, as_form(other, form_post, provider), initiator=provider.url)
    assert whoami(thief, form_post) == "jane"
    fields = as_form(browser, form_post, provider, "/auth/oauth2/login/")
    assert browser.post(CALLBACK, fields, initiator=provider.url).json()["user"] == "jane"
    assert whoami(browser, form_post) == "jane"
    assert whoami(other, form_post) == "jane"
    assert whoami(thief, form_post) is None


@pytest.mark.requirement("3a.13")
def test_a_form_that_fails_leaves_the_session_before_alone(form_post: Guarded, provider: StandIn) -> None:
    browser = form_post.browser()
    browser.post(CALLBACK, as_form(browser, form_post, provider), initiator=provider.url)
    fields = as_form(browser, form_post, provider, "/auth/oauth2/login/")
    provider.answers["token"] = {"error": "invalid_grant"}
    assert browser.post(CALLBACK, fields, initiator=provider.url).status == 502
    assert whoami(browser, form_post) == "jane"


def test_a_late_form_is_begun_anew(form_post: Guarded, provider: StandIn) -> None:
    browser = form_post.browser()
    fields = as_form(browser, form_post, provider)
    browser.post(CALLBACK, fields, initiator=provider.url)
    page = browser.post(CALLBACK, fields, initiator=provider.url, follow=False)
    assert page.status == 303
    assert (page.location or "").startswith(provider.url)
    assert len(provider.asked("/token")) == 1


# The parameters of a link to our login


def test_a_login_hint_reaches_the_provider(site: Guarded) -> None:
    page = site.browser().navigate(
        f"{site.url}/auth/oauth2/login/?login_hint=jan%C3%A9%40x&next=/a", follow=False
    )
    assert parse_qs(urlsplit(page.location or "").query)["login_hint"] == ["jané@x"]
    page = site.browser().navigate(f"{site.url}/auth/oauth2/login/default/?login_hint=" + "x" * 256)
    assert page.status == 400


@pytest.mark.requirement("3a.18")
def test_a_link_to_our_login_changes_nothing_else_of_the_request(site: Guarded) -> None:
    usual = parse_qs(urlsplit(site.browser().navigate(site.url + "/", follow=False).location or "").query)
    forged = "scope=admin&redirect_uri=https://evil.example&client_id=x&prompt=none&response_type=token&state=s&acr_values=0"
    page = site.browser().navigate(f"{site.url}/auth/oauth2/login/?{forged}", follow=False)
    query = parse_qs(urlsplit(page.location or "").query)
    fresh = {"state", "nonce", "code_challenge"}
    assert {name: query[name] for name in query.keys() - fresh} == {
        name: usual[name] for name in usual.keys() - fresh
    }
    assert query["state"] != ["s"]


# The claims that rules need


@pytest.mark.parametrize(("tier", "status"), [("gold", 200), ("lead", 403)])
def test_a_claim_that_a_rule_names_is_fetched_where_the_id_token_lacks_it(
    provider: StandIn, tier: str, status: int
) -> None:
    provider.claims = {**provider.userinfo, "phone_number": "1", "groups": []}
    provider.userinfo["plan"] = {"tier": tier}
    with guarded(issuer=provider.issuer, allow="claim:plan.tier=gold") as site:
        assert site.browser().navigate(site.url + "/").status == status
    assert len(provider.asked("/userinfo")) == 1


# Whether an address is verified


@pytest.mark.requirement("3k.1")
@pytest.mark.parametrize("verified", [False, "true", 0])
def test_an_address_that_is_not_verified_opens_no_door(provider: StandIn, verified: object) -> None:
    provider.userinfo.update(email_verified=verified, mail="jane@example.com")
    del provider.userinfo["email"]
    with guarded(
        issuer=provider.issuer,
        allow="email_domain:example.com",
        attribute_map='{"username": "preferred_username", "email": "mail"}',
    ) as site:
        browser = site.browser()
        assert_refused(browser.navigate(site.url + "/"), browser, site, status=403, code="not_allowed")


@pytest.mark.requirement("3a.20")
def test_a_browser_that_drops_the_session_is_told_instead_of_sent_round(
    site: Guarded, provider: StandIn
) -> None:
    browser = site.browser()
    for _ in range(3):
        assert browser.navigate(site.url + "/").status == 200
        browser.jar.delete(site.session_cookie, site.url)
    page = browser.navigate(site.url + "/")
    assert_refused(page, browser, site, status=400, code="login_loop")
    assert "cookies" in page.visible_text
    assert browser.click("Try again").status == 200
