"""A real nginx ``proxy_cache`` in front: one person's page is kept for nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.caching_app import CLOSED, OPEN
from tests.support.hosts.nginx import caching_proxy
from tests.support.hosts.processes import free_port
from tests.support.hosts.servers import MakeSite, Serve, Site
from tests.support.providers.standin import StandIn

APP = "tests.support.hosts.caching_app:app_factory"
MakeCached = Callable[..., Site]


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as provider:
        yield provider


@pytest.fixture
def cached_site(provider: StandIn, make_site: MakeSite, serve: Serve, tmp_path: Path) -> Iterator[MakeCached]:
    """Starts the application behind a cache; ``shared_caches = None``: without the middleware."""
    with ExitStack() as stack:

        def start(shared_caches: str | None = "refuse", *, obeys_vary: bool = True) -> Site:
            port = free_port()
            site = make_site(public_origin=f"http://127.0.0.1:{port}")
            settings = {
                "issuer": provider.issuer,
                "client_id": provider.client_id,
                "client_secret": provider.client_secret,
                "shared_caches": shared_caches,
            }
            serve(site, None if shared_caches is None else settings, workers=1, app=APP)
            stack.enter_context(
                caching_proxy(
                    tmp_path / "nginx", port=port, application=site.listens_at, obeys_vary=obeys_vary
                )
            )
            return site

        yield start


def signed_in(site: Site, provider: StandIn, name: str) -> Browser:
    provider.claims = {"sub": name}
    provider.userinfo = {"sub": name, "preferred_username": name}
    browser = Browser()
    assert f">{name}<" in browser.navigate(site.url("/")).text
    return browser


def shown(browser: Browser, url: str) -> Page:
    return browser.navigate(url, follow=False)


def from_cache(page: Page) -> bool:
    return page.header("X-Cache") == "HIT"


@pytest.mark.parametrize("obeys_vary", [True, False])
def test_the_application_alone_is_kept_for_everybody(cached_site: MakeCached, *, obeys_vary: bool) -> None:
    site = cached_site(None, obeys_vary=obeys_vary)
    for path in (*CLOSED, *OPEN):
        assert not from_cache(shown(Browser(), site.url(path)))
        assert from_cache(shown(Browser(), site.url(path))), path


@pytest.mark.requirement("R-shared-caches", "V34")
@pytest.mark.parametrize("obeys_vary", [True, False])
@pytest.mark.parametrize("shared_caches", ["refuse", "respect"])
def test_what_one_person_was_shown_is_shown_to_no_other(
    provider: StandIn, cached_site: MakeCached, shared_caches: str, *, obeys_vary: bool
) -> None:
    site = cached_site(shared_caches, obeys_vary=obeys_vary)
    jane, bob = signed_in(site, provider, "jane"), signed_in(site, provider, "bob")
    # Under ``respect`` an application that opens a page to caches has to mean it.
    for path in (*CLOSED, *OPEN) if shared_caches == "refuse" else CLOSED:
        for _ in range(2):
            page = shown(jane, site.url(path))
            assert ">jane<" in page.text
            assert not from_cache(page), path
        page = shown(Browser(), site.url(path))
        assert (page.status, from_cache(page)) == (303, False), path
        page = shown(bob, site.url(path))
        assert ">bob<" in page.text
        assert not from_cache(page), path


@pytest.mark.requirement("R-shared-caches")
def test_under_respect_a_page_that_is_opened_is_kept_for_who_saw_it(
    provider: StandIn, cached_site: MakeCached
) -> None:
    site = cached_site("respect")
    jane, bob = signed_in(site, provider, "jane"), signed_in(site, provider, "bob")
    for path in OPEN:
        shown(jane, site.url(path))
        page = shown(jane, site.url(path))
        assert (">jane<" in page.text, from_cache(page)) == (True, True), path
        # A cache that obeys Vary: Cookie asks for every other cookie, and for none.
        assert ">bob<" in shown(bob, site.url(path)).text
        assert shown(Browser(), site.url(path)).status == 303


@pytest.mark.requirement("R-shared-caches")
def test_under_respect_a_cache_that_passes_over_vary_shows_what_is_opened_to_everybody(
    provider: StandIn, cached_site: MakeCached
) -> None:
    site = cached_site("respect", obeys_vary=False)
    jane = signed_in(site, provider, "jane")
    for path in OPEN:
        shown(jane, site.url(path))
        page = shown(Browser(), site.url(path))
        assert (page.status, from_cache(page)) == (200, True), path
