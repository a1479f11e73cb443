"""The setting ``signout_file``: sign-outs that could not be told yet, where the death of a worker does not lose them.

A line for each, which all workers of a host append and read. The file is never rewritten, so that a crash cannot lose a
line: it is emptied when a worker has told everything that is in it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from oauth2_mw.audit import audit
from oauth2_mw.encoding import MAX_NUMBER

#: Octets that the file may have; beyond that nothing is added.
MAX_BYTES = 1024 * 1024
#: Seconds that a worker waits for its turn.
LOCK_WAIT = 1.0
_KINDS = ("session:", "user:")
_MAX_NAME = 200

_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a session, or of a user's sessions up to a moment. Times are in seconds since the epoch."""

    #: ``session:ID`` or ``user:USERID``
    name: str
    #: of a user: up to when the sessions that end were issued
    moment: int
    #: until when it must be remembered
    expires: int


class SignoutFile:
    """The file at *path*. What goes wrong with it is said in the audit log (``signout_file_unusable``)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: what the file looked like when it was read last: time of change, size, inode
        self._read_mark: _Mark | None = None

    def add(self, ending: Ending) -> None:
        """Write one down, and wait until the disk has it."""
        line = f"{ending.name} {ending.moment} {ending.expires}\n".encode("ascii")
        try:
            with self._opened(os.O_RDWR | os.O_APPEND | os.O_CREAT) as descriptor:
                size = os.fstat(descriptor).st_size
                if size + len(line) > MAX_BYTES:
                    raise OSError(f"it has {MAX_BYTES} octets already")
                is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, b"\n" + line if is_cut else line)
                os.fsync(descriptor)
        except OSError as error:
            self._audit(error)

    def read_new(self) -> list[Ending]:
        """Return all that wait in the file, or nothing if it has not changed since the last time."""
        try:
            if self._mark(self._path.lstat()) == self._read_mark:
                return []
            with self._opened(os.O_RDONLY) as descriptor:
                mark = self._mark(os.fstat(descriptor))
                octets = os.read(descriptor, MAX_BYTES)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._audit(error)
            return []
        self._read_mark = mark
        # A line that a crash has cut off was not yet acknowledged, and any other that is none of ours ends nobody.
        endings = [_parse(line) for line in octets.decode("ascii", "replace").splitlines()]
        return [ending for ending in endings if ending is not None]

    def clear(self) -> None:
        """Empty the file, unless somebody has added to it since :meth:`read_new`."""
        if self._read_mark is None or not self._read_mark[1]:
            return
        with suppress(OSError), self._opened(os.O_RDWR) as descriptor:
            if self._mark(os.fstat(descriptor)) == self._read_mark:
                os.ftruncate(descriptor, 0)
                self._read_mark = self._mark(os.fstat(descriptor))

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        """Open the file for this worker alone.

        :raises OSError: also when another holds it for long, and when others than its owner could write to it.
        """
        descriptor = os.open(self._path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                raise OSError("it must be a regular file that its owner alone may read and write (chmod 600)")
            until = time.monotonic() + LOCK_WAIT
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.01)
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    def _mark(status: os.stat_result) -> _Mark:
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _audit(self, error: OSError) -> None:
        audit("signout_file_unusable", detail=f"{self._path}: {error.strerror or error}")


def _parse(line: str) -> Ending | None:
    match line.split(" "):
        case [name, moment, expires] if (
            name.startswith(_KINDS)
            and name.isprintable()
            and len(name) <= _MAX_NAME
            and all(number.isdigit() and len(number) < 20 for number in (moment, expires))
            and max(int(moment), int(expires)) <= MAX_NUMBER
        ):
            return Ending(name, int(moment), int(expires))
    return None
