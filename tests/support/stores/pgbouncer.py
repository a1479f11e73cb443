"""Debian's pgbouncer in transaction mode before a real PostgreSQL: any transaction may run on another connection."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import pytest

from tests.support.hosts.debian import find
from tests.support.hosts.processes import Child
from tests.support.stores.postgres import PostgresServer, postgres_server

__all__ = ["pgbouncer", "pooled_url", "postgres_server"]

#: Connections to a database of the server, for all clients.
POOL = 3
# ``ignore_startup_parameters`` is not there: what it does not know at the start of a connection, it refuses. The
# pauses are short, so that the tests do not wait for them.
_CONFIGURATION = """\
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 500
listen_addr =
unix_socket_dir = {folder}
listen_port = 6432
auth_type = trust
auth_file = {folder}/users
server_login_retry = 1
"""


class PgBouncer:
    """A running one. It listens on a Unix socket in a folder of its own, deleted with it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        # Not pytest's own folder: the path of a unix socket is short, and other users must get there.
        self._folder = Path(tempfile.mkdtemp(prefix="oauth2-mw-pgb-"))
        self._folder.chmod(0o777)
        self._child: Child | None = None
        (self._folder / "users").write_text('"postgres" ""\n', encoding="utf-8")
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def new_database(self) -> str:
        """The URL, through it, of a fresh and empty database of the server."""
        return self.through(self._server.new_database())

    def through(self, url: str) -> str:
        """The URL of a database of the server, through it."""
        return f"{url.partition('?')[0]}?host={self._folder}&port=6432"

    def start(self) -> None:
        """Start it, or start it again."""
        program = find("pgbouncer", "usr/sbin/pgbouncer")
        configuration = self._folder / "pgbouncer.ini"
        text = _CONFIGURATION.format(server=self._server.folder, pool=POOL, folder=self._folder)
        configuration.write_text(text, encoding="utf-8")
        # It does not run as root.
        user: list[str | Path] = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._child = Child("pgbouncer", [program.executable, *user, configuration], env=program.env)
        self._child.wait_for_line("process up")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        assert self._child is not None
        self._child.kill()
        self._child.stop()

    def signal(self, number: Signals) -> None:
        assert self._child is not None
        self._child.signal(number)

    def close(self) -> None:
        """Stop it for good."""
        if self._child is not None:
            self._child.kill()
            self._child.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def pgbouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    pooler = PgBouncer(postgres_server)
    yield pooler
    pooler.close()


@pytest.fixture
def pooled_url(pgbouncer: PgBouncer) -> str:
    """The URL of an empty database behind it."""
    return pgbouncer.new_database()
