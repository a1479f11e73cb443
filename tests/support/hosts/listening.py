"""A port of this process, for servers that are written by hand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Serve = Callable[[socket.socket], None]


@contextmanager
def listening() -> Iterator[tuple[int, Callable[[Serve], None]]]:
    """Listen on a loopback port until the end of the ``with``.

    :returns: the port, and what to hand the function to that serves a connection, each in a thread of its own.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def accept(serve: Serve) -> None:
        def run() -> None:
            while not ended.is_set():
                with suppress(OSError):
                    connection, _ = listener.accept()
                    # A second small answer would wait for the acknowledgement of the first, 40 ms.
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threads.append(threading.Thread(target=run, daemon=True))
        threads[0].start()

    try:
        yield listener.getsockname()[1], accept
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()
