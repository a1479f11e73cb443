"""A person in Chromium: the pages look as they should, and the way in and out works in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.chromium import picture, sign_in_at_oidc_provider
from tests.support.hosts.servers import MakeSite, Serve, Site
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.stores.redis_servers import RedisServer, wait_for

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Safari/605.1"
#: enough requests that each of two workers has had some
MANY = 12


def test_a_person_signs_in_through_the_login_page_and_out_again(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, chromium_page: Page
) -> None:
    site = make_site()
    client = oidc_provider.register(
        [site.redirect_uri], post_logout_redirect_uris=[site.post_logout_redirect_uri]
    )
    settings = {
        "issuer": oidc_provider.issuer,
        "provider": "Example ID",
        "icon": "oidc",
        "login_page": "true",
        **client.settings,
    }
    serve(site, settings)
    page = chromium_page
    complaints: list[str] = []
    page.on(
        "console",
        lambda said: (
            complaints.append(f"{said.location['url']}: {said.text}") if said.type == "error" else None
        ),
    )

    page.goto(site.url("/page?deep=1"))
    expect(page.get_by_role("link", name="Continue with Example ID")).to_be_visible()
    assert page.evaluate("document.images[0].naturalWidth") > 0
    assert page.evaluate("getComputedStyle(document.querySelector('main')).borderRadius") != "0px"
    picture(page, "login")
    page.get_by_role("link", name="Continue with Example ID").click()
    sign_in_at_oidc_provider(page)
    page.wait_for_url(site.url("/page?deep=1"))
    expect(page.locator("body")).to_contain_text("jane")
    picture(page, "application")

    # From another site the person is asked; the form then leads over the provider and back.
    page.goto("about:blank")
    page.set_content(f'<a href="{site.own_url("logout/")}">bye</a>')
    page.get_by_text("bye").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    picture(page, "confirm")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(site.post_logout_redirect_uri + "*")
    expect(page.locator("h1")).to_contain_text("signed out")
    picture(page, "signed-out")
    page.goto(site.url("/page"))
    expect(page.get_by_role("link", name="Continue with Example ID")).to_be_visible()
    # The provider's pages have no favicon; ours must give a browser nothing to complain about.
    # That the page is a 401 is what the browser notes about it.
    ours = [line for line in complaints if line.startswith(site.public_url) and "status of 401" not in line]
    assert ours == []


@pytest.fixture(params=["directory", "redis"])
def remembered(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Sessions in cookies beside a directory, and on a Redis server."""
    if request.param == "directory":
        yield {"directory": f"sqlite:///{tmp_path / 'users.db'}"}
        return
    with RedisServer(tmp_path) as server:
        yield {"session": server.url}


def test_a_person_sees_their_sessions_and_ends_one_of_them(
    oidc_provider: OidcProvider,
    make_site: MakeSite,
    serve: Serve,
    chromium_page: Page,
    remembered: dict[str, str],
) -> None:
    site = make_site()
    client = oidc_provider.register([site.redirect_uri])
    serve(site, {**oidc_provider.settings(client), "revocation_sync": "1s", **remembered}, workers=2)
    page = chromium_page
    assert page.context.browser is not None
    phone = page.context.browser.new_context(user_agent=IPHONE).new_page()
    phone.goto(site.own_url("sessions/"))
    sign_in_at_oidc_provider(phone)
    expect(phone.get_by_role("rowheader")).to_contain_text(["Safari 18 on iPhone"])
    assert answers(phone, site) == {200}
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)

    # Whoever is not signed in comes back to it.
    page.goto(site.own_url("sessions/"))
    sign_in_at_oidc_provider(page)
    page.wait_for_url(site.own_url("sessions/"))
    table = page.get_by_role("table", name="Browsers that are signed in")
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table.get_by_role("rowheader").first).to_contain_text("this browser")
    picture(page, "sessions")
    page.emulate_media(color_scheme="dark")
    picture(page, "sessions-dark")
    page.emulate_media(color_scheme="light")

    # On a tablet and a narrow screen nothing sticks out, and it is still a table.
    for width in (976, 720, 320):
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(table.get_by_role("rowheader")).to_have_count(2)
    picture(page, "sessions-narrow")

    table.get_by_role("button", name="Sign out Safari 18 on iPhone").click()
    page.wait_for_url(site.own_url("sessions/?done=one"))
    expect(page.get_by_role("status")).to_contain_text("That browser is signed out.")
    expect(table.get_by_role("rowheader")).to_have_count(1)
    # The other worker hears of it, or reads the session from its store again, within ``revocation_sync``.
    wait_for(lambda: answers(phone, site) == {401})
    assert answers(page, site) == {200}
    page.set_viewport_size({"width": 1024, "height": 640})
    picture(page, "sessions-one-ended")
    table.get_by_role("button", name="Sign out this browser").click()
    # The usual way out: over the provider, which asks there.
    page.wait_for_url(f"{oidc_provider.issuer}/session/end?*")
    assert page.request.get(site.url("/page")).status == 401
    assert [line for line in complaints if site.public_url in line] == []


def answers(page: Page, site: Site) -> set[int]:
    """What that browser gets from the application, asked so often that each of two workers has answered."""
    return {page.request.get(site.url("/page")).status for _ in range(MANY)}


def test_a_failure_shows_a_page_with_a_reference(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, chromium_page: Page
) -> None:
    site = make_site()
    client = oidc_provider.register([site.redirect_uri])
    settings = {"issuer": oidc_provider.issuer, **client.settings, "client_secret": "wrong"}
    application = serve(site, settings)
    page = chromium_page
    page.goto(site.url("/page"))
    sign_in_at_oidc_provider(page)
    expect(page.get_by_role("link", name="Try again")).to_be_visible()
    reference = page.locator("footer code").inner_text()
    assert f"ref={reference}" in application.log
    picture(page, "failure")
