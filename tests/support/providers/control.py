"""How tests drive the providers that are scripts of ours: JSON over loopback under ``/_test/``, and their pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page


def pass_pages(browser: Browser, origin: str, *, login: Mapping[str, Any], consent: str) -> Page:
    """Drive a provider's pages until the browser is somewhere else; nothing to do when it already is.

    :param login: what is typed into the form of a sign-in, whose first field is known by its name.
    :param consent: the button that is pressed on any other page.
    """
    for _ in range(4):
        assert browser.page is not None
        if browser.origin != origin or not browser.page.forms:
            break
        if browser.page.form().value(next(iter(login))) is not None:
            browser.submit(**login)
        else:
            browser.submit(button=consent)
    assert browser.page is not None
    assert browser.origin != origin, f"still at the provider:\n{browser.transcript}\n{browser.page.text}"
    return browser.page


def control(origin: str, method: str, path: str, value: Any = None) -> Any:
    """One control request; an answer that is not 200 fails the test with what it says."""
    connection = HTTPConnection("127.0.0.1", urlsplit(origin).port, timeout=30)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request(method, path, body=None if value is None else json.dumps(value), headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status == 200, f"{method} {path}: {response.status} {body[:2000]!r}"
    return json.loads(body)
