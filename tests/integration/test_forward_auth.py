"""A real nginx and a real Caddy ask before they let anybody pass, as the samples configure them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.asking_proxies import asking_caddy, asking_nginx
from tests.support.hosts.processes import free_port
from tests.support.hosts.servers import Application, MakeSite, Serve, Site
from tests.support.hosts.wsgi_thread import serve as serve_wsgi
from tests.support.providers.standin import StandIn

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

RULES = """
public   /public/
denied   /internal/
required POST /forms/ if group:editors
required /admin/ if group:admins
"""
PROXIES = {
    "nginx": (asking_nginx, "X-Original-Method X-Original-URI"),
    "caddy": (asking_caddy, "X-Forwarded-Method X-Forwarded-Uri X-Forwarded-Host"),
}
PERSON = {"Accept": "text/html,*/*;q=0.1"}
PROGRAM = {"Accept": "*/*"}
#: What a client writes that would like to be let in, or to be somebody else.
FORGED = {
    "X-Original-Method": "GET",
    "X-Original-URI": "/public/x",
    "X-Original-URL": "http://127.0.0.1/public/x",
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Uri": "/public/x",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-For": "198.51.100.66",
    "Forwarded": "for=198.51.100.66",
    "X-Auth-Request-User": "root",
    "X-Auth-Request-Email": "root@evil.example",
    "X-Auth-Request-Groups": "admins",
    "X-Auth-Request-Preferred-Username": "root",
    "X-Auth-Request-Name": "root",
}
EACH_FORGED: tuple[dict[str, str], ...] = (FORGED, *({name: value} for name, value in FORGED.items()))


@dataclass
class Asking:
    """A proxy, what it asks, and what it protects."""

    site: Site
    gateway: Application
    #: the requests that came through
    passed: list[dict[str, Any]]

    def send(
        self, path: str, headers: Mapping[str, str] = PERSON, *, method: str = "GET", body: bytes = b""
    ) -> tuple[int, str, str]:
        """Send what no browser would, and return status, ``Location`` and body."""
        connection = HTTPConnection(urlsplit(self.site.origin).netloc, timeout=10)
        connection.request(method, path, body or None, dict(headers))
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers.get("Location", ""), text


@pytest.fixture(params=sorted(PROXIES))
def asking(
    request: pytest.FixtureRequest, make_site: MakeSite, serve: Serve, tmp_path: Path
) -> Iterator[Asking]:
    start, headers = PROXIES[request.param]
    port = free_port()
    passed: list[dict[str, Any]] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        told = {key: value for key, value in environ.items() if key.startswith("HTTP_X_AUTH")}
        target = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        passed.append({"target": target, "told": told, "body": environ["wsgi.input"].read(length).decode()})
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(passed[-1]).encode()]

    with StandIn() as provider, serve_wsgi(application) as behind:
        provider.claims = {"sub": "42", "name": "Jané, Doe"}
        provider.userinfo = {"sub": "42", "preferred_username": "jané", "groups": ["staff", "a,b"]}
        site = make_site(public_origin=f"http://127.0.0.1:{port}")
        settings = {
            "issuer": provider.issuer,
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "trusted_peers": "127.0.0.1",
            "forward_auth_headers": headers,
            "access": {"rules": RULES},
        }
        gateway = serve(site, settings, workers=1)
        with start(tmp_path / request.param, port=port, gateway=site.listens_at, application=behind):
            yield Asking(site, gateway, passed)


def signed_in(asking: Asking) -> Browser:
    browser = Browser()
    page = browser.navigate(asking.site.url("/wiki/a?b=1"))
    assert page.json()["target"] == "GET /wiki/a?b=1"
    return browser


def cookies(browser: Browser) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar)


@pytest.mark.requirement("R-forward-auth", "3e.6")
def test_a_person_signs_in_through_the_proxy_and_the_application_is_told(asking: Asking) -> None:
    browser = signed_in(asking)
    told = asking.passed[-1]["told"]
    assert {key: value.encode("latin-1").decode() for key, value in told.items() if value} == {
        "HTTP_X_AUTH_REQUEST_USER": "jané",
        "HTTP_X_AUTH_REQUEST_PREFERRED_USERNAME": "jané",
        "HTTP_X_AUTH_REQUEST_NAME": "Jané, Doe",
        "HTTP_X_AUTH_REQUEST_GROUPS": "staff,a%2Cb",
    }
    assert browser.fetch(asking.site.url("/wiki")).status == 200
    status, _, text = asking.send("/wiki", {"Cookie": cookies(browser)}, method="POST", body=b"a=1")
    assert (status, json.loads(text)["body"]) == (200, "a=1")


def test_who_is_not_signed_in_reaches_nothing(asking: Asking) -> None:
    before = len(asking.passed)
    login = asking.site.own_url("login/")
    for method in ("GET", "HEAD"):
        assert asking.send("/wiki", method=method)[:2] == (303, f"{login}?next=/wiki")
    # No sign-in leads back to the address of a form.
    assert asking.send("/wiki", method="POST", body=b"a=1")[:2] == (303, login)
    assert asking.send("/wiki", PROGRAM)[0] == 401
    assert asking.send("/wiki", PROGRAM, method="PUT", body=b"x" * 100_000)[0] == 401
    assert len(asking.passed) == before


@pytest.mark.requirement("R-forward-auth")
def test_what_a_client_forges_gets_nobody_in(asking: Asking) -> None:
    assert asking.send("/public/x", FORGED)[0] in (200, 403)
    assert all(not any(each["told"].values()) for each in asking.passed)
    asking.passed.clear()
    for headers in EACH_FORGED:
        assert asking.send("/wiki", headers)[0] in (401, 403), headers
        assert asking.send("/internal/x", headers)[0] == 403, headers
        assert asking.send("/wiki", headers, method="POST", body=b"a")[0] in (401, 403), headers
    assert asking.passed == []


@pytest.mark.requirement("R-forward-auth", "3e.6")
def test_what_a_client_forges_makes_it_nobody_else(asking: Asking) -> None:
    cookie = {"Cookie": cookies(signed_in(asking))}
    for forged in EACH_FORGED:
        headers = {**forged, **cookie}
        asking.passed.clear()
        for path, user in (("/wiki", "jané"), ("/public/x", "")):
            status, _, text = asking.send(path, headers)
            assert status == 200
            told = json.loads(text)["told"]
            assert told.get("HTTP_X_AUTH_REQUEST_USER", "").encode("latin-1").decode() == user
            assert not any("root" in value or "admins" in value for value in told.values()), headers
        assert asking.send("/admin/", headers)[0] == 403
        assert asking.send("/forms/x", headers, method="POST", body=b"a")[0] == 403
    assert "198.51.100.66" not in asking.gateway.log
    assert "address=127.0.0.1" in asking.gateway.log


@pytest.mark.parametrize(
    "path",
    [
        "/public/../internal/",
        "/public/%2e%2e/internal/",
        "/public//x",
        "/public/x;a",
        "/public/%5c",
        "/public/%ff",
    ],
)
def test_an_odd_path_is_refused(asking: Asking, path: str) -> None:
    assert asking.send(path)[0] in (400, 403)
    assert asking.send(path, {"Cookie": cookies(signed_in(asking))})[0] in (400, 403)
    assert all(each["target"] == "GET /wiki/a?b=1" for each in asking.passed)


def test_a_sign_out_counts_for_the_proxy(asking: Asking) -> None:
    browser = signed_in(asking)
    copied = {**PROGRAM, "Cookie": cookies(browser)}
    assert asking.send("/wiki", copied)[0] == 200
    browser.navigate(asking.site.own_url("logout/"))
    assert asking.send("/wiki", copied)[0] == 401
