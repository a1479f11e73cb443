"""A session store that can be counted, held up and taken away, around a real one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from typing import Any

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores import FormStore, Record, Store


class WatchedStore:
    """Hands every call on, and remembers its name.

    :param inner: the real store.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.calls: list[str] = []
        self.away = False
        #: called before a call of that name is handed on
        self.before: dict[str, Callable[[], object]] = {}
        #: called when it has answered a call of that name
        self.after: dict[str, Callable[[], object]] = {}

    def _call(self, name: str, *args: Any, **more: Any) -> Any:
        self.calls.append(name)
        if self.away:
            raise StoreUnavailableError("the store is away")
        self.before.get(name, lambda: None)()
        answer = attrgetter(name)(self._inner)(*args, **more)
        self.after.get(name, lambda: None)()
        return answer

    @property
    def forms(self) -> FormStore:
        return WatchedForms(self)

    def as_app(self, app: str, *, clock: Callable[[], float]) -> Store:
        return self._inner.as_app(app, clock=clock)

    def server_time(self) -> float | None:
        return self._call("server_time")

    def add(self, key: str, record: Record, *, indexes: Collection[str]) -> None:
        self._call("add", key, record, indexes=indexes)

    def read(self, key: str, **more: Any) -> Record | None:
        return self._call("read", key, **more)

    def touch(self, key: str, **more: Any) -> Record | None:
        return self._call("touch", key, **more)

    def replace(self, key: str, record: Record) -> bool:
        return self._call("replace", key, record)

    def delete(self, key: str) -> bool:
        return self._call("delete", key)

    def find(self, index: str) -> list[tuple[str, Record]]:
        return self._call("find", index)

    def all(self, **more: Any) -> Iterator[tuple[str, Record]]:
        return self._call("all", **more)

    def first_use(self, name: str, *, expires: int) -> bool:
        return self._call("first_use", name, expires=expires)

    def revoke(self, name: str, *, moment: int, expires: int) -> None:
        self._call("revoke", name, moment=moment, expires=expires)

    def revoked(self, name: str) -> int | None:
        return self._call("revoked", name)

    def moments(self, names: Collection[str]) -> dict[str, int]:
        return self._call("moments", names)

    def taken(self) -> list[str]:
        """The calls since the last time."""
        taken, self.calls = self.calls, []
        return taken


class WatchedForms:
    """The forms of a watched store; their calls are named like ``forms.keep``."""

    def __init__(self, store: WatchedStore) -> None:
        self._store = store

    def keep(self, *form: str, **more: Any) -> Any:
        return self._store._call("forms.keep", *form, **more)

    def read(self, *form: str) -> str | None:
        return self._store._call("forms.read", *form)

    def take(self, *form: str, **more: Any) -> str | None:
        return self._store._call("forms.take", *form, **more)

    def drop(self, *form: str) -> None:
        self._store._call("forms.drop", *form)
