"""How many requests a second a whole server answers, with the middleware over without it.

gunicorn with one worker of each class; both servers run all the time and take turns. The requests come from ``wrk``,
fetched from Debian if it is not installed, and where it cannot be had from a small client of our own.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.figures import Figure, Section, ratios
from benchmarks.hot_requests import environ_of
from benchmarks.served import BODY, guarded
from benchmarks.variants import sign_in
from tests.support.hosts.debian import FetchError, Program, find

_CLASSES = {"sync": [], "gthread": ["--threads", "4"], "gevent": []}  # type: dict[str, list[str]]
_CONNECTIONS = 8
#: seconds
_BURST = 1
_DEADLINE = 30
_GOAL = 0.95


def server(*, calls: int, rounds: int) -> Section:
    """Measure all worker classes."""
    request = _request()
    try:
        wrk = find("wrk", "usr/bin/wrk")
    except FetchError:
        wrk = None
    print(f"requests from {'wrk' if wrk is not None else 'a client of our own'}")
    found: dict[str, list[float]] = {}
    figures, all_ratios = [], []
    for name, options in _CLASSES.items():
        with ExitStack() as stack:
            addresses = {app: stack.enter_context(_served(app, name, options)) for app in ("bare", "guarded")}
            for _ in range(max(rounds // 5, 3)):
                for app, address in addresses.items():
                    rate = _rate(address, request) if wrk is None else _rate_of_wrk(wrk, address, request)
                    found.setdefault(f"{name}, {app}", []).append(rate)
        each = ratios(found[f"{name}, guarded"], found[f"{name}, bare"])
        all_ratios += each
        figures.append(Figure.of(f"server_over_bare_{name}", each, _GOAL, is_floor=True))
    return Section([Figure.of("server_over_bare", all_ratios, _GOAL, is_floor=True), *figures], found)


def _request() -> dict[str, str]:
    """Return the headers of a browser that is signed in."""
    environ = environ_of(sign_in(guarded._sessions))
    return {
        key.removeprefix("HTTP_").replace("_", "-").title(): value
        for key, value in environ.items()
        if key.startswith("HTTP_") and key != "HTTP_CONNECTION"
    }


@contextmanager
def _served(app: str, worker_class: str, options: list[str]) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    address: tuple[str, int] = listener.getsockname()
    command = [sys.executable, "-m", "gunicorn", "--workers", "1", "--worker-class", worker_class, *options]
    command += ["--log-level", "warning", "--bind", f"fd://{listener.fileno()}", f"benchmarks.served:{app}"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=env)
    # Its own copy is what the server listens on.
    listener.close()
    try:
        _wait_for(address)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_DEADLINE)


def _wait_for(address: tuple[str, int]) -> None:
    """Return when one request has been answered."""
    with socket.create_connection(address, _DEADLINE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
        if not connection.recv(1):
            raise RuntimeError("the server closes what it is asked")


def _rate_of_wrk(wrk: Program, address: tuple[str, int], request: dict[str, str]) -> float:
    headers = [option for name, value in request.items() for option in ("-H", f"{name}: {value}")]
    url = f"http://{address[0]}:{address[1]}/reports/2026"
    command = [str(wrk.executable), "-t1", f"-c{_CONNECTIONS}", f"-d{_BURST}s", *headers, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **wrk.env})
    rate = re.search(r"Requests/sec:\s*([0-9.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout:
        raise RuntimeError(f"not every request was answered as it should be:\n{done.stdout}")
    return float(rate[1])


def _rate(address: tuple[str, int], request: dict[str, str]) -> float:
    """Keep several connections busy, and return how many whole responses come a second."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.items())
    octets = f"GET /reports/2026 HTTP/1.1\r\n{lines}\r\n".encode()
    end = b"\r\n\r\n" + BODY
    answered = 0
    with selectors.DefaultSelector() as selector:

        def ask(connection: socket.socket) -> None:
            connection.sendall(octets)
            selector.register(connection, selectors.EVENT_READ, bytearray())

        for _ in range(_CONNECTIONS):
            ask(socket.create_connection(address))
        begin = time.perf_counter()
        while (passed := time.perf_counter() - begin) < _BURST:
            for key, _ in selector.select(0.1):
                connection, received = key.fileobj, key.data
                assert isinstance(connection, socket.socket)
                received += (new := connection.recv(65536))
                if new and not received.endswith(end):
                    continue
                selector.unregister(connection)
                if not received.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(
                        f"not every request was answered as it should be: {bytes(received[:200])!r}"
                    )
                answered += 1
                closes = b"\r\nConnection: close\r\n" in received
                if closes:
                    connection.close()
                ask(socket.create_connection(address) if closes else connection)
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return answered / passed
