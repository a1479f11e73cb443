"""What belongs to one process, and is made at the first use in it.

A server may build the application in one process and answer requests in its children (``--preload``), and gevent
replaces locks, threads and sockets in each child when it starts. A lock that the parent made is a native one there: the
first request that waits for it stops the whole process, the one that holds it included. What the parent has open, such
as a connection, would be shared by all children. Therefore a constructor makes none of these, but one of the objects
below.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ProcessLocal(Generic[T]):
    """A value for each process. Safe for threads, and across a fork.

    :param make: makes the value. Threads that come at the same moment may each make one, and agree on one of them.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        #: process id -> value. What the parent has open stays referenced and untouched, because closing it here would
        #: close it there too.
        self._values: dict[int, T] = {}

    def get(self) -> T:
        """Return the value of this process."""
        pid = os.getpid()
        value = self._values.get(pid)
        # setdefault is atomic.
        return self._values.setdefault(pid, self._make()) if value is None else value


class ProcessLock:
    """A lock that holds between the threads of a process. It is used like :class:`threading.Lock`."""

    __slots__ = ("_local",)

    def __init__(self) -> None:
        # Looked up when it is made, not here: gevent may have put its own in the place by then.
        self._local = ProcessLocal(lambda: threading.Lock())

    def own(self) -> threading.Lock:
        """Return the lock of this process itself: for whoever takes it and gives it back at once, many times."""
        return self._local.get()

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take the lock. Return whether it was taken."""
        return self._local.get().acquire(blocking)

    def release(self) -> None:
        """Give the lock back."""
        self._local.get().release()

    def __enter__(self) -> None:
        self._local.get().acquire()

    def __exit__(self, *_: object) -> None:
        self._local.get().release()
