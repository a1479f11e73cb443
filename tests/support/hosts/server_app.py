"""An application that uses its server in every way that PEP 3333 has. It needs nothing but the standard library."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

#: octets of what is uploaded and downloaded
LARGE = 30_000_000
PIECE = bytes(range(250)) * 400
#: what ``/file`` sends
FILE = b"".join(b"%07d\n" % number for number in range(20_000))
ETAG = '"one"'
#: seconds in which a client must have received the beginning of ``/stream``
PATIENCE = 10.0


def make(folder: Path) -> WSGIApplication:
    """Return the application. Every path that is none of its own is answered with the environ, as JSON.

    :param folder: where it keeps the file that it sends, and looks for the one that says that ``/stream`` has begun.
    """
    file = folder / "file"
    file.write_bytes(FILE)

    def stream() -> Iterator[bytes]:
        yield b"first\n"
        until = time.monotonic() + PATIENCE
        while not (folder / "first-is-here").exists():
            if time.monotonic() > until:
                yield b"late\n"
                return
            time.sleep(0.01)
        yield b"last\n"

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        text = ("Content-Type", "text/plain")
        match environ.get("PATH_INFO"):
            case "/upload":
                digest = _digest(environ)
                start_response("200 OK", [text])
                return [digest.encode()]
            case "/download":
                start_response("200 OK", [text, ("Content-Length", str(LARGE))])
                return (PIECE for _ in range(LARGE // len(PIECE)))
            case "/stream":
                start_response("200 OK", [text, ("X-Accel-Buffering", "no")])
                return stream()
            case "/write":
                write = start_response("200 OK", [text])
                write(b"written, ")
                return [b"and returned"]
            case "/file":
                return _send_file(file, environ, start_response)
            case "/etag" if environ.get("HTTP_IF_NONE_MATCH") == ETAG:
                start_response("304 Not Modified", [("ETag", ETAG)])
                return []
            case "/etag":
                body = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"page"
                start_response("200 OK", [text, ("ETag", ETAG), ("Content-Length", "4")])
                return [body]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(_told(environ)).encode()]

    return app


def _digest(environ: WSGIEnvironment) -> str:
    digest = hashlib.sha256()
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left and (piece := environ["wsgi.input"].read(min(left, 65536))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def _send_file(file: Path, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send a file by the server's own means, and say so; or the part of it that is asked for."""
    kind = ("Content-Type", "application/octet-stream")
    asked = environ.get("HTTP_RANGE", "").removeprefix("bytes=")
    if asked:
        first, last = map(int, asked.split("-"))
        body = FILE[first : last + 1]
        place = ("Content-Range", f"bytes {first}-{last}/{len(FILE)}")
        start_response("206 Partial Content", [kind, place, ("Content-Length", str(len(body)))])
        return [body]
    wrapper = environ.get("wsgi.file_wrapper")
    how = ("X-File-Wrapper", "no" if wrapper is None else "yes")
    start_response("200 OK", [kind, how, ("Content-Length", str(len(FILE)))])
    if wrapper is None:
        return [FILE]
    sent: Iterable[bytes] = wrapper(file.open("rb"), 65536)
    return sent


def _told(environ: WSGIEnvironment) -> dict[str, Any]:
    """Return what the environ says, native strings as they are."""
    return {"environ": {key: value for key, value in environ.items() if isinstance(value, str)}}
