"""WebTest and the fixtures, with any WSGI application."""

from collections.abc import Callable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from webtest import TestApp

from oauth2_mw.testing import DevelopmentProvider


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, " + environ["REMOTE_USER"].encode("latin-1")]


def test_the_whole_way(
    oauth2_mw_provider: DevelopmentProvider, oauth2_mw_sign_in: Callable[..., object]
) -> None:
    client = TestApp(oauth2_mw_provider.protect(app, protect="required"))
    client.get("/", status=401)
    oauth2_mw_sign_in(client, username="jane")
    assert client.get("/").text == "Hello, jane"


@pytest.mark.oauth2_mw_provider(down=True)
def test_the_provider_is_away(
    oauth2_mw_provider: DevelopmentProvider, oauth2_mw_sign_in: Callable[..., TestApp]
) -> None:
    client = TestApp(oauth2_mw_provider.protect(app))
    assert oauth2_mw_sign_in(client).status_int == 503
    oauth2_mw_provider.down = False
    assert oauth2_mw_sign_in(client).text == "Hello, jane"
