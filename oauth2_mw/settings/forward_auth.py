"""``forward_auth_headers``: in which headers a proxy tells about the request that it asks about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oauth2_mw.settings.text import shown, split_words

#: The one of ingress-nginx, which holds scheme and host as well.
ORIGINAL_URL = "X-Original-URL"
DEFAULT = "X-Forwarded-Method X-Forwarded-Uri X-Forwarded-Host"
_HEADER = re.compile(r"X-[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_LIKE = f"write two or three, like {DEFAULT}, or X-Original-Method X-Original-URI for nginx"


@dataclass(frozen=True, slots=True)
class ForwardAuthHeaders:
    """Names of headers."""

    method: str
    uri: str
    #: ``None`` where the proxy asks about one host alone
    host: str | None

    @classmethod
    def parse(cls, text: str) -> ForwardAuthHeaders:
        """Return the setting.

        :raises ValueError: unless it is two or three different names of headers that browsers do not send.
        """
        names = split_words(text)
        for name in names:
            if _HEADER.fullmatch(name) is None:
                raise ValueError(f"{shown(name)} is not the name of a header that proxies add: {_LIKE}")
        if len({name.lower() for name in names}) != len(names) or not 2 <= len(names) <= 3:
            raise ValueError(f"these are the names of different headers for method, URI and host: {_LIKE}")
        method, uri, *host = names
        return cls(method, uri, host[0] if host else None)
