"""Bring the tables of the directory and of the session store to this release, or print the SQL that would.

Workers do this by themselves at their first request, if their database role may create tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oauth2_mw import __version__
from oauth2_mw.cli.directory import require_database
from oauth2_mw.cli.terminal import INI_HELP, CommandError
from oauth2_mw.errors import ConfigError, Problem
from oauth2_mw.session.stores import is_redis
from oauth2_mw.settings.model import Settings

if TYPE_CHECKING:
    from oauth2_mw.sql import Database, DatabaseAdministration
    from oauth2_mw.sql.schema import SchemaState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``oauth2-mw migrate``."""
    parser.add_argument("ini", type=Path, metavar="INI", help=INI_HELP)
    parser.add_argument("--dry-run", action="store_true", help="print the SQL, and change nothing")


def run(options: argparse.Namespace) -> int:
    """Migrate each database that the settings name, or print what that would be.

    :returns: 0, also if there is nothing to do.
    :raises CommandError: if a newer release has changed the tables so that this one cannot use them.
    :raises ConfigError: if the INI file cannot be used.
    :raises StoreUnavailableError: if a database cannot be used, or its role may not create tables.
    """
    databases = [*_databases(options.ini, Settings.from_ini(options.ini), creates=not options.dry_run)]
    if not databases:
        print(
            f"{'-- ' if options.dry_run else ''}{options.ini} names no database: there is nothing to migrate"
        )
    for setting, database in databases:
        if options.dry_run:
            _print_sql(setting, database)
        else:
            _migrate(setting, database)
    return 0


def _databases(
    ini: Path, settings: Settings, *, creates: bool
) -> Iterator[tuple[str, DatabaseAdministration]]:
    """Yield the database of the directory and that of the sessions with its setting; one that is both once.

    :param creates: whether the file of one that is not there yet is about to be created.
    """
    seen: list[Database] = []
    for setting, url in (("directory", settings.directory), ("session", settings.session)):
        if url is None or (setting == "session" and is_redis(url)) or any(each.is_at(url) for each in seen):
            continue
        try:
            from oauth2_mw.sql import Database, DatabaseAdministration
        except ImportError as error:
            problem = Problem("oauth2_mw", setting, f"needs SQLAlchemy ({error}): install oauth2-mw[sql]")
            raise ConfigError([problem]) from error
        if creates:
            require_database(ini, setting, url, creates=True)
        seen.append(Database(url, setting=setting))
        yield setting, DatabaseAdministration(seen[-1])


def _print_sql(setting: str, database: DatabaseAdministration) -> None:
    state = _usable(setting, database.schema_state())
    lines = database.migration(state)
    if not lines:
        print(f"-- {setting}: the tables are those of this release; there is nothing to migrate")
        return
    print(f"-- {setting}: from schema {state.version}, in one transaction")
    print("BEGIN;", *(f"{line};" for line in lines), "COMMIT;", sep="\n")


def _migrate(setting: str, database: DatabaseAdministration) -> None:
    before = _usable(setting, database.migrate())
    if before.is_newest:
        print(f"{setting}: the tables are those of this release; there was nothing to migrate")
        return
    after = database.schema_state()
    print(
        f"{setting}: migrated from schema {before.version} to {after.version}, which oauth2-mw {after.lowest_release} "
        "and later can use"
    )


def _usable(setting: str, state: SchemaState) -> SchemaState:
    if not state.is_usable:
        raise CommandError(
            f"{setting}: a newer release has changed the tables, and {__version__} cannot use them: install oauth2-mw "
            f"{state.lowest_release} or later"
        )
    return state
