"""The middleware of an application under test: the one that it has, or one that is put in front of it."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from typing import Any
from wsgiref.types import WSGIApplication

from oauth2_mw.layers import layers
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import ProviderSettings, Settings

SettingsSource = Settings | str | os.PathLike[str] | Mapping[str, Any]


def find_middleware(app: object) -> OAuth2Middleware | None:
    """Return the middleware that *app* is or holds, or ``None``; *app* may be a test client."""
    return next((each for each in layers(app) if isinstance(each, OAuth2Middleware)), None)


def guard(app: WSGIApplication, settings: SettingsSource | None) -> tuple[WSGIApplication, OAuth2Middleware]:
    """Return *app* behind a middleware, and that middleware: its own if it has one.

    :param settings: those of an application alone; ``None``: every path is open, at ``http://localhost``.
    :raises TypeError: if *app* is no WSGI application.
    :raises ValueError: for *settings* beside a middleware that has its own.
    :raises ConfigError: if *settings* cannot be used.
    """
    if not callable(app):
        raise TypeError(f"a WSGI application is wanted, and not {type(app).__name__}")
    found = find_middleware(app)
    if found is None:
        found = OAuth2Middleware(app, default_settings() if settings is None else settings)
        return found, found
    if settings is not None:
        raise ValueError("the application is behind the middleware already, which has settings of its own")
    return app, found


def provider_named(settings: Settings, name: str | None) -> ProviderSettings:
    """Return the provider of that NAME, ``None``: the first.

    :raises ValueError: if there is none.
    """
    if not settings.providers:
        raise ValueError("no provider is enabled: nobody can be signed in")
    if name is None:
        return next(iter(settings.providers.values()))
    if name not in settings.providers:
        raise ValueError(
            f"there is no provider {name!r} in the settings, but {', '.join(settings.providers)}"
        )
    return settings.providers[name]


def default_settings(**keys: Any) -> dict[str, Any]:
    """Return settings that need no file, with *keys* in the place of what they name."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    return {
        "public_url": "http://localhost",
        "secret_keys": key,
        "protect": "optional",
        "provider": "Development",
        "issuer": "https://provider.example",
        "client_id": "development",
        "client_secret": secrets.token_urlsafe(32),
        **keys,
    }
