"""A form that meets no session: the person is told, and comes back to the page that it was on."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.web.signin.challenge import NOT_TAKEN
from tests.support.hosts.guarded import Guarded, guard
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.settings.minimal import ORIGIN

FORM = {"REQUEST_METHOD": "POST", "HTTP_ACCEPT": "text/html", "HTTP_ORIGIN": ORIGIN}
LOGIN = f"{ORIGIN}/auth/oauth2/login/"


def post(referrer: str | None, path: str = "/order/send", **keys: Any) -> WsgiResponse:
    return call(guard(login_page=False), environ_for(path, **{**FORM, "HTTP_REFERER": referrer, **keys}))


def test_the_person_comes_back_to_the_page_with_the_form(site: Guarded) -> None:
    browser = site.browser()
    browser.headers = {"Referer": f"{ORIGIN}/order?n=1"}
    page = browser.post(site.url + "/order/send", {"n": "1"}, initiator=ORIGIN)
    assert (page.status, NOT_TAKEN in page.visible_text) == (401, True)
    browser.headers = {}
    assert browser.click("Continue with").url == site.url + "/order?n=1"
    assert [seen["path"] for seen in site.app.seen] == ["/order"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_address_of_a_form_is_never_opened_in_its_place(method: str) -> None:
    keys = {"REQUEST_METHOD": method, "HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}
    response = post(f"{ORIGIN}/order?n=1", **keys)
    assert response.status == 401
    assert f'href="{LOGIN}default/?next=/order%3Fn%3D1"' in response.text
    assert "send%3F" not in response.text
    assert "/order/send" not in response.text


@pytest.mark.parametrize(
    "referrer",
    [
        None,
        "",
        "https://evil.example/order",
        f"{ORIGIN}.evil.example/order",
        f"{ORIGIN}@evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        f"{ORIGIN}/auth/oauth2/logout/",
        f"{ORIGIN}/a\\..\\b",
        "\x00",
    ],
)
def test_without_a_page_of_ours_it_is_the_start_page(referrer: str | None) -> None:
    response = post(referrer)
    assert response.status == 401
    assert f'href="{LOGIN}default/"' in response.text
    assert NOT_TAKEN in response.text


def test_a_program_is_given_that_login_too() -> None:
    response = post(f"{ORIGIN}/order", HTTP_ACCEPT="application/json")
    assert response.status == 401
    assert f'"login_url": "{LOGIN}?next=/order"' in response.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_that_is_only_read_is_still_its_own_destination(method: str) -> None:
    response = call(guard(), environ_for("/deep", REQUEST_METHOD=method, HTTP_ACCEPT="text/html"))
    assert NOT_TAKEN not in response.text
    assert "next=/deep" in response.text or method == "HEAD"
