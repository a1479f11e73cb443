"""A connection to a provider: how it is made, and whether it can serve once more."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from errno import ECONNREFUSED
from http.client import IncompleteRead
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.response import BaseHTTPResponse

from oauth2_mw.provider.http.answer import BODILESS, Answer, UnreadableAnswerError
from oauth2_mw.provider.http.deadline import Deadline
from oauth2_mw.provider.http.route import Route
from oauth2_mw.provider.http.streams import SocketStream, secured
from oauth2_mw.settings.addresses import DEFAULT_PORTS

#: Seconds after which a connection is not used any more, however busy it was.
MAX_AGE = 300.0
_TUNNEL_REFUSAL = re.compile("Tunnel connection failed: ([0-9]{3})")


class NoConnectionError(Exception):
    """No address of a host accepts a connection; ``__cause__`` says why."""


class Connection(HTTPConnection):
    """One connection, for one request after the other.

    :param addresses: the socket addresses of the route, tried in this order.
    """

    response_class = Answer

    def __init__(self, route: Route, addresses: list[Any]) -> None:
        super().__init__(route.host, route.port)
        vars(self)["default_port"] = DEFAULT_PORTS[route.scheme]
        self._route = route
        self._addresses = addresses
        self._wire: SocketStream | None = None
        self._address: Any = None
        self._born = time.monotonic()
        #: of the current request
        self.deadline: Deadline
        #: of the request that is being written, what there is
        self._held: bytearray | None = None
        #: whether the current request may have left
        self.is_sent = False
        #: whether a failure is the provider's, rather than the proxy's
        self.is_past_proxy = route.proxy is None
        #: when the certificate of the provider ends, in seconds since the epoch
        self.certificate_ends: int | None = None

    def connect(self) -> None:
        """Connect to the provider.

        :raises NoConnectionError, TimeoutError: if none of its addresses accepts a connection in time.
        :raises ssl.SSLError: if it does not prove who it is.
        """
        route = self._route
        self._wire = SocketStream(self._dial())
        self._wire.deadline = self.deadline
        stream: Any = self._wire
        if (proxy := route.proxy) is not None:
            stream = secured(stream, scheme=proxy.scheme, context=route.proxy_context, host=proxy.host)
            if not route.forwards:
                host = f"[{route.host}]" if ":" in route.host else route.host
                headers = {"Host": f"{host}:{route.port}", **dict(proxy.headers)}
                self.set_tunnel(route.host, route.port, headers=headers)
                self.sock = stream
                self._open_tunnel()
                if stream.reader.surplus or stream.reader.raw.has_ended:
                    raise UnreadableAnswerError(
                        "the proxy sent more than the answer to CONNECT, or closed the connection"
                    )
            self.is_past_proxy = True
        stream = secured(stream, scheme=route.scheme, context=route.context, host=route.host)
        if route.scheme == "https":
            self.certificate_ends = stream.certificate_ends()
        self.sock = stream

    def _open_tunnel(self) -> None:
        try:
            self._tunnel()
        except OSError as error:
            # http.client has the status in a text alone, before the proxy's own words.
            if (found := _TUNNEL_REFUSAL.match(str(error))) is None:
                raise
            raise ConnectionRefusedError(ECONNREFUSED, f"it answered CONNECT with HTTP {found[1]}") from None

    def _dial(self) -> socket.socket:
        failure: OSError = TimeoutError("out of time")
        for address in self._addresses:
            self.deadline.work()
            seconds = min(self.deadline.remaining(), self.deadline.timeouts.connect)
            if not seconds:
                break
            try:
                sock = socket.create_connection(address[:2], seconds)
            except OSError as error:
                failure = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._address = address
            return sock
        raise NoConnectionError from failure

    def exchange(
        self, method: str, url: str, *, body: bytes | None, headers: dict[str, str], deadline: Deadline
    ) -> BaseHTTPResponse:
        """Send a request, and return its response, whose body is still to be read.

        :raises NoConnectionError, OSError: if there is no connection, or it breaks off.
        :raises http.client.HTTPException: if the answer cannot be read, or ends within its headers.
        """
        self.is_sent = False
        self.deadline = deadline
        if self._wire is None:
            self.connect()
        else:
            self._wire.deadline = deadline
        deadline.work()
        if self._route.proxy is not None and self._route.forwards:
            headers = {**headers, **dict(self._route.proxy.headers)}
        self._held = bytearray()
        self.request(method, url, body=body, headers=headers, preload_content=False, decode_content=False)
        held, self._held = self._held, None
        stream = self._stream
        self.is_sent = True
        # A server may have answered before it has read all, and gone.
        with suppress(BrokenPipeError, ConnectionResetError):
            stream.sendall(held)
        response = self.getresponse()
        if stream.reader.raw.has_ended:
            # http.client takes the end of a connection for that of the headers.
            raise IncompleteRead(b"")
        return response

    def send(self, data: Any) -> None:
        """Send *data*; the head of a request waits for its body, and both leave together."""
        if self._held is None:
            super().send(data)
        else:
            self._held += data

    def is_usable(self, addresses: list[Any]) -> bool:
        """Return whether a kept connection leads to one of these addresses still, and nothing has come over it."""
        return self._address in addresses and self._stream.is_quiet()

    def can_be_kept(self, response: BaseHTTPResponse) -> bool:
        """Return whether that response has been read to its end, and nothing has come after it.

        A length that is said twice says nothing of where it ends (RFC 9112, section 6.3).
        """
        if self.sock is None or response.version != 11 or time.monotonic() - self._born > MAX_AGE:
            return False
        headers: Any = response.headers
        codings, lengths = headers.getlist("transfer-encoding"), headers.getlist("content-length")
        if response.status in BODILESS:
            # Who reads a body where there is none would take the next answer for it.
            is_framed = not codings and lengths in ([], ["0"])
        else:
            is_framed = len(codings) + len(lengths) == 1
        stream = self._stream
        reader, stream.reader = stream.reader, None
        return is_framed and reader.closed and not reader.surplus and bool(stream.is_quiet())

    @property
    def _stream(self) -> Any:
        return self.sock

    def discard(self) -> None:
        """Close the connection."""
        self.close()
        if self._wire is not None:
            self._wire.sock.close()
