"""The way to a provider under real servers: its connections are kept, close at random, crawl, and lead elsewhere."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings.model import Settings
from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import children_of
from tests.support.hosts.servers import Application, MakeSite, Serve, Site, new_key
from tests.support.hosts.wsgi_thread import serve as serve_in_thread
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.relay import Fickle, Relay, calm, relay, slow, trickle

#: How gunicorn is started.
SERVERS = ["-k sync --preload", "-k gthread --threads 4", "-k gevent", "-k gevent --preload"]


def settings_of(provider: OidcProvider, site: Site, way: Relay) -> dict[str, Any]:
    client = provider.register([site.redirect_uri])
    return {**provider.settings(client), **way.settings()}


def sign_in(provider: OidcProvider, url: str) -> Browser:
    browser = Browser()
    browser.navigate(url)
    page = provider.sign_in(browser)
    assert (page.status, page.json()["user"]) == (200, "jane"), browser.transcript
    return browser


def holders(app: Application, port: int) -> list[int]:
    """The processes of the server that have the socket open which is at this port of loopback."""
    inodes = {
        f"socket:[{line.split()[9]}]"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if int(line.split()[1].partition(":")[2], 16) == port
    }
    master = app.process.pid
    found = []
    for pid in (master, *children_of(master)):
        opened = set()
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                opened.add(str(descriptor.readlink()))
            except OSError:
                continue
        if opened & inodes:
            found.append(pid)
    return found


@pytest.mark.parametrize("options", SERVERS)
def test_each_worker_keeps_a_connection_of_its_own_for_many_sign_ins(
    options: str, oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve
) -> None:
    site = make_site()
    with relay(oidc_provider.issuer, calm) as way:
        app = serve(site, settings_of(oidc_provider, site, way), env={"GUNICORN_CMD_ARGS": options})
        for _ in range(12):
            sign_in(oidc_provider, app.url("/"))
        passages = list(way.passages)
        assert len(way.requests()) == 24
        # One for each worker, and another where a connection had been idle for a second when a code was to be sent.
        assert len(passages) < 12, [passage.requests for passage in passages]
        held = [holders(app, passage.port) for passage in passages]
        workers = children_of(app.process.pid)
    assert any(held)
    for pids in held:
        assert len(pids) <= 1
        assert set(pids) <= set(workers)


@pytest.mark.parametrize("options", SERVERS)
def test_everybody_is_signed_in_although_connections_close_at_random(
    options: str, oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve
) -> None:
    site, mood = make_site(), Fickle(seed=7)
    with relay(oidc_provider.issuer, mood) as way:
        app = serve(site, settings_of(oidc_provider, site, way), env={"GUNICORN_CMD_ARGS": options})
        for _ in range(20):
            sign_in(oidc_provider, app.url("/"))
    assert mood.lost > 3
    assert len(way.passages) < len(way.requests())


def test_everybody_is_signed_in_by_a_slow_provider(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve
) -> None:
    site = make_site()
    with relay(oidc_provider.issuer, slow) as way:
        app = serve(site, settings_of(oidc_provider, site, way), workers=1)
        for _ in range(3):
            sign_in(oidc_provider, app.url("/"))
    assert len(way.passages) < len(way.requests()) == 6


@pytest.mark.parametrize("preload", ["", "--preload"])
def test_under_gevent_a_crawling_provider_is_given_up_in_time_and_delays_nobody_else(
    preload: str, oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve
) -> None:
    site = make_site()
    with relay(oidc_provider.issuer, calm) as way:
        settings = settings_of(oidc_provider, site, way)
        app = serve(site, settings, workers=1, env={"GUNICORN_CMD_ARGS": f"-k gevent {preload}"})
        known = sign_in(oidc_provider, app.url("/"))
        way.mood = trickle
        late, begun = Browser(), len(way.requests())
        late.navigate(app.url("/"))
        waiting = threading.Thread(target=oidc_provider.sign_in, args=(late,))
        waiting.start()
        app.process.wait_until(lambda: len(way.requests()) > begun)
        for _ in range(20):
            assert known.navigate(app.url("/")).json()["user"] == "jane"
        assert waiting.is_alive()
        waiting.join(60)
    assert late.page is not None
    assert late.page.status == 503
    assert "within 15 seconds" in app.log


def test_a_provider_that_moves_to_another_address_is_followed(
    oidc_provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, at = socket.getaddrinfo, list[int]()

    def resolve_provider(host: str, *given: Any, **options: Any) -> list[Any]:
        if host != "op.example":
            return resolve(host, *given, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in at]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_provider)
    with relay(oidc_provider.issuer, calm) as old, relay(oidc_provider.issuer, calm) as new:
        made: list[OAuth2Middleware] = []

        def app(environ: Any, start_response: Any) -> Any:
            return made[0](environ, start_response)

        def page(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b'{"user": "%s"}' % environ["REMOTE_USER"].encode()]

        with serve_in_thread(app) as origin:
            client = oidc_provider.register([f"{origin}/auth/oauth2/login/callback/"])
            settings = {
                "public_url": origin,
                "secret_keys": new_key(),
                "insecure_http": "true",
                **oidc_provider.settings(client),
                "token_endpoint": "http://op.example/token",
                "userinfo_endpoint": "http://op.example/me",
            }
            made.append(OAuth2Middleware(page, Settings.from_mapping(settings)))
            for now in (old, old, new, new, old):
                at[:] = [int(now.origin.rpartition(":")[2])]
                before = len(now.requests())
                sign_in(oidc_provider, f"{origin}/")
                assert len(now.requests()) == before + 2
    assert len(old.passages) + len(new.passages) <= 5
