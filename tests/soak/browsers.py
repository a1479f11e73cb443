"""Browsers of the soak: how long they waited, and what a page said to them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from tests.support.browser.cookie_jar import CookieJar
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.browser.request import Request
from tests.support.hosts.load import KeptJar


class TimedBrowser(Browser):
    """A browser that knows how long the application let it wait for one answer."""

    def __init__(self, jar: CookieJar, application: Sequence[str]) -> None:
        super().__init__(jar=jar)
        self._application = tuple(application)
        self.longest = 0.0

    def _send(self, request: Request, chain: Sequence[str]) -> Page:
        began = time.monotonic()
        try:
            return super()._send(request, chain)
        finally:
            if request.url.startswith(self._application):
                self.longest = max(self.longest, time.monotonic() - began)


def words_of(page: Page) -> str:
    """Return what a page says, without its markup."""
    return cut(" ".join(re.sub(r"<[^>]*>", " ", page.text[page.text.find("<main") :]).split()))


def cut(text: str) -> str:
    """Return as much of a text as tells what it is."""
    return text[:500]


def kept(jar: CookieJar) -> KeptJar:
    """Return a copy that stays as it is, whatever it is told."""
    return KeptJar.from_json(jar.to_json())
