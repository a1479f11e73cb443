"""The application in another site's frame in Chromium: no sign-in begins there, and a link leads out."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.chromium import picture
from tests.support.hosts.servers import Application, MakeSite, Serve
from tests.support.hosts.wsgi_thread import serve_page
from tests.support.providers.standin import StandIn


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as provider:
        yield provider


@pytest.fixture
def application(provider: StandIn, make_site: MakeSite, serve: Serve) -> Application:
    settings = {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
    }
    return serve(make_site(), settings)


def test_a_deep_link_in_a_frame_opens_in_a_window(
    chromium_page: Page, application: Application, provider: StandIn
) -> None:
    deep = application.url("/page?x=1")
    with serve_page(f'<iframe src="{escape(deep)}" width="600" height="500"></iframe>') as origin:
        # Another site than the application's, so that browsers keep our cookies out of the frame.
        chromium_page.goto(origin.replace("127.0.0.1", "localhost"))
        frame = chromium_page.frame_locator("iframe")
        link = frame.get_by_role("link")
        expect(link).to_have_text("Open in a new window")
        picture(chromium_page, "framed-login")
        assert provider.asked("/authorize") == []
        with chromium_page.expect_popup() as opened:
            link.click()
    expect(opened.value.locator("body")).to_contain_text("jane")
    assert opened.value.url == deep
