"""The smallest settings that start, for tests that change one thing about them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from oauth2_mw.errors import ConfigError
from oauth2_mw.settings.ini import Settings

KEY = bytes.fromhex("9d4f1c0be7a25386d1f0b97e2c4a68531be09d77f4c8a1365e02cb94af6d7813")
OTHER_KEY = bytes(reversed(KEY))


def key_text(key: bytes = KEY) -> str:
    """A key as a setting spells it."""
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def service(**more: Any) -> dict[str, Any]:
    """What every service has, and no provider."""
    return {"public_url": "https://app.example.com", "secret_keys": key_text(), **more}


def oidc(**more: Any) -> dict[str, Any]:
    """The keys of an OpenID Connect provider."""
    return {"issuer": "https://id.example.com", "client_id": "app", "client_secret": "s3cret", **more}


def oauth(**more: Any) -> dict[str, Any]:
    """The keys of a plain OAuth 2.0 provider."""
    return {
        "authorization_endpoint": "https://id.example.com/authorize",
        "token_endpoint": "https://id.example.com/token",
        "userinfo_endpoint": "https://id.example.com/user",
        "client_id": "app",
        "client_secret": "s3cret",
        **more,
    }


def problems(mapping: dict[str, Any], **more: Any) -> list[str]:
    """The problems of settings that must not start, as lines."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_mapping(mapping, **more)
    return [str(problem) for problem in caught.value.problems]


def only_problem(mapping: dict[str, Any], **more: Any) -> str:
    """The one problem of settings that must not start."""
    found = problems(mapping, **more)
    assert len(found) == 1, found
    return found[0]
