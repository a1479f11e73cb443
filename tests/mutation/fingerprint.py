"""What a score was measured on: a short hash of a module and of the tests that must notice its faults.

A change of a comment, a docstring or blank lines changes no behaviour, and so not the hash; any other does. It is made
of source text, so that every version of Python makes the same one.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.security.core import CORE, PACKAGE

_DIGITS = 10


def fingerprint(module: str, root: Path = PACKAGE.parent) -> str:
    """The hash of a module of the core and its tests, as they are now: ten hexadecimal digits.

    :param root: the folder of the repository.
    """
    return of_files(root / name for name in (f"{PACKAGE.name}/{module}.py", *CORE[module]))


def of_files(paths: Iterable[Path]) -> str:
    """The hash of source files, in that order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(statements(path.read_text(encoding="utf-8")).encode() + b"\0")
    return digest.hexdigest()[:_DIGITS]


@cache
def statements(source: str) -> str:
    """Source text without comments, docstrings and blank lines."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            match node.body:
                case [ast.Expr(ast.Constant(str())) as docstring, *_]:
                    first, last = docstring.lineno - 1, docstring.end_lineno or docstring.lineno
                    lines[first:last] = [""] * (last - first)
    return "\n".join(line.rstrip() for line in lines if line.strip())
