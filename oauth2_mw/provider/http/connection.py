"""A connection to a provider: how it is made, and whether it can serve once more."""

from __future__ import annotations

import socket
import time
from contextlib import closing, suppress
from errno import ECONNREFUSED
from http.client import HTTPConnection, IncompleteRead
from typing import Any

from oauth2_mw.provider.http.answer import BODILESS, Answer, UnreadableAnswerError
from oauth2_mw.provider.http.deadline import Deadline
from oauth2_mw.provider.http.route import Route
from oauth2_mw.provider.http.streams import SocketStream, secured
from oauth2_mw.settings.addresses import DEFAULT_PORTS

#: Seconds after which a connection is not used any more, however busy it was.
MAX_AGE = 300.0


class NoConnectionError(Exception):
    """No address of a host accepts a connection; ``__cause__`` says why."""


class Connection(HTTPConnection):
    """One connection, for one request after the other.

    :param addresses: the socket addresses of the route, tried in this order.
    """

    response_class: Any = Answer

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
        self._held = bytearray()
        #: whether the current request may have left
        self.is_sent: bool = False
        #: whether a failure is the provider's, rather than the proxy's
        self.is_past_proxy: bool = route.proxy is None
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
                self._open_tunnel(stream, dict(proxy.headers))
            self.is_past_proxy = True
        stream = secured(stream, scheme=route.scheme, context=route.context, host=route.host)
        if route.scheme == "https":
            self.certificate_ends = stream.certificate_ends()
        self.sock = stream

    def _open_tunnel(self, stream: Any, headers: dict[str, str]) -> None:
        """Have the proxy connect to the provider (RFC 9110, section 9.3.6).

        :raises ConnectionRefusedError: if it does not.
        """
        host = f"[{self._route.host}]" if ":" in self._route.host else self._route.host
        target = f"{host}:{self._route.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        stream.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1"))
        with closing(Answer(stream, method="CONNECT")) as answer:
            status = answer.begin_tunnel()
        if status != 200:
            raise ConnectionRefusedError(ECONNREFUSED, f"it answered CONNECT with HTTP {status}")
        if stream.reader.surplus or stream.reader.raw.has_ended:
            raise UnreadableAnswerError(
                "the proxy sent more than the answer to CONNECT, or closed the connection"
            )

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
    ) -> Answer:
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
        self._held.clear()
        self.request(method, url, body=body, headers=headers)
        stream = self._stream
        self.is_sent = True
        # A server may have answered before it has read all, and gone.
        with suppress(BrokenPipeError, ConnectionResetError):
            stream.sendall(self._held)
        response: Any = self.getresponse()
        if stream.reader.raw.has_ended:
            # http.client takes the end of a connection for that of the headers.
            raise IncompleteRead(b"")
        answer: Answer = response
        return answer

    def send(self, data: Any) -> None:
        """Send *data*; the head of a request waits for its body, and both leave together."""
        self._held += data

    def is_usable(self, addresses: list[Any]) -> bool:
        """Return whether a kept connection leads to one of these addresses still, and nothing has come over it."""
        return self._address in addresses and self._stream.is_quiet()

    def can_be_kept(self, response: Answer) -> bool:
        """Return whether that response has been read to its end, and nothing has come after it.

        A length that is said twice says nothing of where it ends (RFC 9112, section 6.3).
        """
        if self.sock is None or response.version != 11 or time.monotonic() - self._born > MAX_AGE:
            return False
        codings = response.headers.get_all("transfer-encoding", [])
        lengths = response.headers.get_all("content-length", [])
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
