"""The sessions and the directory that settings name: made for the middleware and for the operator's commands alike.

Nothing is connected by it, and a package that is missing is told as a problem of the setting that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.session.clocks import SYSTEM_CLOCKS, Clocks
from oauth2_mw.session.manager import SessionManager
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.identity.directory import Directory


def open_directory(settings: Settings) -> Directory | None:
    """The directory; ``None``: the settings name none.

    :raises ConfigError: when its URL cannot be used, or SQLAlchemy is missing.
    """
    if settings.directory is None:
        return None
    try:
        from oauth2_mw.identity.directory import Directory

        return Directory(settings.directory)
    except ImportError as error:
        problem = Problem("oauth2_mw", "directory", f"needs SQLAlchemy ({error}): install oauth2-mw[sql]")
        raise ConfigError([problem]) from error


def open_sessions(
    settings: Settings, directory: Directory | None, *, clocks: Clocks = SYSTEM_CLOCKS
) -> SessionManager:
    """The sessions: in their store, or in cookies with a list beside the users, or in cookies alone.

    :param directory: what :func:`open_directory` returned for the same settings.
    :raises ConfigError: when the store's URL cannot be used, or a package for it is missing.
    """
    disabled = directory.disabled_ids if directory is not None else None
    if settings.session is not None:
        from oauth2_mw.session.stores import open_store

        database = directory.database if directory is not None else None
        try:
            store = open_store(settings.session, app=settings.public_url, database=database)
        except ImportError as error:
            problem = Problem("oauth2_mw", "session", f"needs a package that cannot be imported: {error}")
            raise ConfigError([problem]) from error
        return SessionManager(settings, store=store, disabled=disabled, clocks=clocks)
    if directory is not None:
        from oauth2_mw.session.stores.sql import SqlStore

        beside = SqlStore(directory.database, app=settings.public_url)
        return SessionManager(settings, store=beside, shared=beside, disabled=disabled, clocks=clocks)
    return SessionManager(settings, clocks=clocks)
