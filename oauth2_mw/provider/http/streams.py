"""What the bytes of a connection travel through: a socket whose waits are limited, and TLS within it.

The TLS of Python's own sockets is not used: it hides what has arrived beyond a response, and under gevent its waits
start anew with each byte. The engine is the same, and the context decides what it accepts.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from oauth2_mw.provider.http.answer import UnreadableAnswerError
from oauth2_mw.provider.http.deadline import Deadline

_TLS_PIECE = 16 * 1024
#: Type, version and length of a record of TLS (RFC 8446, section 5.1).
_RECORD_HEAD = 5


class _Reader(io.BufferedReader):
    """Reads one response. Closed, it says whether more had arrived than that response."""

    #: whether bytes had arrived beyond the response
    surplus: bool = False

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
    def __init__(self, stream: Stream) -> None:
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


class Stream:
    """What ``http.client`` needs of a socket. The connection closes it, nobody else."""

    reader: _Reader | None = None
    recv_into: Callable[[Any], int]

    def makefile(self, _mode: str) -> _Reader:
        """Return what reads the next response."""
        self.reader = _Reader(_Raw(self))
        return self.reader

    def settimeout(self, seconds: float | None) -> None:
        """Change nothing: the deadline says how long a wait lasts."""

    def close(self) -> None:
        """Change nothing: a response may still be read."""


class SocketStream(Stream):
    """A socket on which no wait outlasts the deadline."""

    deadline: Deadline

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __del__(self) -> None:
        # Nobody discards the connections of a table that is dropped.
        self.sock.close()

    def recv(self, size: int) -> bytes:
        """Return up to *size* bytes; none where the other side has closed the connection."""
        return bytes(self._wait(self.sock.recv, size))

    def recv_into(self, buffer: Any) -> int:
        """Read into *buffer* and return how many bytes that were; 0 where the other side has closed the connection."""
        return int(self._wait(self.sock.recv_into, buffer))

    def sendall(self, data: bytes) -> None:
        """Send all of *data*."""
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


class TlsStream(Stream):
    """TLS within another stream."""

    def __init__(self, inner: SocketStream | TlsStream, context: ssl.SSLContext, host: str) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        #: what has arrived of the current record
        self._record = bytearray()
        self._engine = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._run(self._engine.do_handshake)

    def certificate_ends(self) -> int:
        """Return when the certificate of the other side ends, in seconds since the epoch."""
        certificate: Any = self._engine.getpeercert()
        return int(ssl.cert_time_to_seconds(certificate["notAfter"]))

    def recv(self, size: int) -> bytes:
        """Return up to *size* bytes; none where the other side has closed the connection."""
        data = bytearray(size)
        return bytes(data[: self.recv_into(data)])

    def recv_into(self, buffer: Any) -> int:
        """Read into *buffer* and return how many bytes that were; 0 where the other side has closed the connection."""
        try:
            return int(self._run(self._engine.read, len(buffer), buffer))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            if self._record:
                raise ConnectionAbortedError from None
            # Many servers end a connection without a word; whether the response is whole, its length says.
            return 0

    def sendall(self, data: bytes) -> None:
        """Send all of *data*."""
        left = memoryview(data)
        while left:
            left = left[self._run(self._engine.write, left) :]

    def is_quiet(self) -> bool:
        """Return whether nothing has come unasked, neither of TLS nor beneath it."""
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


def secured(
    stream: SocketStream | TlsStream, *, scheme: str, context: ssl.SSLContext | None, host: str
) -> SocketStream | TlsStream:
    """Return *stream* itself for http, and TLS within it for https.

    :raises ssl.SSLError: if *host* does not prove who it is.
    """
    if scheme != "https":
        return stream
    if context is None:
        raise ssl.SSLError("https without a context")
    return TlsStream(stream, context, host)
