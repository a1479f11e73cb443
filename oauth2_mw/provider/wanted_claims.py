"""Which claims a sign-in needs or wishes for, beside what is known of a person already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oauth2_mw.provider.claim_sources import with_verification
from oauth2_mw.provider.further_claims import names_elsewhere
from oauth2_mw.settings.attribute_path import AttributePath, alternatives
from oauth2_mw.settings.model import ProviderSettings


@dataclass(frozen=True, slots=True)
class WantedClaims:
    """The claims of one provider to which settings refer."""

    provider: ProviderSettings
    #: without which nobody can be signed in, beside the subject and those that ``allow`` and the rules read
    needs: frozenset[AttributePath]
    #: for which userinfo is worth a request
    wishes: frozenset[AttributePath]

    def needed(self) -> frozenset[AttributePath]:
        """Return what decides now: ``allow`` may stand in a file that has changed."""
        return self.needs | {self.provider.subject} | self.provider.deciding_claims

    def needed_names(self) -> frozenset[str]:
        """Return the names of the claims that decide."""
        return _roots(self.needed())

    def wished_names(self) -> frozenset[str]:
        """Return the names of the claims for which a further address is asked.

        It is asked for the second of several paths as well: userinfo would have given it anyway.
        """
        maps = self.provider.attribute_map.values() if self.provider.has_written_map else ()
        return _roots(self.wishes) | _roots(
            frozenset(each for source in maps for each in alternatives(source))
        )

    def lack_needed(self, known: Mapping[str, Any]) -> bool:
        """Return whether *known* lacks a claim that decides, and that userinfo might give."""
        return self._are_incomplete(known, self.needed())

    def are_worth_a_request(self, known: Mapping[str, Any]) -> bool:
        """Return whether userinfo is asked beside *known*."""
        if self.provider.userinfo != "when-needed":
            return self.provider.userinfo == "always"
        return self._are_incomplete(known, self.needed() | self.wishes)

    def absent_from(self, known: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of the claims that *known* lacks."""
        return _roots(frozenset(path for path in self.needed() | self.wishes if not path.is_settled(known)))

    def _are_incomplete(self, known: Mapping[str, Any], wanted: frozenset[AttributePath]) -> bool:
        known = with_verification(known, self.provider.quirk)
        elsewhere = names_elsewhere(self.provider, known)
        return any(not path.roots <= elsewhere and not path.is_settled(known) for path in wanted)


def _roots(paths: frozenset[AttributePath]) -> frozenset[str]:
    return frozenset(root for path in paths for root in path.roots)
