"""A provider signs people out by frames: the session that it names or the browser's own, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from oauth2_mw.session import frame_logouts
from tests.support.browser.page import Page
from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.hosts.shared_sessions import settings, site
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN
from tests.support.stores.watched_store import WatchedStore

__all__ = ["site"]

URL = f"{ORIGIN}/auth/oauth2/frontchannel-logout/"
LOGOUT = f"{ORIGIN}/auth/oauth2/logout/"
DONE = f"{ORIGIN}/auth/oauth2/logout/done/"
#: a provider of the same site as the application, whose frames send its cookies
NEIGHBOUR = "https://id.app.example"


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn(client_id="app", sid="session-1") as provider:
        yield provider


def address(provider: StandIn, **changed: str | None) -> str:
    """Return the URL that a provider's frame loads, without the parameters that are ``None``."""
    query = {"iss": provider.issuer, "sid": provider.sid, **changed}
    return f"{URL}?{urlencode({name: value for name, value in query.items() if value is not None})}"


def calm(page: Page) -> str:
    """Return the page, which is the same whatever the request has ended."""
    assert page.status == 200
    assert page.header("Cache-Control") == "no-store"
    assert page.header("X-Frame-Options") is None
    assert "nothing that you need to do" in page.visible_text
    return page.text


# Sessions that a frame ends


@pytest.mark.requirement("L5")
def test_a_frame_with_the_sessions_name_ends_the_session(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    calm(browser.frame(address(provider), initiator=provider.url))
    # From another site the browser sends no cookie: the sid alone did it.
    assert browser.steps[-1].cookies_sent == ()
    assert not is_signed_in(browser, site)
    expected = "event=logout_by_provider ref=.{8} provider=default user=.* username=jane address=.* count=1 how=frame"
    assert any(re.fullmatch(expected, line) for line in site.audit)


@pytest.mark.requirement("L4")
def test_a_logout_that_began_at_the_application_passes_the_frame_and_comes_back(
    site: Guarded, provider: StandIn
) -> None:
    browser = signed_in(site)
    page = browser.navigate(LOGOUT, initiator=ORIGIN, stop_before=DONE)
    assert page.url.startswith(provider.url)
    calm(browser.frame(address(provider), initiator=provider.url))
    page = browser.navigate(page.location or "", initiator=provider.url)
    assert page.status == 200
    assert "signed out" in page.visible_text.lower()
    assert not is_signed_in(browser, site)


@pytest.mark.requirement("N2.7.14")
def test_a_frame_ends_only_the_session_of_its_sid(site: Guarded, provider: StandIn) -> None:
    one = signed_in(site)
    provider.sid = "session-2"
    two = signed_in(site)
    calm(one.frame(address(provider), initiator=NEIGHBOUR))
    assert is_signed_in(one, site)
    assert not is_signed_in(two, site)
    assert site.session_cookie not in one.steps[-2].cookies_set


def test_the_cookie_of_the_session_that_ended_goes(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    calm(browser.frame(address(provider), initiator=NEIGHBOUR))
    assert browser.steps[-1].cookies_set == (site.session_cookie,)
    assert site.session_cookie not in browser.jar.names(site.url)


@pytest.mark.requirement("R-clear")
def test_a_frame_has_the_browser_forget_when_it_ended_that_browsers_session(
    provider: StandIn, tmp_path: Path
) -> None:
    keys = {"issuer": provider.issuer, "directory": f"sqlite:///{tmp_path / 'users.db'}"}
    with guarded(**keys, clear_site_data="cache cookies storage") as site:
        browser = signed_in(site)
        page = browser.frame(address(provider, sid="other"), initiator=NEIGHBOUR)
        assert page.header("Clear-Site-Data") is None
        page = browser.frame(address(provider), initiator=NEIGHBOUR)
        assert page.header("Clear-Site-Data") == '"cookies", "storage"'
        assert browser.frame(address(provider), initiator=NEIGHBOUR).header("Clear-Site-Data") is None


def test_a_frame_without_parameters_means_the_browsers_own_session(site: Guarded) -> None:
    browser, other = signed_in(site), signed_in(site)
    calm(browser.frame(URL, initiator=NEIGHBOUR))
    assert site.session_cookie not in browser.jar.names(site.url)
    assert not is_signed_in(browser, site)
    assert is_signed_in(other, site)


@pytest.mark.requirement("N2.7.12")
def test_the_refresh_token_of_the_browsers_own_session_is_revoked(provider: StandIn, tmp_path: Path) -> None:
    with guarded(**settings(provider, tmp_path, where="session", keep_tokens="refresh")) as site:
        browser = signed_in(site)
        calm(browser.frame(URL, initiator=NEIGHBOUR))
        assert [asked.form["token_type_hint"] for asked in provider.asked("/revoke")] == ["refresh_token"]


# A frame that comes while somebody signs in


def framed_meanwhile(site: Guarded, provider: StandIn, name: str, *urls: str) -> Page:
    """Sign in at a provider whose answer *name* waits until frames with these addresses were answered."""

    def answer(good: Any) -> Any:
        for url in urls:
            calm(site.browser().frame(url, initiator=provider.url))
        return good

    provider.answers[name] = answer
    try:
        return site.browser().navigate(site.url + "/")
    finally:
        del provider.answers[name]


@pytest.mark.requirement("3l.6", "R-frame-race")
@pytest.mark.parametrize("name", ["token", "userinfo"])
def test_a_frame_before_the_session_is_written_ends_it(site: Guarded, provider: StandIn, name: str) -> None:
    page = framed_meanwhile(site, provider, name, address(provider))
    assert page.status == 403
    assert "signed out while you signed in" in page.visible_text
    assert site.app.calls == 0
    assert any("event=login_failed" in line and "code=signed_out" in line for line in site.audit)
    # The provider names the next session alike, within the same second: it was not meant.
    assert is_signed_in(signed_in(site), site)


@pytest.mark.requirement("R-frame-race")
def test_a_frame_that_another_host_answered_ends_it(provider: StandIn, tmp_path: Path) -> None:
    for where in ("directory", "session"):
        keys = {**settings(provider, tmp_path / where, where=where), "secret_keys": text_key()}
        (tmp_path / where).mkdir()
        with guarded(**keys) as here, guarded(**keys) as there:

            def answer(good: Any, there: Guarded = there) -> Any:
                calm(there.browser().frame(address(provider), initiator=provider.url))
                return good

            provider.answers["token"] = answer
            assert here.browser().navigate(here.url + "/").status == 403, where
            del provider.answers["token"]


@pytest.mark.requirement("R-frame-race")
@pytest.mark.parametrize("changed", [{"sid": "session-2"}, {"iss": "https://evil.example"}, {"iss": None}])
def test_a_frame_of_another_session_ends_no_sign_in(
    site: Guarded, provider: StandIn, changed: dict[str, str | None]
) -> None:
    assert framed_meanwhile(site, provider, "token", address(provider, **changed)).status == 200


@pytest.mark.requirement("R-frame-race")
def test_a_frame_that_came_before_the_sign_in_keeps_nobody_out(site: Guarded, provider: StandIn) -> None:
    for _ in range(3):
        calm(site.browser().frame(address(provider), initiator="https://evil.example"))
        assert is_signed_in(signed_in(site), site)


@pytest.mark.requirement("R-frame-race")
def test_so_many_forged_frames_are_written_down_and_no_more(
    site: Guarded, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_logouts, "AT_ONCE", 10)
    registry = site.middleware._sessions.registry
    assert registry is not None
    registry.store = watched = WatchedStore(registry.store)
    browser = signed_in(site)
    for number in range(30):
        calm(browser.frame(address(provider, sid=f"forged-{number}"), initiator="https://evil.example"))
    assert 10 <= watched.calls.count("revoke") <= 20
    assert any("event=logout_ignored" in line and "more frames" in line for line in site.audit)
    assert is_signed_in(browser, site)
    # Who is signed in is signed out all the same.
    calm(browser.frame(address(provider), initiator=provider.url))
    assert not is_signed_in(browser, site)


# Sessions that a frame leaves alone


@pytest.mark.requirement("N2.7.15")
@pytest.mark.parametrize(
    "changed",
    [
        {"sid": "forged"},
        {"sid": ""},
        {"sid": None},
        {"iss": None},
        {"iss": "https://evil.example"},
        {"iss": "", "sid": "session-1"},
    ],
)
def test_forged_parameters_end_nothing_here_or_at_the_provider(
    site: Guarded, provider: StandIn, changed: dict[str, str | None]
) -> None:
    browser = signed_in(site)
    del provider.requests[:]
    for initiator in (NEIGHBOUR, "https://evil.example"):
        forged = calm(browser.frame(address(provider, **changed), initiator=initiator))
        assert browser.steps[-1].cookies_set == ()
        assert is_signed_in(browser, site)
    assert provider.requests == []
    assert forged == calm(browser.frame(address(provider), initiator=NEIGHBOUR))


def test_a_slash_more_makes_another_issuer(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    calm(browser.frame(address(provider, iss=provider.issuer + "/"), initiator=NEIGHBOUR))
    assert is_signed_in(browser, site)
    assert any(re.match("event=logout_ignored ref=.{8} provider=default", line) for line in site.audit)


@pytest.mark.requirement("N2.7.2")
@pytest.mark.parametrize("initiator", ["https://evil.example", NEIGHBOUR, None])
def test_a_link_without_parameters_signs_nobody_out(site: Guarded, initiator: str | None) -> None:
    browser = signed_in(site)
    calm(browser.navigate(URL, initiator=initiator))
    assert is_signed_in(browser, site)


def test_a_frame_of_another_site_without_parameters_signs_nobody_out(site: Guarded) -> None:
    browser = signed_in(site)
    calm(browser.frame(URL, initiator="https://evil.example"))
    assert is_signed_in(browser, site)


def test_whoever_opens_the_address_sees_the_same_page(site: Guarded, provider: StandIn) -> None:
    stranger = calm(site.browser().navigate(URL))
    assert stranger == calm(signed_in(site).frame(address(provider), initiator=provider.url))


@pytest.mark.requirement("N2.7.14")
def test_a_provider_ends_no_session_of_another(provider: StandIn, tmp_path: Path) -> None:
    with (
        StandIn(client_id="app", sid="session-1") as other,
        guarded(**settings(provider, tmp_path, **corp(other))) as site,
    ):
        browser = site.browser()
        browser.navigate(f"{ORIGIN}/auth/oauth2/login/corp/")
        calm(browser.frame(address(provider), initiator=NEIGHBOUR))
        calm(browser.frame(address(other), initiator=NEIGHBOUR))
        calm(browser.frame(URL, initiator=NEIGHBOUR))
        assert is_signed_in(browser, site)
        own = address(other).replace(URL, f"{URL}corp/")
        calm(browser.frame(own, initiator=NEIGHBOUR))
        assert not is_signed_in(browser, site)


def corp(provider: StandIn) -> dict[str, Any]:
    named = {
        "issuer": provider.issuer,
        "client_id": "app",
        "client_secret": CLIENT_SECRET,
        "username_prefix": "corp-",
    }
    return {"provider:corp": named}


# Who may frame the page


def ancestors(page: Page) -> list[str]:
    for directive in (page.header("Content-Security-Policy") or "").split(";"):
        name, *sources = directive.split()
        if name == "frame-ancestors":
            return sources
    raise AssertionError("no frame-ancestors")


@pytest.mark.requirement("N2.7.14")
def test_the_provider_alone_may_frame_the_page(site: Guarded, provider: StandIn) -> None:
    page = site.browser().frame(address(provider), initiator=provider.url)
    assert ancestors(page) == [provider.url]


@pytest.mark.requirement("N2.7.14")
def test_every_origin_of_a_written_endpoint_may_frame_the_page(provider: StandIn, tmp_path: Path) -> None:
    elsewhere = {
        "authorization_endpoint": "https://login.example.com/authorize",
        "logout_endpoint": "https://bye.example.com:8443/logout?a=b",
    }
    with guarded(**settings(provider, tmp_path, **elsewhere)) as site:
        page = site.browser().frame(URL, initiator=provider.url)
        assert ancestors(page) == [provider.url, "https://login.example.com", "https://bye.example.com:8443"]
        assert provider.requests == []


@pytest.mark.parametrize(
    "path", ["", "logout/done/", "frontchannel-logout/unknown/", "frontchannel-logout/?sid=%ff"]
)
def test_nothing_else_may_be_framed(site: Guarded, path: str) -> None:
    page = site.browser().frame(f"{ORIGIN}/auth/oauth2/{path}", initiator=ORIGIN)
    assert ancestors(page) == ["'none'"]
    assert page.header("X-Frame-Options") == "DENY"


# When there is no answer


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_other_methods_than_get_are_405(site: Guarded, provider: StandIn, method: str) -> None:
    browser = signed_in(site)
    page = browser.fetch(address(provider), method=method, credentials="include")
    assert (page.status, page.header("Allow")) == (405, "GET")
    assert is_signed_in(browser, site)


@pytest.mark.parametrize("query", ["sid=%ff", "sid=a&sid=b", "sid=a%00"])
def test_a_query_that_cannot_be_read_is_400(site: Guarded, query: str) -> None:
    assert site.browser().frame(f"{URL}?{query}", initiator=ORIGIN).status == 400


def test_with_neither_directory_nor_store_the_url_is_404(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer) as site:
        assert site.browser().frame(address(provider), initiator=ORIGIN).status == 404


def test_a_provider_that_cannot_tell_has_no_address(provider: StandIn, tmp_path: Path) -> None:
    plain: dict[str, Any] = {
        "client_id": "app",
        "client_secret": CLIENT_SECRET,
        "authorization_endpoint": provider.url + "/authorize",
        "token_endpoint": provider.url + "/token",
        "userinfo_endpoint": provider.url + "/userinfo",
        "username_prefix": "plain-",
        "subject": "sub",
        "same_users_as": "default",
    }
    with guarded(**settings(provider, tmp_path), **{"provider:plain": plain}) as site:
        for name in ("plain", "default", "unknown"):
            assert site.browser().frame(f"{URL}{name}/", initiator=ORIGIN).status == 404


def test_when_the_store_is_away_the_provider_sees_a_failure(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    registry = site.middleware._sessions.registry
    assert registry is not None
    registry.store = watched = WatchedStore(registry.store)
    watched.away = True
    page = browser.frame(address(provider), initiator=provider.url)
    assert page.status == 503
    assert page.header("Retry-After")
    watched.away = False
    assert is_signed_in(browser, site)
