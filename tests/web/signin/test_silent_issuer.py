"""A whole sign-in at a provider whose issuer's host accepts connections and never answers."""

from __future__ import annotations

from tests.support.hosts.guarded import guarded, is_signed_in, signed_in
from tests.support.providers.raw_server import raw_server, silence
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN


def test_with_all_endpoints_written_nobody_waits_for_the_issuers_host() -> None:
    with (
        raw_server(silence) as silent,
        StandIn(client_id="app", client_secret=CLIENT_SECRET, claims={"iss": silent.origin}) as provider,
        guarded(
            issuer=silent.origin,
            authorization_endpoint=f"{provider.url}/authorize",
            token_endpoint=f"{provider.url}/token",
            userinfo_endpoint=f"{provider.url}/userinfo",
            jwks_uri=f"{provider.url}/jwks",
            logout_endpoint=f"{provider.url}/end_session",
        ) as site,
    ):
        browser = signed_in(site)
        assert is_signed_in(browser, site)
        page = browser.navigate(f"{ORIGIN}/auth/oauth2/logout/", initiator=ORIGIN, follow=False)
        assert (page.location or "").startswith(f"{provider.url}/end_session")
        assert not is_signed_in(browser, site)
    assert silent.requests == []
