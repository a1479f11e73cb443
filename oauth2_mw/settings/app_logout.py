"""``app_logout_paths``: the addresses at which the application signs people out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oauth2_mw.settings.grammar import PathRule
from oauth2_mw.settings.text import shown

_METHOD = re.compile(r"[A-Z]+")
#: What changes nothing (RFC 9110, section 9.2.1), so that no logout answers it; GET is one that people click.
_SAFE = ("HEAD", "OPTIONS", "TRACE")


@dataclass(frozen=True, slots=True)
class AppLogout:
    """A path, itself alone whether or not it ends in ``/``, and the method with which it signs out."""

    #: ``None`` for all that can
    method: str | None
    path: PathRule

    def matches(self, method: str) -> bool:
        """Return whether a request for the path with that method may sign out."""
        return method == self.method if self.method is not None else method not in _SAFE

    @classmethod
    def parse(cls, text: str) -> AppLogout:
        """Parse ``/PATH`` or ``METHOD:/PATH``.

        :raises ValueError: if it is not valid.
        """
        method, colon, path = text.partition(":") if not text.startswith("/") else ("", "", text)
        if not path.startswith("/") or (colon and _METHOD.fullmatch(method) is None):
            raise ValueError(
                f"{shown(text)} is no address of a logout: write paths of the application, with a method in capitals "
                "before them where only that one signs out, like /admin/logout/ POST:/logout"
            )
        if method in _SAFE:
            raise ValueError(f"{shown(text)}: {method} signs nobody out: leave it out, or write GET or POST")
        return cls(method or None, PathRule.parse(path))
