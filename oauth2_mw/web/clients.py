"""The clients of the configured providers, each built when it is first needed."""

from __future__ import annotations

import threading

from oauth2_mw.identity.verification import verification_claims
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.settings.attribute_path import AttributePath, alternatives
from oauth2_mw.settings.model import ProviderSettings, Settings
from oauth2_mw.web.http.urls import Urls


class ProviderClients:
    """One client for each provider of one application."""

    def __init__(self, settings: Settings, urls: Urls) -> None:
        self._settings = settings
        self._urls = urls
        self._clients: dict[str, ProviderClient] = {}
        self._building = threading.Lock()

    def get(self, name: str) -> ProviderClient:
        """Return the client of the provider of that NAME, built once."""
        with self._building:
            if name not in self._clients:
                provider = self._settings.providers[name]
                self._clients[name] = ProviderClient(
                    provider,
                    redirect_uri=self._urls.callback(name),
                    insecure_http=self._settings.insecure_http,
                    needs=_required_claims(self._settings, provider),
                )
            return self._clients[name]


def _required_claims(settings: Settings, provider: ProviderSettings) -> frozenset[AttributePath]:
    """Return the claims that settings refer to: where the ID token lacks one of them, userinfo is requested."""
    # Of several paths for a field the first counts, so that it must be known before another one does.
    paths = {alternatives(source)[0] for source in provider.attribute_map.values()}
    paths |= {provider.subject, *settings.environ_claims}
    paths |= verification_claims(provider)
    for term in provider.allow.terms() if provider.allow is not None else ():
        if term.field == "claim":
            paths.add(term.claim()[0])
        elif term.field in ("email", "email_domain"):
            paths.add(AttributePath.parse("email_verified"))
    return frozenset(paths)
