"""The documentation: it builds, and what it says of settings, codes and modules is what the code has."""

from __future__ import annotations

import ast
import configparser
import csv
import html
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docutils.core import publish_string
from docutils.writers import get_writer_class

import oauth2_mw
import oauth2_mw.testing
from oauth2_mw import errors
from oauth2_mw.audit import EVENTS, FIELDS
from oauth2_mw.cli.keygen import new_key_file
from oauth2_mw.cli.main import main
from oauth2_mw.settings import icons, presets
from oauth2_mw.settings.fields import ACCESS, GLOBAL, NOT_THERE, PROVIDER, describe
from oauth2_mw.settings.model import Settings
from tests.support.providers import counterparts, recorded
from tests.support.settings.keys import text_key
from tests.support.source import trees

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SERVERS = ROOT / "tests" / "integration" / "servers" / "servers.tsv"
APPLICATIONS = ROOT / "tests" / "integration" / "applications" / "applications.tsv"
PAGES = (*sorted(DOCS.glob("*.rst")), *sorted(DOCS.glob("applications/*.rst")), ROOT / "README.rst")
ISSUER = "https://id.example.com"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as HTML; a warning is an error."""
    folder = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", str(folder / "doctrees")]
    done = subprocess.run(
        [*command, str(DOCS), str(folder)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


def text_of(page: Path) -> str:
    """What a reader of an HTML page sees, white space made plain."""
    markup = re.sub(r"<[^>]*>", "", page.read_text(encoding="utf-8"))
    return " ".join(html.unescape(markup).split())


@pytest.mark.deep
def test_the_documentation_builds_without_a_warning(built: Path) -> None:
    assert {page.with_suffix(".html").name for page in DOCS.glob("*.rst")} <= {
        page.name for page in built.glob("*.html")
    }


@pytest.mark.deep
def test_a_page_fetches_nothing_from_elsewhere(built: Path) -> None:
    elsewhere = r"(?:https?:)?//"
    fetching = (
        rf"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?{elsewhere}|<link\b[^>]*href=["']?{elsewhere}"""
    )
    for page in built.glob("**/*.html"):
        assert re.search(fetching, page.read_text(encoding="utf-8")) is None, page.name
    for sheet in built.glob("**/*.css"):
        assert re.search(rf"url\(\s*[\"']?{elsewhere}|@import", sheet.read_text(encoding="utf-8")) is None, (
            sheet.name
        )


@pytest.mark.deep
def test_the_reference_of_python_has_every_public_name(built: Path) -> None:
    page = (built / "api.html").read_text(encoding="utf-8")
    for module in (oauth2_mw, oauth2_mw.testing):
        for name in module.__all__:
            assert f'id="{module.__name__}.{name}"' in page, name


@pytest.mark.deep
def test_the_reference_has_every_setting_with_its_default_and_meaning(built: Path) -> None:
    reference = text_of(built / "settings.html").replace(" ", "")
    for row in describe():
        # A reference becomes the title of what it leads to.
        meaning, _, rest = row.meaning.partition(" See :ref:")
        entry = f"{row.key} default: {row.default or 'nothing'} {meaning}"
        assert "".join(entry.split()) in reference, row.key
        entry = f"{'' if rest else meaning} {row.key} = {row.example}"
        assert "".join(entry.split()) in reference, row.key


@pytest.mark.deep
def test_the_reference_has_every_icon(built: Path) -> None:
    page = (built / "settings.html").read_text(encoding="utf-8")
    for name in icons.names():
        assert f'<span class="pre">{name}</span>' in page


def test_every_preset_has_a_page() -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (DOCS / "providers").glob("*.rst")}
    assert set(pages) == set(presets.names())
    for name, page in pages.items():
        assert f"\n.. preset:: {name}\n" in page


@pytest.mark.deep
def test_the_page_of_a_preset_has_its_notes_and_settings_that_start(built: Path, tmp_path: Path) -> None:
    listed = (built / "providers.html").read_text(encoding="utf-8")
    (tmp_path / "client-secret").write_text("s3cret")
    (tmp_path / "keys").write_text(new_key_file())
    for name in presets.names():
        assert f'id="preset-{name}"' in listed
        text = text_of(built / "providers" / f"{name}.html")
        for label, note in presets.read(name, Path()).notes.items():
            assert f"{label}: {note}" in text, name
        page = (built / "providers" / f"{name}.html").read_text(encoding="utf-8")
        shown = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
        assert shown is not None
        (tmp_path / "oauth2.ini").write_text(html.unescape(re.sub(r"<[^>]*>", "", shown[1])))
        settings = Settings.from_ini(tmp_path / "oauth2.ini")
        assert settings.providers["default"].client_id == "CLIENT-ID"


@pytest.mark.deep
def test_the_table_of_providers_says_what_the_recordings_have_shown(built: Path) -> None:
    text = text_of(built / "providers.html")
    for name in recorded.names():
        members = recorded.read(name).members
        works = (
            True,
            "groups" in members["expected"] or "groups" in members,
            "refresh" in members,
            True,
            members["logout"] is not None,
        )
        assert f" {name} {' '.join('yes' if each else 'no' for each in works)} " in text


@pytest.mark.deep
def test_the_table_of_running_providers_says_what_their_tests_expect(built: Path) -> None:
    text = text_of(built / "providers.html")
    for works in counterparts.expected():
        said = (True, works.groups, works.refresh, True, works.logout_there, works.backchannel)
        answers = " ".join("yes" if each else "no" for each in said)
        assert f" {works.title} {Path(works.preset).name} {answers} " in text


@pytest.mark.deep
def test_the_table_of_servers_says_what_their_tests_expect(built: Path) -> None:
    text = text_of(built / "deployment.html")
    for _, server, *works in csv.reader(SERVERS.read_text().splitlines()[1:], dialect="excel-tab"):
        assert f" {server} yes {' '.join(works)} yes yes " in text


@pytest.mark.deep
def test_the_table_of_applications_says_what_their_tests_expect(built: Path) -> None:
    text = text_of(built / "applications.html")
    for _, *works in csv.reader(APPLICATIONS.read_text("utf-8").splitlines()[1:], dialect="excel-tab"):
        assert f" {' '.join(' '.join(works).split())} " in f"{text} "
    listed = re.findall(
        r"^   applications/(.*)$", (DOCS / "applications.rst").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("applications/*.rst"))


@pytest.mark.parametrize("name", ["README.rst", "CHANGES.rst"])
def test_a_file_that_package_indexes_show_renders_without_a_warning(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    # halt_level 2: a warning is raised.
    publish_string(
        text, writer=get_writer_class("html")(), settings_overrides={"halt_level": 2, "report_level": 5}
    )


# What the pages say of settings


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(page, text) of every code block in that language."""
    pattern = rf"^\.\. code-block:: {language}\n(?:   :.*\n)*\n((?:   .*\n|\n)+)"
    for page in PAGES:
        for found in re.finditer(pattern, page.read_text(encoding="utf-8"), re.MULTILINE):
            yield page.name, re.sub(r"^   ", "", found[1], flags=re.MULTILINE)


def documents() -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """(page, sections) of every block that holds settings, as ``Settings.from_mapping`` takes them."""
    for page, text in blocks("ini"):
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        sections = {name: dict(parser[name]) for name in parser.sections()}
        if all(re.fullmatch(r"oauth2_mw|environ|access|provider:.*", name) for name in sections):
            yield page, sections


def completed(sections: dict[str, dict[str, str]]) -> dict[str, object]:
    """The same with what every configuration needs, and a block about one matter leaves out."""
    providers = [keys for name, keys in sections.items() if name.startswith("provider:")]
    top = {
        "public_url": "https://app.example.com",
        **sections.pop("oauth2_mw", {}),
        "secret_keys": text_key(),
    }
    if not providers:
        top = top if {"issuer", "preset", "authorization_endpoint"} & set(top) else {"issuer": ISSUER, **top}
        providers = [top]
    for keys in providers:
        keys.setdefault("client_id", "app")
        # Files and variables that a block names are not there.
        keys["client_secret"] = "s" * 32
    return {**top, **sections}


def test_every_example_starts_as_it_stands_with_what_it_leaves_out(tmp_path: Path) -> None:
    seen = 0
    (tmp_path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    for page, sections in documents():
        written = f"{page}: {sections}"
        try:
            Settings.from_mapping(completed(sections), base=tmp_path)
        except errors.ConfigError as error:
            raise AssertionError(written) from error
        seen += 1
    assert seen > 10


def test_no_page_assigns_to_a_setting_that_does_not_exist() -> None:
    known = {*GLOBAL, *PROVIDER, *ACCESS}
    # Keys of servers and applications.
    others = re.compile(r"[A-Z_]+|.*-.*|auth|config|mount|socket|type|use")
    for page in PAGES:
        for key in re.findall(r"``([A-Za-z_-]+) = [^`]*``", page.read_text(encoding="utf-8")):
            assert key in known or others.fullmatch(key), (page.name, key)


# What the pages say of the code


def codes() -> set[str]:
    """Every word that names a failure: the code of an exception's class, and ``code="..."`` of a call."""
    found = {
        each.code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.OAuth2Error)
    }
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                found.add(str(node.value.value))
    return found


def test_what_this_version_does_not_do_is_told_once() -> None:
    pages = [" ".join(page.read_text(encoding="utf-8").replace("`", "").split()) for page in PAGES]
    assert [page.count(NOT_THERE) for page in pages if NOT_THERE in page] == [1]


@pytest.mark.parametrize("name", ["index", "commands"])
def test_a_page_about_the_command_line_has_every_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^ {4}(\w+)  ", capsys.readouterr().out, re.MULTILINE)
    assert {"check", "migrate", "users"} <= set(commands)
    page = (DOCS / f"{name}.rst").read_text(encoding="utf-8")
    for command in commands:
        assert re.search(rf"(oauth2-mw |``){command}\b", page), command


def test_troubleshooting_explains_every_code_and_no_other() -> None:
    page = (DOCS / "troubleshooting.rst").read_text(encoding="utf-8")
    explained = re.findall(r"^   \* - ``(\w+)``$", page, re.MULTILINE)
    assert sorted(explained) == sorted(codes())


@pytest.mark.deep
def test_troubleshooting_has_every_audit_event_and_field_with_its_meaning(built: Path) -> None:
    page = text_of(built / "troubleshooting.html")
    for event in EVENTS.values():
        cells = event.name, logging.getLevelName(event.level), ", ".join(event.fields), event.meaning
        assert " ".join(cells).replace("``", "") in page, event.name
    for name, meaning in FIELDS.items():
        assert f"{name} {meaning}".replace("``", "") in page, name


def test_the_picture_of_the_package_has_every_module() -> None:
    picture = (DOCS / "architecture.rst").read_text(encoding="utf-8").partition("A request's way")[0]
    words = set(re.findall(r"[a-z_0-9]+", picture))
    for module in trees():
        stem = Path(module).stem
        assert stem.startswith("__") or stem in words, module
