"""Every text of the pages in every language: whole, filled in alike, and chosen by what the person reads."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from babel.messages.mofile import read_mo

from oauth2_mw.errors import AttemptLostError, OAuth2Error
from oauth2_mw.sentences import sentence, sentences
from oauth2_mw.web.http import responses
from oauth2_mw.web.http.languages import best_language
from oauth2_mw.web.pages.account import SessionRow
from oauth2_mw.web.pages.catalogues import LANGUAGES, catalogue
from oauth2_mw.web.pages.markup import isolated
from oauth2_mw.web.pages.pages import LoginButton, Pages
from tests.support.source import nodes_of, trees
from tools import catalogues

STATIC = "https://app.example/auth/oauth2/static/"
SAID = 'msgstr "Sie sind über {provider} angemeldet."'
OTHERS = [language for language in LANGUAGES if language != "en"]


wanted = cache(catalogues.texts)


def chosen(header: str | None) -> str:
    environ = {} if header is None else {"HTTP_ACCEPT_LANGUAGE": header}
    return best_language(environ, tuple(LANGUAGES))


# Which language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("de-CH-1996", "de"),
        ("fr;q=0.5, de;q=0.9", "de"),
        ("fr, de", "fr"),
        ("tlh, pt-BR;q=0.1", "pt"),
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hans", "zh-Hans"),
        ("zh-Hans-CN", "zh-Hans"),
        ("zh-Hans-HK", "zh-Hans"),
        ("zh-SG, en;q=0.5", "zh-Hans"),
        ("zh-TW", "en"),
        ("zh-Hant, ja;q=0.5", "ja"),
        ("zh-HK, zh;q=0.9", "zh-Hans"),
        ("ar-EG, en;q=0.8", "ar"),
        ("*", "en"),
        ("de;q=0.1, *", "en"),
        ("tlh, *;q=0.5, ru;q=0.4", "en"),
        ("en;q=0, *", "de"),
        ("en;q=0", "en"),
        ("de;q=0, de-AT", "en"),
        ("ru;q=0.0, ja;q=0.001", "ja"),
        ("de;q=2, fr", "fr"),
        ("de;q=x", "en"),
        ("gerade so; ein Text", "en"),
        ("de" * 1000, "en"),
        ("fr," + "x" * 1000, "en"),
    ],
)
def test_a_page_is_in_the_language_that_is_read_best(header: str | None, language: str) -> None:
    assert chosen(header) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_had_by_asking_for_it_and_says_so(language: str) -> None:
    environ = {"HTTP_ACCEPT_LANGUAGE": language, "REQUEST_METHOD": "GET"}
    response = responses.page(Pages(static_url=STATIC).not_found(home_url="/"), status=404)
    headers: dict[str, str] = {}

    def start_response(status: str, given: list[tuple[str, str]], *_: object) -> None:
        headers.update(given)

    body = b"".join(response(environ, start_response)).decode()  # type: ignore[arg-type]
    assert headers["Content-Language"] == language
    assert headers["Vary"] == "Cookie, Accept-Language"
    assert int(headers["Content-Length"]) == len(body.encode())
    direction = "rtl" if language == "ar" else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in body
    assert catalogue(language).say("There is nothing here") in body


# What is said


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_whole_and_none_is_left_over(language: str) -> None:
    path = catalogues.LOCALES / f"{language}.po"
    assert list(catalogues.problems(path, wanted())) == []
    compiled = catalogues.compiled(catalogues.read(path))
    assert path.with_suffix(".mo").read_bytes() == compiled, "run python tools/catalogues.py compile"


def test_there_is_a_catalogue_for_each_language_and_no_other() -> None:
    assert sorted(path.stem for path in catalogues.LOCALES.glob("*.po")) == sorted(OTHERS)
    assert sorted(path.stem for path in catalogues.LOCALES.glob("*.mo")) == sorted(OTHERS)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (SAID, 'msgstr "Sie sind über {anbieter} angemeldet."', "placeholders are anbieter"),
        (SAID, 'msgstr "Sie sind angemeldet."', "placeholders are none"),
        (SAID, 'msgstr "Sie sind über {provider angemeldet."', "cannot be filled in"),
        (SAID, 'msgstr "Sie sind über {provider.x} angemeldet."', "placeholders are provider.x"),
        (SAID, 'msgstr "Sie sind über {provider!r} angemeldet."', "placeholders are provider!"),
        ('msgstr "Kein Zugang"', 'msgstr ""', "is not translated"),
        ('msgid "No access"', '#, fuzzy\nmsgid "No access"', "is fuzzy"),
        ('msgstr "Kein Zugang"', 'msgstr "Kein <b>Zugang</b>"', "holds HTML"),
        ('msgid "No access"', 'msgid "No excess"', "no page says this"),
        ('msgstr[1] "{count} Tage"', 'msgstr[1] "Tage"', "placeholders are none"),
        ('msgstr[1] "{count} Tage"', 'msgstr[1] ""', "is not translated"),
    ],
)  # fmt: skip
def test_a_catalogue_with_a_fault_is_found_out(old: str, new: str, words: str, tmp_path: Path) -> None:
    source = (catalogues.LOCALES / "de.po").read_text(encoding="utf-8")
    assert source.count(old) == 1
    (tmp_path / "de.po").write_text(source.replace(old, new), encoding="utf-8")
    found = list(catalogues.problems(tmp_path / "de.po", wanted()))
    assert words in " ".join(found)
    assert "de.po, line " in found[0]


@pytest.mark.deep
def test_no_package_is_built_of_a_catalogue_with_a_fault(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    shutil.copytree(root / "oauth2_mw", tmp_path / "oauth2_mw", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "tools", tmp_path / "tools")
    shutil.copy(root / "setup.py", tmp_path)
    shutil.copy(root / "README.rst", tmp_path)
    path = tmp_path / "oauth2_mw" / "web" / "pages" / "locales" / "fr.po"
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace("avec {provider}.", "avec {fournisseur}."), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "fr.po, line " in done.stderr
    assert "the placeholders are fournisseur" in done.stderr


_NO_TEXT = re.compile(
    r"\{% block width %\}[a-z ]*|\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<code.*?</code>|<[^>]*>", re.DOTALL
)


@pytest.mark.parametrize("path", sorted(catalogues.TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_text_stands_in_a_template_beside_the_catalogues(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert re.findall(r"[A-Za-z]{2,}", _NO_TEXT.sub(" ", source)) == []
    # In attributes that are read or heard, too.
    for value in re.findall(r'(?:aria-label|alt|title|placeholder|data-label)="([^"{]*)', source):
        assert value == ""


def test_every_text_for_a_person_is_found_where_it_is_written() -> None:
    found = wanted()
    for error in subclasses(OAuth2Error):
        for text in (error.title, error.message, *error.hints):
            assert text in found
    for path, tree in trees().items():
        for node in nodes_of(tree):
            if isinstance(node, ast.keyword) and node.arg in ("message", "heading"):
                assert not isinstance(node.value, ast.JoinedStr), f"{path}: mark it with sentence()"


def subclasses(cls: type[OAuth2Error]) -> list[type[OAuth2Error]]:
    direct = [each for each in cls.__subclasses__() if each.__module__ == "oauth2_mw.errors"]
    return [cls, *(deeper for each in direct for deeper in subclasses(each))]


# Filling in


def test_a_name_is_not_translated_and_cannot_become_markup() -> None:
    french = catalogue("fr")
    assert french.markup("You signed in at {provider}.", provider=isolated("<b>")) == (
        "Vous vous êtes connecté chez <bdi>&lt;b&gt;</bdi>."
    )
    button = LoginButton("Continue", "/login", None)
    page = Pages(static_url=STATIC).login(buttons=[button])
    assert isinstance(page, responses.Html)
    _, html = page.speak({"HTTP_ACCEPT_LANGUAGE": "fr"})
    assert "<bdi>Continue</bdi>" in html
    assert "Continuer avec" in html


@pytest.mark.parametrize("name", ["{username}", "{0}", "{", "}", "{username.__class__}"])
def test_braces_in_a_name_fill_in_nothing(name: str) -> None:
    text = sentence(
        "Your e-mail address is not confirmed at {provider}. Please confirm it there and sign in again.",
        provider=name,
    )
    assert name in text
    assert name in catalogue("de").say(text)
    assert name in catalogue("de").markup("You are signed in with {provider}.", provider=name)


def test_two_sentences_are_joined_as_the_language_does() -> None:
    both = sentences(sentence("It did not arrive whole."), sentence("It cannot be kept at the moment."))
    assert both == "It did not arrive whole. It cannot be kept at the moment."
    assert (
        catalogue("de").say(both)
        == "Es ist nicht vollständig angekommen. Es kann zurzeit nicht aufbewahrt werden."
    )
    assert catalogue("zh-Hans").say(both) == "表单未完整送达。目前无法保留它。"


@pytest.mark.parametrize(
    ("language", "count", "words"),
    [
        ("ru", 1, "1 день"),
        ("ru", 3, "3 дня"),
        ("ru", 5, "5 дней"),
        ("ru", 21, "21 день"),
        ("ar", 2, "يومان"),
        ("ar", 5, "5 أيام"),
        ("ar", 30, "30 يوماً"),
        ("ja", 1, "1 日"),
        ("fr", 0, "0 jour"),
        ("en", 1, "1 day"),
        ("en", 2, "2 days"),
    ],
)  # fmt: skip
def test_a_number_takes_the_form_of_the_language(language: str, count: int, words: str) -> None:
    assert catalogue(language).counted("{count} day", "{count} days", count) == words


@pytest.mark.parametrize("language", OTHERS)
def test_a_failure_is_told_in_the_language_with_its_hints_and_device(language: str) -> None:
    spoken, error = catalogue(language), AttemptLostError("detail")
    pages = Pages(static_url=STATIC)
    page = pages.failure(
        title=error.title,
        message=error.message,
        reference="1a2b",
        retry_url="/",
        home_url="/",
        hints=error.hints,
    )
    _, html = page.speak({"HTTP_ACCEPT_LANGUAGE": language})
    for text in (error.title, error.message, *error.hints):
        assert text not in html
        assert spoken.markup(text) in html
    row = SessionRow("a", "Firefox 140 on Linux", None, "GitHub", 1, 1, current=True)
    page = pages.account.sessions(
        rows=[row], username="jane", action="/", logout_url="/", token="t", tokens_url=None, home_url="/"
    )
    _, html = page.speak({"HTTP_ACCEPT_LANGUAGE": language})
    assert spoken.say(sentence("{browser} on {system}", browser="Firefox 140", system="Linux")) in html


def test_what_is_compiled_is_what_gettext_reads() -> None:
    with (catalogues.LOCALES / "ru.mo").open("rb") as stream:
        assert len(read_mo(stream)) == len(wanted())
