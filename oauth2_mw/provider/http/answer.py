"""Reading an answer strictly. One that can be read in two ways is refused: a proxy may have read it in the other way.

Where the standard library guesses, the next answer could begin in the middle of this one (RFC 9112, section 11.2).
"""

from __future__ import annotations

import re
from http.client import HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected, parse_headers
from typing import Any

#: Interim answers that may come before the answer (RFC 9110, section 15.2).
MAX_INTERIM = 10
#: Statuses of answers that end with their headers, whatever these say (RFC 9112, section 6.3).
BODILESS = frozenset({204, 304})
_MAX_LINE = 8192
#: RFC 9112, section 4; a later minor version means the same. Some leave out the last space with the reason.
_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r?\n")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n")


class UnreadableAnswerError(HTTPException):
    """An answer is not HTTP, or can be read in two ways; the text says why, and quotes nothing of the answer."""


class Answer(HTTPResponse):
    """An answer whose end every reader finds in the same place."""

    headers: Any
    #: the bytes of the current chunk that are still to be read; ``None`` between chunks
    chunk_left: int | None

    def begin(self) -> None:
        """Read up to the end of the headers.

        :raises UnreadableAnswerError: if they leave a doubt.
        """
        super().begin()
        if self.status < 200:
            raise UnreadableAnswerError("it changes the protocol, though nobody asked for that")
        if self.status in BODILESS:
            self.chunked = False
        headers = self.headers
        if headers.defects or headers.get_unixfrom() or headers.get_payload():
            raise UnreadableAnswerError("a line among its headers is not a header")
        codings = [coding.lower() for coding in headers.get_all("transfer-encoding", [])]
        if codings not in ([], ["chunked"]):
            raise UnreadableAnswerError("its Transfer-Encoding is not chunked")
        lengths = {length.strip(" \t") for length in headers.get_all("content-length", [])}
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise UnreadableAnswerError("its Content-Length is not one number")

    def begin_tunnel(self) -> int:
        """Read up to the end of the headers, which are not looked at, and return the status. There is no body."""
        _, status, _ = self._read_status()
        parse_headers(self.fp)
        return status

    def read_whole(self, limit: int) -> bytes:
        """Return the body, or the first *limit* + 1 bytes of a longer one.

        :raises IncompleteRead: if the connection ends before the body does.
        """
        pieces: list[bytes] = []
        left = limit + 1
        while left and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if left and self.length:
            # http.client passes over that.
            raise IncompleteRead(b"", self.length)
        return b"".join(pieces)

    # http.client calls these three, which are not public; tests fail under a Python that names them otherwise.

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM + 1):
            line = self.fp.readline(_MAX_LINE)
            if not line:
                raise RemoteDisconnected("no answer")
            found = _STATUS_LINE.fullmatch(_whole(line))
            if found is None:
                raise UnreadableAnswerError("its first line is not that of HTTP/1")
            version, status, reason = (str(part or b"", "latin-1") for part in found.groups())
            if status == "101" or status >= "200":
                return version, int(status), reason
            parse_headers(self.fp)
        raise UnreadableAnswerError(f"it begins with more than {MAX_INTERIM} interim answers")

    def _get_chunk_left(self) -> int | None:
        parent: Any = super()
        if self.chunk_left == 0:
            if parent._safe_read(2) != b"\r\n":
                raise UnreadableAnswerError("a chunk is longer than it says")
            self.chunk_left = None
        left: int | None = parent._get_chunk_left()
        return left

    def _read_next_chunk_size(self) -> int:
        found = _CHUNK_SIZE.fullmatch(_whole(self.fp.readline(_MAX_LINE)))
        if found is None:
            raise UnreadableAnswerError("a chunk does not say how long it is")
        return int(found[1], 16)


def _whole(line: bytes) -> bytes:
    if not line.endswith(b"\n") and len(line) < _MAX_LINE:
        raise IncompleteRead(line)
    return line
