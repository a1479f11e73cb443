"""The counterparts that npm brings: where they are installed, and how their scripts are started."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.hosts.processes import ROOT, Child

FOLDER = ROOT / "tests" / "integration" / "node"
MODULES = FOLDER / "node_modules"


def start_script(name: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Child:
    """Start a script of ``tests/integration/node`` (or of its packages), relative to that folder."""
    node = shutil.which("node")
    assert node is not None, (
        "Node.js is needed for the integration tests: install it, or run `make check` alone"
    )
    assert MODULES.is_dir(), "the npm packages are not installed: run `make test`, or `npm ci` in " + str(
        FOLDER
    )
    return Child(name, [node, *arguments], env=env, cwd=FOLDER)
