"""The directory and the session store: whether they can be reached, and have the tables of this release."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw.cli.online.finding import Finding, failure
from oauth2_mw.errors import ConfigError, StoreUnavailableError
from oauth2_mw.session.opening import open_directory
from oauth2_mw.session.stores import open_store
from oauth2_mw.settings import redis_address
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from oauth2_mw.sql import Database, DatabaseAdministration

#: bytes that must be free where a database lies
_LEAST_FREE = 16 * 1024 * 1024
_LIFE = 60


def check_stores(settings: Settings) -> Iterator[Finding]:
    """Yield what is found about the places where users and sessions are kept."""
    database = None
    if settings.directory is not None:
        try:
            directory = open_directory(settings)
        except ConfigError as error:
            yield failure("directory", error)
        else:
            database = directory.database if directory is not None else None
            if database is not None:
                yield from _check_database("directory", settings.directory, database)
    if settings.session is None:
        return
    if settings.session == settings.directory:
        yield Finding("session", "ok", "sessions are kept in the directory's database")
        return
    try:
        store = open_store(settings.session, app=settings.public_url, database=database)
        url = settings.session.value()
        if url.partition("://")[0] not in redis_address.SCHEMES:
            from oauth2_mw.sql import Database

            yield from _check_database(
                "session", settings.session, Database(settings.session, setting="session")
            )
            return
        # A round trip that writes: a replica, or a server without room, can be read.
        store.first_use(f"check:{time.time_ns()}", expires=int(time.time()) + _LIFE)
        room = _room_in_redis(settings.session)
    except (ConfigError, StoreUnavailableError) as error:
        yield failure("session", error)
    else:
        yield Finding("session", "ok", "the store takes what is written to it")
        if room is not None:
            yield _room("session", *room, "lower pool_size in the URL, or raise maxclients there")


def _room_in_redis(url: Secret) -> tuple[int, int] | None:
    from oauth2_mw.session.stores.redis.connections import RedisConnections

    return RedisConnections(url).servers().room()


def _check_database(setting: str, url: Secret, database: Database) -> Iterator[Finding]:
    from oauth2_mw.sql import DatabaseAdministration, address

    parsed = address.parse(url.value())
    path = Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None
    if path is not None:
        if problem := _folder_problem(setting, path):
            yield problem
            return
        if not path.exists():
            yield Finding(setting, "ok", f"{path} does not exist yet: the first sign-in makes it")
            return
    administration = DatabaseAdministration(database)
    try:
        state = administration.schema_state()
    except StoreUnavailableError as error:
        yield failure(setting, error)
        return
    if not state.is_usable:
        says = "it is reached, and has the tables of a newer release, which this one cannot use"
        yield Finding(setting, "problem", says, f"install oauth2-mw {state.lowest_release} or later")
    elif state.is_newest:
        yield Finding(setting, "ok", "it is reached, and has the tables of this release")
    else:
        yield Finding(
            setting,
            "warning",
            "it is reached, and has not the tables of this release yet: it is not migrated",
            "nothing, if the role may create tables: the first request migrates it; otherwise: oauth2-mw migrate INI",
        )
    yield from _check_room(setting, parsed, administration)


def _check_room(setting: str, url: URL, administration: DatabaseAdministration) -> Iterator[Finding]:
    """Yield for how many processes the server has connections, where it can be asked."""
    from oauth2_mw.sql import address

    try:
        given = administration.most_connections()
    except StoreUnavailableError:
        return
    if given is not None:
        yield _room(
            setting,
            address.most_connections(url),
            given,
            "lower pool_size and max_overflow in the URL, or raise max_connections there and the limits of role and "
            "database",
        )


def _room(setting: str, needed: int, given: int, cure: str) -> Finding:
    says = f"a process opens at most {needed} connections, and the server gives us {given}"
    if needed > given:
        return Finding(setting, "warning", f"{says}: too few for one process", cure)
    return Finding(setting, "ok", f"{says}: enough for {given // needed} processes")


def _folder_problem(setting: str, path: Path) -> Finding | None:
    """Return why SQLite cannot write to a file, or to the files that it makes beside it."""
    folder = path.parent
    if not folder.is_dir():
        return Finding(
            setting, "problem", f"the folder {folder} does not exist", "make it, for the server's user"
        )
    # The superuser, who may write everywhere, sees by the mode whether nobody else may.
    closed = next(
        (
            place
            for place in (folder, path)
            if place.exists() and not (os.access(place, os.W_OK) and place.stat().st_mode & 0o222)
        ),
        None,
    )
    if closed is not None or os.statvfs(folder).f_flag & os.ST_RDONLY:
        return Finding(
            setting,
            "problem",
            f"{closed or folder} cannot be written by this user",
            "run this command as the user of the server; if that is so, make that user the owner (chown)",
        )
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        return Finding(
            setting,
            "problem",
            f"the disk of {folder} is full: {free // 1024} KiB are free",
            "make room, or move the database",
        )
    return None
