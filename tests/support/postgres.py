"""A real PostgreSQL server from a wheel, on a unix socket, with an empty database for each test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest


class PostgresServer:
    """A running server. Its data live in a folder of its own, deleted with it."""

    def __init__(self) -> None:
        import pgserver

        # Not pytest's own folder: the server runs as another user when the tests run as root, and the path of a
        # unix socket is short.
        self._folder = Path(tempfile.mkdtemp(prefix="oauth2-mw-pg-"))
        self._server: Any = pgserver.get_server(self._folder, cleanup_mode="delete")
        self._numbers = count(1)

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test_{next(self._numbers)}"
        self.psql(f"CREATE DATABASE {name}")
        return str(self._server.get_uri(name))

    def psql(self, command: str) -> str:
        """Run SQL as the server's administrator."""
        return str(self._server.psql(command))

    def stop(self) -> None:
        """Stop the server at once, as a crash would: open connections break."""
        self._control("-m", "immediate", "-w", "stop")

    def start(self) -> None:
        """Start it again, with the same data and at the same address."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        try:
            self._server.cleanup()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        from pgserver import pg_ctl

        try:
            pg_ctl(list(arguments), pgdata=self._folder, user=self._server.system_user)
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"pg_ctl {' '.join(arguments)} failed: {error.stderr}") from error


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a run."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty database on it."""
    return postgres_server.new_database()
