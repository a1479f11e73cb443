"""A client that writes requests octet by octet, as no browser would, and reads what comes back."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse

#: seconds for one read or write
_TIMEOUT = 20.0


@dataclass(frozen=True)
class Answer:
    """A response. Status 0: the server hung up."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that are set, by name."""
        pairs = (line.partition(";")[0] for line in self.headers.get_all("Set-Cookie", []))
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


@dataclass(frozen=True)
class RawClient:
    """Where a server listens, and what it is called."""

    port: int
    host: str
    tls: bool = False

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection, until the end of the ``with``."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_TIMEOUT) as plain:
            if not self.tls:
                yield plain
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # The certificate is one of this test, and the name leads elsewhere.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=self.host) as secured:
                yield secured

    def head(self, target: str | bytes, headers: Mapping[str, str], method: str = "GET") -> bytes:
        """Return the beginning of a request, as far as the empty line."""
        target = target.encode() if isinstance(target, str) else target
        fields = {"Host": self.host, "Connection": "close", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (method.encode(), target, lines.encode("latin-1"))

    def send(
        self,
        target: str | bytes,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send a request on a connection of its own, and read all that comes back."""
        fields = dict(headers or {})
        if body:
            fields["Content-Length"] = str(len(body))
        with self.connected() as connection:
            try:
                connection.sendall(self.head(target, fields, method) + body)
                return read(connection, method)
            except (HTTPException, ConnectionError):
                return Answer(0, HTTPMessage(), b"")


def read(connection: socket.socket, method: str = "GET") -> Answer:
    """Read a response to its end.

    :raises http.client.HTTPException: if it is none.
    """
    with HTTPResponse(connection, method=method) as response:
        response.begin()
        return Answer(response.status, response.headers, response.read())
