"""One application on several hosts: gunicorns of their own behind one address, that can be killed one by one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from tests.support.hosts.processes import ROOT, Child, listening_socket
from tests.support.hosts.servers import SettingsMapping, Site, answers, gunicorn, new_key, write_files

APP = "tests.support.hosts.sample_app:app_factory"


class Host:
    """One gunicorn with its workers. It shares the site's address with the others, and has one of its own."""

    def __init__(
        self,
        name: str,
        site: Site,
        folder: Path,
        *,
        workers: int,
        threads: int,
        code: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """
        :param code: the folder from which the middleware is imported.
        :param env: what else it has in its environment.
        """
        self.name = name
        self._code = code
        self._env = dict(env or {})
        self._site = site
        self._folder = folder
        self._workers = workers
        self._threads = threads
        self._socket = listening_socket()
        self.listens_at = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._children: list[Child] = []

    def url(self, path: str = "/") -> str:
        """A page of the application, from this host and no other; browsers send their cookies whatever the port."""
        return self.listens_at + self._site.mount + path

    @property
    def ini(self) -> Path:
        """Its settings."""
        return self._folder / "oauth2.ini"

    @property
    def process(self) -> Child:
        """The gunicorn that was started last."""
        return self._children[-1]

    @property
    def log(self) -> str:
        """All that it printed, those before it at this host included."""
        return "\n".join(child.output for child in self._children)

    def restart(self) -> None:
        """Start it anew, and wait until it answers."""
        self.close()
        self.begin()
        self.wait_until_ready()

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        descriptors = [self._site.socket.fileno(), self._socket.fileno()]
        command = gunicorn(
            self._folder / "app.ini", descriptors, workers=self._workers, threads=self._threads
        )
        child = Child(
            f"gunicorn at {self.name}",
            command,
            env={"PYTHONPATH": f"{self._code}:{ROOT}", **self._env},
            cwd=self._code,
            pass_fds=descriptors,
        )
        self._children.append(child)

    def wait_until_ready(self) -> None:
        """Until it answers, and all its workers are there.

        :raises ChildFailedError: when it does not start, with what it printed.
        """
        self.process.wait_until(lambda: answers(self.listens_at, self._site.mount))
        self.process.wait_until(lambda: len(self.workers()) == self._workers)

    def kill(self) -> None:
        """End it and its workers at once, as a power cut would. The other hosts take what comes to the site."""
        self.process.kill()

    def workers(self) -> list[int]:
        """The ids of its workers."""
        return children_of(self.process.pid)

    def kill_worker(self, pid: int | None = None) -> None:
        """End a worker at once, by default the first; gunicorn starts another one in its place."""
        os.kill(pid or self.workers()[0], signal.SIGKILL)

    def close(self) -> None:
        """Stop it, where it runs."""
        if self._children:
            self.process.stop()

    def close_for_good(self) -> None:
        self.close()
        self._socket.close()


class Deployment:
    """The hosts of one site. Connections to the site go to whichever worker of any host is free first."""

    def __init__(self, site: Site, hosts: list[Host]) -> None:
        self.site = site
        self.hosts = hosts

    @property
    def log(self) -> str:
        return "\n".join(host.log for host in self.hosts)


def children_of(pid: int) -> list[int]:
    """The ids of the living children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(stat.parent.name))
    return sorted(found)


@contextmanager
def deployment(
    site: Site, folder: Path, settings: SettingsMapping, *, hosts: int = 2, workers: int = 2, threads: int = 1
) -> Iterator[Deployment]:
    """Run an application on several hosts until the end of the ``with``.

    The site's listening socket is inherited by all of them: the kernel is the balancer.

    :param settings: as for one server; ``secret_keys`` are the same on all hosts.
    :param threads: of each worker.
    :raises ChildFailedError: when one does not start.
    """
    settings = {"secret_keys": new_key(), **settings}
    with ExitStack() as stack:
        made = []
        for name in (f"host-{number}" for number in range(1, hosts + 1)):
            write_files(folder / name, site, settings, mount=site.mount, app=APP, outermost="worker")
            host = Host(name, site, folder / name, workers=workers, threads=threads)
            stack.callback(host.close_for_good)
            host.begin()
            made.append(host)
        for host in made:
            host.wait_until_ready()
        running = Deployment(site, made)
        yield running
    # Whatever a test does to it, it must not meet an exception that nobody foresaw.
    assert ": unexpected " not in running.log, running.log


class Deploy(Protocol):
    """The type of the fixture ``deploy``."""

    def __call__(
        self, site: Site, settings: SettingsMapping, *, hosts: int = 2, workers: int = 2, threads: int = 1
    ) -> Deployment: ...
