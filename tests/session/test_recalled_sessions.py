"""A session that has run out is looked for in the list of sessions, and is over if that does not help."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.session.test_manager_sessions import NOW, beside_a_directory
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


def test_one_that_is_not_listed_any_more_is_over(tmp_path: Path, clock: Clock) -> None:
    worker = beside_a_directory(clock, tmp_path)
    registry = worker.sessions.registry
    assert registry is not None
    cookie = worker.sign_in()
    assert registry.store.delete(worker.session(cookie).id)
    clock.now = NOW + 80
    ended = worker.current(cookie)
    assert (ended.session, ended.invalid) == (None, True)


def test_one_that_the_application_can_no_longer_be_told_of_is_over(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = beside_a_directory(clock, tmp_path)
    cookie = worker.sign_in()
    worker.session(cookie)
    clock.now = NOW + 80
    monkeypatch.setattr(worker.sessions, "_environ", lambda _session: None)
    ended = worker.current(cookie)
    assert (ended.session, ended.invalid) == (None, True)
