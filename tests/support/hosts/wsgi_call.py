"""One call of a WSGI application, for environs that no server would build."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults


@dataclass
class WsgiResponse:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    iterable: Iterable[bytes]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all_headers(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def cookies(self) -> dict[str, str]:
        """Set-Cookie by name."""
        return {v.partition("=")[0]: v for k, v in self.headers if k.lower() == "set-cookie"}

    @property
    def text(self) -> str:
        return b"".join(self.iterable).decode()


def environ_for(path: str = "/", **keys: Any) -> dict[str, Any]:
    """An environ as a server builds it; keys overwrite, ``None`` removes."""
    environ: dict[str, Any] = {
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "wsgi.input": io.BytesIO(),
    }
    setup_testing_defaults(environ)
    environ.update(keys)
    return {key: value for key, value in environ.items() if value is not None}


def call(app: Any, environ: dict[str, Any]) -> WsgiResponse:
    """Call *app* once."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started[:] = [int(status.split()[0]), headers]
        return lambda _data: None

    iterable = app(environ, start_response)
    return WsgiResponse(started[0], started[1], iterable)
