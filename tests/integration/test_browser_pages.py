"""Every page in every language as people meet it: read by axe and html-validate, narrow, dark, large, by keyboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize
from webob import Request

from oauth2_mw.web.http import responses
from oauth2_mw.web.http.assets import Assets
from oauth2_mw.web.pages.catalogues import LANGUAGES
from oauth2_mw.web.pages.pages import Pages
from tests.support.browser.chromium import chromium, installation, picture
from tests.support.providers.node import FOLDER, MODULES
from tests.web.pages.test_pages import EVERY_PAGE, ICON, STATIC
from tools import marks

AXE = MODULES / "axe-core" / "axe.min.js"
#: What people read and look at most, in pictures.
#: From left to right, and from right to left.
PICTURED = ("en", "ar")
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SHOWN = ("login", "failure", "denied", "confirm logout", "signed out", "sessions", "tokens", "kept form")


@pytest.fixture(scope="module")
def one_page() -> Iterator[Page]:
    """Of a browser for which this file answers every address; npm's Chromium survives the end of no context."""
    with chromium(installation()) as browser:
        context = browser.new_context(viewport=DESKTOP, timezone_id="Asia/Tokyo")
        context.route("**/*", lambda route: route.fulfill(**answer(route.request.url, route.request.headers)))
        yield context.new_page()


@pytest.fixture
def page(one_page: Page) -> Page:
    one_page.emulate_media(color_scheme="light", forced_colors="none", reduced_motion="reduce")
    one_page.set_viewport_size(DESKTOP)
    return one_page


def answer(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """What the middleware answers: a page by its name, under its own policy, or a static file."""
    name = "icons/github.svg" if url == ICON else url.partition("/static/")[2]
    if name:
        asset = Assets().get(name)
        if asset is None:
            return {"status": 404}
        response = responses.asset(asset.data, asset.content_type)
    else:
        response = responses.page(
            EVERY_PAGE[url.rpartition("/")[2].replace("%20", " ")](Pages(static_url=STATIC))
        )
    request = Request.blank("/", headers={"Accept-Language": headers.get("accept-language", "en")})
    sent = request.get_response(response)
    return {"status": sent.status_code, "headers": dict(sent.headers), "body": sent.body}


def opened(page: Page, name: str, language: str) -> None:
    page.set_extra_http_headers({"Accept-Language": language})
    page.goto(f"https://sso.example.com/{name}")
    assert page.evaluate("document.documentElement.lang") == language


def complaints_of_axe(page: Page) -> list[str]:
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:120]} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_can_be_read_by_everybody_by_day_and_by_night_and_on_any_screen(
    page: Page, language: str
) -> None:
    axe = AXE.read_text(encoding="utf-8")
    for name in SHOWN:
        page.set_viewport_size(DESKTOP)
        opened(page, name, language)
        page.evaluate(axe)
        assert complaints_of_axe(page) == [], name
        page.emulate_media(color_scheme="dark")
        # Colours are the same in all languages.
        assert language not in PICTURED or complaints_of_axe(page) == [], name
        # A page of 1280 pixels at 200 %, and a telephone.
        for width in (640, 360):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        if language in PICTURED:
            picture(page, f"pages/{language}-{name}-narrow-dark".replace(" ", "-"))
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(DESKTOP)
        if language in PICTURED:
            picture(page, f"pages/{language}-{name}".replace(" ", "-"))


@pytest.mark.parametrize("name", SHOWN)
def test_forced_colours_hide_nothing(page: Page, name: str) -> None:
    page.emulate_media(forced_colors="active")
    opened(page, name, "en")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert complaints_of_axe(page) == []
    picture(page, f"pages/forced-{name}".replace(" ", "-"))


_CONTROLS = "a[href], button, select, input:not([type=hidden])"


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("name", SHOWN)
def test_the_keyboard_alone_reaches_every_control_and_shows_where_it_is(
    page: Page, name: str, language: str
) -> None:
    opened(page, name, language)
    controls = page.locator(_CONTROLS).count()
    reached = []
    for _ in range(controls):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """(controls) => {
                    const at = document.activeElement;
                    const seen = getComputedStyle(at);
                    const outlined = seen.outlineStyle !== "none" && parseFloat(seen.outlineWidth) >= 2;
                    return outlined ? [...document.querySelectorAll(controls)].indexOf(at) : at.outerHTML;
                }""",
                _CONTROLS,
            )
        )
    assert reached == list(range(controls))


def test_times_are_told_by_the_clock_of_the_reader(page: Page) -> None:
    opened(page, "sessions", "en")
    time = page.locator("time").first
    assert time.get_attribute("title") == "2023-11-14 22:13 UTC"
    assert re.fullmatch(r"Nov 15, 2023, 7:13\sAM", time.inner_text())


def test_every_page_in_every_language_is_valid_html(tmp_path: Path) -> None:
    pages = Pages(static_url=STATIC)
    for name, render in EVERY_PAGE.items():
        html = render(pages)
        assert isinstance(html, responses.Html)
        for language in LANGUAGES:
            _, text = html.speak({"HTTP_ACCEPT_LANGUAGE": language})
            file = f"{re.sub('[^a-z]+', '-', name)}.{language}.html"
            (tmp_path / file).write_text(text, encoding="utf-8")
    # What the roles of a table are for that a narrow screen shows as blocks, the template says.
    rules = {"no-redundant-role": "off"}
    config = {"extends": ["html-validate:recommended"], "root": True, "rules": rules}
    (tmp_path / ".htmlvalidate.json").write_text(json.dumps(config), encoding="utf-8")
    node = shutil.which("node")
    assert node is not None
    program = MODULES / "html-validate" / "bin" / "html-validate.mjs"
    files = sorted(tmp_path.glob("*.html"))
    done = subprocess.run(
        [node, program, "--formatter", "text", "--config", tmp_path / ".htmlvalidate.json", *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=FOLDER,
    )
    found = {line.partition(": ")[2] for line in done.stdout.splitlines()}
    assert (done.returncode, found) == (0, set()), done.stderr


def test_the_marks_on_the_buttons_are_those_of_the_package_that_the_lock_file_pins() -> None:
    for name in marks.MARKS:
        assert (marks.ICONS / f"{name}.svg").read_text(encoding="utf-8") == marks.drawn(name)
    assert marks.TABLE.read_text(encoding="utf-8") == marks.table()
