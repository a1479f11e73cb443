"""A real PostgreSQL server from a wheel, on a unix socket, with an empty database for each test."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts.deployment import children_of

#: seconds; generous, because it is only ever reached by a failure
DEADLINE = 60.0


class PostgresServer:
    """A running server. Its data live in a folder of its own, deleted with it."""

    def __init__(self) -> None:
        # Not pytest's own folder: the path of a unix socket is short, and other users must get there.
        self._folder = Path(tempfile.mkdtemp(prefix="oauth2-mw-pg-"))
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._as: dict[str, Any] = {}
        spec = find_spec("pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if os.geteuid() == 0:
            # PostgreSQL does not run as root, and others need not be able to reach the environment of the tests. A
            # wheel keeps the libraries of its programs beside the package.
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for part in ("pgserver/pginstall", "pgserver.libs"):
                shutil.copytree(package.parent / part, self._folder / part)
            package = self._folder / "pgserver"
            self._data.mkdir(mode=0o700)
            os.chown(self._data, nobody.pw_uid, nobody.pw_gid)
        self._programs = package / "pginstall/bin"
        self._numbers = count(1)
        try:
            self.run(
                "initdb",
                "-D",
                str(self._data),
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=utf8",
                "--no-sync",
            )
            self.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def folder(self) -> Path:
        """Where its socket is, the ``host`` of a URL."""
        return self._data

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"test_{next(self._numbers)}"
        self.psql(f"CREATE DATABASE {name}")
        return f"postgresql://postgres:@/{name}?host={self._data}"

    def psql(self, command: str, *, database: str = "postgres") -> str:
        """Run SQL as the server's administrator; the values that it gives, a row a line."""
        where = ("-h", str(self._data), "-U", "postgres", "-d", database)
        return self.run("psql", "-XAtq", *where, "-c", command).strip()

    def start(self) -> None:
        """Start it, or start it again with the same data and at the same address."""
        # What is lost in a crash of the machine does not matter here; a crash of the server loses nothing.
        options = ["-D", str(self._data), "-k", str(self._data), "-h", "", "-c", "fsync=off"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._folder,
                **self._as,
            )
        until = time.monotonic() + DEADLINE
        while True:
            try:
                self.psql("SELECT 1")
                return
            except AssertionError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise AssertionError((self._folder / "log").read_text(errors="replace")) from None
            time.sleep(0.05)

    def statements(self) -> list[str]:
        """What databases with ``log_statement = 'all'`` were asked so far, a statement each."""
        log = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        return re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", log)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all its processes."""
        if self.is_running:
            for pid in (self._process.pid, *children_of(self._process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    @property
    def is_running(self) -> bool:
        """Whether it was not stopped."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop it at once, as a crash would: open connections break."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(DEADLINE)

    def close(self) -> None:
        """Stop it for good."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the user of the server; what it prints."""
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            cwd=self._folder,
            **self._as,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout


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
