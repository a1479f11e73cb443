"""The pages: what they say, what they link to, and that nothing from outside becomes markup."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oauth2_mw.web.pages
from oauth2_mw.errors import AttemptLostError
from oauth2_mw.settings.branding import Contact
from oauth2_mw.web.pages.account import ROW_LIMIT, NewToken, SessionRow, TokenForm, TokenRow
from oauth2_mw.web.pages.pages import LoginButton, Pages
from oauth2_mw.web.pages.values import NAME_LIMIT, TEXT_LIMIT

SITE = "https://sso.example.com/core"
STATIC = f"{SITE}/auth/oauth2/static/"
LOGIN = f"{SITE}/auth/oauth2/login/?next=/core/a%3Fb%3D1"
LOGOUT = f"{SITE}/auth/oauth2/logout/"
ACCOUNT = f"{LOGIN}&prompt=select_account"
ICON = f"{SITE}/auth/oauth2/icon/corp"
SESSIONS = f"{SITE}/auth/oauth2/sessions/"
TOKENS = f"{SITE}/auth/oauth2/tokens/"
FORM = f"{SITE}/wiki/7?oauth2_mw_form=a"
HOME = f"{SITE}/"
CLEAR = f"{STATIC}clear"
SCRIPT = f"{STATIC}fragment.js"
TIMES = f"{STATIC}local_time.js"
OURS = {f"{STATIC}icons/key.svg", f"{STATIC}oauth2_mw.css"}
TEMPLATES = Path(oauth2_mw.web.pages.__path__[0], "templates")
VOID = {"meta", "link", "img", "input", "path", "circle", "rect", "br"}


# Reading a page


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    parent: Element | None
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


class Document(HTMLParser):
    """A page as a browser parses it; an element that is not closed where it must be is an error."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.doctype = ""
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_decl(self, decl: str) -> None:
        self.doctype = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute stands twice in <{tag}>"
        element = Element(tag, dict(attrs), self._open[-1] if self._open else None)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.words.append(data)

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def one(self, tag: str) -> Element:
        (element,) = self.all(tag)
        return element

    @property
    def text(self) -> str:
        return self.one("body").text

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the elements and the names of their attributes, which no text may change."""
        return [(element.tag, tuple(element.attributes)) for element in self.elements]

    @property
    def values(self) -> str:
        """Return all texts of the page, those of attributes included."""
        said = [value or "" for element in self.elements for value in element.attributes.values()]
        return "\n".join(["".join(self.one("html").words), *said])

    @property
    def addresses(self) -> set[str]:
        names = (
            "href",
            "src",
            "action",
            "formaction",
            "srcset",
            "data",
            "poster",
            "ping",
            "cite",
            "background",
        )
        found = [element.attributes.get(name) for element in self.elements for name in names]
        return {address for address in found if address is not None}


# One call of each method, with every field that can be filled from outside


@cache
def plain_pages(folder: Path | None = None) -> Pages:
    return Pages(static_url=STATIC, template_folder=folder)


def login(**given: Any) -> Callable[[Pages], str]:
    button: dict[str, Any] = {"label": "GitHub", "url": LOGIN, "icon_url": ICON, "last_used": False}
    button.update({name: given.pop(name) for name in tuple(given) if name in button})
    return lambda pages: pages.login(buttons=[LoginButton(**button)], **given)


def failure(hint: str | None = None, **given: Any) -> Callable[[Pages], str]:
    fields = {"title": "The sign-in failed", "message": "It took too long.", "reference": "1a2b3c4d"}
    fields.update({"retry_url": LOGIN, "home_url": HOME} | given)
    return lambda pages: pages.failure(**fields, hints=() if hint is None else (hint,))


def denied(**given: Any) -> Callable[[Pages], str]:
    fields: dict[str, Any] = {
        "message": "You may not enter.",
        "username": "jane",
        "provider": "GitHub",
        "reference": "1a2b3c4d",
    }
    fields.update({"retry_url": LOGIN, "logout_url": LOGOUT, "account_url": ACCOUNT} | given)
    return lambda pages: pages.denied(**fields)


def confirm_logout(**given: Any) -> Callable[[Pages], str]:
    fields = {"action": LOGOUT, "token": "t0ken", "username": "jane", "provider": "GitHub", "home_url": HOME}
    fields.update({"destination": "/core/page"} | given)
    return lambda pages: pages.confirm_logout(**fields)


def signed_out(**given: Any) -> Callable[[Pages], str]:
    fields = {"login_url": LOGIN, "still_signed_in_at": "GitHub"} | given
    return lambda pages: pages.signed_out(**fields)


def sessions(**given: Any) -> Callable[[Pages], str]:
    row = {"id": "other", "device": "Firefox on Linux", "address": "192.0.2.7"}
    row.update({name: given.pop(name) for name in tuple(given) if name in row})
    row["provider"] = given.pop("row_provider", "Example")
    rows = [
        SessionRow("mine", "Chrome on Windows", "2001:db8::7", "GitHub", 1_700_000_000, 1_700_003_600, True)
    ]
    rows.append(SessionRow(**row, since=1_699_999_999, seen=1_700_000_061, current=False))
    fields: dict[str, Any] = {
        "username": "jane",
        "action": SESSIONS,
        "logout_url": LOGOUT,
        "token": "t0ken",
        "rows": rows,
    }
    fields.update({"tokens_url": TOKENS, "home_url": HOME, "message": "Done."} | given)
    return lambda pages: pages.account.sessions(**fields)


def own_session(pages: Pages) -> str:
    row = SessionRow("mine", None, None, "GitHub", 1_700_000_000, 1_700_003_600, True)
    return pages.account.sessions(
        rows=[row],
        username="jane",
        action=SESSIONS,
        logout_url=LOGOUT,
        token="t0ken",
        tokens_url=None,
        home_url=HOME,
    )


def tokens(state: str = "fresh", **given: Any) -> Callable[[Pages], str]:
    row = {"id": "a2b3", "name": "phone", "paths": "/dav/"}
    row.update({each: given.pop(f"row_{each}") for each in tuple(row) if f"row_{each}" in given})
    rows = [
        TokenRow(row["id"], row["name"], [row["paths"]], 1, 90_000, None, read_only=False, ended=False),
        TokenRow("c4d5", "old", ["/feed"], 1, 2, 2, read_only=True, ended=True),
    ]
    new = {"name": given.pop("new_name", "phone"), "text": given.pop("new_text", "omwpat_x")}
    form = TokenForm(state, [given.pop("path", "/dav/"), "/feed"], 90 * 86400)
    fields: dict[str, Any] = {
        "username": "jane",
        "provider": "GitHub",
        "sleeps_after": 5400,
        "sleeps_at": 100_000,
        "action": TOKENS,
        "token": "t0ken",
        "sessions_url": SESSIONS,
    }
    fields.update({"home_url": HOME, "message": "Done."} | given)
    return lambda pages: pages.account.tokens(rows=rows, form=form, new=NewToken(**new), **fields)


def no_tokens(pages: Pages) -> str:
    return pages.account.tokens(
        rows=[],
        form=TokenForm("old", ["/dav/"], 3600),
        new=None,
        username="jane",
        provider="GitHub",
        sleeps_after=90 * 86400,
        sleeps_at=None,
        action=TOKENS,
        token="t0ken",
        sessions_url=SESSIONS,
        home_url=HOME,
    )


def signed_out_here(**given: Any) -> Callable[[Pages], str]:
    fields: dict[str, Any] = {
        "until": 1_800_000_000,
        "provider": "GitHub",
        "provider_url": HOME,
        "login_url": HOME,
    } | given
    return lambda pages: pages.signed_out_here(**fields)


def framed_logout(pages: Pages) -> str:
    return pages.framed_logout()


def switched_off(**given: str) -> Callable[[Pages], str]:
    fields = {"reference": "1a2b3c4d"} | given
    return lambda pages: pages.switched_off(**fields)


def framed_login(**given: str) -> Callable[[Pages], str]:
    fields = {"url": HOME} | given
    return lambda pages: pages.framed_login(**fields)


def not_found(**given: str) -> Callable[[Pages], str]:
    fields = {"home_url": HOME} | given
    return lambda pages: pages.not_found(**fields)


def kept_form(**given: Any) -> Callable[[Pages], str]:
    fields: dict[str, Any] = {"action": FORM, "address": f"{SITE}/wiki/7"}
    fields |= {"names": [given.pop("name", "headline"), "text"], "expires": 100_000, "token": "t0ken"}
    fields.update({"home_url": HOME, "message": "Done."} | given)
    return lambda pages: pages.kept_form(**fields)


def going_on(**given: str) -> Callable[[Pages], str]:
    fields = {"url": LOGIN, "script_url": SCRIPT} | given
    return lambda pages: pages.going_on(**fields)


def form_gone(**given: str) -> Callable[[Pages], str]:
    fields = {"message": "It has been sent.", "home_url": HOME} | given
    return lambda pages: pages.form_gone(**fields)


EVERY_PAGE = {
    "kept form": kept_form(),
    "kept form with many fields": kept_form(names=[str(number) for number in range(30)], message=None),
    "kept form without fields": kept_form(names=[]),
    "form gone": form_gone(),
    "going on": going_on(),
    "login with the script": login(script_url=SCRIPT),
    "login": login(last_used=True),
    "login without icon": login(icon_url=None),
    "login with message": login(message="Sign in to go on."),
    "failure": failure(),
    "failure without retry": failure(retry_url=None),
    "failure with hints": failure(hint="Check the clock."),
    "denied": denied(),
    "denied without name": denied(username=None),
    "denied by nobody known": denied(provider=None),
    "denied at a provider that does not ask": denied(sign_out_there=True),
    "denied for good": denied(retry_url=None, logout_url=None, account_url=None),
    "confirm logout": confirm_logout(),
    "confirm logout without name": confirm_logout(username=None, destination=None),
    "signed out": signed_out(),
    "signed out everywhere": signed_out(still_signed_in_at=None),
    "signed out, the cache cleared": signed_out(clear_url=CLEAR),
    "signed out here": signed_out_here(),
    "signed out here, with no way to the provider": signed_out_here(provider_url=None),
    "framed logout": framed_logout,
    "framed login": framed_login(),
    "sessions": sessions(),
    "own session alone": own_session,
    "tokens": tokens(),
    "tokens, a while after the sign-in": tokens(state="old"),
    "tokens, the provider did not ask": tokens(state="not asked"),
    "tokens in a browser that does not say whence": tokens(state="unknown browser"),
    "no tokens": no_tokens,
    "switched off": switched_off(),
    "not found": not_found(),
}
every_page = pytest.mark.parametrize("render", EVERY_PAGE.values(), ids=EVERY_PAGE.keys())

TEXT_FIELDS = [
    (kept_form, "address"),
    (kept_form, "name"),
    (kept_form, "token"),
    (kept_form, "message"),
    (form_gone, "message"),
    (login, "label"),
    (login, "heading"),
    (login, "message"),
    (failure, "title"),
    (failure, "message"),
    (failure, "reference"),
    (failure, "hint"),
    (denied, "message"),
    (denied, "username"),
    (denied, "provider"),
    (denied, "reference"),
    (confirm_logout, "token"),
    (confirm_logout, "username"),
    (confirm_logout, "provider"),
    (confirm_logout, "destination"),
    (signed_out, "still_signed_in_at"),
    (signed_out_here, "provider"),
    (sessions, "id"),
    (sessions, "device"),
    (sessions, "address"),
    (sessions, "username"),
    (sessions, "token"),
    (sessions, "message"),
    (tokens, "row_id"),
    (tokens, "row_name"),
    (tokens, "row_paths"),
    (tokens, "new_name"),
    (tokens, "new_text"),
    (tokens, "path"),
    (tokens, "username"),
    (tokens, "token"),
    (tokens, "message"),
    (switched_off, "reference"),
]
ADDRESS_FIELDS = [
    (kept_form, "action"),
    (kept_form, "home_url"),
    (form_gone, "home_url"),
    (going_on, "url"),
    (going_on, "script_url"),
    (login, "url"),
    (login, "icon_url"),
    (failure, "retry_url"),
    (failure, "home_url"),
    (denied, "retry_url"),
    (denied, "logout_url"),
    (confirm_logout, "action"),
    (confirm_logout, "home_url"),
    (signed_out, "login_url"),
    (signed_out_here, "login_url"),
    (signed_out_here, "provider_url"),
    (signed_out, "next_url"),
    (framed_login, "url"),
    (sessions, "action"),
    (sessions, "logout_url"),
    (sessions, "home_url"),
    (tokens, "action"),
    (tokens, "home_url"),
    (not_found, "home_url"),
]


def named(fields: Sequence[tuple[Callable[..., object], str]]) -> list[object]:
    return [pytest.param(page, name, id=f"{page.__name__}-{name}") for page, name in fields]


POLYGLOTS = [
    "<script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus=alert(1) x='",
    "` onclick=alert(1) `",
    "</title><svg onload=alert(1)>",
    "</textarea></style></script><body onload=alert(1)>",
    "--><iframe srcdoc='<script>alert(1)</script>'>",
    "]]><![CDATA[<script>alert(1)</script>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "javascript:alert(1)//<b>'\"",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==<b>",
    "{{ 7*7 }}{% raw %}{{ self }}{# x #}",
    "${7*7}#{7*7}<%= 7*7 %>%n%s{0}",
    "<a href=//evil.example>Sign in here</a><meta http-equiv=refresh content=0;url=//evil.example>",
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert() )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/"
    "--!>\\x3csVg/<sVg/oNloAd=alert()//>\\x3e",
]


def test_the_corpus_has_twenty_polyglots() -> None:
    assert len(set(POLYGLOTS)) == 20


# Escaping


@pytest.mark.requirement("3j")
@pytest.mark.parametrize("text", POLYGLOTS)
@pytest.mark.parametrize(("page", "name"), named(TEXT_FIELDS))
def test_a_text_from_outside_stays_a_text(
    page: Callable[..., Callable[[Pages], str]], name: str, text: str
) -> None:
    pages = plain_pages()
    harmless, hostile = Document(page(**{name: "harmless"})(pages)), Document(page(**{name: text})(pages))
    assert hostile.shape == harmless.shape
    assert hostile.addresses == harmless.addresses
    assert text[: NAME_LIMIT - 1] in hostile.values


@pytest.mark.parametrize("text", POLYGLOTS)
def test_the_name_of_the_site_stays_a_text(text: str) -> None:
    harmless = Document(Pages(static_url=STATIC, site="sso.example.com").not_found(home_url=HOME))
    hostile = Document(Pages(static_url=STATIC, site=text).not_found(home_url=HOME))
    assert hostile.shape == harmless.shape
    assert text in hostile.values


@pytest.mark.requirement("3j", "3j.7")
@settings(max_examples=150, deadline=None)
@given(field=st.sampled_from(TEXT_FIELDS), text=st.text(st.characters(exclude_categories=()), min_size=1))
def test_no_text_whatever_changes_the_page_around_it(
    field: tuple[Callable[..., Callable[[Pages], str]], str], text: str
) -> None:
    page, name = field
    pages = plain_pages()
    html = page(**{name: text})(pages)
    assert Document(html).shape == Document(page(**{name: "harmless"})(pages)).shape
    html.encode()


@pytest.mark.parametrize(("page", "name"), named(TEXT_FIELDS))
def test_what_html_does_not_allow_is_shown_as_a_replacement(
    page: Callable[..., Callable[[Pages], str]], name: str
) -> None:
    html = page(**{name: "jane\x00\x1b\x7f\x85\ud800\u2028"})(plain_pages())
    assert "jane" + "\ufffd" * 6 in html
    html.encode()


def test_a_name_cannot_turn_the_words_around_it() -> None:
    html = plain_pages().signed_out(login_url=LOGIN, still_signed_in_at="\u202egnihton\u2066")
    assert "<bdi>\ufffdgnihton\ufffd</bdi>" in html


def test_a_name_of_any_script_is_shown_as_it_is() -> None:
    html = denied(username="名前 أحمد 👩‍💻")(plain_pages())
    assert "<bdi>名前 أحمد 👩‍💻</bdi>" in html


@pytest.mark.parametrize(
    ("page", "name"), [(login, "label"), (denied, "username"), (confirm_logout, "provider")]
)
def test_an_endless_name_is_cut(page: Callable[..., Callable[[Pages], str]], name: str) -> None:
    text = Document(page(**{name: "n" * 100_000})(plain_pages())).text
    assert "n" * (NAME_LIMIT - 1) + "…" in text
    assert len(text) < 1000


@pytest.mark.parametrize(("page", "name"), [(failure, "message"), (failure, "hint"), (login, "message")])
def test_an_endless_sentence_is_cut(page: Callable[..., Callable[[Pages], str]], name: str) -> None:
    text = Document(page(**{name: "n" * 100_000})(plain_pages())).text
    assert "n" * (TEXT_LIMIT - 1) + "…" in text
    assert len(text) < 1000


def test_at_most_ten_hints_are_shown() -> None:
    html = plain_pages().failure(
        title="t",
        message="m",
        reference="r",
        retry_url=None,
        home_url=HOME,
        hints=[f"h{n}" for n in range(50)],
    )
    assert [item.text for item in Document(html).all("li")] == [f"h{n}" for n in range(10)]


# Addresses


@pytest.mark.requirement("3j.8")
@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "//evil.example/",
        "/\\evil.example/",
        "https:evil.example",
        "https:///evil.example",
        "https:/\\evil.example",
        "ftp://files.example/",
        "login/",
        "?next=/",
        "#",
        "",
        "/path with space",
        "/path\x00",
        "/tab\t",
        '/"onclick="alert(1)',
        "/<script>",
        "https://sso.example.com/\u2028",
        "https://sso.example.com/\n",
    ],
)
@pytest.mark.parametrize(("page", "name"), named(ADDRESS_FIELDS))
def test_an_address_that_is_not_a_web_address_is_refused(
    page: Callable[..., Callable[[Pages], str]], name: str, address: str
) -> None:
    with pytest.raises(ValueError, match=r"only link to http\(s\) addresses"):
        page(**{name: address})(plain_pages())


def test_the_address_of_the_stylesheet_is_held_to_the_same_rule() -> None:
    with pytest.raises(ValueError, match="only link to"):
        Pages(static_url="javascript:alert(1)")


@pytest.mark.parametrize(
    "address", ["https://sso.example.com/core/?a=1&b='2'&amp;c", "http://127.0.0.1:8000/", "/x"]
)
@pytest.mark.parametrize(("page", "name"), named(ADDRESS_FIELDS))
def test_a_web_address_arrives_as_it_was_given(
    page: Callable[..., Callable[[Pages], str]], name: str, address: str
) -> None:
    assert address in Document(page(**{name: address})(plain_pages())).addresses


@every_page
def test_a_page_leads_only_to_the_addresses_it_was_given(render: Callable[[Pages], str]) -> None:
    addresses = Document(render(plain_pages())).addresses
    assert addresses >= OURS
    assert addresses <= OURS | {
        LOGIN,
        LOGOUT,
        ACCOUNT,
        HOME,
        ICON,
        SESSIONS,
        TOKENS,
        CLEAR,
        FORM,
        SCRIPT,
        TIMES,
    }


def test_the_address_of_static_files_may_lack_its_last_slash() -> None:
    assert Document(Pages(static_url=STATIC.rstrip("/")).not_found(home_url=HOME)).addresses == OURS | {HOME}


# What holds for every page


@pytest.mark.requirement("3j.5")
@every_page
def test_a_page_needs_no_script_and_no_inline_style(render: Callable[[Pages], str]) -> None:
    html = render(plain_pages())
    # The one script is a file of ours, and beside it stands what does the same without, or UTC.
    html = html.replace(f'<script src="{SCRIPT}" defer></script>', "")
    html = html.replace(f'<script src="{TIMES}" defer></script>', "")
    html = html.replace(f'<noscript><meta http-equiv="refresh" content="0; url={LOGIN}"></noscript>', "")
    document = Document(html)
    assert not {"script", "style", "iframe", "object", "embed", "base"} & {e.tag for e in document.elements}
    for element in document.elements:
        assert not [name for name in element.attributes if name == "style" or name.startswith("on")]
        assert "http-equiv" not in element.attributes


@every_page
def test_a_page_can_be_read_by_everybody(render: Callable[[Pages], str]) -> None:
    document = Document(render(plain_pages()))
    assert document.doctype == "DOCTYPE html"
    assert document.one("html").attributes["lang"] == "en"
    assert document.one("title").text == document.one("h1").text
    names = {
        element.attributes.get("name"): element.attributes.get("content") for element in document.all("meta")
    }
    assert names["viewport"] == "width=device-width, initial-scale=1"
    assert names["color-scheme"] == "light dark"
    assert len(document.all("main")) == 1
    assert all("alt" in image.attributes for image in document.all("img"))
    assert all(svg.attributes["aria-hidden"] == "true" for svg in document.all("svg"))
    assert all(element.text for element in [*document.all("a"), *document.all("button"), *document.all("p")])


@every_page
def test_a_page_names_the_site_when_it_is_known(render: Callable[[Pages], str]) -> None:
    document = Document(render(Pages(static_url=STATIC, site="sso.example.com")))
    assert document.one("title").text == f"{document.one('h1').text} · sso.example.com"
    assert "sso.example.com" in document.text


@every_page
def test_every_class_of_a_page_is_styled(render: Callable[[Pages], str]) -> None:
    sheet = (TEMPLATES.parent / "static" / "oauth2_mw.css").read_text(encoding="utf-8")
    for element in Document(render(plain_pages())).elements:
        for name in (element.attributes.get("class") or "").split():
            assert f".{name}" in sheet


# What each page says


def test_a_login_button_shows_the_icon_beside_the_name() -> None:
    document = Document(login()(plain_pages()))
    link = document.one("a")
    assert (link.text, link.attributes["href"]) == ("Continue with GitHub", LOGIN)
    image = document.one("img")
    assert (image.parent, image.attributes["src"], image.attributes["alt"]) == (link, ICON, "")


@pytest.mark.parametrize(("label", "letter"), [("GitHub", "G"), (" été", "É"), ("公司", "公")])
def test_a_login_button_without_an_icon_shows_the_first_letter(label: str, letter: str) -> None:
    document = Document(login(label=label, icon_url=None)(plain_pages()))
    assert document.all("img") == []
    monogram = next(e for e in document.elements if e.attributes.get("class") == "monogram")
    assert (monogram.text, monogram.attributes["aria-hidden"]) == (letter, "true")


def test_the_login_page_keeps_the_order_of_its_buttons() -> None:
    buttons = [LoginButton(name, f"{HOME}{name}", None) for name in ("c", "a", "b")]
    document = Document(plain_pages().login(buttons=buttons))
    assert [link.attributes["href"] for link in document.all("a")] == [
        f"{HOME}{name}" for name in ("c", "a", "b")
    ]
    assert "Choose the account" in document.text


def test_the_login_page_offers_no_choice_where_there_is_none() -> None:
    assert "Choose" not in Document(login()(plain_pages())).text


def test_a_message_replaces_the_sentence_of_the_login_page() -> None:
    text = Document(login(heading="Welcome", message="Sign in to go on.")(plain_pages())).text
    assert "Welcome Sign in to go on. Continue" in text


def test_a_failure_says_what_happened_and_under_which_number_the_log_knows_it() -> None:
    document = Document(failure()(plain_pages()))
    assert document.one("h1").text == "The sign-in failed"
    assert "It took too long." in document.text
    assert document.one("code").text == "1a2b3c4d"


def test_a_failure_offers_another_try() -> None:
    links = {link.text: link.attributes["href"] for link in Document(failure()(plain_pages())).all("a")}
    assert links == {"Try again": LOGIN, "Go to the application": HOME}


def test_a_failure_that_another_try_cannot_mend_offers_none() -> None:
    links = Document(failure(retry_url=None)(plain_pages())).all("a")
    assert [link.text for link in links] == ["Go to the application"]


def test_a_lost_attempt_is_explained_by_clock_cookies_and_address() -> None:
    error = AttemptLostError("detail")
    html = plain_pages().failure(
        title=error.title,
        message=error.message,
        reference="r",
        retry_url=LOGIN,
        home_url=HOME,
        hints=error.hints,
    )
    hints = " ".join(item.text for item in Document(html).all("li"))
    assert all(word in hints for word in ("date and time", "cookies", "usual address"))


def test_a_failure_names_the_provider_with_which_it_went_wrong() -> None:
    assert "Sign-in service: GitHub" in Document(failure(provider="GitHub")(plain_pages())).text
    assert "Sign-in service" not in Document(failure()(plain_pages())).text


def test_hints_that_are_not_there_have_no_heading() -> None:
    assert Document(failure()(plain_pages())).all("h2") == []


def test_a_denied_person_reads_as_whom_they_signed_in() -> None:
    document = Document(denied()(plain_pages()))
    assert "You may not enter. You signed in at GitHub as jane." in document.text
    assert document.one("code").text == "1a2b3c4d"


@pytest.mark.parametrize("username", [None, ""])
def test_a_denied_person_without_a_name_reads_where_they_signed_in(username: str | None) -> None:
    assert "You signed in at GitHub." in Document(denied(username=username)(plain_pages())).text


@pytest.mark.parametrize("provider", [None, ""])
def test_a_denied_page_that_knows_no_provider_says_nothing_of_one(provider: str | None) -> None:
    assert "You signed in" not in Document(denied(provider=provider)(plain_pages())).text


def test_a_denied_person_may_come_back_as_somebody_else() -> None:
    links = {link.text: link.attributes["href"] for link in Document(denied()(plain_pages())).all("a")}
    assert links == {"Use another account": ACCOUNT, "Try again": LOGIN, "Sign out": LOGOUT}


@pytest.mark.parametrize("sign_out_there", [True, False])
def test_a_denied_person_reads_what_to_do_first_where_the_provider_does_not_ask(
    *, sign_out_there: bool
) -> None:
    text = Document(denied(sign_out_there=sign_out_there)(plain_pages())).text
    assert ("To use another account, sign out at GitHub first." in text) == sign_out_there


def test_a_denied_page_without_addresses_has_no_empty_row_of_buttons() -> None:
    document = Document(denied(retry_url=None, logout_url=None, account_url=None)(plain_pages()))
    assert not [e for e in document.elements if e.attributes.get("class") == "actions"]


def test_signing_out_is_confirmed_by_a_form_with_its_token_and_destination() -> None:
    document = Document(confirm_logout()(plain_pages()))
    form = document.one("form")
    assert (form.attributes["method"], form.attributes["action"]) == ("post", LOGOUT)
    inputs = document.all("input")
    assert {i.attributes["name"]: i.attributes["value"] for i in inputs} == {
        "csrf_token": "t0ken",
        "next": "/core/page",
    }
    assert {i.attributes["type"] for i in inputs} == {"hidden"}
    assert all(i.parent is form for i in inputs)
    button = document.one("button")
    assert (button.attributes["type"], button.text, button.parent) == ("submit", "Sign out", form)
    assert "signed in with GitHub as jane" in document.text


def test_the_confirm_form_without_a_destination_has_no_next_field() -> None:
    document = Document(confirm_logout(destination=None)(plain_pages()))
    assert [i.attributes["name"] for i in document.all("input")] == ["csrf_token"]


def test_a_token_is_never_cut() -> None:
    document = Document(confirm_logout(token="t" * 5000)(plain_pages()))
    assert document.all("input")[0].attributes["value"] == "t" * 5000


def test_only_pages_that_change_something_have_forms() -> None:
    with_form = {name for name, render in EVERY_PAGE.items() if Document(render(plain_pages())).all("form")}
    assert with_form == {
        "kept form",
        "kept form with many fields",
        "kept form without fields",
        "confirm logout",
        "confirm logout without name",
        "sessions",
        "own session alone",
        *(name for name in EVERY_PAGE if "tokens" in name),
    }


def test_the_signed_out_page_names_a_provider_that_still_knows_the_person() -> None:
    assert "You may still be signed in at GitHub." in Document(signed_out()(plain_pages())).text
    assert "Continue" not in Document(signed_out()(plain_pages())).text
    assert "Continue" in Document(signed_out(next_url=HOME)(plain_pages())).text
    assert "may still" not in Document(signed_out(still_signed_in_at=None)(plain_pages())).text


def test_a_frame_says_the_same_to_everybody() -> None:
    document = Document(framed_logout(plain_pages()))
    assert document.addresses == OURS
    assert "signed out" not in document.text.lower()


def fields_of(form: Element, document: Document) -> dict[str | None, str | None]:
    inputs = [i for i in document.all("input") if i.parent is form]
    assert {i.attributes["type"] for i in inputs} == {"hidden"}
    return {i.attributes["name"]: i.attributes["value"] for i in inputs}


def test_each_session_has_a_form_and_the_current_browser_goes_the_usual_way_out() -> None:
    document = Document(sessions()(plain_pages()))
    forms = document.all("form")
    assert [form.attributes["method"] for form in forms] == ["post"] * 3
    assert [(form.attributes["action"], fields_of(form, document)) for form in forms] == [
        (LOGOUT, {"csrf_token": "t0ken"}),
        (SESSIONS, {"csrf_token": "t0ken", "session": "other"}),
        (SESSIONS, {"csrf_token": "t0ken", "others": "1"}),
    ]


def test_each_session_is_a_row_that_tells_browser_address_and_times() -> None:
    document = Document(sessions()(plain_pages()))
    mine, other = (row.text for row in document.all("tr")[1:])
    assert mine == (
        "Chrome on Windows this browser 2001:db8::7 GitHub 2023-11-14 22:13 UTC 2023-11-14 23:13 UTC Sign out"
    )
    assert other == "Firefox on Linux 192.0.2.7 Example 2023-11-14 22:13 UTC 2023-11-14 22:14 UTC Sign out"
    assert document.all("time")[0].attributes["datetime"] == "2023-11-14T22:13:20Z"


def test_whoever_listens_to_the_sessions_hears_a_table_and_which_button_is_which() -> None:
    document = Document(sessions()(plain_pages()))
    cells = [(e.tag, e.attributes["role"], e.attributes.get("scope")) for e in document.all("th")]
    assert cells == [("th", "columnheader", "col")] * 6 + [("th", "rowheader", "row")] * 2
    assert {e.attributes["role"] for e in document.all("td")} == {"cell"}
    assert {e.attributes["role"] for e in document.all("tr")} == {"row"}
    assert [e.attributes.get("aria-label") for e in document.all("button")] == [
        "Sign out this browser, signed in since 2023-11-14 22:13 UTC",
        "Sign out Firefox on Linux, signed in since 2023-11-14 22:13 UTC",
        None,
    ]


def test_what_is_not_known_of_a_session_is_called_unknown() -> None:
    document = Document(own_session(plain_pages()))
    assert "Unknown browser this browser unknown GitHub 2023" in document.text


def test_who_has_one_session_is_not_offered_to_end_all_others() -> None:
    assert "everywhere else" in Document(sessions()(plain_pages())).text
    assert "everywhere else" not in Document(own_session(plain_pages())).text


def test_what_has_happened_to_the_sessions_is_announced() -> None:
    document = Document(sessions(message="That browser is signed out.")(plain_pages()))
    (said,) = [e for e in document.elements if e.attributes.get("role") == "status"]
    assert said.text == "That browser is signed out."
    document = Document(own_session(plain_pages()))
    assert not [e for e in document.elements if e.attributes.get("role") == "status"]


def test_an_endless_list_of_sessions_is_cut_and_says_so() -> None:
    rows = [SessionRow(str(n), None, None, "GitHub", 1, 1, n == 0) for n in range(ROW_LIMIT + 7)]
    document = Document(sessions(rows=rows)(plain_pages()))
    assert len(document.all("tr")) == ROW_LIMIT + 1
    assert "7 more are not shown." in document.text


def test_switched_off_offers_nothing_to_click() -> None:
    document = Document(switched_off()(plain_pages()))
    assert "switched off" in document.one("h1").text
    assert document.all("a") == []
    assert document.one("code").text == "1a2b3c4d"


# Templates


@pytest.mark.parametrize("error", [OSError("too many open files"), RecursionError("deep"), MemoryError()])
def test_whatever_a_users_template_raises_ours_takes_its_place(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failure.html").write_text("", encoding="utf-8")
    pages = plain_pages(tmp_path)

    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(pages._renderer._own.loader, "load", fail)
    assert failure()(pages) == failure()(Pages(static_url=STATIC))


@pytest.mark.parametrize("name", sorted(file.name for file in TEMPLATES.iterdir()))
def test_every_template_is_used_and_ours_takes_the_place_of_one_that_fails(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).write_text("{{ no_such_name }}", encoding="utf-8")
    pages = plain_pages(tmp_path)
    for render in EVERY_PAGE.values():
        assert render(pages) == render(plain_pages())
    assert "'no_such_name' is undefined" in caplog.text


@pytest.mark.parametrize("text", ["{{ 1 // 0 }}", "{{ hints + 1 }}", "{{ hints[0] }}"])
def test_no_fault_of_a_users_template_keeps_a_page_from_whoever_needs_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "failure.html").write_text(text, encoding="utf-8")
    assert failure()(plain_pages(tmp_path)) == failure()(plain_pages())


def test_a_template_of_the_users_folder_wins(tmp_path: Path) -> None:
    (tmp_path / "not_found.html").write_text("<p>{{ home_url }}</p>", encoding="utf-8")
    pages = plain_pages(tmp_path)
    assert pages.not_found(home_url=HOME) == f"<p>{HOME}</p>"
    assert "Reference" in pages.switched_off(reference="1a2b3c4d")


def test_a_template_of_the_users_folder_can_extend_the_one_it_replaces(tmp_path: Path) -> None:
    (tmp_path / "login.html").write_text(
        '{% extends "oauth2_mw/login.html" %}{% block content %}{{ super() }}<p>Rules</p>{% endblock %}',
        encoding="utf-8",
    )
    text = Document(login()(plain_pages(tmp_path))).text
    assert "Continue with GitHub Rules" in text


def test_a_template_of_the_users_folder_is_escaped_too_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "denied.html").write_text('{% include "x.txt" %}', encoding="utf-8")
    (tmp_path / "x.txt").write_text("{{ username }}", encoding="utf-8")
    assert denied(username="<b>")(plain_pages(tmp_path)) == "&lt;b&gt;"


def test_a_template_cannot_be_reached_outside_the_folders(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "denied.html").write_text('{% include "../secret" %}', encoding="utf-8")
    assert denied()(plain_pages(folder)) == denied()(plain_pages())


def test_a_template_folder_that_does_not_exist_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder: create it or leave it out"):
        plain_pages(tmp_path / "missing")


def test_jinja_is_loaded_by_the_first_page_and_not_before() -> None:
    program = (
        "import sys; from oauth2_mw.web.pages.pages import Pages; pages = Pages(static_url='/static/')\n"
        "assert 'jinja2' not in sys.modules\n"
        "pages.not_found(home_url='/')\n"
        "assert 'jinja2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


# Branding


def test_a_logo_takes_the_place_of_the_glyph_and_an_accent_follows_our_stylesheet() -> None:
    pages = Pages(static_url=STATIC, logo_url=f"{STATIC}logo", accent_url=f"{STATIC}accent.css")
    for render in EVERY_PAGE.values():
        document = Document(render(pages))
        logo = document.all("img")[0]
        assert (logo.attributes["src"], logo.attributes["alt"]) == (f"{STATIC}logo", "")
        assert not document.all("svg")
        sheets = [e.attributes["href"] for e in document.all("link") if e.attributes["rel"] == "stylesheet"]
        assert sheets == [f"{STATIC}oauth2_mw.css", f"{STATIC}accent.css"]


@pytest.mark.parametrize("render", [failure(), denied(), switched_off()])
def test_the_contact_stands_beside_the_reference_number(render: Callable[[Pages], str]) -> None:
    document = Document(render(Pages(static_url=STATIC, contact=Contact.parse("help@example.com"))))
    (link,) = [e for e in document.all("a") if e.text == "help@example.com"]
    assert link.attributes["href"] == "mailto:help@example.com"
    assert not [e for e in Document(render(plain_pages())).all("a") if "mailto" in str(e.attributes["href"])]
