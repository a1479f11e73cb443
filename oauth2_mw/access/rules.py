"""Which paths need nobody: the setting ``public_paths``."""

from __future__ import annotations

from oauth2_mw.boundary import is_odd_path
from oauth2_mw.settings.grammar import PathRule


class PublicPaths:
    """Whether a path needs nobody; called for every request, so the rules are sorted once."""

    def __init__(self, rules: tuple[PathRule, ...]) -> None:
        """
        :param rules: ``public_paths``; without any, no path is public.
        """
        self._subtrees = tuple(rule.native for rule in rules if rule.native.endswith("/"))
        self._exact = frozenset(rule.native for rule in rules) - frozenset(self._subtrees)

    def __call__(self, path: str) -> bool:
        """
        :param path: ``PATH_INFO`` as it came. Neither the query nor a header has a say.
        """
        # Few paths match, so the costly question comes last.
        return (path in self._exact or path.startswith(self._subtrees)) and not is_odd_path(path)
