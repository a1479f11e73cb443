"""The provider at which a browser was signed in last stands first on the login page."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.guarded import Guarded, guard, guarded
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET

COOKIE = "__Host-oauth2_mw-p"


@pytest.fixture
def site(provider: StandIn) -> Iterator[Guarded]:
    named = {"issuer": provider.issuer, "client_id": "app", "client_secret": CLIENT_SECRET}
    with guarded(
        client_id=None,
        client_secret=None,
        **{
            "provider:first": {**named, "username_prefix": "first-"},
            "provider:second": {**named, "username_prefix": "second-", "same_users_as": "first"},
            "provider:third": {**named, "enabled": False},
        },
    ) as site:
        yield site


def offered(browser: Browser, site: Guarded, path: str) -> tuple[list[str], str]:
    """Return the NAMEs in the order of their buttons, and what the page says."""
    page = browser.navigate(site.url + path)
    return re.findall(r'href="[^"]*/login/([a-z]+)/', page.text), page.visible_text


@pytest.mark.parametrize("path", ["/deep", "/auth/oauth2/login/"])
def test_the_last_used_provider_is_offered_first_after_a_sign_out(site: Guarded, path: str) -> None:
    browser = site.browser()
    names, text = offered(browser, site, path)
    assert names == ["first", "second"]
    assert "Last used" not in text

    browser.navigate(site.url + "/auth/oauth2/login/second/?next=/deep")
    assert site.app.seen[-1]["user"] == "second-jane"
    assert site.app.seen[-1]["cookie"] is None
    browser.navigate(site.url + "/auth/oauth2/logout/")
    assert browser.jar.names(site.url).count(COOKIE) == 1
    assert site.session_cookie not in browser.jar.names(site.url)

    names, text = offered(browser, site, path)
    assert names == ["second", "first"]
    assert text.count("Last used") == 1
    assert text.index("second") < text.index("Last used") < text.index("first")


def test_a_sign_in_that_fails_is_not_remembered(site: Guarded, provider: StandIn) -> None:
    provider.claims = dict(provider.userinfo, nonce="another")
    browser = site.browser()
    browser.navigate(site.url + "/auth/oauth2/login/second/?next=/deep")
    assert site.app.calls == 0
    assert COOKIE not in browser.jar.names(site.url)


@pytest.mark.parametrize("value", ["third", "fourth", "", "SECOND", "<b>second</b>", "second; x=1; %s=first"])
def test_a_cookie_that_names_no_enabled_provider_changes_nothing(site: Guarded, value: str) -> None:
    browser = site.browser()
    browser.headers = {"Cookie": f"{COOKIE}={value % COOKIE if '%' in value else value}"}
    names, text = offered(browser, site, "/deep")
    assert names == ["first", "second"]
    assert "Last used" not in text
    assert "<b>" not in text


def test_one_provider_alone_is_not_remembered(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer) as site:
        browser = site.browser()
        browser.navigate(site.url + "/")
        assert site.session_cookie in browser.jar.names(site.url)
        assert COOKIE not in browser.jar.names(site.url)


def test_one_button_alone_is_not_marked() -> None:
    answer = call(guard(), environ_for("/", HTTP_ACCEPT="text/html", HTTP_COOKIE=f"{COOKIE}=default"))
    assert "Continue with" in answer.text
    assert "Last used" not in answer.text


def test_a_destination_that_is_lost_before_the_choice_is_lost_at_no_provider(
    site: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    site.browser().navigate(site.url + "/" + "x" * 5000)
    (line,) = [record.getMessage() for record in caplog.records if "destination_lost" in record.getMessage()]
    assert "provider=" not in line
