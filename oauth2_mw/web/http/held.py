"""An answer of the application that waits until it is known what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oauth2_mw.web.http.unauthorized import Begun


class HeldAnswer:
    """What an application has answered (PEP 3333), none of which its client has seen.

    An application that answers before it returns keeps its iterable; of one that waits until it is read, the first
    piece is fetched.
    """

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        #: empty if it has answered nothing
        self.status: str = ""
        self.header_lines: list[tuple[str, str]] = []
        self._exc_info: Any = None
        self._written: list[bytes] = []
        self._sent_by: StartResponse | None = None
        self._body = app(environ, self._start)
        if not self.status:
            self._body = Begun(self._body)

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        if self._sent_by is not None:
            # Too late for another answer: the server says so by raising the error.
            return self._sent_by(status, headers, exc_info)
        self.status, self.header_lines, self._exc_info = status, headers, exc_info
        return self._written.append

    def send(self, start_response: StartResponse, added: Iterable[tuple[str, str]] = ()) -> Iterable[bytes]:
        """Let it go, with more headers."""
        self._sent_by = start_response
        if self.status:
            headers = [*self.header_lines, *added]
            if self._exc_info is None:
                write = start_response(self.status, headers)
            else:
                write = start_response(self.status, headers, self._exc_info)
            for data in self._written:
                write(data)
        return self._body

    def close(self) -> None:
        """Give it up, for another to be sent in its place."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
