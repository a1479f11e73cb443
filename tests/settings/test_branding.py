"""How the pages look and whom they name: readable colours, contacts that lead somewhere, templates that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.settings.branding import LEAST_CONTRAST, Accent, Contact, contrast
from oauth2_mw.settings.model import Settings
from oauth2_mw.settings.page_templates import variables
from tests.support.settings.minimal import make_settings, oidc, only_problem, problems, service


def test_a_service_without_them_has_ours() -> None:
    settings = make_settings(issuer="https://id.example.com")
    assert settings.title == "app.example"
    assert (settings.logo, settings.accent, settings.contact, settings.templates) == (None,) * 4


# Colours


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#fff", "#FFFFFF", 1.0),
        ("#777777", "#ffffff", 4.48),
        ("#00f", "#fff", 8.59),
    ],
)
def test_the_contrast_of_two_colours(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            "#ffcc00",
            ["#ffcc00 has a contrast of 1.51:1 on light ground", "needs 4.5:1", "write a darker colour"],
        ),
        ("#777777", ["4.47:1 on light ground"]),
        ("#0a5c2f #0a5c2f", ["on dark ground, #181c23", "write a lighter colour"]),
        ("#fff #000", ["1.0:1 on light ground"]),
        ("blue", ["'blue' is not a colour", "like #0a5c2f"]),
        ("#12345", ["is not a colour"]),
        ("#1234567", ["is not a colour"]),
        ("rgb(0,0,0)", ["is not a colour"]),
        ("#000;}*{", ["is not a colour"]),
        ("#000 #fff #ccc", ["more than two colours"]),
    ],
)
def test_a_colour_that_cannot_be_read_is_refused_with_its_ratio(written: str, words: list[str]) -> None:
    problem = only_problem(service(accent=written, **{"provider:corp": oidc()}))
    assert problem.startswith("[oauth2_mw] accent: ")
    for word in words:
        assert word in problem


@given(st.integers(0, 0xFFFFFF), st.none() | st.integers(0, 0xFFFFFF))
def test_whatever_accent_is_accepted_each_text_in_it_can_be_read(light: int, dark: int | None) -> None:
    written = f"#{light:06x}" + (f" #{dark:06x}" if dark is not None else "")
    try:
        sheet = Accent.parse(written).stylesheet()
    except ValueError:
        assert contrast(f"#{light:06x}", "#ffffff") < LEAST_CONTRAST or dark is not None
        return
    by_day, by_night = (dict(re.findall(r"--([a-z-]+): (#\w+);", part)) for part in sheet.split("@media"))
    for colours, ground in ((by_day, "#ffffff"), (by_night, "#181c23")):
        for text, behind in (
            (colours["accent"], ground),
            (colours["on-accent"], colours["accent"]),
            (colours["on-accent"], colours["accent-hover"]),
            (colours["calm"], colours["calm-ground"]),
        ):
            assert contrast(text, behind) >= LEAST_CONTRAST


# Contacts


@pytest.mark.parametrize(
    ("written", "url", "text"),
    [
        ("help@example.com", "mailto:help@example.com", "help@example.com"),
        ("mailto:help@example.com", "mailto:help@example.com", "help@example.com"),
        ("https://help.example.com/", "https://help.example.com/", "help.example.com"),
        ("https://example.com/help?a=b", "https://example.com/help?a=b", "example.com/help?a=b"),
    ],
)
def test_a_contact_is_an_address_or_a_page(written: str, url: str, text: str) -> None:
    assert Contact.parse(written) == Contact(url, text)


@pytest.mark.parametrize(
    "written",
    [
        "help",
        "javascript:alert(1)",
        "http://help.example.com",
        "a@b?subject=x",
        "mailto:a@b?bcc=c",
        "a b@example.com",
    ],
)
def test_anything_else_is_no_contact(written: str) -> None:
    problem = only_problem(service(contact=written, **{"provider:corp": oidc()}))
    assert "[oauth2_mw] contact: " in problem
    assert "like help@example.com" in problem


def test_a_logo_is_judged_like_an_icon(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>')
    mapping = service(logo="logo.svg", **{"provider:corp": oidc()})
    assert only_problem(mapping, base=tmp_path).startswith("[oauth2_mw] logo: the SVG contains <script")
    (tmp_path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    logo = Settings.from_mapping(mapping, base=tmp_path).logo
    assert logo is not None
    assert logo.content_type == "image/svg+xml"


# Templates


def faults(folder: Path) -> list[str]:
    return problems(service(templates="pages", **{"provider:corp": oidc()}), base=folder)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    folder.mkdir()
    return folder


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert faults(tmp_path) == [
        f"[oauth2_mw] templates: {tmp_path}/pages is not a folder: make it, or take this out"
    ]


def test_a_folder_of_good_templates_is_used(pages: Path) -> None:
    (pages / "login.html").write_text(
        '{% extends "oauth2_mw/login.html" %}{% block content %}{{ super() }}{% include "_rules.html" %}{% endblock %}'
    )
    (pages / "_rules.html").write_text("<p>{{ site }}</p>")
    (pages / ".login.html.swp").write_bytes(b"\xff")
    mapping = service(templates="pages", **{"provider:corp": oidc()})
    assert Settings.from_mapping(mapping, base=pages.parent).templates == pages


def test_every_template_that_cannot_be_used_is_named_with_its_line(pages: Path) -> None:
    (pages / "denied.html").write_text("<p>\n{{ usrname }}\n</p>")
    (pages / "failure.html").write_text("<p>\n\n{% if reference %}</p>")
    (pages / "logn.html").write_text("")
    (pages / "not_found.html").write_text('\n{% extends "bass.html" %}')
    (pages / "sessions.html").write_text("{{ rows | no_such_filter }}")
    (pages / "tokens.html").write_bytes(b"\xff")
    found = [problem.removeprefix(f"[oauth2_mw] templates: {pages}/") for problem in faults(pages.parent)]
    for start, words in (
        ("logn.html replaces no template of ours", "did you mean login.html?"),
        ("tokens.html cannot be read as UTF-8", ""),
        ("denied.html, line 2: this page has no variable 'usrname'", "did you mean username?"),
        ("failure.html, line 3: ", "endif"),
        ("not_found.html, line 2: there is no template 'bass.html'", ""),
        ("sessions.html, line 1: No filter named 'no_such_filter'", ""),
    ):
        (problem,) = [each for each in found if each.startswith(start)]
        found.remove(problem)
        assert words in problem
    assert found == []


def test_a_page_has_its_own_variables_and_those_of_every_page() -> None:
    assert {"username", "provider", "reference", "contact", "site"} <= variables("denied.html")
    assert "rows" not in variables("denied.html")
