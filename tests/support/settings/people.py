"""Providers and attributes for tests of the directory, with everything given that a test does not care about."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from typing import Any

from oauth2_mw.identity.mapping import Attributes
from oauth2_mw.settings.ini import Settings
from oauth2_mw.settings.model import ProviderSettings

ISSUER = "https://op.example"
#: 2026-01-01, in seconds since the epoch
NOW = 1767225600


def provider(**changes: Any) -> ProviderSettings:
    """The provider ``corp`` of an operator who wrote the least, with *changes*."""
    settings = Settings.from_mapping(
        {
            "public_url": "http://localhost:8000",
            "secret_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "provider:corp": {"provider": "Corp", "issuer": ISSUER, "client_id": "app", "client_secret": "x"},
        }
    )
    return replace(settings.providers["corp"], **changes)


def attributes(username: str = "jane", **others: Any) -> Attributes:
    """What a sign-in brought."""
    return Attributes(username=username, **others)
