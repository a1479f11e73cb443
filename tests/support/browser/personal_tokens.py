"""What a person does to get a token for their programs."""

from __future__ import annotations

from tests.support.browser.jar import Browser


def make_token(browser: Browser, public_url: str, **more: str) -> str:
    """Make a token by the form of a person who is signed in, or is asked to, with some fields *more*."""
    page = browser.navigate(f"{public_url}/auth/oauth2/tokens/")
    fields = {**dict(page.form("create").fields), "name": "program", **more}
    page = browser.post(page.url, fields, initiator=browser.origin)
    (token,) = [word for word in page.visible_text.split() if word.startswith("omwpat_")]
    return token
