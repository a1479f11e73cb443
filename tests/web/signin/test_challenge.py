"""A person is sent to sign in; a program gets a 401, and no attempt is begun."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.web.signin.challenge import is_navigation, is_top_level

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
        {**NAVIGATION, "HTTP_SEC_PURPOSE": "prefetch;prerender"},
        {**NAVIGATION, "HTTP_PURPOSE": "prefetch"},
    ],
)
def test_a_program_is_recognised(environ: dict[str, Any]) -> None:
    assert not is_navigation(environ)


def test_only_a_window_of_its_own_may_begin_a_sign_in_anew() -> None:
    assert is_top_level({})
    assert is_top_level(NAVIGATION)
    assert not is_top_level({**NAVIGATION, "HTTP_SEC_FETCH_DEST": "iframe"})
    assert not is_top_level({"HTTP_SEC_FETCH_MODE": "cors"})
