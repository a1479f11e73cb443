"""The smallest settings that start, for tests that change one thing about them."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.errors import ConfigError
from oauth2_mw.settings.model import Settings
from tests.support.settings.keys import text_key

ORIGIN = "https://app.example"
#: the client secret of the middleware and the stand-in, with what a form encoding changes (RFC 6749, section 2.3.1)
CLIENT_SECRET = "s3cret: %+&ü"


def make_settings(**keys: Any) -> Settings:
    """Settings with what every one needs; a key ``None`` is left out."""
    given = {
        "public_url": ORIGIN,
        "secret_keys": text_key(),
        "client_id": "app",
        "client_secret": CLIENT_SECRET,
        **keys,
    }
    return Settings.from_mapping({name: value for name, value in given.items() if value is not None})


def service(**more: Any) -> dict[str, Any]:
    """What every service has, and no provider."""
    return {"public_url": "https://app.example.com", "secret_keys": text_key(), **more}


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
