"""The watchdog: a connection whose server gives no answer in time is shut down, and no other."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from oauth2_mw.sql import watchdog
from oauth2_mw.sql.watchdog import Watchdog


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        found = [socket.socketpair() for _ in range(2)]
        for pair in found:
            for sock in pair:
                stack.enter_context(sock)
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "TICK", 0.01)


def is_shut_down(sock: socket.socket, *, within: float) -> bool:
    readable, _, _ = select.select([sock], [], [], within)
    return bool(readable) and sock.recv(1) == b""


def descriptors_of(sock: socket.socket) -> int:
    """How many descriptors of this process are of that socket; other tests' come and go meanwhile."""
    its = os.fstat(sock.fileno())
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += os.path.samestat(os.fstat(int(each.name)), its)
    return found


@pytest.mark.requirement("R-deadline")
def test_a_connection_is_shut_down_at_its_deadline_and_stays_open_for_its_driver(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    (ours, _), (other, _) = pairs
    dog = Watchdog()
    assert (descriptors_of(ours), descriptors_of(other)) == (1, 1)
    dog.arm(ours, 0.1)
    dog.arm(other, 0.1)
    dog.disarm(other)
    assert is_shut_down(ours, within=10)
    # Its descriptor is still the driver's, and nobody else's.
    assert ours.fileno() >= 0
    os.fstat(ours.fileno())
    assert not is_shut_down(other, within=0.3)
    assert (descriptors_of(ours), descriptors_of(other)) == (1, 1)


def test_each_question_has_the_whole_time(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    (ours, _), _ = pairs
    dog = Watchdog()
    for _ in range(6):
        dog.arm(ours, 0.5)
        time.sleep(0.15)
    dog.disarm(ours)
    assert not is_shut_down(ours, within=0.7)


def test_the_next_one_is_watched_when_the_thread_has_ended(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    dog = Watchdog()
    for ours, _ in pairs:
        dog.arm(ours, 0.05)
        assert is_shut_down(ours, within=10)
        time.sleep(0.1)


def test_what_is_closed_already_is_left_alone() -> None:
    sock = socket.socket()
    sock.close()
    dog = Watchdog()
    dog.arm(sock, 0.1)
    dog.disarm(sock)
