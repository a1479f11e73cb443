"""Nothing that a test does leaves this machine: the guard itself."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.hosts.loopback import LeftTheMachine
from tests.support.providers.raw_server import raw_server

#: reserved for documentation (RFC 5737, RFC 3849)
ELSEWHERE = "192.0.2.1"


def by_socket(method: str, host: str = ELSEWHERE, family: int = socket.AF_INET) -> None:
    with socket.socket(family) as sock:
        getattr(sock, method)((host, 80))


def over_tls() -> None:
    context = ssl.create_default_context()
    with socket.socket() as plain, context.wrap_socket(plain, server_hostname="app.example") as sock:
        sock.connect((ELSEWHERE, 443))


async def by_asyncio() -> None:
    await asyncio.open_connection(ELSEWHERE, 80)


@pytest.mark.parametrize(
    "leave",
    [
        lambda: by_socket("connect"),
        lambda: by_socket("connect_ex"),
        lambda: by_socket("connect", "2001:db8::1", socket.AF_INET6),
        lambda: socket.create_connection((ELSEWHERE, 80)),
        lambda: socket.create_connection(("app.example", 80)),
        lambda: socket.getaddrinfo("app.example", 80),
        lambda: socket.getaddrinfo(b"app.example", 80),
        over_tls,
        lambda: asyncio.run(by_asyncio()),
        lambda: http.client.HTTPConnection("app.example").request("GET", "/"),
        lambda: requests.get("http://app.example/", timeout=1),
    ],
)
def test_no_way_leads_to_another_machine(leave: Callable[[], Any]) -> None:
    with pytest.raises(LeftTheMachine):
        leave()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", b"localhost", None])
def test_this_machine_can_be_looked_up_by_each_of_its_names(host: str | bytes | None) -> None:
    assert socket.getaddrinfo(host, 80)


def test_this_machine_can_be_reached() -> None:
    with (
        raw_server(b"HTTP/1.1 204 No Content\r\n\r\n") as server,
        socket.create_connection(("localhost", server.port)) as sock,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 204")


def test_a_socket_in_a_folder_is_of_this_machine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as sock:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        sock.connect(str(tmp_path / "s"))
