"""What the package imports is what it declares, and a floor is declared for each."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import oauth2_mw
from tests.support.lowest import metadata
from tests.support.pythons import read
from tests.support.source import nodes_of, trees

ROOT = Path(__file__).parents[1]
SETUP = metadata(str(ROOT / "setup.py"))
_PYTHON = "Programming Language :: Python :: "
RUNTIME = {canonicalize_name(Requirement(line).name): Requirement(line) for line in SETUP["install_requires"]}
#: An extra, and the part of the package that may import what it brings.
EXTRAS = {
    "sql": ("sql/", "identity/", "credentials/", "session/stores/sql", "cli/online/stores.py"),
    "redis": ("session/stores/redis/",),
    "jmespath": ("settings/jmes_path.py",),
    "prometheus": ("prometheus.py",),
    "otel": ("tracing.py",),
    "completion": ("cli/main.py",),
    "test-core": ("testing/plugin.py",),
}


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level modules that a file imports, wherever in it."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def foreign() -> Iterator[tuple[str, str]]:
    """Every file of the package with every distribution that it imports from."""
    distributions = packages_distributions()
    for file, tree in trees().items():
        for module in sorted(set(imported(tree)) - sys.stdlib_module_names - {"oauth2_mw", "_typeshed"}):
            yield file, canonicalize_name(min(distributions[module]))


def test_what_is_imported_is_declared() -> None:
    for file, distribution in foreign():
        allowed = set(RUNTIME)
        for extra, places in EXTRAS.items():
            if file.startswith(places):
                lines = SETUP["extras_require"][extra]
                allowed |= {canonicalize_name(Requirement(line).name) for line in lines}
        assert distribution in allowed, file


def test_nothing_is_declared_that_is_not_imported() -> None:
    assert set(RUNTIME) <= {distribution for _, distribution in foreign()}


@pytest.mark.parametrize("requirement", RUNTIME.values(), ids=str)
def test_a_requirement_has_a_floor_and_no_ceiling(requirement: Requirement) -> None:
    assert [specifier.operator for specifier in requirement.specifier] == [">="]


def test_no_version_of_python_is_claimed_that_the_tests_were_not_run_under() -> None:
    claimed = {line.rpartition(" ")[2] for line in SETUP["classifiers"] if line.startswith(_PYTHON + "3.")}
    assert claimed
    assert claimed <= {run.version for run in read()}, "run make test-pythons"


def test_the_package_knows_its_version() -> None:
    assert SETUP["version"] == oauth2_mw.__version__
