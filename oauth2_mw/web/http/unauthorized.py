"""``protect = on-401``: the application's own 401 is taken back before the server sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def call_unless_401(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes] | None:
    """Call an application, and return its response; or ``None`` if that is a 401, closed and unsent.

    An application that answers before it returns keeps its iterable; of one that waits until it is read, the first
    piece is fetched to see what it answers (PEP 3333).
    """
    response = _Response(start_response)
    body = app(environ, response.start)
    if not response.is_started:
        body = Begun(body)
    if not response.is_401:
        return body
    close = getattr(body, "close", None)
    if close is not None:
        close()
    return None


class _Response:
    """What an application has answered so far."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self.is_started = False
        self.is_401 = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        # Until something else was answered: what is taken back may still be replaced by an error.
        self.is_401 = status.startswith("401") and (self.is_401 or not self.is_started)
        self.is_started = True
        if self.is_401:
            return lambda _data: None
        if exc_info is None:
            return self._start_response(status, headers)
        return self._start_response(status, headers, exc_info)


class Begun:
    """The body of an application that answers when it is read, with its first piece in hand."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        try:
            self._pieces = iter(body)
            self._first = list(self._next())
        except BaseException:
            # The server never gets what it would close.
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        yield from self._first
        yield from self._pieces

    def _next(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            return

    def close(self) -> None:
        """Close the application's body."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
