"""A sign-in at the stand-in provider, without the middleware."""

from __future__ import annotations

from typing import Any

from oauth2_mw.provider.client import Authentication, ProviderClient
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.settings.grammar import AttributePath
from oauth2_mw.settings.model import ProviderSettings
from tests.support.providers.standin import StandIn

REDIRECT_URI = "https://app.example/core/auth/oauth2/login/callback/"
VERIFIER = "verifier-0123456789-0123456789-0123456789-abc"


def client_for(settings: ProviderSettings, *, needs: str = "", **options: Any) -> ProviderClient:
    """Return a client with short timeouts.

    :param needs: paths of claims, with spaces between.
    """
    return ProviderClient(
        settings,
        **{
            "redirect_uri": REDIRECT_URI,
            "needs": frozenset(AttributePath.parse(path) for path in needs.split()),
            "timeouts": Timeouts(connect=2, read=5, total=5),
            **options,
        },
    )


def sign_in(provider: StandIn, client: ProviderClient) -> Authentication:
    """Follow the authorization URL of *client* and redeem the code."""
    url = client.authorization_url(state="the-state", nonce="the-nonce", code_verifier=VERIFIER)
    code = provider.follow(url)["code"]
    return client.redeem(code=code, nonce="the-nonce", code_verifier=VERIFIER)
