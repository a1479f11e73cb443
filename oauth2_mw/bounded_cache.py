"""A dictionary that never holds more than a given number of entries and a given cost: the oldest entries go first."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Generic, Protocol, TypeVar, overload

from oauth2_mw.process_local import ProcessLock

K = TypeVar("K")
V = TypeVar("V")
Asked = TypeVar("Asked", contravariant=True)


class Get(Protocol[Asked, V]):
    """The ``get`` of a dictionary."""

    @overload
    def __call__(self, key: Asked, /) -> V | None: ...

    @overload
    def __call__(self, key: Asked, default: V, /) -> V: ...


class BoundedCache(Generic[K, V]):
    """Entries in the order in which they were first put.

    Reading takes no lock, because each operation of a dictionary is atomic; writing does.

    :param max_entries: the most entries to hold.
    :param max_cost: the most that all entries may cost together, in the unit of *cost*, such as bytes.
    :param cost: what one entry costs; the same whenever it is asked for the same entry.
    :param is_expired: whether a value has lost its use; such entries at the old end go with every write.
    """

    def __init__(
        self,
        *,
        max_entries: int,
        max_cost: float = inf,
        cost: Callable[[K, V], int] = lambda _key, _value: 0,
        is_expired: Callable[[V], bool] | None = None,
    ) -> None:
        self.max_entries = max_entries
        self.max_cost = max_cost
        self._cost_of = cost
        self._is_expired = is_expired
        self._entries: dict[K, V] = {}
        self._cost = 0
        self._lock = ProcessLock()
        #: Return the value of a key, or ``None``. The dictionary's own method, so that a hit costs nothing more.
        self.get: Get[K, V] = self._entries.get

    def put(self, key: K, value: V) -> None:
        """Set the value of a key; one that is there already keeps its age."""
        with self._lock:
            self._put(key, value)

    def put_unless_busy(self, key: K, value: V) -> None:
        """Do the same, or nothing while another thread writes: for callers that must not wait."""
        lock = self._lock.own()
        if lock.acquire(blocking=False):
            try:
                self._put(key, value)
            finally:
                lock.release()

    def put_latest(self, key: K, value: V, *, latest: Callable[[V, V], V]) -> V:
        """Put the latest of *value* and the value of the key, if it has one, as the youngest entry, and return it."""
        with self._lock:
            previous = self._pop(key)
            if previous is not None:
                value = latest(previous, value)
            self._put(key, value)
            return value

    def add(self, key: K, value: V) -> bool:
        """Put an entry unless the key has one. Return whether it was put."""
        with self._lock:
            if key in self._entries:
                return False
            self._put(key, value)
            return True

    def pop(self, key: K) -> None:
        """Forget the entry of a key, if there is one."""
        with self._lock:
            self._pop(key)

    def __len__(self) -> int:
        return len(self._entries)

    def _pop(self, key: K) -> V | None:
        value = self._entries.pop(key, None)
        if value is not None:
            self._cost -= self._cost_of(key, value)
        return value

    def _put(self, key: K, value: V) -> None:
        if self._is_expired is not None:
            while self._entries and self._is_expired(next(iter(self._entries.values()))):
                self._pop(next(iter(self._entries)))
        cost = self._cost_of(key, value)
        previous = self._entries.get(key)
        if previous is not None:
            cost -= self._cost_of(key, previous)
        self._entries[key] = value
        self._cost += cost
        while len(self._entries) > self.max_entries or self._cost > self.max_cost:
            self._pop(next(iter(self._entries)))
