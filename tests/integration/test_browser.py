"""A person in Chromium: the pages look as they should, and the way in and out works in a real browser."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.support.chromium import picture, sign_in_at_oidc_provider
from tests.support.oidc_provider import OidcProvider
from tests.support.servers import MakeSite, Serve


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
    assert [line for line in complaints if line.startswith(site.public_url)] == []


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
