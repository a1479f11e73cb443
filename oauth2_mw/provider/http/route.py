"""Where a connection to a provider leads, and by which way."""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from oauth2_mw.settings.addresses import DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy for HTTP, and the credentials for it."""

    #: in lower case
    scheme: str
    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Return the proxy at *url*; its user name and password may be percent-encoded (RFC 3986, section 3.2.1).

        :raises ValueError: if it is no proxy for HTTP.
        """
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in DEFAULT_PORTS:
            raise ValueError("a proxy is an address of http or https")
        headers: tuple[tuple[str, str], ...] = ()
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            headers = (("Proxy-Authorization", f"Basic {b64encode(credentials).decode()}"),)
        return cls(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme], headers)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a connection leads, for which provider, by which proxy and with which authorities.

    A kept connection serves requests of an equal route alone.

    :param context: of the TLS with the provider; ``None`` over plain http.
    :param proxy_context: of the TLS with the proxy.
    """

    provider: str
    #: in lower case: it alone says whether TLS is spoken
    scheme: str
    #: host and port as they are written
    netloc: str
    host: str
    port: int
    context: ssl.SSLContext | None
    proxy: Proxy | None = None
    proxy_context: ssl.SSLContext | None = None

    @property
    def forwards(self) -> bool:
        """Whether the proxy reads the request itself, rather than pass TLS through a tunnel."""
        return self.proxy is not None and self.scheme != "https"

    def addresses(self) -> list[Any]:
        """Return the addresses at which the other end of a connection is, as of now.

        The look-up takes as long as the resolver of this machine lets it: Python can neither limit nor end it.

        :raises socket.gaierror: if the name is not known.
        :raises ValueError: if it can be no name.
        """
        at = self.proxy or self
        return [address for *_, address in socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)]
