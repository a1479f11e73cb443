"""Print the lowest versions that ``setup.py`` allows, as constraints for pip (``make test-lowest``).

The extras of the tests are left out: an operator never installs them, so their floors promise nothing.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from typing import Any

import setuptools
from packaging.requirements import Requirement


def metadata(setup_py: str) -> dict[str, Any]:
    """What ``setup.py`` hands to ``setup()``, without building anything."""
    captured: dict[str, Any] = {}
    original = setuptools.setup
    setuptools.setup = captured.update
    try:
        runpy.run_path(setup_py)
    finally:
        setuptools.setup = original
    return captured


def floors(arguments: dict[str, Any]) -> Iterator[str]:
    """One ``name==version`` for every requirement that has a floor."""
    extras = arguments.get("extras_require", {})
    wanted = [
        *arguments["install_requires"],
        *(line for name in extras if name not in ("test", "test-core") for line in extras[name]),
    ]
    for requirement in sorted({Requirement(line) for line in wanted}, key=lambda each: each.name.lower()):
        for specifier in requirement.specifier:
            if specifier.operator == ">=":
                yield f"{requirement.name}=={specifier.version}"


if __name__ == "__main__":
    print("\n".join(dict.fromkeys(floors(metadata(sys.argv[1])))))
