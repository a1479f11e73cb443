"""The page where a person sees their sessions and ends them: their own, and only when they mean it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.browser.jar import Browser
from tests.support.browser.page import Form, Page
from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.hosts.shared_sessions import settings, site
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN
from tests.support.stores.watched_store import WatchedStore

__all__ = ["site"]

URL = f"{ORIGIN}/auth/oauth2/sessions/"


def opened(browser: Browser) -> Page:
    page = browser.navigate(URL, initiator=ORIGIN)
    assert page.status == 200
    assert "Where you are signed in" in page.visible_text
    return page


def token(page: Page) -> str:
    return page.forms[0].value("csrf_token") or ""


def forms_of_others(page: Page) -> list[Form]:
    return [form for form in page.forms if form.value("session")]


# What the page shows


def test_the_page_shows_where_a_person_is_signed_in_and_which_session_is_this(site: Guarded) -> None:
    signed_in(site, User_Agent="curl/8.5.0")
    page = opened(signed_in(site))
    assert "You are signed in as jane" in page.visible_text
    first, second = page.visible_text.index("Firefox 140 on Linux"), page.visible_text.index("curl")
    assert page.visible_text.index("this browser") in range(first, second)
    # The address and the provider, which goes by its host here, of either session.
    assert page.visible_text.count("127.0.0.1") == 4
    assert page.visible_text.count(" UTC") == 4
    assert page.visible_text.count("this browser") == 1


def test_the_page_shows_no_session_of_somebody_else(site: Guarded, provider: StandIn) -> None:
    signed_in(site, User_Agent="curl/8.5.0")
    provider.userinfo = {"sub": "user-2", "preferred_username": "joe"}
    page = opened(signed_in(site))
    assert "curl" not in page.visible_text
    assert forms_of_others(page) == []
    assert "everywhere else" not in page.visible_text


def test_a_session_that_ended_is_shown_no_more(site: Guarded) -> None:
    other = signed_in(site, User_Agent="curl/8.5.0")
    browser = signed_in(site)
    assert "curl" in opened(browser).visible_text
    other.navigate(f"{ORIGIN}/auth/oauth2/logout/", initiator=ORIGIN, follow=False)
    assert "curl" not in opened(browser).visible_text


@pytest.mark.requirement("3j")
def test_what_a_browser_calls_itself_stays_text(site: Guarded) -> None:
    signed_in(site, User_Agent="<script>alert(1)</script> Firefox/1")
    page = opened(signed_in(site))
    assert "<script>" not in page.text


def test_the_page_leads_to_the_tokens_where_there_are_any_and_back(
    provider: StandIn, tmp_path: Path, site: Guarded
) -> None:
    assert "Tokens for your programs" not in opened(signed_in(site)).visible_text
    with guarded(**settings(provider, tmp_path, personal_tokens="/dav/")) as other:
        browser = signed_in(other)
        opened(browser)
        assert "Make the token" in browser.click("Tokens for your programs").visible_text
        assert "this browser" in browser.click("Where you are signed in").visible_text


def test_the_page_can_be_neither_stored_nor_framed(site: Guarded) -> None:
    page = opened(signed_in(site))
    assert page.header("Cache-Control") == "no-store"
    assert page.header("Referrer-Policy") == "same-origin"
    assert page.header("X-Frame-Options") == "DENY"
    assert "default-src 'none'" in (page.header("Content-Security-Policy") or "")


@pytest.mark.parametrize("word", ["", "unknown", "<b>", "%3Cscript%3E"])
def test_an_address_puts_no_words_on_the_page(site: Guarded, word: str) -> None:
    browser = signed_in(site)
    plain = opened(browser)
    page = browser.navigate(f"{URL}?done={word}", initiator="https://evil.example")
    assert page.text.replace(token(page), "") == plain.text.replace(token(plain), "")


# Ending sessions


def test_another_session_is_ended_and_the_current_one_goes_on(site: Guarded) -> None:
    other, browser = signed_in(site, User_Agent="curl/8.5.0"), signed_in(site)
    (form,) = forms_of_others(opened(browser))
    page = browser.submit(form)
    assert page.url == f"{URL}?done=one"
    assert "That browser is signed out." in page.visible_text
    assert "curl" not in page.visible_text
    assert not is_signed_in(other, site)
    assert is_signed_in(browser, site)
    (line,) = [line for line in site.audit if line.startswith("event=signed_out_elsewhere")]
    assert line.endswith("username=jane address=127.0.0.1 count=1")


def test_all_other_sessions_are_ended_at_once(site: Guarded, provider: StandIn) -> None:
    others = [signed_in(site), signed_in(site)]
    provider.userinfo = {"sub": "user-2", "preferred_username": "joe"}
    strangers = signed_in(site)
    provider.userinfo = {"sub": "user-1", "preferred_username": "jane"}
    browser = signed_in(site)
    opened(browser)
    page = browser.submit("everywhere else")
    assert page.url == f"{URL}?done=others"
    assert "signed out everywhere else" in page.visible_text
    assert [is_signed_in(other, site) for other in others] == [False, False]
    assert is_signed_in(browser, site)
    assert is_signed_in(strangers, site)


def test_the_current_browser_is_signed_out_the_usual_way(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    opened(browser)
    page = browser.submit()
    assert len(provider.asked("/end_session")) == 1
    assert page.url.startswith(f"{ORIGIN}/auth/oauth2/logout/done/")
    assert not is_signed_in(browser, site)


def test_a_form_that_names_this_browsers_session_signs_it_out(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    page = opened(browser)
    (session_id,) = session_ids(site)
    browser.post(URL, {"csrf_token": token(page), "session": session_id}, initiator=ORIGIN, follow=False)
    assert not is_signed_in(browser, site)
    assert any(line.startswith("event=logout ") for line in site.audit)


def session_ids(site: Guarded) -> list[str]:
    registry = site.middleware._sessions.registry
    assert registry is not None
    return [info.id for info in registry.all()]


def test_a_session_of_somebody_else_is_not_ended(site: Guarded, provider: StandIn) -> None:
    victim = signed_in(site)
    (session_id,) = session_ids(site)
    provider.userinfo = {"sub": "user-2", "preferred_username": "joe"}
    browser = signed_in(site)
    page = browser.post(URL, {"csrf_token": token(opened(browser)), "session": session_id}, initiator=ORIGIN)
    # The same answer as for a session that does not exist.
    assert page.url == f"{URL}?done=gone"
    assert "signed out already" in page.visible_text
    assert is_signed_in(victim, site)


@pytest.mark.parametrize("session_id", ["unknown", "x" * 300, "../x", "ü", "user:1"])
def test_a_session_that_is_not_there_was_ended_already(site: Guarded, session_id: str) -> None:
    browser = signed_in(site)
    page = browser.post(URL, {"csrf_token": token(opened(browser)), "session": session_id}, initiator=ORIGIN)
    assert page.url == f"{URL}?done=gone"


# Only when the person means it


@pytest.mark.requirement("N2.7.2")
@pytest.mark.parametrize("token", [None, "", "x", "A" * 120])
@pytest.mark.parametrize("initiator", [ORIGIN, "https://evil.example"])
def test_a_form_without_our_token_ends_nothing(site: Guarded, token: str | None, initiator: str) -> None:
    other, browser = signed_in(site), signed_in(site)
    fields = {"others": "1"} if token is None else {"others": "1", "csrf_token": token}
    page = browser.post(URL, fields, initiator=initiator)
    if initiator == ORIGIN:
        assert page.status == 400
        assert "nothing was changed" in page.visible_text
        assert any(line.startswith("event=logout_not_confirmed") for line in site.audit)
    assert is_signed_in(other, site)
    assert is_signed_in(browser, site)


def test_a_token_is_good_for_its_own_session_only(site: Guarded) -> None:
    other, browser = signed_in(site), signed_in(site)
    page = browser.post(URL, {"csrf_token": token(opened(other)), "others": "1"}, initiator=ORIGIN)
    assert page.status == 400
    assert is_signed_in(other, site)


def test_opening_an_address_ends_no_session(site: Guarded) -> None:
    other, browser = signed_in(site), signed_in(site)
    query = f"?csrf_token={quote(token(opened(browser)))}&others=1"
    browser.navigate(URL + query, initiator="https://evil.example")
    assert is_signed_in(other, site)


@pytest.mark.parametrize("fields", [{}, {"others": "0"}, {"session": ""}, {"others": ""}])
def test_a_form_that_asks_for_nothing_is_400(site: Guarded, fields: dict[str, str]) -> None:
    other, browser = signed_in(site), signed_in(site)
    page = browser.post(URL, {"csrf_token": token(opened(browser)), **fields}, initiator=ORIGIN)
    assert page.status == 400
    assert is_signed_in(other, site)


# Who may see the page


def test_a_person_who_is_not_signed_in_signs_in_and_comes_back(site: Guarded) -> None:
    browser = site.browser()
    assert browser.navigate(URL, follow=False).status == 303
    page = browser.navigate(URL)
    assert page.url == URL
    assert "Where you are signed in" in page.visible_text


def test_a_link_to_the_login_may_lead_to_the_sessions_page_and_to_no_other_url_of_ours(site: Guarded) -> None:
    for wanted, expected in {
        "/auth/oauth2/sessions/": URL,
        URL: URL,
        "/auth/oauth2/sessions": f"{ORIGIN}/",
        "/auth/oauth2/sessions/?done=one": f"{ORIGIN}/",
        "/auth/oauth2/sessions//": f"{ORIGIN}/",
        "/auth/oauth2/logout/": f"{ORIGIN}/",
        "https://evil.example/auth/oauth2/sessions/": f"{ORIGIN}/",
    }.items():
        page = site.browser().navigate(f"{ORIGIN}/auth/oauth2/login/?next={quote(wanted, safe='')}")
        assert page.url == expected, wanted


def test_a_person_whose_session_has_ended_meanwhile_is_sent_to_sign_in(site: Guarded) -> None:
    other, browser = signed_in(site), signed_in(site)
    opened(other)
    opened(browser)
    browser.submit("everywhere else")
    page = other.submit("everywhere else")
    assert page.url == URL
    assert is_signed_in(browser, site)


def test_a_program_gets_a_401(site: Guarded) -> None:
    page = site.browser().fetch(URL, initiator=ORIGIN)
    assert page.status == 401
    assert page.json()["login_url"].endswith("/login/?next=/auth/oauth2/sessions/")


def test_the_page_is_found_without_its_slash(site: Guarded) -> None:
    assert signed_in(site).navigate(URL.rstrip("/")).url == URL


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_the_page_answers_other_methods_with_405(site: Guarded, method: str) -> None:
    page = signed_in(site).fetch(URL, method=method)
    assert (page.status, page.header("Allow")) == (405, "GET, HEAD, POST")


def test_with_neither_directory_nor_store_the_page_is_404(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer) as site:
        assert signed_in(site).navigate(URL).status == 404


def test_when_the_store_is_away_the_page_says_so(site: Guarded) -> None:
    browser = signed_in(site)
    registry = site.middleware._sessions.registry
    assert registry is not None
    registry.store = watched = WatchedStore(registry.store)
    watched.away = True
    page = browser.navigate(URL, initiator=ORIGIN)
    assert page.status == 503
    assert page.header("Retry-After")


def test_the_page_works_under_a_mount(provider: StandIn, tmp_path: Path) -> None:
    keys = settings(provider, tmp_path, public_url=f"{ORIGIN}/core", insecure_http=None)
    with guarded(**keys) as site:
        assert site.middleware._urls.sessions() == f"{ORIGIN}/core/auth/oauth2/sessions/"
        assert site.middleware._urls.destination("/core/auth/oauth2/sessions/") is not None
        assert site.middleware._urls.destination("/auth/oauth2/sessions/") is None
