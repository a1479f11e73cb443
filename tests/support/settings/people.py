"""Providers and attributes for tests of the directory, with everything given that a test does not care about."""

from __future__ import annotations

from typing import Any

from oauth2_mw.identity.mapping import Attributes
from oauth2_mw.settings.model import ProviderSettings
from tests.support.settings.providers import provider_settings

ISSUER = "https://op.example"
#: 2026-01-01, in seconds since the epoch
NOW = 1767225600


def provider(**changes: Any) -> ProviderSettings:
    """The provider ``corp`` of an operator who wrote the least, with *changes*."""
    return provider_settings(**{"name": "corp", "issuer": ISSUER, **changes})


def attributes(username: str = "jane", **others: Any) -> Attributes:
    """What a sign-in brought."""
    return Attributes(username=username, **others)
