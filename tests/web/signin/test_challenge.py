"""A person is sent to sign in; a program gets a 401, and no attempt is begun."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.web.signin.challenge import is_navigation, is_top_level
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
NAVIGATION = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_ACCEPT": HTML},
        {"HTTP_ACCEPT": "TEXT/HTML"},
        NAVIGATION,
        {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "iframe"},
        {**NAVIGATION, "HTTP_ACCEPT": "*/*"},
        {**NAVIGATION, "HTTP_AUTHORIZATION": "Basic eDp5"},
        {**NAVIGATION, "REQUEST_METHOD": "POST"},
        {"HTTP_ACCEPT": HTML, "REQUEST_METHOD": "POST"},
        {"HTTP_ACCEPT": HTML, "REQUEST_METHOD": "HEAD"},
        {"HTTP_ACCEPT": HTML, "REQUEST_METHOD": "POST", "HTTP_ORIGIN": "null"},
        # Chromium, Safari of old, Internet Explorer, lynx, w3m
        {
            "HTTP_ACCEPT": "text/html,application/xml;q=0.9,image/avif,application/signed-exchange;v=b3;q=0.7,*/*;q=0.8"
        },
        {
            "HTTP_ACCEPT": "application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,image/png,*/*;q=0.5"
        },
        {"HTTP_ACCEPT": "text/html, application/xhtml+xml, */*"},
        {"HTTP_ACCEPT": "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01"},
        {"HTTP_ACCEPT": "text/html, text/*;q=0.5, image/*, application/*;q=0.5"},
    ],
)
def test_a_person_is_recognised(environ: dict[str, Any]) -> None:
    assert is_navigation(environ)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_ACCEPT": "*/*"},
        {"HTTP_ACCEPT": "application/json"},
        {"HTTP_ACCEPT": HTML, "HTTP_X_REQUESTED_WITH": "XMLHttpRequest"},
        {"HTTP_ACCEPT": HTML, "HTTP_SEC_FETCH_MODE": "cors"},
        {"HTTP_ACCEPT": HTML, "HTTP_SEC_FETCH_MODE": "no-cors", "HTTP_SEC_FETCH_DEST": "image"},
        {"HTTP_ACCEPT": HTML, "HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "embed"},
        {"HTTP_ACCEPT": HTML, "HTTP_SEC_FETCH_MODE": "websocket"},
        {"HTTP_ACCEPT": HTML, "HTTP_UPGRADE": "websocket"},
        # A script of another origin, in a browser that knows no Fetch Metadata or on a page over plain http
        {"HTTP_ACCEPT": HTML, "HTTP_ORIGIN": "https://spa.example"},
        {"HTTP_ACCEPT": HTML, "HTTP_ORIGIN": "null", "REQUEST_METHOD": "HEAD"},
        {**NAVIGATION, "HTTP_SEC_PURPOSE": "prefetch;prerender"},
        {**NAVIGATION, "HTTP_PURPOSE": "prefetch"},
        {**NAVIGATION, "HTTP_X_PURPOSE": "preview"},
        {**NAVIGATION, "HTTP_X_SEC_PURPOSE": "prefetch"},
        {**NAVIGATION, "HTTP_X_MOZ": "prefetch"},
        {**NAVIGATION, "HTTP_NEXT_ROUTER_PREFETCH": "1"},
        {"HTTP_ACCEPT": HTML, "HTTP_AUTHORIZATION": "Basic eDp5"},
        {"HTTP_ACCEPT": HTML, "HTTP_AUTHORIZATION": ""},
        *(
            {"HTTP_ACCEPT": HTML, "REQUEST_METHOD": method}
            for method in ("PUT", "DELETE", "PROPFIND", "OPTIONS", "get")
        ),
        # pip, feed readers, fetch of JSON, what is malformed or not wanted
        {
            "HTTP_ACCEPT": "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, "
            "text/html; q=0.01"
        },
        {"HTTP_ACCEPT": "application/rss+xml, application/atom+xml;q=0.9, text/html;q=0.1"},
        {"HTTP_ACCEPT": "application/atom+xml, application/rss+xml, text/html"},
        {"HTTP_ACCEPT": "application/rss+xml, application/rdf+xml, application/xml;q=0.9, text/html;q=0.7"},
        {"HTTP_ACCEPT": "text/html, application/json"},
        {"HTTP_ACCEPT": "text/calendar, text/html;q=0.9"},
        {"HTTP_ACCEPT": "text/html;q=0"},
        {"HTTP_ACCEPT": "text/html;q=nan"},
        {"HTTP_ACCEPT": "text/htmlx, x/text/html"},
        {"HTTP_ACCEPT": "," * 3000 + HTML},
    ],
)
def test_a_program_is_recognised(environ: dict[str, Any]) -> None:
    assert not is_navigation(environ)


def test_only_a_window_of_its_own_may_begin_a_sign_in_anew() -> None:
    assert is_top_level({})
    assert is_top_level(NAVIGATION)
    assert not is_top_level({**NAVIGATION, "HTTP_SEC_FETCH_DEST": "iframe"})
    assert not is_top_level({"HTTP_SEC_FETCH_MODE": "cors"})


@pytest.mark.parametrize("dest", ["iframe", "frame"])
@pytest.mark.parametrize("keys", [{}, {"login_page": True}])
def test_a_deep_link_in_the_frame_of_another_site_begins_no_attempt(
    provider: StandIn, dest: str, keys: dict[str, Any]
) -> None:
    with guarded(issuer=provider.issuer, **keys) as site:
        browser = site.browser()
        page = browser.navigate(
            f"{ORIGIN}/deep?x=1&y=%C3%A4",
            initiator="https://portal.example",
            headers={"Sec-Fetch-Dest": dest},
        )
        assert page.status == 401
        assert page.header("Set-Cookie") is None
        assert provider.requests == []
        # The page is seen there, and holds one link alone, which leaves the frame.
        assert page.header("X-Frame-Options") is None
        assert "frame-ancestors *" in (page.header("Content-Security-Policy") or "")
        assert page.text.count("<a ") == 1
        assert 'target="_blank" rel="noopener"' in page.text
        assert "<form" not in page.text
        window = browser.tab().navigate(page.link("Open in a new window"), initiator=ORIGIN)
        assert window.url == f"{ORIGIN}/deep?x=1&y=%C3%A4"


@pytest.mark.parametrize("fetch_site", ["same-origin", "same-site"])
def test_a_frame_of_this_site_signs_in_as_before(site: Guarded, provider: StandIn, fetch_site: str) -> None:
    headers = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": fetch_site}
    page = site.browser().navigate(f"{ORIGIN}/deep", headers=headers, stop_before=provider.url)
    assert (page.location or "").startswith(provider.url)


def test_a_program_in_the_frame_of_another_site_gets_the_401_of_programs(site: Guarded) -> None:
    headers = {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}
    page = site.browser().navigate(f"{ORIGIN}/deep", headers=headers)
    assert (page.status, page.content_type) == (401, "application/problem+json")
    assert page.header("X-Frame-Options") == "DENY"
