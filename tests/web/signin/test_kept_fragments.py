"""``keep_fragment``: what stands behind ``#`` goes to the sign-in and back, and leads nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from oauth2_mw.boundary import MAX_FRAGMENT, safe_fragment
from tests.support.hosts.guarded import Guarded, guard, guarded
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import ORIGIN

SCRIPT = f"{ORIGIN}/auth/oauth2/static/fragment.js"
LOGIN = f"{ORIGIN}/auth/oauth2/login/default/"


def ask(path: str = "/page", **keys: Any) -> WsgiResponse:
    settings = {name: keys.pop(name) for name in tuple(keys) if name.islower()}
    middleware = guard(**{"login_page": False, "keep_fragment": True, **settings})
    return call(middleware, environ_for(path, **{"HTTP_ACCEPT": "text/html", **keys}))


@pytest.fixture
def site(provider: StandIn) -> Iterator[Guarded]:
    with guarded(issuer=provider.issuer, keep_fragment=True) as site:
        yield site


@pytest.mark.parametrize("login_page", [False, True])
def test_a_page_with_our_script_alone_takes_the_place_of_the_redirect(login_page: Any) -> None:
    answer = ask(QUERY_STRING="x=1", login_page=login_page)
    assert answer.status == 401
    policy = answer.header("Content-Security-Policy") or ""
    assert policy.endswith(f"; script-src {SCRIPT}")
    assert policy.startswith("default-src 'none'; ")
    text = answer.text
    assert f'<script src="{SCRIPT}" defer></script>' in text
    assert f'href="{LOGIN}?next=/page%3Fx%3D1"' in text
    # Without JavaScript the browser goes on as well.
    assert (f'<noscript><meta http-equiv="refresh" content="0; url={LOGIN}' in text) == (not login_page)


def test_every_other_page_and_everything_without_the_setting_is_as_strict_as_before() -> None:
    for answer in (ask(login_page=True, keep_fragment=False), ask("/auth/oauth2/nothing")):
        assert "script" not in (answer.header("Content-Security-Policy") or "")
        assert "<script" not in answer.text


def test_the_script_is_served_as_one() -> None:
    answer = ask("/auth/oauth2/static/fragment.js")
    assert answer.header("Content-Type") == "text/javascript; charset=utf-8"
    assert "location.hash" in answer.text
    assert f"hash.length <= {MAX_FRAGMENT} ?" in answer.text


@pytest.mark.parametrize(
    "fragment",
    "top /inbox?x=1 a=b&c %C3%A5 !/a:b@c //evil.example/ https://evil.example/ javascript:alert(1)".split(),
)
def test_a_fragment_comes_back_behind_the_destination(site: Guarded, fragment: str) -> None:
    browser = site.browser()
    page = browser.navigate(f"{site.url}/page?x=1")
    link = page.link("Go on")
    arrived = browser.navigate(f"{link}&fragment={quote(fragment, safe='')}")
    assert arrived.url == f"{site.url}/page?x=1#{fragment}"
    assert [seen["path"] for seen in site.app.seen] == ["/page"]


def test_a_fragment_behind_the_start_page_and_a_long_address_comes_back(site: Guarded) -> None:
    for path in ("/", "/a;b", "/long?" + "x" * 1500):
        browser = site.browser()
        link = browser.navigate(site.url + path).link("Go on")
        mark = "&" if "?" in link else "?"
        assert browser.navigate(f"{link}{mark}fragment=top").url == f"{site.url}{path}#top"


def test_a_fragment_that_leaves_no_room_costs_no_destination(site: Guarded) -> None:
    browser = site.browser()
    path = "/long?" + "x" * 2000
    link = browser.navigate(site.url + path).link("Go on")
    arrived = browser.navigate(f"{link}&fragment={'y' * MAX_FRAGMENT}")
    assert arrived.url == site.url + path


def test_without_the_setting_a_fragment_is_nobodys(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer) as site:
        arrived = site.browser().navigate(f"{site.url}/auth/oauth2/login/?next=/page&fragment=top")
        assert arrived.url == f"{site.url}/page"


def test_a_form_a_frame_and_a_script_are_answered_as_ever() -> None:
    form = {"REQUEST_METHOD": "POST", "HTTP_ORIGIN": ORIGIN}
    assert "Your" not in ask(**form).text
    assert ask(HTTP_ACCEPT="application/json").header("Content-Type") == "application/problem+json"


@pytest.mark.requirement("R-fragment")
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a b", "a%20b"),
        ('"><script>', "%22%3E%3Cscript%3E"),
        ("a#b", "a%23b"),
        ("å", "%C3%A5"),
        ("\\", "%5C"),
        ("%2F", "%2F"),
        ("x" * MAX_FRAGMENT, "x" * MAX_FRAGMENT),
        ("x" * (MAX_FRAGMENT + 1), None),
        ("å" * 200, None),
        ("", None),
        ("a\r\nSet-Cookie: x", None),
        ("a\x00", None),
        ("\u2028", None),
        ("\ud800", None),
    ],
)
def test_a_fragment_is_judged(given: str, kept: str | None) -> None:
    assert safe_fragment(given) == kept
    assert kept is None or safe_fragment(kept) == kept
