"""The code of the package as syntax trees: reading all of it takes longer than most rules about it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

PACKAGE = Path(__file__).parents[2] / "oauth2_mw"


@cache
def trees() -> Mapping[str, ast.Module]:
    """Every module of the package by its path in it, such as ``web/site.py``."""
    return MappingProxyType(
        {
            path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
            for path in sorted(PACKAGE.rglob("*.py"))
        }
    )


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """The tree and all that is below it: each of a dozen rules looks at all of them."""
    return tuple(ast.walk(tree))
