"""Superset as ``samples/superset_config.py`` has it: two people at one browser, and its own button."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.chromium import sign_in_at_oidc_provider
from tests.support.hosts.servers import MakeSite, Site
from tests.support.providers.oidc_provider import OidcProvider

from .superset import serving


@pytest.fixture
def served(oidc_provider: OidcProvider, make_site: MakeSite, tmp_path: Path) -> Iterator[Site]:
    site = make_site()
    client = oidc_provider.register(
        [site.redirect_uri], post_logout_redirect_uris=[site.post_logout_redirect_uri]
    )
    oidc_provider.add_account("bob", sub="u-bob", preferred_username="bob", groups=["analysts"])
    settings = {**oidc_provider.settings(client), "scope": "openid profile email groups"}
    with serving(site, tmp_path, settings):
        yield site


def shown(page: Page, site: Site) -> dict[str, Any]:
    """What Superset knows of the person."""
    answer = page.request.get(site.url("/api/v1/me/roles/"))
    assert answer.status == 200, answer.text()
    result: dict[str, Any] = answer.json()["result"]
    return {
        "name": result["firstName"],
        "email": result["email"],
        "username": result["username"],
        "roles": set(result["roles"]),
    }


@pytest.mark.requirement("R-app-cookies")
@pytest.mark.requirement("R-app-logout")
def test_superset_knows_name_address_and_roles_and_its_own_button_signs_out(
    served: Site, chromium_page: Page
) -> None:
    page = chromium_page
    assert page.request.get(served.url("/health")).text() == "OK"
    assert page.request.get(served.url("/api/v1/me/")).status == 401

    page.goto(served.url("/"))
    sign_in_at_oidc_provider(page)
    page.wait_for_url("**/superset/welcome/")
    assert shown(page, served) == {
        "name": "Jane Roe",
        "email": "jane@example.com",
        "username": "jane",
        "roles": {"Admin"},
    }

    page.get_by_text("Settings", exact=True).hover()
    page.get_by_role("link", name="Logout").click()
    # The provider asks; then it leads back to where Superset wanted to go, which needs a sign-in.
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("input[name=login]")).to_be_visible()
    assert {cookie["name"] for cookie in page.context.cookies(served.public_url)} & {
        "session",
        "oauth2_mw",
    } == set()

    sign_in_at_oidc_provider(page, "bob")
    page.wait_for_url("**/superset/welcome/")
    bob = shown(page, served)
    assert (bob["username"], bob["roles"]) == ("bob", {"Alpha"})
