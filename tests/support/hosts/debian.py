"""Programs that Debian alone has. Where one is not installed it is fetched without root, and started from there.

``apt-get`` works with lists of its own and the sources of this machine, downloads the package with all that it depends
on and that is not installed, and ``dpkg -x`` unpacks them under ``build/debian``, once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.hosts.processes import ROOT

FETCHED = ROOT / "build" / "debian"
#: seconds for one call; the largest package with what it needs takes a minute
_DEADLINE = 600


class FetchError(AssertionError):
    """A package could not be fetched. The message carries what the command printed."""


@dataclass(frozen=True)
class Program:
    """A program, and what it wants in its environment."""

    executable: Path
    env: Mapping[str, str] = field(default_factory=dict)


def find(package: str, path: str, *more: str) -> Program:
    """Return a program of a package, fetched if it is not installed.

    :param path: where the package has it, like ``usr/sbin/nginx``.
    :param more: packages that it does not depend on, and that are needed for what it is to do.
    :raises FetchError: when it cannot be had.
    """
    installed = Path("/") / path
    if installed.exists():
        return Program(installed)
    root = FETCHED / package
    with one_at_a_time():
        if not root.is_dir():
            _fetch([package, *more], root)
    folders = sorted({str(file.parent) for file in root.glob("**/lib*.so*")})
    return Program(root / path, {"LD_LIBRARY_PATH": os.pathsep.join(folders)} if folders else {})


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one process at a time fetch or unpack a program: tests run in several."""
    FETCHED.mkdir(parents=True, exist_ok=True)
    with (FETCHED / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(packages: Sequence[str], root: Path) -> None:
    # Under another name first: an interrupted unpacking must not look like a package.
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=FETCHED))
    try:
        apt = _apt(FETCHED / "apt")
        _run([*apt, "update"], cwd=partial)
        plan = _run([*apt, "--simulate", "--no-install-recommends", "install", *packages], cwd=partial)
        needed = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        _run([*apt, "download", *needed], cwd=partial)
        for archive in partial.glob("*.deb"):
            _run(["dpkg", "-x", archive, partial / "root"], cwd=partial)
        (partial / "root").rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _apt(folder: Path) -> list[str]:
    """Return the beginning of a command line that leaves the machine's own lists and archives alone."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State": folder / "state",
        # What is installed need not be fetched.
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
        "Debug::NoLocking": "1",
        # As root apt would download as a user who may not write here.
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]


def _run(command: Sequence[str | Path], *, cwd: Path) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            # A proxy of this machine is apt's business, too.
            env={**os.environ, "LC_ALL": "C"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"{command[0]} cannot be used to fetch a package: {error}") from error
    if done.returncode != 0:
        raise FetchError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout
