"""Chromium's own caches: what they keep of one person's pages is shown to nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.chromium import chromium, complete
from tests.support.hosts.servers import MakeSite, Serve
from tests.support.providers.standin import StandIn


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as provider:
        yield provider


@pytest.fixture
def remembering_page() -> Iterator[Page]:
    """A page whose browser keeps what was left, for *Back*: Playwright switches that off."""
    with chromium(complete(), ignore_default_args=["--disable-back-forward-cache"]) as running:
        yield running.new_context().new_page()


def settings(provider: StandIn) -> dict[str, str]:
    return {
        "issuer": provider.issuer,
        "provider": "Example ID",
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "login_page": "true",
        "sync_logout": "false",
    }


@pytest.mark.requirement("3i.4", "V34")
@pytest.mark.parametrize("path", ["/max-age", "/last-modified"])
def test_a_page_that_the_browser_kept_is_not_shown_after_a_sign_out(
    provider: StandIn, make_site: MakeSite, serve: Serve, chromium_page: Page, path: str
) -> None:
    site, page = make_site(), chromium_page
    serve(site, settings(provider), workers=1)
    sign_in = page.get_by_role("link", name="Continue with Example ID")

    page.goto(site.url("/page"))
    sign_in.click()
    page.wait_for_url(site.url("/page"))
    page.goto(site.url(path))
    expect(page.locator("#user")).to_have_text("jane")
    page.goto(site.url("/page"))
    # It really is kept: as long as the person is signed in, the server is not asked again.
    page.goto(site.url(path))
    expect(page.locator("#user")).to_have_text("jane")
    assert page.evaluate("performance.getEntriesByType('navigation')[0].transferSize") == 0

    page.goto(site.own_url("logout/"))
    expect(page.locator("h1")).to_contain_text("signed out")
    page.goto(site.url(path))
    expect(sign_in).to_be_visible()
    assert "jane" not in page.content()

    provider.userinfo = {"sub": "user-2", "preferred_username": "bob"}
    provider.claims = {"sub": "user-2"}
    sign_in.click()
    page.wait_for_url(site.url(path))
    expect(page.locator("#user")).to_have_text("bob")


@pytest.mark.requirement("R-clear")
@pytest.mark.parametrize(("clear_site_data", "shown"), [("none", True), ("cache", False), ("storage", True)])
def test_back_shows_the_page_that_was_left_unless_the_cache_was_cleared(
    provider: StandIn,
    make_site: MakeSite,
    serve: Serve,
    remembering_page: Page,
    clear_site_data: str,
    *,
    shown: bool,
) -> None:
    site, page = make_site(), remembering_page
    serve(site, {**settings(provider), "clear_site_data": clear_site_data}, workers=1)
    sign_in = page.get_by_role("link", name="Continue with Example ID")
    page.goto(site.url("/page"))
    sign_in.click()
    page.wait_for_url(site.url("/page"))
    expect(page.locator("#user")).to_have_text("jane")

    page.goto(site.own_url("logout/"))
    expect(page.locator("h1")).to_contain_text("signed out")
    # A page that comes back from the browser's memory is not loaded.
    page.go_back(wait_until="commit")
    if shown:
        expect(page.locator("#user")).to_have_text("jane")
    else:
        expect(sign_in).to_be_visible()
        assert "jane" not in page.content()
