"""A connection to a provider: how it is made, and whether it can serve once more.

The TLS of Python's own sockets is not used: it hides what has arrived beyond a response, and under gevent its waits
start anew with each byte. The engine is the same, and the context decides what it accepts.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from errno import ECONNREFUSED
from http.client import IncompleteRead
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.response import BaseHTTPResponse

from oauth2_mw.provider.http.answer import BODILESS, Answer, UnreadableAnswerError
from oauth2_mw.provider.http.deadline import Deadline
from oauth2_mw.provider.http.route import Route
from oauth2_mw.settings.addresses import DEFAULT_PORTS

#: Seconds after which a connection is not used any more, however busy it was.
MAX_AGE = 300.0
_TLS_PIECE = 16 * 1024
#: Type, version and length of a record of TLS (RFC 8446, section 5.1).
_RECORD_HEAD = 5
_TUNNEL_REFUSAL = re.compile("Tunnel connection failed: ([0-9]{3})")


class NoConnectionError(Exception):
    """No address of a host accepts a connection; ``__cause__`` says why."""


class _Reader(io.BufferedReader):
    """Reads one response. Closed, it says whether more had arrived than that response."""

    #: whether bytes had arrived beyond the response
    surplus = False

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if b"\r" in line.removesuffix(b"\r\n"):
            # Some readers end a line at a bare CR, others do not (RFC 9112, section 2.2).
            raise UnreadableAnswerError("a bare CR stands in one of its lines")
        return line

    def close(self) -> None:
        raw: Any = self.raw
        raw.is_over = True
        self.surplus = bool(self.peek(1))
        super().close()


class _Raw(io.RawIOBase):
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        #: set once the response is over: nothing more is asked of the network
        self.is_over = False
        #: whether the other side has closed the connection
        self.has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_over:
            return None
        size = self._stream.recv_into(buffer)
        self.has_ended = not size
        return size


class _Stream:
    """What ``http.client`` needs of a socket. The connection closes it, nobody else."""

    reader: _Reader | None = None
    recv_into: Callable[[Any], int]

    def makefile(self, _mode: str) -> _Reader:
        self.reader = _Reader(_Raw(self))
        return self.reader

    def settimeout(self, seconds: float | None) -> None:
        """Change nothing: the deadline says how long a wait lasts."""

    def close(self) -> None:
        """Change nothing: a response may still be read."""


class _Wire(_Stream):
    """A socket on which no wait outlasts the deadline."""

    deadline: Deadline

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __del__(self) -> None:
        # With the table in which its connection was kept.
        self.sock.close()

    def recv(self, size: int) -> bytes:
        return bytes(self._wait(self.sock.recv, size))

    def recv_into(self, buffer: Any) -> int:
        return int(self._wait(self.sock.recv_into, buffer))

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._wait(self.sock.send, left) :]

    def _wait(self, call: Any, given: Any) -> Any:
        seconds = self.deadline.timeouts.read
        return self.deadline.run(call, given, set_timeout=self.sock.settimeout, seconds=seconds)

    def is_quiet(self) -> bool:
        """Return whether the other side has neither closed the connection nor said anything unasked."""
        self.sock.settimeout(0)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False


class _Tls(_Stream):
    """TLS within another stream."""

    def __init__(self, inner: _Wire | _Tls, context: ssl.SSLContext, host: str) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        #: what has arrived of the current record
        self._record = bytearray()
        self._engine = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._run(self._engine.do_handshake)

    def certificate_ends(self) -> int:
        certificate: Any = self._engine.getpeercert()
        return int(ssl.cert_time_to_seconds(certificate["notAfter"]))

    def recv(self, size: int) -> bytes:
        data = bytearray(size)
        return bytes(data[: self.recv_into(data)])

    def recv_into(self, buffer: Any) -> int:
        try:
            return int(self._run(self._engine.read, len(buffer), buffer))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            if self._record:
                raise ConnectionAbortedError from None
            # Many servers end a connection without a word; whether the response is whole, its length says.
            return 0

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._run(self._engine.write, left) :]

    def is_quiet(self) -> bool:
        is_read = not (self._record or self._incoming.pending or self._engine.pending())
        return is_read and self._inner.is_quiet()

    def _run(self, step: Any, *given: Any) -> Any:
        while True:
            try:
                result = step(*given)
            except ssl.SSLWantReadError:
                # What the engine has to say goes first: the other side may be waiting for it.
                self._flush()
                if piece := self._inner.recv(_TLS_PIECE):
                    self._receive(piece)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                with suppress(OSError):  # tells the other side why, if it is there
                    self._flush()
                raise
            else:
                self._flush()
                return result

    def _receive(self, piece: bytes) -> None:
        self._incoming.write(piece)
        # The engine does not tell a cut within a record from an end between two.
        record = self._record
        record += piece
        while len(record) >= _RECORD_HEAD:
            end = _RECORD_HEAD + int.from_bytes(record[3:_RECORD_HEAD])
            if len(record) < end:
                break
            del record[:end]

    def _flush(self) -> None:
        self._inner.sendall(self._outgoing.read())


def _secured(stream: _Wire | _Tls, *, scheme: str, context: ssl.SSLContext | None, host: str) -> _Wire | _Tls:
    """Return *stream* itself for http, and TLS within it for https.

    :raises ssl.SSLError: if *host* does not prove who it is.
    """
    if scheme != "https":
        return stream
    if context is None:
        raise ssl.SSLError("https without a context")
    return _Tls(stream, context, host)


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
        self._wire: _Wire | None = None
        self._address: Any = None
        self._born = time.monotonic()
        #: of the current request
        self.deadline: Deadline
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
        self._wire = _Wire(self._dial())
        self._wire.deadline = self.deadline
        stream: Any = self._wire
        if (proxy := route.proxy) is not None:
            stream = _secured(stream, scheme=proxy.scheme, context=route.proxy_context, host=proxy.host)
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
        stream = _secured(stream, scheme=route.scheme, context=route.context, host=route.host)
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
        self.is_sent = True
        if self._route.proxy is not None and self._route.forwards:
            headers = {**headers, **dict(self._route.proxy.headers)}
        # A server may have answered before it has read all, and gone.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.request(method, url, body=body, headers=headers, preload_content=False, decode_content=False)
        stream = self._stream
        response = self.getresponse()
        if stream.reader.raw.has_ended:
            # http.client takes the end of a connection for that of the headers.
            raise IncompleteRead(b"")
        return response

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
