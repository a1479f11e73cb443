"""Provider settings for tests that need no INI file around them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from oauth2_mw.settings.grammar import AttributePath, Secret
from oauth2_mw.settings.model import ProviderSettings
from tests.support.providers.standin import StandIn


def provider_settings(**changes: Any) -> ProviderSettings:
    """A provider as the defaults have it, with *changes*."""
    values: dict[str, Any] = {
        "name": "default",
        "label": "Corp",
        "client_id": "client",
        "client_secret": Secret.literal("s3cret: %+&ü"),
        "client_auth_method": "client_secret_basic",
        "client_key": None,
        "scope": ("openid", "profile", "email"),
        "issuer": "https://op.example",
        "authorization_endpoint": None,
        "token_endpoint": None,
        "userinfo_endpoint": None,
        "logout_endpoint": None,
        "jwks_uri": None,
        "attribute_map": MappingProxyType({"username": AttributePath.parse("preferred_username")}),
        "subject": AttributePath.parse("sub"),
        "username_prefix": "",
        "username_transform": (),
        "icon": None,
        "organization": ("DEFAULT",),
        "always_update": True,
        "group_sync": "first",
        "sync_logout": True,
        "pkce": True,
        "algorithms": None,
        "leeway": 60,
        "response_mode": "query",
        "prompt": None,
        "max_age": None,
        "acr_values": (),
        "ui_locales": None,
        "auth_params": MappingProxyType({}),
        "session_lifetime": 8 * 3600,
        "session_idle": 3600,
        "refresh_failure": "end",
        "ca_bundle": None,
        "proxy": None,
        "trust_env": False,
        "quirk": None,
        "public": False,
    }
    return ProviderSettings(**{**values, **changes})


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
