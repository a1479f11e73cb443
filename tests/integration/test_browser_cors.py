"""Chromium, and a single-page application of another origin: what its script reads of our refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.hosts.guarded import App, guard
from tests.support.hosts.wsgi_thread import serve, serve_page

FETCH = """async ([url, options]) => {
    try {
        const answer = await fetch(url, {credentials: 'include', ...options});
        return {status: answer.status, body: await answer.json()};
    } catch (error) {
        return {error: error.name};
    }
}"""


@pytest.fixture
def spa() -> Iterator[str]:
    with serve_page("") as origin:
        yield origin


@pytest.fixture
def other() -> Iterator[str]:
    with serve_page("") as origin:
        yield origin


@pytest.mark.requirement("R-preflight")
def test_fetch_from_a_named_origin_reads_the_401(chromium_page: Page, spa: str, other: str) -> None:
    middleware = guard(App(), public_url="http://localhost", cors_origins=spa)
    with serve(middleware) as ours:

        def fetch(url: str, **options: Any) -> dict[str, Any]:
            answer: dict[str, Any] = chromium_page.evaluate(FETCH, [url, options])
            return answer

        with_preflight = {"method": "PUT", "headers": {"Content-Type": "application/json"}, "body": "{}"}
        requests: list[dict[str, Any]] = [{}, with_preflight]
        chromium_page.goto(spa)
        for options in requests:
            answer = fetch(f"{ours}/api", **options)
            assert answer["status"] == 401
            assert answer["body"]["login_url"].startswith("http://localhost/auth/oauth2/login/")
        # Our own URLs are read by nobody else.
        assert fetch(f"{ours}/auth/oauth2/sessions/") == {"error": "TypeError"}

        chromium_page.goto(other)
        for options in requests:
            assert fetch(f"{ours}/api", **options) == {"error": "TypeError"}
