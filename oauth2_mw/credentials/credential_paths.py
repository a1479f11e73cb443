"""Where the credentials serve that programs send."""

from __future__ import annotations

from dataclasses import dataclass

from oauth2_mw.access.path_set import PathSet
from oauth2_mw.settings.model import Settings


@dataclass(frozen=True, slots=True)
class CredentialPaths:
    """The paths of one application at which it takes something else than a session."""

    personal_tokens: PathSet
    access_tokens: PathSet

    @classmethod
    def of(cls, settings: Settings) -> CredentialPaths:
        """Return what the settings say."""
        odd_paths = settings.odd_paths
        return cls(
            PathSet(settings.personal_tokens, odd_paths=odd_paths),
            PathSet(settings.bearer_paths, odd_paths=odd_paths),
        )
