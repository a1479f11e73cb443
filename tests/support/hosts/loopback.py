"""Nothing that a test does leaves this machine."""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.support.browser.cookie_jar import is_loopback

#: 127.0.0.1, as :func:`listeners` has it
LOOPBACK = "0100007F"


class LeftTheMachine(BaseException):
    """A test tried to reach another machine. Not an ``Exception``: no code under test shall swallow it."""


def stay_here() -> None:
    """From now on let this process look up and connect to nothing but itself.

    It stands before the sockets and is no audit hook. That would run while a thread begins to be traced by coverage,
    and Python 3.11 lets every other thread die that begins in the meantime (RuntimeError): a server of ours, or the
    timer of a deadline.
    """
    # The class and the function that all others are made of.
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _judged(getattr(socket.socket, name)))
    _socket.getaddrinfo = _judged_look_up(_socket.getaddrinfo)


def listeners(port: int) -> list[str]:
    """The addresses at which a process of this machine listens on a port, as the kernel writes them."""
    lines = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
    ]
    listening = [local for _, local, _, state, *_ in lines if state == "0A"]
    return [local for local in listening if int(local.rpartition(":")[2], 16) == port]


def _judged(connect: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(connect)
    def judged(sock: socket.socket, address: Any) -> Any:
        _judge("connect", address[0] if isinstance(address, tuple) else "localhost")
        return connect(sock, address)

    return judged


def _judged_look_up(look_up: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(look_up)
    def judged(host: Any, *rest: Any, **more: Any) -> Any:
        _judge("look up", host or "localhost")
        return look_up(host, *rest, **more)

    return judged


def _judge(what: str, host: Any) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    if not is_loopback(name.lower().rstrip(".")):
        raise LeftTheMachine(f"{what}: {name}")
