"""Runs the tests of one module in a copy of the repository, once for every fault.

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
#: What a copy needs to run tests.
_COPIED = ("oauth2_mw", "tests", "setup.py", "pyproject.toml", "README.rst")
_NOT_COPIED = ("node_modules", "__pycache__", ".*", "*.egg-info")
#: Octets of address space; a fault may collect for ever.
_MOST_MEMORY = 4 * 1024**3
_OURS = ("oauth2_mw", "tests", "conftest")


class BrokenTestsError(Exception):
    """The tests fail without a fault, or pass with one that nothing survives."""


@contextmanager
def copy_of_the_repository() -> Iterator[Path]:
    """A folder that nobody else works in."""
    with TemporaryDirectory(prefix="oauth2_mw-mutation-") as folder:
        copy = Path(folder)
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(*_NOT_COPIED))
            else:
                shutil.copy(ROOT / name, copy / name)
        yield copy


class Runner:
    """Judges the faults of one module.

    :param copy: the folder of :func:`copy_of_the_repository`.
    :param path: the module, from there.
    :param tests: the test files that must notice, from there.
    :raises BrokenTestsError: at construction.
    """

    def __init__(self, copy: Path, path: str, tests: tuple[str, ...]) -> None:
        self._copy = copy
        self._path = copy / path
        self._tests = tests
        self.source = self._path.read_text(encoding="utf-8")
        imported = copy / "imported.txt"
        if not self._passes(600, imports=imported):
            raise BrokenTestsError(f"the tests of {path} fail without a fault")
        for name in imported.read_text(encoding="utf-8").split():
            _import_again(name)
        for compiled in self._path.parent.glob(f"__pycache__/{self._path.stem}.*.pyc"):
            compiled.unlink()
        begin = time.process_time()
        start = time.monotonic()
        if not self._passes(600):
            raise BrokenTestsError(f"the tests of {path} do not pass twice")
        #: seconds that a run takes
        self.usual = max(time.monotonic() - start, time.process_time() - begin)
        if self.survives("raise RuntimeError\n"):
            raise BrokenTestsError(f"the tests do not import {path} from the copy")

    def survives(self, code: str) -> bool:
        """Whether all tests pass with that code in place of the module's."""
        self._path.write_text(code, encoding="utf-8")
        try:
            return self._passes(round(10 + 5 * self.usual))
        finally:
            self._path.write_text(self.source, encoding="utf-8")

    def _passes(self, limit: int, *, imports: Path | None = None) -> bool:
        """
        :param limit: seconds of processor time; a fault may run for ever. Waiting may take three times as long.
        :param imports: where to write which modules the tests imported.
        """
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = self._run(limit, imports)
            finally:
                os._exit(code)
        deadline = time.monotonic() + 3 * limit
        try:
            while time.monotonic() < deadline:
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid:
                    child = 0
                    return status == 0
                time.sleep(0.01)
            return False
        finally:
            if child:
                # It may have processes of its own, and nobody waits for them when we are stopped.
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def _run(self, limit: int, imports: Path | None) -> int:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        os.chdir(self._copy)
        sys.path[:] = [str(self._copy), *(each for each in sys.path if Path(each).resolve() != ROOT)]
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
            del sys.modules[name]
        importlib.invalidate_caches()
        # A compiled file is believed by its date and size, and faults of one size come many in a second.
        sys.dont_write_bytecode = imports is None
        os.environ["HYPOTHESIS_PROFILE"] = "quick"
        import pytest

        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *self._tests]))
        if imports is not None:
            names = (name for name in sys.modules if name.partition(".")[0] not in _OURS)
            imports.write_text("\n".join(names), encoding="utf-8")
        return code


def _import_again(name: str) -> None:
    """What the tests have imported is there before they are forked."""
    # Some modules are not imported by their names.
    with suppress(Exception):
        importlib.import_module(name)
