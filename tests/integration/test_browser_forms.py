"""Chromium, and a session that runs out while somebody types: the form arrives once, and a fragment survives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, expect

from oauth2_mw.middleware import OAuth2Middleware
from tests.support.browser.chromium import picture
from tests.support.clock import ShiftedClocks
from tests.support.hosts.processes import free_port
from tests.support.hosts.wsgi_thread import serve
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import make_settings

PAGE = """<!doctype html><title>Wiki</title><h1 id=top>Wiki</h1>
<form method=post action=save enctype={enctype}>
<input name=headline><input name=text type=password><button>Save</button></form>"""


class Wiki:
    """A page with a form, and what was sent with it."""

    def __init__(self) -> None:
        self.saved: list[bytes] = []
        self.enctype = "application/x-www-form-urlencoded"

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        if environ["PATH_INFO"] != "/wiki/save":
            return [PAGE.format(enctype=self.enctype).encode()]
        if environ["REQUEST_METHOD"] == "POST":
            self.saved.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        return [f"<!doctype html><p id=done>Saved {len(self.saved)} times".encode()]


class Stage:
    """The wiki behind the middleware, and the time."""

    def __init__(self, provider: StandIn, **keys: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.wiki = Wiki()
        self.clock = ShiftedClocks()
        settings = make_settings(
            public_url=self.url,
            issuer=provider.issuer,
            session_idle="10m",
            keep_forms="/wiki/",
            keep_fragment=True,
            **keys,
        )
        self.middleware = OAuth2Middleware(self.wiki, settings, clocks=self.clock.clocks)
        registry: Any = self.middleware._sessions.registry
        if registry is not None:
            registry.store._clock = registry.store.forms._clock = self.clock.wall

    def run_out(self) -> None:
        self.clock.ahead += 601


@pytest.fixture(params=["cookie", "store"])
def stage(request: pytest.FixtureRequest, provider: StandIn, tmp_path: Path) -> Iterator[Stage]:
    keys = {"session": f"sqlite:///{tmp_path}/sessions.db"} if request.param == "store" else {}
    stage = Stage(provider, **keys)
    with serve(stage.middleware, port=stage.port):
        yield stage


def offered(stage: Stage, page: Page) -> None:
    """Fill in the form while the session runs out, and come back from the provider."""
    page.goto(f"{stage.url}/wiki/edit")
    page.fill("input[name=headline]", "hello")
    page.fill("input[name=text]", "hunter2")
    stage.run_out()
    page.click("button")
    expect(page.locator("main")).to_contain_text("kept for ten minutes")
    page.reload()
    page.get_by_role("link", name="Continue with").click()
    expect(page.locator("h1")).to_contain_text("Send your form?")
    assert stage.wiki.saved == []


@pytest.mark.requirement("R-kept-form-once")
def test_a_form_arrives_once_whatever_the_person_clicks(stage: Stage, chromium_page: Page) -> None:
    page = chromium_page
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    offered(stage, page)
    text = page.inner_text("main")
    assert f"{stage.url}/wiki/save" in text
    assert "headline" in text
    assert "hunter2" not in page.content()
    picture(page, "kept-form")
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    picture(page, "kept-form-narrow")
    page.emulate_media(color_scheme="dark")
    picture(page, "kept-form-dark")
    offer = page.url
    page.get_by_role("button", name="Send it").click()
    expect(page.locator("#done")).to_contain_text("Saved 1 times")
    assert [parse_qs(body.decode()) for body in stage.wiki.saved] == [
        {"headline": ["hello"], "text": ["hunter2"]}
    ]
    page.reload()
    expect(page.locator("main")).to_contain_text("sent already")
    picture(page, "form-gone")
    page.go_back()
    page.goto(offer)
    expect(page.locator("main")).to_contain_text("sent already")
    assert len(stage.wiki.saved) == 1
    assert not [line for line in complaints if "Content Security Policy" in line]


@pytest.mark.requirement("R-kept-form-once")
def test_a_double_click_sends_one_form(stage: Stage, chromium_page: Page) -> None:
    stage.wiki.enctype = "multipart/form-data"
    offered(stage, chromium_page)
    chromium_page.get_by_role("button", name="Send it").dblclick()
    chromium_page.wait_for_load_state("networkidle")
    assert len(stage.wiki.saved) == 1
    assert b'name="headline"\r\n\r\nhello\r\n' in stage.wiki.saved[0]


@pytest.mark.requirement("R-kept-form")
def test_the_form_of_another_site_is_not_offered(stage: Stage, chromium_page: Page) -> None:
    page = chromium_page
    page.goto(f"{stage.url}/wiki/edit")
    stage.run_out()
    evil = f"""<!doctype html><title>x</title><form method=post action="{stage.url}/wiki/save"><input name=headline
        value=evil><button>go</button></form>"""

    def answer(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [evil.encode()]

    with serve(answer) as origin:
        # Another site: its name is another, as its port alone is not.
        page.goto(origin.replace("127.0.0.1", "localhost"))
        page.click("button")
        expect(page.locator("main")).to_contain_text("was not taken")
    assert stage.wiki.saved == []


def test_a_fragment_survives_a_sign_in(stage: Stage, chromium_page: Page) -> None:
    page = chromium_page
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(f"{stage.url}/wiki/edit?x=1#/section%20/7?a=b&c")
    page.wait_for_url(f"{stage.url}/wiki/edit?x=1#/section%20/7?a=b&c")
    expect(page.locator("h1")).to_have_text("Wiki")
    assert not [line for line in complaints if "status of 401" not in line]


def test_a_fragment_that_no_request_could_carry_costs_no_sign_in(stage: Stage, chromium_page: Page) -> None:
    page = chromium_page
    page.goto(f"{stage.url}/wiki/edit?x=1#" + "y" * 100_000)
    page.wait_for_url(lambda url: url.partition("#")[0] == f"{stage.url}/wiki/edit?x=1")
    expect(page.locator("h1")).to_have_text("Wiki")


def test_without_javascript_only_the_fragment_is_lost(stage: Stage, chromium_page: Page) -> None:
    browser = chromium_page.context.browser
    assert browser is not None
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{stage.url}/wiki/edit?x=1#section")
    expect(page.locator("h1")).to_have_text("Wiki")
    assert page.url.startswith(f"{stage.url}/wiki/edit?x=1")
