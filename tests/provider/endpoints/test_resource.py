"""An access token goes over https, and over plain http to this machine alone, whatever the environment says."""

from __future__ import annotations

import pytest
from oauthlib.oauth2 import InsecureTransportError

from oauth2_mw.provider.endpoints.resource import ResourceSession
from tests.support.providers.raw_server import raw_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@pytest.fixture(params=["without the switch", "with the switch"], autouse=True)
def _switch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pgAdmin sets as soon as it is imported."""
    if request.param == "with the switch":
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_resource_on_this_machine_gets_the_token(host: str) -> None:
    with raw_server(OK) as server:
        session = ResourceSession("at-1")
        url = f"http://{host}:{server.port}/resource"
        assert session.get(url, headers={"X-Own": "1"}).text == "ok"
        assert session.post(url, data={"a": "b"}).text == "ok"
        assert session.get(url, withhold_token=True).text == "ok"
    got, posted, without = server.requests
    assert b"Authorization: Bearer at-1\r\n" in got
    assert b"X-Own: 1\r\n" in got
    assert posted.startswith(b"POST /resource ")
    assert b"Authorization: Bearer at-1\r\n" in posted
    assert b"Authorization" not in without


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/",
        "HTTP://api.example/",
        " http://api.example/",
        "\thttp://api.example/",
        "http://127.0.0.1.api.example/",
        "http://127.0.0.1@api.example/",
        "http://10.0.0.1/",
        "http:///x",
        "//api.example/",
        "api.example",
        "ftp://api.example/",
        "",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(InsecureTransportError):
        ResourceSession("at-1").get(url)


def test_the_token_does_not_follow_a_redirect_to_another_host() -> None:
    with raw_server(OK) as other:
        away = f"HTTP/1.1 302 Found\r\nLocation: {other.origin}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with raw_server(away.encode()) as server:
            assert ResourceSession("at-1").get(server.origin + "/").text == "ok"
    assert b"Authorization" in server.requests[0]
    assert b"Authorization" not in other.requests[0]
