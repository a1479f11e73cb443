"""The pictures of the documentation: a run makes them anew in ``build/screenshots``, ``docs/images`` has the chosen."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.support.browser.chromium import picture
from tests.support.hosts.processes import ROOT
from tests.support.hosts.servers import MakeSite, Serve

CHOSEN = ROOT / "docs" / "images" / "login.png"


def test_the_login_page_has_a_button_for_each_provider(
    make_site: MakeSite, serve: Serve, chromium_page: Page
) -> None:
    site = make_site()
    client = {"client_id": "wiki", "client_secret": "s3cret"}
    keycloak = {"preset": "keycloak", "issuer": "http://localhost:1/realms/staff", "provider": "Example Ltd"}
    serve(
        site,
        {
            "title": "Wiki of Example Ltd",
            "directory": "sqlite:///users.db",
            "allow": "email_domain:example.com",
            "provider:corp": {**keycloak, **client},
            "provider:google": {"preset": "google", **client},
            "provider:github": {"preset": "github", **client},
        },
    )
    chromium_page.set_viewport_size({"width": 640, "height": 480})
    chromium_page.goto(site.url("/"))
    for name in ("Example Ltd", "Google", "GitHub"):
        expect(chromium_page.get_by_role("link", name=name)).to_be_visible()
    taken = picture(chromium_page, "providers")
    assert taken.stat().st_size < 60_000
    # The one that is published shows the same page, whatever the fonts of the machine.
    assert CHOSEN.read_bytes()[16:20] == taken.read_bytes()[16:20], "the widths differ: copy the new one"
