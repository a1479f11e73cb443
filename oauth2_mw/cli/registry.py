"""The session registry of an INI file, and how an operator ends sessions in it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oauth2_mw.audit import audit
from oauth2_mw.cli.directory import require_database
from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.session.opening import open_sessions
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory


def open_registry(ini: Path, settings: Settings, directory: Directory | None) -> SessionRegistry:
    """Return the session registry that the workers write.

    :raises CommandError: if they write none.
    :raises NoDatabaseError: if nobody has signed in yet.
    :raises ConfigError: if the store's URL cannot be used.
    :raises StoreUnavailableError: if the store cannot be used.
    """
    if settings.session is not None:
        require_database(ini, "session", settings.session)
    registry = open_sessions(settings, directory).registry
    if registry is None:
        raise CommandError(
            f"{ini}: sessions are in cookies alone, and nothing lists them. Write a directory, like directory = "
            "sqlite:///users.db, or name a session store in session, and each sign-in from then on is listed. To "
            "end all sessions that there are now, replace the keys that seal them (oauth2-mw keys)"
        )
    registry.cut_offs.read()
    return registry


def end_user(registry: SessionRegistry, user_id: str) -> list[SessionInfo]:
    """End every session of a user, also one that is just being created. Return those that have ended.

    :raises StoreUnavailableError: if the store cannot be used; some sessions may have ended.
    """
    with audited() as ended:
        ended += registry.end_user(user_id, moment=int(time.time()))
        # A provider whose clock is ahead has dated a sign-in later than now.
        ended += (
            session
            for session in registry.find_by_user(user_id)
            if registry.end(session.id, expires=session.expires_at)
        )
    return ended


def session_as_json(session: SessionInfo) -> dict[str, Any]:
    """Return a session as programs read it. Times are in seconds since the epoch."""
    return {
        "id": session.id,
        "user_id": session.user_id,
        "username": session.username,
        "provider": session.provider,
        "device": session.device,
        "address": session.remote_addr,
        "created": session.created_at,
        "seen": session.last_used_at,
        "expires": session.expires_at,
    }


def format_count(number: int) -> str:
    """Return a number of sessions in words: ``2 sessions``."""
    return f"{number} session{'' if number == 1 else 's'}"


@contextmanager
def audited() -> Iterator[list[SessionInfo]]:
    """Hand out a list for the sessions that a command ends, then audit one event for each user in it.

    They are audited also if the command fails halfway.
    """
    ended: list[SessionInfo] = []
    try:
        yield ended
    finally:
        counts = Counter((session.user_id, session.username) for session in ended)
        for (user_id, username), count in counts.items():
            audit("sessions_revoked", user=user_id, username=username, count=count)
