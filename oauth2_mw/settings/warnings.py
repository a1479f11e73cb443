"""Warnings about settings that are allowed and seldom meant."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from oauth2_mw.boundary import normalised_key
from oauth2_mw.settings import presets
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import Settings


def warnings(settings: Settings) -> tuple[str, ...]:
    """Return the warnings, a sentence each."""
    return tuple(_warnings(settings))


def _warnings(settings: Settings) -> Iterator[str]:
    groups = [str(term) for term in settings.allow or () if term.field == "group"]
    for name, provider in settings.providers.items():
        if groups and settings.directory is not None and provider.group_sync == "first":
            yield (
                f"allow: {' '.join(groups)} reads the directory's groups, which under group_sync = first (provider "
                f"{name}) never follow the provider's: write group_sync = always, or keep them by hand"
            )
        if settings.allow is None and not provider.public and provider.user_issuer in _public_issuers():
            yield f"provider {name}: anyone on earth can join {provider.user_issuer}; write allow to say who may enter"
        for key, secret in (("client_secret", provider.client_secret), ("client_key", provider.client_key)):
            if secret is not None and _open_to_all(secret):
                yield f"{key} of provider {name}: every user of this machine can read {secret.path}"
    if _open_to_all(settings.secret_keys):
        yield f"secret_keys: every user of this machine can read {settings.secret_keys.path}"
    if any(rule.text == "/" for rule in settings.public_paths):
        yield "public_paths: / makes every path public; protect = optional says the same more plainly"
    for target in settings.environ:
        if normalised_key(target).startswith("HTTP_X_FORWARDED_") and not normalised_key(target).endswith(
            "_USER"
        ):
            yield f"[environ] {target}: applications take that header for the proxy's word about the connection"
    if "refresh" in settings.keep_tokens and settings.session is None and settings.directory is None:
        yield (
            "keep_tokens: with refresh and sessions in cookies alone, two workers may use one refresh token at a time, "
            "which many providers take for theft, and end the sign-in: write a directory, or a store in session"
        )
    if settings.insecure_http:
        yield "insecure_http: passwords and sessions may cross the network in the clear"
    if not settings.providers:
        yield "no provider is enabled: protected paths answer 503"


def _public_issuers() -> Collection[str]:
    return {issuer for name in presets.names() for issuer in presets.read(name, Path()).public}


def _open_to_all(secret: Secret) -> bool:
    try:
        return secret.path is not None and bool(secret.path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
