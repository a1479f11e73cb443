"""``app_cookies``: the cookies of the application that stand for a person, as its ``Set-Cookie`` names them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oauth2_mw.settings.text import shown

# RFC 6265, section 4.1.1, without what would end a cookie's attribute or a word of the setting.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_ATTRIBUTES = {
    "path": re.compile(r"/[\x21-\x3a\x3c-\x7e]*"),
    "domain": re.compile(r"\.?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"),
}


@dataclass(frozen=True, slots=True)
class AppCookie:
    """A cookie of the application, by what a browser tells cookies apart by (RFC 6265, section 5.3)."""

    name: str
    #: as the browser sees it; ``None`` for ``/`` and the mount
    path: str | None
    #: ``None`` for the host alone
    domain: str | None

    @classmethod
    def parse(cls, text: str) -> AppCookie:
        """Parse ``NAME``, which ``;Path=...`` and ``;Domain=...`` may follow.

        :raises ValueError: if it is not valid, or is no cookie that a browser would keep.
        """
        name, *attributes = text.split(";")
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{shown(name)} is not the name of a cookie: write names like session trac_auth;Path=/trac"
            )
        values: dict[str, str] = {}
        for attribute in attributes:
            key, _, value = attribute.partition("=")
            known = _ATTRIBUTES.get(key.lower())
            if known is None or key.lower() in values or known.fullmatch(value) is None:
                raise ValueError(
                    f"{shown(text)}: after the name stand ;Path=/... and ;Domain=..., once each, as the application "
                    "sets them"
                )
            values[key.lower()] = value
        path, domain = values.get("path"), values.get("domain")
        if name.lower().startswith("__host-") and (path not in (None, "/") or domain is not None):
            raise ValueError(
                f"{shown(text)}: browsers keep a __Host- cookie with the path / and without a domain alone: take them "
                "out"
            )
        return cls(name, path, domain.lstrip(".").lower() if domain is not None else None)
