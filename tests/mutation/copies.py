"""A copy of the repository in which something is broken, and its tests are run.

Each run is a fork of a process that has imported the libraries already, so that it costs the tests and little more.
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
#: What a copy needs to run tests.
_COPIED = (
    "oauth2_mw",
    "tests",
    "benchmarks",
    "tools",
    "docs",
    "samples",
    "setup.py",
    "pyproject.toml",
    "README.rst",
    "CHANGES.rst",
)
_NOT_COPIED = ("__pycache__", ".*", "*.egg-info")
#: Too large to copy, and changed by nobody.
_LINKED = Path("tests/integration/node/node_modules")
#: Octets of address space; a fault may collect for ever.
_MOST_MEMORY = 4 * 1024**3
#: Where a machine has it, databases of tests need not wait for a disk.
_IN_MEMORY = Path("/dev/shm")
_OURS = ("oauth2_mw", "tests", "tools", "benchmarks", "samples", "conftest")


@contextmanager
def copy_of_the_repository() -> Iterator[Path]:
    """A folder that nobody else works in."""
    with TemporaryDirectory(prefix="oauth2_mw-mutation-") as folder:
        copy = Path(folder)
        left_out = shutil.ignore_patterns(_LINKED.name, *_NOT_COPIED)
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=left_out)
            else:
                shutil.copy(ROOT / name, copy / name)
        if (ROOT / _LINKED).is_dir():
            (copy / _LINKED).symlink_to(ROOT / _LINKED)
        yield copy


@contextmanager
def broken(files: Mapping[Path, str]) -> Iterator[None]:
    """Give files another content for a while."""
    before = {path: (path.read_bytes(), path.stat()) for path in files}
    try:
        for path, code in files.items():
            path.write_text(code, encoding="utf-8")
        yield
    finally:
        for path, (content, status) in before.items():
            path.write_bytes(content)
            # What was compiled of it is believed again.
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def in_fork(copy: Path, run: Callable[[], int], *, limit: int, is_broken: bool) -> int | None:
    """Return what *run* returns in a process that imports our code from the copy, or ``None`` if it takes too long.

    :param copy: the folder of :func:`copy_of_the_repository`.
    :param limit: seconds of processor time; a fault may run for ever. Waiting may take three times as long.
    :param is_broken: whether compiled files are of no use to a later run.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _prepare(copy, limit, is_broken=is_broken)
            code = run()
        finally:
            os._exit(code)
    deadline = time.monotonic() + 3 * limit
    try:
        while time.monotonic() < deadline:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                child = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return None
    finally:
        if child:
            # It may have processes of its own, and nobody waits for them when we are stopped.
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _prepare(copy: Path, limit: int, *, is_broken: bool) -> None:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    os.chdir(copy)
    sys.path[:] = [str(copy), *(each for each in sys.path if Path(each).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    importlib.invalidate_caches()
    # A compiled file is believed by its date and size, and faults of one size come many in a second.
    sys.dont_write_bytecode = is_broken
    # The same for the processes that tests start.
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "quick"}
    if _IN_MEMORY.is_dir():
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_IN_MEMORY)


def run_pytest(*arguments: str, plugins: Iterable[object] = ()) -> int:
    """Run tests in the process of :func:`in_fork`; the exit code of pytest."""
    import pytest

    return int(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments], list(plugins)))


def imported() -> list[str]:
    """The modules that this process has imported, without our own."""
    return [name for name in sys.modules if name.partition(".")[0] not in _OURS]


def import_again(names: Iterable[str]) -> None:
    """What the tests have imported is there before they are forked."""
    for name in names:
        # Some modules are not imported by their names.
        with suppress(Exception):
            importlib.import_module(name)
