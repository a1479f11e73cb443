"""A SQLite database whose tables are there already: making them is a test's business only where it says so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from oauth2_mw.settings.grammar import Secret
from oauth2_mw.sql import Database


def empty_database(path: Path) -> str:
    """Create a database without users and sessions at *path*, where nothing is yet, and return its URL."""
    with path.open("xb") as file:
        file.write(_empty())
    return _url(path)


def count_users(url: str) -> int:
    """How many users the directory at *url* holds."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        (count,) = file.execute("SELECT count(*) FROM oauth2_mw_users").fetchone()
    return int(count)


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "users.db")
        with Database(Secret.literal(_url(path))).writing():
            pass
        with closing(sqlite3.connect(path)) as file:
            # Until now the tables stand in the log beside the file.
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


def _url(path: Path) -> str:
    return f"sqlite:///{path}"
