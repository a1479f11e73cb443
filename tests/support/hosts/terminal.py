"""A command at a terminal, with a person who reads what it asks and types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts.processes import child_environment

#: Makes stdin the terminal of a session of its own, so that Ctrl-C is a signal, and becomes the command. A shell has
#: what it starts in the background ignore that signal, and so would all that the tests start there.
_LAUNCH = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """The terminal of one command that runs."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        #: all that was shown so far
        self.shown = ""
        self._read_up_to = 0

    def wait_for(self, text: str, *, seconds: float = 60) -> str:
        """Read until *text* is shown, behind what was waited for before, and return what stands between."""
        deadline = time.monotonic() + seconds
        while (found := self.shown.find(text, self._read_up_to)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} is not shown: {self.shown[self._read_up_to :]!r}")
        between = self.shown[self._read_up_to : found]
        self._read_up_to = found + len(text)
        return between

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type a line."""
        self.wait_for(question)
        self.press(text + "\n")

    def press(self, keys: str) -> None:
        """Type without an end of the line: ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._descriptor, keys.encode())

    def end(self, *, seconds: float = 60) -> int:
        """Read to the end, and return the exit code."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self._process.wait(timeout=10)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing comes any more: {self.shown!r}")
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # Linux says so when nobody has the other side any more
            data = b""
        self.shown += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


@contextmanager
def at_terminal(
    *words: object, cwd: Path, program: Path | None = None, **variables: str
) -> Iterator[Terminal]:
    """Start ``oauth2-mw`` with these words, and yield its terminal.

    :param program: the installed script, in the place of this checkout.
    :param variables: further ones of the environment.
    """
    ours, its = pty.openpty()
    command = [str(program)] if program is not None else [sys.executable, "-m", "oauth2_mw.cli"]
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _LAUNCH, *command, *map(str, words)],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=cwd,
        env=child_environment({"TERM": "dumb", **variables}),
        start_new_session=True,
    )
    os.close(its)
    try:
        yield Terminal(process, ours)
    finally:
        os.close(ours)
        process.terminate()
        process.wait(timeout=10)
