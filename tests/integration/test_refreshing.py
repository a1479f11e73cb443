"""Refreshing and revoking at a certified provider, which rotates refresh tokens and notices their second use."""

from __future__ import annotations

from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.client import Authentication, ProviderClient
from oauth2_mw.settings.grammar import AttributePath, Secret
from tests.support.browser.jar import Browser
from tests.support.hosts.wsgi_thread import serve
from tests.support.providers.clients import AuthMethod
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.settings.providers import provider_settings

VERIFIER = "verifier-0123456789-0123456789-0123456789-abc"


def signed_in(
    provider: OidcProvider, browser: Browser, method: AuthMethod = "client_secret_basic"
) -> tuple[ProviderClient, Authentication]:
    """A client with the refresh token of a person who has just signed in."""

    def application(_environ: object, start_response: object) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])  # type: ignore[operator]
        return [b"back"]

    with serve(application) as origin:
        registered = provider.register([f"{origin}/callback"], auth_method=method)
        client = ProviderClient(
            provider_settings(
                issuer=provider.issuer,
                client_id=registered.client_id,
                client_secret=Secret.literal(registered.client_secret),
                client_auth_method=method,
                scope=("openid", "email", "offline_access"),
                prompt="consent",
                auth_params=MappingProxyType({}),
            ),
            redirect_uri=f"{origin}/callback",
            needs=frozenset({AttributePath.parse("email")}),
        )
        browser.navigate(
            client.authorization_url(state="the-state", nonce="the-nonce", code_verifier=VERIFIER)
        )
        back = parse_qs(urlsplit(provider.sign_in(browser).url).query)
    return client, client.redeem(code=back["code"][0], nonce="the-nonce", code_verifier=VERIFIER)


@pytest.mark.requirement("F7", "X2")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_a_certified_provider_takes_and_replaces_a_refresh_token(
    oidc_provider: OidcProvider, browser: Browser, method: AuthMethod
) -> None:
    client, authentication = signed_in(oidc_provider, browser, method)
    token = authentication.tokens.refresh_token or ""
    auth_time = authentication.claims.get("auth_time")
    tokens = set()
    for _ in range(3):
        refreshed = client.refresh(
            token,
            subject=authentication.subject,
            auth_time=auth_time,
            id_token=authentication.tokens.id_token,
        )
        assert refreshed.claims is not None
        assert (refreshed.claims["sub"], refreshed.claims["email"]) == (
            authentication.subject,
            authentication.claims["email"],
        )
        assert refreshed.tokens.id_token
        token = refreshed.tokens.refresh_token or token
        tokens.add(token)
    assert method != "none" or len(tokens) == 3


@pytest.mark.requirement("N2.5.11")
def test_a_certified_provider_notices_a_second_use(oidc_provider: OidcProvider, browser: Browser) -> None:
    # Without a secret, for then it rotates whatever the age of the token.
    client, authentication = signed_in(oidc_provider, browser, "none")
    token = authentication.tokens.refresh_token or ""
    successor = (
        client.refresh(token, subject=authentication.subject, auth_time=None).tokens.refresh_token or ""
    )
    assert successor != token
    for each in (token, successor):
        with pytest.raises(ProviderError) as refusal:
            client.refresh(each, subject=authentication.subject, auth_time=None)
        assert refusal.value.code == "invalid_grant"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_a_certified_provider_takes_a_token_back(
    oidc_provider: OidcProvider, browser: Browser, method: AuthMethod
) -> None:
    client, authentication = signed_in(oidc_provider, browser, method)
    token = authentication.tokens.refresh_token or ""
    assert client.revoke(token, kind="refresh_token") is True
    assert client.revoke(token, kind="refresh_token") is True
    with pytest.raises(ProviderError) as refusal:
        client.refresh(token, subject=authentication.subject, auth_time=None)
    assert refusal.value.code == "invalid_grant"
