"""What a browser says of a request: who is offered ``Basic``, and what other sites' pages send along for nothing."""

from __future__ import annotations

import pytest

from oauth2_mw.credentials.fetch_metadata import is_cross_site, is_foreign_upgrade, may_offer_basic

ORIGIN = "https://app.example"


def environ(method: str = "GET", /, **headers: str) -> dict[str, str]:
    """A request; ``site``, ``mode``, ``dest`` and ``user`` are those of Fetch Metadata."""
    fetch = ("site", "mode", "dest", "user")
    names = {name: f"HTTP_SEC_FETCH_{name.upper()}" for name in fetch}
    found = {names.get(name, f"HTTP_{name.upper()}"): value for name, value in headers.items()}
    return {"REQUEST_METHOD": method, **found}


#: Thunderbird's, whatever the method
CALENDAR = {"site": "none", "mode": "no-cors", "dest": "empty"}

PROGRAMS = {
    "nothing but the request": environ(),
    "a request without a method": {},
    "a program that writes": environ("POST"),
    "a program with cookies": environ(cookie="a=b", referer=f"{ORIGIN}/"),
    "a calendar that asks": environ("PROPFIND", **CALENDAR),
    "a calendar that names an origin": environ("REPORT", **CALENDAR, origin=ORIGIN, cookie="a=b"),
    "a calendar that reads": environ(**CALENDAR),
    "a calendar that reads a head": environ("HEAD", **CALENDAR),
    "a calendar that reads from where it was": environ(site="same-origin", mode="cors", dest="empty"),
    "a calendar that does not say how it reads": {"HTTP_SEC_FETCH_SITE": "none"},
}
PAGES = {
    "a script that says so": environ(x_requested_with="XMLHttpRequest"),
    "a script that says so in small letters": environ(
        "PROPFIND", **CALENDAR, x_requested_with="xmlhttprequest"
    ),
    "a page without Fetch Metadata": environ("POST", origin=ORIGIN),
    "a page from nowhere": environ("POST", origin="null"),
    "a reader that names its origin": environ(**CALENDAR, origin=ORIGIN),
    "a bookmark": environ(site="none", mode="navigate", dest="document", user="?1"),
    "a page's image": environ(site="same-origin", mode="no-cors", dest="image", referer=f"{ORIGIN}/"),
    "a page with its cookies": environ(site="same-origin", mode="cors", dest="empty", cookie="a=b"),
    "a page that hides where it is": environ(site="cross-site", mode="no-cors", dest="empty"),
    "a page of a neighbour": environ(site="same-site", mode="no-cors", dest="empty"),
    "a page that writes": environ("POST", **CALENDAR),
    "a page that asks for the methods": environ("PROPFIND", site="same-origin", mode="cors", dest="empty"),
    "a method from a page's image": environ("PROPFIND", site="same-origin", mode="no-cors", dest="image"),
    "a mode alone": environ("POST", mode="cors"),
    "a destination alone": environ("POST", dest="empty"),
    "a person's click alone": environ("POST", user="?1"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_offered_basic(name: str) -> None:
    assert may_offer_basic(PROGRAMS[name])


@pytest.mark.parametrize("name", PAGES)
def test_no_page_opens_the_browsers_box(name: str) -> None:
    assert not may_offer_basic(PAGES[name])


@pytest.mark.parametrize(
    "request_",
    [
        environ(),
        environ("POST", origin=ORIGIN),
        environ("POST", origin=ORIGIN, site="same-origin"),
        environ(site="none", mode="navigate", dest="document"),
        environ("PROPFIND", mode="no-cors", dest="empty", site="cross-site"),
        environ("PROPFIND", mode="no-cors", dest="empty", origin="https://other.example"),
    ],
)
def test_what_a_program_or_our_own_page_sends_counts(request_: dict[str, str]) -> None:
    assert not is_cross_site(request_, origin=ORIGIN)


@pytest.mark.parametrize(
    "request_",
    [
        environ(site="cross-site"),
        environ(site="same-site"),
        environ(site="cross-site", origin=ORIGIN),
        environ("POST", origin="https://other.example"),
        environ("POST", origin="https://app.example:8443"),
        environ("POST", origin="http://app.example"),
        environ("POST", origin="null"),
        environ("POST", origin=""),
        environ("POST", origin="https://other.example", site="same-origin"),
        environ("POST", mode="no-cors", dest="empty", site="cross-site"),
        environ("GET", mode="no-cors", dest="empty", site="cross-site"),
        environ("HEAD", mode="no-cors", dest="empty", site="cross-site"),
        environ("PUT", mode="cors", dest="empty", site="cross-site"),
        environ("PUT", mode="no-cors", dest="image", site="cross-site"),
        {
            "HTTP_SEC_FETCH_SITE": "cross-site",
            "HTTP_SEC_FETCH_MODE": "no-cors",
            "HTTP_SEC_FETCH_DEST": "empty",
        },
    ],
)
def test_what_another_sites_page_sends_along_does_not_count(request_: dict[str, str]) -> None:
    assert is_cross_site(request_, origin=ORIGIN)


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"upgrade": "websocket", "origin": "https://evil.example"}, True),
        ({"upgrade": "websocket", "origin": "https://other.app.example"}, True),
        ({"upgrade": "websocket", "origin": "null"}, True),
        ({"upgrade": "websocket", "origin": ""}, True),
        ({"upgrade": "h2c", "origin": "https://evil.example"}, True),
        ({"upgrade": "websocket", "origin": ORIGIN}, False),
        ({"upgrade": "websocket", "origin": "https://friend.example"}, False),
        ({"upgrade": "websocket"}, False),
        ({"origin": "https://evil.example"}, False),
    ],
)
def test_a_socket_is_opened_by_pages_of_ours_and_by_programs_alone(
    headers: dict[str, str], *, foreign: bool
) -> None:
    assert is_foreign_upgrade(environ(**headers), {ORIGIN, "https://friend.example"}) is foreign
