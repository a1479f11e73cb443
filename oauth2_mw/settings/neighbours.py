"""Two filters of one PasteDeploy file that would take each other's session cookies.

Browsers keep one set of cookies for a host, whatever the path. What applications of other files do on the same host is
not known at a start: of them :mod:`oauth2_mw.session.foreign_cookies` tells the log.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from oauth2_mw.errors import Problem
from oauth2_mw.settings.deployment import Filter, other_filters
from oauth2_mw.settings.document import MAIN, Document, apply_environment
from oauth2_mw.settings.fields import GLOBAL


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an application keeps its session."""

    host: str
    #: the names of cookies of http and https differ
    scheme: str
    cookie_name: str
    port: int | None
    path: str

    @classmethod
    def of(cls, document: Document) -> _Place | None:
        """Return it as far as a document says it, or ``None`` if that is not enough."""
        apply_environment(document, os.environ, Path())
        main = document.sections.get(MAIN, {})
        if "public_url" not in main:
            return None
        try:
            url = urlsplit(main["public_url"].text)
            host, port = url.hostname or "", url.port or {"http": 80, "https": 443}.get(url.scheme)
        except ValueError:
            return None
        name = main["cookie_name"].text if "cookie_name" in main else str(GLOBAL["cookie_name"].default)
        return cls(host, url.scheme, name, port, url.path.rstrip("/"))


def cookie_problems(found: Filter, read: Callable[[Filter], Document]) -> list[Problem]:
    """Return what is wrong with a section's ``cookie_name`` beside the others of its file.

    Two sections of one ``public_url`` are one application, which may share its sessions.

    :param read: returns a new document of a section.
    """
    own = _Place.of(read(found))
    if own is None:
        return []
    return [
        Problem(
            found.section,
            "cookie_name",
            f"[{other.section}] has the same, {own.cookie_name}, under another public_url of the host {own.host}: "
            "browsers keep one set of cookies for it, and each would sign people out of the other: give each its own",
        )
        for other in other_filters(found)
        if (place := _Place.of(read(other))) is not None
        and (place.host, place.scheme, place.cookie_name) == (own.host, own.scheme, own.cookie_name)
        and place != own
    ]
