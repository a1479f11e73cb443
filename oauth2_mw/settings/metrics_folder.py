"""The folder into which the processes of a server write what they count: is it there, and of this run?

A file of the server before would be added to what this one counts. A worker that has ended leaves its files, so that
their process being gone tells nothing: what is older than the server itself is another's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

#: What prometheus_client reads it from, when it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_PID = re.compile(r"_([0-9]+)\.db")
#: Seconds by which clocks of files and of processes may differ.
_TOLERANCE = 2.0


def folder_warning(environ: Mapping[str, str]) -> str | None:
    """Return what an operator should know of the folder that the environment names, if there is something."""
    name = environ.get(FOLDER)
    if not name:
        return (
            f"metrics: {FOLDER} is not set here: with several workers each answer holds the counts of one of them; see "
            "samples/monitoring"
        )
    folder = Path(name)
    if not folder.is_dir():
        return f"metrics: the folder {name} of {FOLDER} is missing: make it before the server starts"
    files = {file: int(found[1]) for file in folder.glob("*.db") if (found := _PID.search(file.name))}
    started = min(filter(None, map(_server_start, {*files.values()})), default=None)
    if started is None or all(_modified(file) >= started - _TOLERANCE for file in files):
        return None
    return (
        f"metrics: files in {name} are older than the server, so that the counts of another run are added to its own: "
        "empty the folder before each start, see samples/monitoring"
    )


def _server_start(worker: int) -> float | None:
    """Return when the parent of a worker that lives began, in seconds since the epoch; ``None`` if that is unknown."""
    try:
        parent = _stat(worker)[1]
        # What a service manager has started has that for its parent: the worker is then the server itself.
        ticks = int(_stat(int(parent) if int(parent) > 1 else worker)[19])
        booted = next(
            line
            for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()
            if line.startswith("btime ")
        )
        return int(booted.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _stat(pid: int) -> list[str]:
    # The name in parentheses may hold blanks, and parentheses of its own (proc_pid_stat(5)).
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        # It was removed meanwhile.
        return float("inf")
