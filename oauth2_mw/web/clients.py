"""The clients of the configured providers, each built when it is first needed."""

from __future__ import annotations

from typing import Any

from oauth2_mw.identity.verification import verification_claims
from oauth2_mw.process_local import ProcessLock
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.http.kept_connections import KeptConnections
from oauth2_mw.settings.attribute_path import AttributePath, alternatives
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.web.http.urls import Urls


class ProviderClients:
    """One client for each provider of one application."""

    def __init__(self, settings: Settings, urls: Urls) -> None:
        self._settings = settings
        self._urls = urls
        self._clients: dict[str, ProviderClient] = {}
        self._building = ProcessLock()
        self._connections = KeptConnections[Any]()

    def get(self, name: str) -> ProviderClient:
        """Return the client of the provider of that NAME, built once."""
        with self._building:
            if name not in self._clients:
                self._clients[name] = make_client(
                    self._settings.providers[name],
                    self._settings,
                    redirect_uri=self._urls.callback(name),
                    connections=self._connections,
                )
            return self._clients[name]


def make_client(
    provider: ProviderSettings,
    settings: Settings,
    *,
    redirect_uri: str,
    connections: KeptConnections[Any] | None = None,
) -> ProviderClient:
    """Return a client of a provider that asks for what the settings read."""
    return ProviderClient(
        provider,
        redirect_uri=redirect_uri,
        insecure_http=settings.insecure_http,
        needs=_needed_claims(provider),
        wishes=_wished_claims(settings, provider),
        refresh_timeout=settings.refresh_timeout,
        max_calls=settings.provider_calls,
        connections=connections,
    )


def _needed_claims(provider: ProviderSettings) -> frozenset[AttributePath]:
    """Return the claims without which nobody has a name here."""
    return frozenset({alternatives(provider.attribute_map["username"])[0]}) | verification_claims(provider)


def _wished_claims(settings: Settings, provider: ProviderSettings) -> frozenset[AttributePath]:
    """Return the claims for which userinfo is worth a request, although a sign-in works without them.

    Of our own map that is so for two fields alone: few providers have the others.
    """
    handed_on = provider.attribute_map.keys() if provider.has_written_map else {"name", "email"}
    fields = {*handed_on, *settings.environ.values()}
    # Of several paths for a field the first counts, so that it must be known before another one does.
    mapped = {alternatives(source)[0] for field, source in provider.attribute_map.items() if field in fields}
    return frozenset({*mapped, *settings.environ_claims})
