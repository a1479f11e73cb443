"""A store that is full: who is signed in stays so, and whoever signs out is out."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from oauth2_mw.errors import (
    EndNotMarkedError,
    StoreTakesNoWritesError,
    StoreUnavailableError,
)
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.session.model import RefreshSchedule, Session, SignInDetails
from tests.support.hosts.guarded import JANE, guard, new_session
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.stores.redis_servers import RedisServer

Full = Callable[[], AbstractContextManager[None]]
ISSUER = "https://id.example"


@pytest.fixture(params=["redis", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Full]:
    """The URL of a store, and what fills it for a while."""
    if request.param == "sqlite":
        path = tmp_path / "sessions.db"
        return f"sqlite:///{path}", lambda: full_disk(path)
    server: RedisServer = request.getfixturevalue("server")
    inside: Redis = request.getfixturevalue("inside")
    return server.url, lambda: full_memory(inside)


@contextmanager
def full_memory(inside: Redis) -> Iterator[None]:
    inside.config_set("maxmemory", "1")
    try:
        yield
    finally:
        inside.config_set("maxmemory", "0")


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file of this process grows beyond the log of that database."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sizes = [each.stat().st_size for each in path.parent.glob(f"{path.name}*")]
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Worker:
    """One worker of an application whose sessions are in the store."""

    def __init__(self, url: str) -> None:
        self.middleware: OAuth2Middleware = guard(session=url, keep_tokens="access refresh", session_idle=8)
        self.sessions = self.middleware._sessions
        registry = self.sessions.registry
        assert registry is not None
        self.registry = registry

    def sign_in(self, sid: str | None = None) -> str:
        return new_session(self.sessions, JANE, {"refresh_token": "r"}, SignInDetails(1, sid))

    def session(self, cookie: str) -> Session | None:
        current = self.sessions.resolve(cookie)
        return None if current is None else current.session

    def status(self, cookie: str) -> int:
        return call(self.middleware, environ_for("/", HTTP_COOKIE=cookie)).status


def test_who_is_signed_in_stays_so_and_nobody_else_gets_in(store: tuple[str, Full]) -> None:
    url, full = store
    # Both are held: with the last connection SQLite empties its log, and a small log has room to grow.
    worker, other = Worker(url), Worker(url)
    cookie = worker.sign_in()
    session = other.session(cookie)
    assert session is not None
    with full():
        with pytest.raises(StoreTakesNoWritesError):
            other.sign_in()
        touched = other.registry.touch(session.id, seen=session.last_used_at + 5, expires=session.expires_at)
        assert touched is not None
        assert touched.seen == session.last_used_at
        assert other.registry.touch(session.id, seen=1, expires=2, reseal=session) == touched
        assert other.status(cookie) == 200
        assert Worker(url).session(cookie) is not None
    again = other.registry.touch(session.id, seen=session.last_used_at + 5, expires=session.expires_at)
    assert again is not None
    assert again.seen == session.last_used_at + 5


def test_whoever_signs_out_is_out_everywhere(store: tuple[str, Full]) -> None:
    url, full = store
    worker, other = Worker(url), Worker(url)
    cookie = worker.sign_in()
    session = worker.session(cookie)
    assert session is not None
    with full():
        with pytest.raises(StoreUnavailableError):
            worker.sign_in()
        worker.sessions.end(session)
        assert (worker.session(cookie), other.session(cookie)) == (None, None)


@pytest.mark.parametrize(
    "end",
    [
        lambda registry: registry.end_by_sid(ISSUER, "sid-1", include_pending=True),
        lambda registry: registry.end_user(JANE.id, moment=1),
        lambda registry: registry.end_by_frame(ISSUER, "sid-1"),
    ],
    ids=["sid", "user", "frame"],
)
def test_what_a_provider_ends_has_ended_although_its_mark_is_refused(
    end: Callable[[Any], Any], server: RedisServer, inside: Redis
) -> None:
    worker = Worker(server.url)
    cookie = worker.sign_in("sid-1")
    session = worker.session(cookie)
    assert session is not None
    with full_memory(inside):
        with pytest.raises(EndNotMarkedError) as failure:
            end(worker.registry)
        assert [info.id for info in failure.value.ended] == [session.id]
        assert failure.value.code == "store_unavailable"
        assert Worker(server.url).session(cookie) is None
    # The provider, which was told so, tries again.
    end(worker.registry)


def test_a_refresh_that_cannot_be_written_down_is_not_begun(store: tuple[str, Full]) -> None:
    url, full = store
    worker = Worker(url)
    cookie = worker.sign_in()
    current = worker.sessions.resolve(cookie)
    assert current is not None
    assert current.session is not None
    due = worker.sessions.replace(current, replace(current.session, refresh_schedule=RefreshSchedule(1, 2)))
    assert due is not None
    with full():
        with pytest.raises(StoreTakesNoWritesError):
            worker.sign_in()
        assert worker.middleware._site().refresh(due).session == due.session
