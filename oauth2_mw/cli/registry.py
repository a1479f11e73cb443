"""The sessions that all workers of an INI file know of, and how an operator ends them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.cli.directory import refuse_absent
from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.observe import audit
from oauth2_mw.session.opening import open_sessions
from oauth2_mw.session.registry import SessionInfo, SessionRegistry
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory


def open_ledger(ini: Path, settings: Settings, directory: Directory | None) -> SessionRegistry:
    """What the workers have written down about their sessions.

    :raises Refusal: when they write nothing down.
    :raises NotThere: when nobody has signed in yet.
    :raises ConfigError: when the store cannot be used.
    """
    if settings.session is not None:
        refuse_absent(ini, "session", settings.session)
    ledger = open_sessions(settings, directory).registry
    if ledger is None:
        raise CommandError(
            f"{ini}: sessions are in cookies alone, and nothing lists them. Write a directory, like directory = "
            "sqlite:///users.db, or name a session store in session, and each sign-in from then on is listed. To "
            "end all sessions that there are now, replace the keys that seal them (oauth2-mw keys)"
        )
    return ledger


def end_user(ledger: SessionRegistry, user_id: str) -> list[SessionInfo]:
    """End every session of a user, also one that is being created just now; those that have ended.

    :raises StoreUnavailable: when that could not be written down; some may have ended.
    """
    with told() as ended:
        ended += ledger.end_user(user_id, moment=int(time.time()))
        # A provider whose clock is ahead has dated a sign-in later than now.
        ended += (
            entry for entry in ledger.entries(user_id) if ledger.end(entry.id, expires=entry.expires_at)
        )
    return ended


def counted(number: int) -> str:
    """So many sessions, in words."""
    return f"{number} session{'' if number == 1 else 's'}"


@contextmanager
def told() -> Iterator[list[SessionInfo]]:
    """A list for what a command ends. The audit log has it afterwards, a line a user, also when the command fails."""
    ended: list[SessionInfo] = []
    try:
        yield ended
    finally:
        for (user_id, username), count in Counter((entry.user_id, entry.username) for entry in ended).items():
            audit("sessions_revoked", user=user_id, username=username, count=count)
