"""Every use of a session store in Redis, and what an operator is told when one is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.session.stores import Record
from oauth2_mw.session.stores.redis import RedisStore
from oauth2_mw.settings.grammar import Secret

APP = "https://app.example"


def store_at(url: str) -> RedisStore:
    return RedisStore(Secret.literal(url), app=APP)


def with_password(url: str, password: str = "canary-password", user: str = "") -> str:  # noqa: S107
    return url.replace("//", f"//{user}:{password}@")


def record() -> Record:
    now = int(time.time())
    return Record(
        version=1, data="canary-data", summary="canary-summary", seen=now, expires=now + 600, lease=0
    )


#: Every operation.
USES: dict[str, Callable[[RedisStore], Any]] = {
    "add": lambda store: store.add("k", record(), indexes=["user:1"]),
    "add, without index": lambda store: store.add("k", record(), indexes=[]),
    "read": lambda store: store.read("k"),
    "touch": lambda store: store.touch("k", seen=record().seen, expires=record().expires, summary="canary-s"),
    "replace": lambda store: store.replace("k", record()),
    "delete": lambda store: store.delete("k"),
    "find": lambda store: store.find("user:1"),
    "all": lambda store: list(store.all()),
    "first_use": lambda store: store.first_use("jti:1", expires=record().expires),
    "revoke": lambda store: store.revoke("user:1", moment=1, expires=record().expires),
    "revoked": lambda store: store.revoked("user:1"),
}


def refusal(use: Callable[[], Any]) -> str:
    """What an operator reads. It never holds a value or a password, and is short."""
    with pytest.raises(StoreUnavailableError) as failure:
        use()
    text = failure.value.detail
    assert "canary" not in text
    assert len(text) < 1000
    return text
