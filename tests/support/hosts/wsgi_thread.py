"""A WSGI app on a loopback socket, served by threads of the test's own process."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # A connection that finds the queue full is tried again after a second, and then after three.
    request_queue_size = 128

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for this machine's name here; nobody needs the answer.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serve(app: WSGIApplication, *, port: int = 0, certificate: Path | None = None) -> Iterator[str]:
    """Serve ``app`` and yield its origin, ``http://127.0.0.1:PORT``.

    :param port: by default one that the system picks.
    :param certificate: a file with a certificate and its key; with it the origin is ``https``.
    """
    with _Server(("127.0.0.1", port), _Quiet) as server:
        server.set_app(app)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake waits for the thread of the connection: the one that accepts must not hang.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        thread.start()
        try:
            yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serve_page(body: str) -> Iterator[str]:
    """The origin of somebody who has nothing to do with the provider, and one page."""

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [f"<!doctype html><title>Page</title>{body}".encode()]

    with serve(page) as origin:
        yield origin
