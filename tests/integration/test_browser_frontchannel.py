"""A provider's logout page in Chromium: its frame ends the session, and nobody else may show that frame."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Frame, Page, expect

from tests.support.browser.chromium import picture
from tests.support.hosts.servers import Application, MakeSite, Serve
from tests.support.hosts.stage import wait_until
from tests.support.hosts.wsgi_thread import serve_page
from tests.support.providers.standin import StandIn

SID = "session-1"


@pytest.fixture
def provider() -> Iterator[StandIn]:
    """Of another site than the application, so that Chromium keeps our cookies out of its frames."""
    with StandIn(host="localhost", sid=SID) as provider:
        yield provider


@pytest.fixture
def application(provider: StandIn, make_site: MakeSite, serve: Serve, tmp_path: Path) -> Application:
    """Two workers, and their sessions in a store."""
    site = make_site()
    provider.frontchannel_logout_uri = site.own_url("frontchannel-logout/")
    settings = {
        "issuer": provider.issuer,
        "provider": "Example ID",
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "login_page": "true",
        "session": f"sqlite:///{tmp_path / 'sessions.db'}",
    }
    return serve(site, settings)


@pytest.fixture
def person(application: Application, chromium_page: Page) -> Page:
    """A page of somebody who is signed in."""
    chromium_page.goto(application.url("/page"))
    chromium_page.get_by_role("link", name="Continue with Example ID").click()
    expect_signed_in(chromium_page, application)
    return chromium_page


def expect_signed_in(page: Page, application: Application) -> None:
    page.goto(application.url("/page"))
    expect(page.locator("body")).to_contain_text("jane")


def expect_challenge(page: Page, application: Application) -> None:
    """Sign-in is asked for: at once by the worker that ended the session, by the others within ``revocation_sync``."""
    button = page.get_by_role("link", name="Continue with Example ID")
    wait_until(lambda: page.goto(application.url("/page")) is not None and button.is_visible(), deadline=10)


def expect_rendered(page: Page) -> None:
    """The frame shows our page, and its style has come with it."""
    expect(page.frame_locator("iframe").get_by_text("nothing that you need to do")).to_be_visible()
    assert framed(page).evaluate("getComputedStyle(document.querySelector('main')).borderRadius") != "0px"


def framed(page: Page) -> Frame:
    (frame,) = page.main_frame.child_frames
    return frame


@pytest.mark.requirement("L5")
def test_the_providers_logout_page_ends_the_session(
    person: Page, provider: StandIn, application: Application
) -> None:
    refused: list[str] = []
    person.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    with person.expect_request("**/frontchannel-logout/*") as asked:
        person.goto(f"{provider.url}/end_session")
    expect_rendered(person)
    picture(person, "framed-logout")
    assert "cookie" not in asked.value.all_headers()
    assert [text for text in refused if "Content Security Policy" in text] == []
    expect_challenge(person, application)


@pytest.mark.requirement("L4")
def test_a_logout_that_began_at_the_application_shows_the_frame_and_comes_back(
    person: Page, application: Application
) -> None:
    # Who types the address is not asked.
    person.goto(application.own_url("logout/"))
    expect_rendered(person)
    person.get_by_role("link", name="Continue").click()
    expect(person.locator("h1")).to_contain_text("signed out")
    expect_challenge(person, application)


@pytest.mark.requirement("N2.7.14", "N2.7.15")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_nobody_else_can_show_the_frame_and_a_forged_name_ends_nothing(
    person: Page, provider: StandIn, application: Application, host: str
) -> None:
    """Another port of the provider's host, and one of the application's, where the frame sends our cookie."""
    forged = f"{provider.frontchannel_logout_uri}?{urlencode({'iss': provider.issuer, 'sid': 'forged'})}"
    with serve_page(f'<iframe src="{escape(forged)}"></iframe>') as origin:
        with (
            person.expect_console_message(lambda said: "frame-ancestors" in said.text) as refused,
            person.expect_response(forged) as answered,
        ):
            person.goto(origin.replace("127.0.0.1", host))
        assert f'"frame-ancestors {provider.url}"' in refused.value.text
        assert answered.value.status == 200
        assert ("cookie" in answered.value.request.all_headers()) == (host == "127.0.0.1")
        assert framed(person).url.startswith("chrome-error:")
    expect_signed_in(person, application)
