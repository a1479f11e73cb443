"""The provider of the logins that are measured, in a process of its own.

It believes everybody, and keeps connections open to whoever wants that.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.hot_requests import SETTINGS
from oauth2_mw.provider.http.messages import Request
from oauth2_mw.settings.model import Settings
from oauth2_mw.testing.provider import DevelopmentProvider, endpoints_of

#: who signs in
USERNAME = "jane"
_MAX_ANSWER = 65536
_DEADLINE = 30


@contextmanager
def provider_process(certificate: Path | None) -> Iterator[str]:
    """Run a provider on loopback, and yield its issuer.

    :param certificate: a file with a certificate and its key: it then speaks https.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    arguments = [str(listener.fileno()), *([] if certificate is None else [str(certificate)])]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.login_provider", *arguments],
        pass_fds=[listener.fileno()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    issuer = _issuer(listener, is_tls=certificate is not None)
    # Its own copy is what the provider listens on.
    listener.close()
    try:
        yield issuer
    finally:
        process.terminate()
        process.wait(_DEADLINE)


def login_settings(issuer: str, certificate: Path | None) -> Settings:
    """Return settings for the provider with that issuer and that certificate."""
    trust = {} if certificate is None else {"ca_bundle": str(certificate)}
    return Settings.from_mapping({**SETTINGS, "issuer": issuer, **trust})


def _issuer(listener: socket.socket, *, is_tls: bool) -> str:
    host, port = listener.getsockname()
    return f"{'https' if is_tls else 'http'}://{host}:{port}"


def _serve(listener: socket.socket, certificate: Path | None) -> None:
    issuer = _issuer(listener, is_tls=certificate is not None)
    development = DevelopmentProvider(users={USERNAME: {"name": "Jane Doe", "email": "jane@example.com"}})
    settings = login_settings(issuer, certificate).providers["default"]
    authorization = endpoints_of(settings)["authorization_endpoint"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        # What is written is sent in one piece.
        wbufsize = -1

        def do_GET(self) -> None:
            url = f"{issuer}{self.path}"
            if url.startswith(authorization):
                self._send(302, b"", ("Location", development.follow(url, settings, USERNAME)))
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(str(self.command), url, dict(self.headers), body, limit=_MAX_ANSWER)
            answer = development.answer(request, settings)
            self._send(answer.status, answer.body, ("Content-Type", answer.content_type))

        do_POST = do_GET

        def _send(self, status: int, body: bytes, header: tuple[str, str]) -> None:
            self.send_response(status)
            self.send_header(*header)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake waits for the thread of the connection.
            server.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
        server.serve_forever()


if __name__ == "__main__":
    number, *files = sys.argv[1:]
    _serve(socket.socket(fileno=int(number)), Path(files[0]) if files else None)
