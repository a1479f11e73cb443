"""Nothing that a test does leaves this machine."""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable
from functools import wraps
from typing import Any

from tests.support.browser.cookie_jar import is_loopback


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
