"""Child processes: started in a group of their own, awaited with a deadline, stopped by their id."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[3]

#: seconds; generous, because it is only ever reached by a failure
DEADLINE = 60.0
#: lines of output that are kept for failure messages
KEPT_LINES = 2000


class ChildFailedError(AssertionError):
    """A child process ended, or was not ready in time. The message carries what it printed."""


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A small environment: nothing of the developer's shell (proxies, ``OAUTH2_MW_*``) reaches a child."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), **(extra or {})}


def listening_socket(host: str = "127.0.0.1") -> socket.socket:
    """A listening loopback socket on a port that the system picked; a child may inherit it by its number."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, 0))
    sock.listen(128)
    sock.set_inheritable(True)
    return sock


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, for children that can neither pick one nor inherit a socket.

    Nobody else is given it before the child takes it, or while the child is being started again: it is none of those
    that the system picks by itself (32768 and more), none of another process of the tests, and none a second time.
    """
    for port in _PORTS:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock, suppress(OSError):
            sock.bind((host, port))
            return port
    raise AssertionError("unreachable: they begin again")


def _ports_of(worker: str) -> Iterator[int]:
    """For ever the ports of one of eight processes that pytest-xdist starts, from anywhere among them.

    Browsers refuse 10080, and a Redis cluster wants the one that is 10,000 higher, too.
    """
    ports = range(11_000 + int(worker.removeprefix("gw")) % 8, 20_000, 8)
    start = secrets.randbelow(len(ports))
    return cycle([*ports[start:], *ports[:start]])


_PORTS = _ports_of(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))


class Child:
    """One running process and everything it has printed."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self._changed = threading.Condition()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._ended = False
        # The open stdin is how our own scripts notice that the tests are gone, however they ended.
        self._process = subprocess.Popen(
            [str(part) for part in command],
            env=child_environment(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far, both streams together."""
        with self._changed:
            return "\n".join(self._lines)

    @property
    def running(self) -> bool:
        return self._process.returncode is None and not self._has_ended()

    def wait_for_line(self, pattern: str, *, deadline: float = DEADLINE) -> re.Match[str]:
        """The first line that matches, once it is there."""
        expression = re.compile(pattern)
        until = time.monotonic() + deadline
        with self._changed:
            while True:
                for line in self._lines:
                    if found := expression.search(line):
                        return found
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._changed.wait(left)
        raise self._failure("ended" if self._ended else f"was not ready within {deadline:.0f} s")

    def wait_until(self, ready: Callable[[], object], *, deadline: float = DEADLINE) -> None:
        """Ask until ``ready`` answers something true; a refused connection means "not yet"."""
        until = time.monotonic() + deadline
        pause = 0.01
        while True:
            with suppress(OSError):
                if ready():
                    return
            if not self.running:
                raise self._failure("ended")
            if time.monotonic() >= until:
                raise self._failure(f"was not ready within {deadline:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def wait(self, *, deadline: float = DEADLINE) -> int:
        """Its exit status, once it has ended by itself."""
        try:
            status = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise self._failure(f"was still running after {deadline:.0f} s") from None
        self._reader.join(deadline)
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone (to its group: :meth:`kill`)."""
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and its children at once, as a crash would."""
        if self._process.returncode is None:
            self._kill_group()
            self._process.wait()

    def stop(self, *, grace: float = 5.0) -> None:
        """Ask it to end, then end what is left of its group. Does nothing the second time."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            until = time.monotonic() + grace
            while not self._has_ended() and time.monotonic() < until:
                time.sleep(0.01)
            # Before it is reaped its id cannot belong to anybody else.
            self._kill_group()
            self._process.wait()
        self._reader.join(grace)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not (stream is self._process.stdout and self._reader.is_alive()):
                with suppress(OSError):
                    stream.close()

    def _has_ended(self) -> bool:
        if self._process.returncode is not None:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:
            return True

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _failure(self, what: str) -> ChildFailedError:
        return ChildFailedError(
            f"{self.name} (process {self.pid}) {what}. It printed:\n{self.output or '(nothing)'}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
