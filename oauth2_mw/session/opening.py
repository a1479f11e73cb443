"""Open the sessions and the directory that settings name, for the middleware and for the operator's commands.

Nothing is connected yet. A missing package is reported as a problem of the setting that needs it.
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
    """Return the directory, or ``None`` if the settings name none.

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
    """Return the sessions: in their store, in cookies and listed in the directory's database, or in cookies alone.

    :param directory: what :func:`open_directory` returned for the same settings.
    :raises ConfigError: when the store's URL cannot be used, or a package for it is missing.
    """
    disabled = None
    if directory is not None:
        disabled = directory.disabled_users(always_whole=settings.compatible != "none").read
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

        registry_store = SqlStore(directory.database, app=settings.public_url)
        return SessionManager(
            settings, store=registry_store, shared=registry_store, disabled=disabled, clocks=clocks
        )
    return SessionManager(settings, clocks=clocks)
