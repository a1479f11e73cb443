"""Pages as a browser gets them: no claim of a person becomes markup, link or script."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest

import oauth2_mw.web
from oauth2_mw.errors import ConfigError
from tests.support.browser.page import Page
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN, make_settings

PREFIX = "/auth/oauth2"
LOGOUT = f"{ORIGIN}{PREFIX}/logout/"
CALLBACK = f"{ORIGIN}{PREFIX}/login/callback/"
#: Texts that are markup, script, template or format in some place or other.
POLYGLOTS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "{{1373*1373}}{% for x in y %}",
    "{{ ''.__class__.__mro__ }}",
    "${1373*1373}#{1373*1373}<%= 1373*1373 %>",
    "%n%s%(name)s{0}{name}",
    "<!--<iframe srcdoc='<script>alert(1)</script>'>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><button>Sign in</button>",
    "&lt;script&gt;&#60;script&#62;",
    '"autofocus onfocus=alert(1) x="',
    "-->]]></style><script>",
    "＜script＞alert(1)＜/script＞",
    "a\u202egnp.exe",
]
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "body",
        "main",
        "header",
        "footer",
        "div",
        "section",
        "p",
        "a",
        "h1",
    ),
    *(
        "h2",
        "ul",
        "ol",
        "li",
        "form",
        "input",
        "button",
        "strong",
        "bdi",
        "code",
        "span",
        "img",
        "small",
        "em",
        "br",
    ),
    *("svg", "path", "circle", "rect", "g", "line", "polyline"),
}


class Reader(HTMLParser):
    """A page as a browser parses it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_harmless(page: Page) -> Reader:
    """Check for our own elements and addresses only, no script, and no form that leads elsewhere."""
    assert page.content_type == "text/html"
    reader = Reader(page.text)
    for tag, attributes in reader.elements:
        assert tag in TAGS, tag
        assert not any(
            name.startswith("on") or name in ("style", "srcdoc", "autofocus") for name in attributes
        )
        for name in ("href", "src", "action", "formaction"):
            if name in attributes:
                assert str(attributes[name]).startswith((f"{ORIGIN}/", "#")), attributes
        if tag == "meta":
            assert "http-equiv" not in attributes
    assert str(1373 * 1373) not in reader.text
    return reader


@pytest.mark.requirement("3j", "3j.7", "3j.2")
@pytest.mark.parametrize("text", POLYGLOTS, ids=ascii)
def test_what_an_answer_says_becomes_no_markup_and_no_link(
    site: Guarded, provider: StandIn, text: str
) -> None:
    for name in ("error", "error_description", "error_uri", "session_state"):
        browser = site.browser()
        url = urlsplit(browser.navigate(site.url + "/", stop_before=CALLBACK).location or "")
        query = {"error": "server_error", **dict(parse_qsl(url.query)), name: text}
        query.pop("code")
        page = browser.navigate(url._replace(query=urlencode(query)).geturl())
        assert page.status in (400, 502, 503)
        reader = assert_harmless(page)
        assert text not in reader.text
        assert text not in page.text


@pytest.mark.requirement("3j.2")
@pytest.mark.parametrize(
    "uri", ["https://evil.example/help", "javascript:alert(1)", "//evil.example", "/local/help"]
)
def test_the_address_that_an_error_names_is_never_linked(site: Guarded, uri: str) -> None:
    browser = site.browser()
    url = urlsplit(browser.navigate(site.url + "/", stop_before=CALLBACK).location or "")
    query = {**dict(parse_qsl(url.query)), "error": "server_error", "error_uri": uri}
    query.pop("code")
    page = browser.navigate(url._replace(query=urlencode(query)).geturl())
    assert page.status == 503
    assert uri not in page.text
    assert "evil" not in page.text
    assert_harmless(page)


@pytest.mark.requirement("3j", "3j.7")
@pytest.mark.parametrize("text", POLYGLOTS, ids=ascii)
def test_a_persons_name_becomes_no_markup(provider: StandIn, text: str) -> None:
    provider.userinfo = {"sub": "user-1", "preferred_username": text, "name": text, "email": text}
    with guarded(issuer=provider.issuer, allow="*") as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/")
        if page.status != 200:
            assert_harmless(page)
            return
        reader = assert_harmless(browser.navigate(LOGOUT, initiator="https://evil.example"))
        assert text in reader.text


@pytest.mark.requirement("3j", "3j.7")
@pytest.mark.parametrize("text", POLYGLOTS[:16], ids=ascii)
def test_a_providers_name_and_a_hint_become_no_markup(provider: StandIn, text: str) -> None:
    provider.denies = "access_denied"
    with guarded(issuer=provider.issuer, provider=text, login_page=True) as site:
        browser = site.browser()
        page = browser.navigate(f"{site.url}/x?" + quote(text))
        reader = assert_harmless(page)
        assert " ".join(text.split()) in " ".join(reader.text.split())
        hinted = browser.navigate(f"{site.url}{PREFIX}/login/?login_hint=" + quote(text))
        assert_harmless(hinted)
        assert_harmless(browser.navigate(f"{site.url}{PREFIX}/" + quote(text, safe="")))
        assert_harmless(browser.navigate(f"{site.url}{PREFIX}/login/default/"))


@pytest.mark.requirement("3j.6")
@pytest.mark.parametrize(
    "value",
    [
        "https://evil.example/",
        "javascript:alert(1)",
        '"><form action=//evil.example>',
        "//evil.example",
        "/fine",
    ],
)
def test_where_our_form_leads_is_ours_to_say(site: Guarded, provider: StandIn, value: str) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    for name in ("next", "action", "formaction", "post_logout_redirect_uri"):
        page = browser.navigate(LOGOUT + "?" + urlencode({name: value}), initiator="https://evil.example")
        reader = assert_harmless(page)
        (action,) = [attributes["action"] for tag, attributes in reader.elements if tag == "form"]
        assert action == LOGOUT
        fields = {a.get("name"): a.get("value") for tag, a in reader.elements if tag == "input"}
        assert fields.get("next") in (None, "/fine")
        assert (page.header("Content-Security-Policy") or "").count("form-action 'self'") == 1


@pytest.mark.requirement("3j.5", "3j.3")
def test_no_template_holds_a_script() -> None:
    for path in sorted(Path(oauth2_mw.web.__path__[0], "templates").glob("*.html")):
        text = path.read_text(encoding="utf-8").lower()
        assert "<script" not in text
        assert "javascript:" not in text
        assert " style=" not in text
        assert "|safe" not in text.replace(" ", "")
        assert not any(f" on{event}=" in text for event in ("click", "load", "error", "submit", "focus"))


@pytest.mark.requirement("3j.8", "3j.1")
@pytest.mark.parametrize("scheme", ["javascript", "data", "vbscript", "blob", "file", "ftp"])
def test_no_setting_puts_another_scheme_on_a_page(scheme: str) -> None:
    for key in ("icon", "logout_endpoint", "issuer", "public_url"):
        keys: dict[str, Any] = {"issuer": "https://id.example", key: f"{scheme}://x/y"}
        with pytest.raises(ConfigError):
            make_settings(**keys)


@pytest.mark.requirement("3i.5")
def test_a_page_names_a_reference_and_no_reason(site: Guarded, provider: StandIn) -> None:
    texts = set()
    for answer in ({"id_token": "a.b.c"}, {"id_token": "x"}, {"access_token": "\x00"}, {"token_type": "mac"}):
        provider.answers["token"] = lambda good, answer=answer: {**good, **answer}
        page = site.browser().navigate(site.url + "/")
        reference = site.audit[-1].partition("ref=")[2][:8]
        assert reference in page.visible_text
        assert site.audit[-1].partition("code=")[2].split()[0] not in page.visible_text
        texts.add((page.status, page.visible_text.replace(reference, "")))
    assert len(texts) == 2
