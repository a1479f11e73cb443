"""The browser that a sign-in came from, in words that its owner recognises: they prove nothing and decide nothing."""

from __future__ import annotations

import re

#: Characters of a ``User-Agent`` that are looked at.
_MAX_LENGTH = 512
#: In the order of the search: most browsers claim to be others, too.
_BROWSERS = (
    (re.compile(r"Edg[A-Za-z]*(?:/([0-9]+))?"), "Edge"),
    (re.compile(r"OPR/([0-9]+)?"), "Opera"),
    (re.compile(r"SamsungBrowser/([0-9]+)?"), "Samsung Internet"),
    (re.compile(r"(?:Firefox|FxiOS)/([0-9]+)?"), "Firefox"),
    (re.compile(r"(?:CriOS|Chrome)/([0-9]+)?"), "Chrome"),
    (re.compile(r"(?:Version/([0-9]+).*)?Safari/"), "Safari"),
)
#: Digits of a version; what is longer is none.
_LONGEST_VERSION = 4
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}")


def device(user_agent: str | None) -> str | None:
    """Return browser and system of a ``User-Agent`` (RFC 9110, section 10.1.5), such as ``Firefox 140 on Linux``.

    A program other than a browser goes by its product's name, such as ``curl``. ``None`` if nothing is recognised.
    """
    text = (user_agent or "")[:_MAX_LENGTH]
    found = ((mark.search(text), name) for mark, name in _BROWSERS)
    browser = next((_versioned(name, match[1]) for match, name in found if match is not None), None)
    system = next((name for mark, name in _SYSTEMS if mark in text), None)
    if browser is None:
        product = _PRODUCT.match(text)
        browser = product[0] if product is not None and product[0] != "Mozilla" else None
    if browser is None or system is None:
        return browser or system
    return f"{browser} on {system}"


def _versioned(name: str, version: str | None) -> str:
    return f"{name} {version}" if version is not None and len(version) <= _LONGEST_VERSION else name
