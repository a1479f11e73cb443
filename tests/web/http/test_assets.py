"""The stylesheet and the icons: found by exact name, safe to serve, and fit for the pages' policy."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from oauth2_mw.web.http.assets import MAX_BYTES, MAX_FILES, Asset, Assets

# fmt: off
ICONS = [
    "github", "gitlab", "google", "microsoft", "okta", "auth0", "keycloak", "authentik", "zitadel",
    "cognito", "facebook", "linkedin", "slack", "discord", "bitbucket", "gitea", "apple", "feishu",
    "oidc", "oauth2", "key", "company", "authelia", "line", "nextcloud", "ory", "wechat", "x",
]
# fmt: on
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "icons").mkdir()
    return tmp_path


def found(name: str) -> Asset:
    asset = Assets().get(name)
    assert asset is not None
    return asset


# Finding


def test_the_stylesheet_is_served_as_css() -> None:
    asset = found("oauth2_mw.css")
    assert asset.content_type == "text/css; charset=utf-8"
    assert asset.data == (files("oauth2_mw.web.pages") / "static" / "oauth2_mw.css").read_bytes()


@pytest.mark.parametrize("name", ICONS)
def test_a_built_in_icon_is_served_as_svg(name: str) -> None:
    assert found(f"icons/{name}.svg").content_type == "image/svg+xml"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "icons",
        "icons/",
        "missing.css",
        "/oauth2_mw.css",
        "./oauth2_mw.css",
        "//oauth2_mw.css",
        "oauth2_mw.css/",
        "OAUTH2_MW.CSS",
        "oauth2_mw.css\x00",
        "oauth2_mw.css\n",
        "oauth2_mw%2ecss",
        "icons/../oauth2_mw.css",
        "icons/./github.svg",
        "icons\\github.svg",
        "icons//github.svg",
        "../pages.py",
        "../../../../../../etc/passwd",
        "..\\pages.py",
        "/etc/passwd",
        "C:\\boot.ini",
        "\udcff",
    ],
)
def test_files_are_found_by_exact_name_only(name: str) -> None:
    assert Assets().get(name) is None


# Loading


def test_nothing_is_read_before_the_first_request(folder: Path) -> None:
    assets = Assets(folder)
    (folder / "late.css").write_bytes(b"a")
    assert assets.get("late.css") == Asset("text/css; charset=utf-8", b"a")


def test_files_are_read_once(folder: Path) -> None:
    (folder / "a.css").write_bytes(b"before")
    assets = Assets(folder)
    first = assets.get("a.css")
    (folder / "a.css").write_bytes(b"after")
    assert assets.get("a.css") is first


@pytest.mark.parametrize("name", ["page.html", "code.js", "notes", "image.png", ".css.bak", "a.SVG"])
def test_a_file_of_another_kind_is_not_served(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    assert Assets(folder).get(name) is None


def test_a_folder_is_not_served(folder: Path) -> None:
    (folder / "folder.css").mkdir()
    assert Assets(folder).get("folder.css") is None


def test_a_file_of_the_largest_size_is_served(folder: Path) -> None:
    (folder / "a.css").write_bytes(b"x" * MAX_BYTES)
    asset = Assets(folder).get("a.css")
    assert asset is not None
    assert len(asset.data) == MAX_BYTES


def test_a_larger_file_is_not_read_into_memory(folder: Path) -> None:
    (folder / "a.css").write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(ValueError, match=r"a\.css is larger than 65536 bytes"):
        Assets(folder).get("a.css")


def test_an_endless_folder_is_not_read_into_memory(folder: Path) -> None:
    for number in range(MAX_FILES + 1):
        (folder / "icons" / f"{number}.svg").write_bytes(b"")
    with pytest.raises(ValueError, match="more than 64 static files"):
        Assets(folder).get("icons/0.svg")


# Icons


@pytest.mark.parametrize("name", ICONS)
def test_an_icon_is_a_small_square_picture(name: str) -> None:
    data = found(f"icons/{name}.svg").data
    root = ElementTree.fromstring(data)  # noqa: S314 - our own file
    assert root.tag == f"{SVG}svg"
    assert root.attrib == {"width": "64", "height": "64", "viewBox": "0 0 64 64"}
    assert len(data) < 4096


@pytest.mark.requirement("3j.1")
@pytest.mark.parametrize("name", ICONS)
def test_an_icon_runs_nothing_and_loads_nothing(name: str) -> None:
    data = found(f"icons/{name}.svg").data
    assert b"<!" not in data
    assert b"<?" not in data
    for element in ElementTree.fromstring(data).iter():  # noqa: S314 - our own file
        assert element.tag in {f"{SVG}{tag}" for tag in ("svg", "g", "path", "rect", "circle")}
        for key, value in element.attrib.items():
            assert not key.startswith("on")
            assert "href" not in key
            assert key not in ("style", "class", "id")
            assert "url" not in value
            assert ":" not in value


def test_no_two_icons_are_alike() -> None:
    assert len({found(f"icons/{name}.svg").data for name in ICONS}) == len(ICONS)


# The stylesheet


def sheet() -> str:
    return found("oauth2_mw.css").data.decode()


def test_the_stylesheet_loads_nothing() -> None:
    assert "url(" not in sheet()
    assert "@import" not in sheet()
    assert "http" not in sheet()


def test_the_stylesheet_follows_the_persons_preferences() -> None:
    for preference in (
        "prefers-color-scheme: dark",
        "prefers-reduced-motion: reduce",
        "forced-colors: active",
    ):
        assert f"@media ({preference})" in sheet()
    assert ":focus-visible" in sheet()


def colours(*, dark: bool) -> dict[str, str]:
    light_block, dark_block = re.findall(r":root \{(.*?)\}", sheet(), re.DOTALL)
    found_in = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light_block))
    if dark:
        found_in.update(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark_block))
    return found_in


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio"."""

    def luminance(colour: str) -> float:
        channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("text", "card"),
        ("text", "hover"),
        ("soft", "card"),
        ("on-accent", "accent"),
        ("on-accent", "accent-hover"),
        ("calm", "calm-ground"),
    ],
)
def test_text_can_be_read_on_its_ground(text: str, ground: str, *, dark: bool) -> None:
    palette = colours(dark=dark)
    assert contrast(palette[text], palette[ground]) >= 4.5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("line", "ground"),
    [
        ("line-strong", "card"),
        ("accent", "card"),
        ("good", "good-ground"),
        ("warn", "warn-ground"),
        ("stop", "stop-ground"),
    ],
)
def test_borders_glyphs_and_the_focus_ring_can_be_seen(line: str, ground: str, *, dark: bool) -> None:
    palette = colours(dark=dark)
    assert contrast(palette[line], palette[ground]) >= 3
