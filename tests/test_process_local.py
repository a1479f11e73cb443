"""What belongs to one process: made when it is first used there, and anew in a child."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from oauth2_mw.process_local import ProcessLocal, ProcessLock


def in_child(run: Any) -> bool:
    """Whether *run* returned ``True`` in a fork of this process."""
    pid = os.fork()
    if not pid:
        os._exit(0 if run() is True else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_value_is_made_once_at_the_first_use() -> None:
    numbers = count(1)
    local = ProcessLocal(lambda: next(numbers))
    assert next(numbers) == 1
    assert [local.get(), local.get()] == [2, 2]


def test_threads_agree_on_one_value() -> None:
    local = ProcessLocal(object)
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: local.get(), range(64)))) == 1


def test_a_child_makes_its_own_value() -> None:
    local = ProcessLocal(os.getpid)
    assert local.get() == os.getpid()
    assert in_child(lambda: local.get() == os.getpid())


def test_a_lock_that_is_held_during_a_fork_is_free_in_the_child() -> None:
    lock = ProcessLock()
    with lock:
        assert not lock.acquire(blocking=False)
        assert in_child(lambda: lock.acquire(blocking=False))
    assert lock.acquire(blocking=False)
    lock.release()


def test_a_lock_is_the_one_that_threading_offers_at_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = ProcessLock()
    other = threading.Lock()
    monkeypatch.setattr(threading, "Lock", lambda: other)
    with lock:
        assert other.locked()
    assert not other.locked()
