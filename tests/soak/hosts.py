"""Three hosts of one site, a gunicorn of each kind, with one key file and clocks that can be put forward."""

from __future__ import annotations

import io
import os
import signal
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from oauth2_mw.cli.main import main
from oauth2_mw.settings.grammar import KeyEntry, format_key_line
from tests.support.hosts.deployment import APP, Host
from tests.support.hosts.processes import ROOT
from tests.support.hosts.servers import Site, write_files
from tests.support.settings.keys import raw_key

#: name -> its kind, options of gunicorn, threads of a worker
KINDS: Mapping[str, tuple[str, int]] = {
    "sync": ("--worker-class sync", 1),
    "gthread": ("--worker-class gthread", 8),
    "gevent": ("--worker-class gevent", 1),
}
WORKERS = 2
#: Seconds after which a new key seals: by then all hosts have read it. A key that ``oauth2-mw keygen`` makes has 60.
_SEALS_AFTER = 5


class SoakHost(Host):
    """A host with a clock of its own."""

    def __init__(self, name: str, site: Site, folder: Path) -> None:
        self._clock = folder / "clock"
        folder.mkdir(parents=True, exist_ok=True)
        self._clock.write_bytes(struct.pack("d", 0.0))
        options, threads = KINDS[name]
        clock = Path(__file__).parent / "clock"
        env = {
            "GUNICORN_CMD_ARGS": options,
            "PYTHONPATH": f"{clock}:{ROOT}",
            "SOAK_CLOCK": str(self._clock),
        }
        super().__init__(name, site, folder, workers=WORKERS, threads=threads, env=env)

    def put_clock_forward(self, seconds: float) -> None:
        """Let its clock be that far ahead of this machine's. It is written in place: workers have it mapped."""
        with self._clock.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    def reload(self) -> None:
        """Let it start new workers, and end the old ones when they have answered what they have."""
        os.kill(self.process.pid, signal.SIGHUP)

    def is_complete(self) -> bool:
        """Return whether it runs with all its workers."""
        return self.process.running and len(self.workers()) == WORKERS


class Hosts:
    """All three, and what an operator does with them."""

    def __init__(self, site: Site, folder: Path, settings: Mapping[str, Any]) -> None:
        self.site = site
        folder.mkdir()
        self._keys = folder / "keys"
        self._entries: list[KeyEntry] = []
        self._ini = folder / "sync" / "oauth2.ini"
        self.add_key(seals_at=time.time() - 1000)
        settings = {"secret_keys": f"file:{self._keys}", **settings}
        self.all = [SoakHost(name, site, folder / name) for name in KINDS]
        for host in self.all:
            write_files(folder / host.name, site, settings, mount="", app=APP, outermost="worker")

    def unforeseen(self) -> list[str]:
        """Return what workers have logged of exceptions that nobody foresaw, in the part of the log that is kept."""
        lines = [line for host in self.all for line in host.log.splitlines()]
        return [line for line in lines if ": unexpected " in line]

    def add_key(self, *, seals_at: float | None = None) -> None:
        """Put a new key before those that there are; it seals a little later, when all hosts know it."""
        number = len(self._entries) + 1
        since = int(time.time() + _SEALS_AFTER if seals_at is None else seals_at)
        self._entries.insert(0, KeyEntry(f"k{number}", since, raw_key(number)))
        new = self._keys.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text("".join(format_key_line(entry) + "\n" for entry in self._entries), encoding="utf-8")
        new.replace(self._keys)

    def command(self, *words: str) -> str:
        """Give ``oauth2-mw NOUN VERB INI ...`` for the first host. Return what is wrong, if anything.

        It runs in this process: a new one would take seconds to begin where others need the processors too.
        """
        noun, verb, *rest = words
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = main([noun, verb, str(self._ini), *rest])
        return "" if code == 0 else f"oauth2-mw {' '.join(words)}: {code} {said.getvalue()}"


@contextmanager
def hosts(site: Site, folder: Path, settings: Mapping[str, Any]) -> Iterator[Hosts]:
    """Run them until the end of the ``with``.

    :raises ChildFailedError: when one does not start.
    """
    with ExitStack() as stack:
        made = Hosts(site, folder, settings)
        for host in made.all:
            stack.callback(host.close_for_good)
            host.begin()
        for host in made.all:
            host.wait_until_ready()
        yield made
