"""Strangers who invent codes do not keep the provider busy, and keep nobody else out."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import Deploy
from tests.support.hosts.servers import MakeSite, Site
from tests.support.providers.oidc_provider import OidcProvider

#: one that connects by itself, while the proxy connects from 127.0.0.1
STRANGER = "127.0.0.2"
PAIRS = 300


@pytest.mark.requirement("R-calls")
def test_three_hundred_invented_codes_are_thirty_token_requests(
    oidc_provider: OidcProvider, make_site: MakeSite, deploy: Deploy
) -> None:
    site = make_site()
    issuer = oidc_provider.issuer
    client = oidc_provider.register([site.redirect_uri])
    settings = {
        **oidc_provider.settings(client),
        "public_url": site.public_url,
        "trusted_peers": "127.0.0.1",
    }
    deployed = deploy(site, settings, hosts=1, workers=1, threads=8)
    oidc_provider.forget_requests()
    with ThreadPoolExecutor(16) as threads:
        answers = Counter(threads.map(lambda number: _invent(site, issuer, number), range(PAIRS)))
    assert len(oidc_provider.requests("/token")) == 30
    # On a busy machine one may wait too long for a place.
    assert answers[502] == 30
    assert answers.keys() <= {429, 502, 503}
    assert deployed.log.count("code=login_tries") == 1
    browser = Browser(headers={"X-Forwarded-For": "203.0.113.7"})
    browser.navigate(site.url("/"))
    assert oidc_provider.sign_in(browser).json()["user"] == "jane"


def _invent(site: Site, issuer: str, number: int) -> int:
    """Begin a sign-in, answer it with an invented code, and return the status."""
    listens_at = urlsplit(site.listens_at)
    connection = HTTPConnection(
        listens_at.hostname or "", listens_at.port, timeout=30, source_address=(STRANGER, 0)
    )
    try:
        connection.request("GET", urlsplit(site.own_url("login/default/")).path)
        begun = connection.getresponse()
        begun.read()
        state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
        cookie = begun.headers["Set-Cookie"].partition(";")[0]
        query = urlencode({"state": state, "iss": issuer, "code": f"invented-{number}"})
        connection.request("GET", f"{urlsplit(site.redirect_uri).path}?{query}", headers={"Cookie": cookie})
        return connection.getresponse().status
    finally:
        connection.close()
