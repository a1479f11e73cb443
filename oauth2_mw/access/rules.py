"""Which paths are public: the setting ``public_paths``."""

from __future__ import annotations

from oauth2_mw.boundary import is_ambiguous_path
from oauth2_mw.settings.grammar import PathRule


class PublicPaths:
    """The paths that need no sign-in. It is called for every request, so the rules are sorted once.

    :param rules: ``public_paths``; without any, no path is public.
    """

    def __init__(self, rules: tuple[PathRule, ...]) -> None:
        self._subtrees = tuple(rule.native for rule in rules if rule.native.endswith("/"))
        self._exact = frozenset(rule.native for rule in rules) - frozenset(self._subtrees)

    def __call__(self, path: str) -> bool:
        """Return whether a path is public. Neither the query nor a header has a say.

        :param path: ``PATH_INFO`` as it came.
        """
        # Few paths match, so the costly question comes last.
        return (path in self._exact or path.startswith(self._subtrees)) and not is_ambiguous_path(path)
