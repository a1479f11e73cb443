"""A WSGI app on a loopback socket, served by threads of the test's own process."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


class _Server(ThreadingMixIn, WSGIServer):
    def process_request(self, request: Any, client_address: Any) -> None:
        # Not threading.Thread, which sets up coverage's tracing in each thread: Python 3.11 lets a thread that does
        # so at the same moment as another one die (RuntimeError), and its request with it.
        _thread.start_new_thread(self.process_request_thread, (request, client_address))

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for this machine's name here; nobody needs the answer.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serve(app: WSGIApplication) -> Iterator[str]:
    """Serve ``app`` and yield its origin, ``http://127.0.0.1:PORT``."""
    with _Server(("127.0.0.1", 0), _Quiet) as server:
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
