"""A deep link under a real server, whose PATH_INFO no longer shows how the browser wrote the path."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.hosts.servers import ServerName, serve
from tests.support.hosts.servers import site as reserve_site
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("mount", ["", "/core"])
@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
def test_a_deep_link_comes_back_octet_by_octet(tmp_path: Path, server: ServerName, mount: str) -> None:
    """The one tells the address as it came in ``RAW_URI``, the other in ``REQUEST_URI``."""
    link = "/a%2Fb//c?x=%ff"
    with StandIn(client_id="app") as provider, reserve_site(mount) as site:
        keys = {"issuer": provider.issuer, "client_id": "app", "client_secret": CLIENT_SECRET}
        with serve(site, tmp_path, keys, server=server, workers=1):
            browser = site.browser()
            page = browser.navigate(site.url(link))
            assert page.json()["user"] == "jane"
            locations = [step.location for step in browser.steps if step.location is not None]
            assert locations[-1] == site.url(link)


def test_an_address_of_two_slashes_stays_on_this_host(tmp_path: Path) -> None:
    """gunicorn's own reading of it is an address of another host."""
    with StandIn(client_id="app") as provider, reserve_site() as site:
        keys = {"issuer": provider.issuer, "client_id": "app", "client_secret": CLIENT_SECRET}
        with serve(site, tmp_path, keys, workers=1):
            connection = HTTPConnection(urlsplit(site.listens_at).netloc, timeout=10)
            connection.request("GET", "//evil.example/a%2Fb", headers={"Accept": "text/html"})
            answer = connection.getresponse()
            answer.read()
            cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
            query = provider.follow(answer.getheader("Location") or "")
            connection.request(
                "GET",
                "/auth/oauth2/login/callback/?" + urlencode(query),
                headers={"Accept": "text/html", "Cookie": cookie},
            )
            answer = connection.getresponse()
            assert answer.getheader("Location") == site.url("//evil.example/a%2Fb")
            connection.close()
