"""Provider settings for tests that need no INI file around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import make_settings

_DEFAULTS = make_settings(provider="Corp", issuer="https://op.example", client_id="client").providers[
    "default"
]


def provider_settings(**changes: Any) -> ProviderSettings:
    """A provider as the defaults have it, with *changes*."""
    return replace(_DEFAULTS, **changes)


def oidc_settings(provider: StandIn, **changes: Any) -> ProviderSettings:
    """Settings for the stand-in as an OpenID provider."""
    return provider_settings(issuer=provider.issuer, **changes)


def oauth2_settings(provider: StandIn, **changes: Any) -> ProviderSettings:
    """Settings for the stand-in as a plain OAuth 2.0 provider."""
    return provider_settings(
        **{
            "issuer": None,
            "scope": ("user:email",),
            "authorization_endpoint": f"{provider.url}/authorize",
            "token_endpoint": f"{provider.url}/token",
            "userinfo_endpoint": f"{provider.url}/userinfo",
            "subject": AttributePath.parse("id"),
            **changes,
        }
    )
