"""Importing this uses a store, forks, and uses it on both sides at once; it prints how the children ended."""

from __future__ import annotations

import os
import time

from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.settings.grammar import Secret


def _use(store: RedisStore, process: str) -> None:
    later = int(time.time()) + 60
    for number in range(50):
        assert store.first_use(f"{process}-{number}", expires=later)
        store.revoke(f"{process}-{number}", moment=number, expires=later)
        assert store.revoked(f"{process}-{number}") == number
    assert not store.first_use("before the fork", expires=later)


def _child(store: RedisStore, process: str) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _use(store, process)
            status = 0
        finally:
            os._exit(status)
    return pid


_store = RedisStore(Secret.env("STORE_URL"), app="https://app.example")
assert _store.first_use("before the fork", expires=int(time.time()) + 60)
_children = [_child(_store, f"child-{number}") for number in range(4)]
_use(_store, "parent")
print([os.waitpid(pid, 0)[1] for pid in _children])
_use(_store, "parent again")
