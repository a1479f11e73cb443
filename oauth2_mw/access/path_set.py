"""A set of paths that path rules name, outside ``[access] rules``."""

from __future__ import annotations

from collections.abc import Iterable

from oauth2_mw.boundary import is_ambiguous_path, path_readings
from oauth2_mw.settings.grammar import PathRule


class PathSet:
    """The paths at which something is granted, so that one that can be read in several ways is in it in none.

    :param paths: a subtree has its own path without the slash in it too, which many applications take for the same.
    :param odd_paths: in these subtrees such a path is in the set if every reading of it is.
    """

    def __init__(self, paths: Iterable[PathRule], *, odd_paths: Iterable[PathRule] = ()) -> None:
        rules = tuple(paths)
        self._subtrees = tuple(rule.native for rule in rules if rule.is_subtree)
        self._exact = frozenset(rule.native.rstrip("/") or "/" for rule in rules)
        self._odd_paths = tuple(path.native for path in odd_paths)

    def __contains__(self, path: str) -> bool:
        """Return whether a path is in the set.

        :param path: ``PATH_INFO``, a native string (PEP 3333).
        """
        if not path or not is_ambiguous_path(path):
            return self._names(path or "/")
        readings = path_readings(path) if path.startswith(self._odd_paths) else frozenset()
        return bool(readings) and all(map(self._names, readings))

    def _names(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._subtrees)
