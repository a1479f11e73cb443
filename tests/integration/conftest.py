"""The real counterparts as fixtures: each starts once a session, when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page as ChromiumPage

from tests.support.browser.chromium import chromium as start_chromium
from tests.support.browser.chromium import installation as find_chromium
from tests.support.browser.jar import Browser
from tests.support.hosts.deployment import Deploy, Deployment
from tests.support.hosts.deployment import deployment as start_deployment
from tests.support.hosts.servers import Application, MakeSite, Serve, SettingsMapping, Site
from tests.support.hosts.servers import serve as start_application
from tests.support.hosts.servers import site as reserve_site
from tests.support.providers.dot_provider import DotProvider
from tests.support.providers.dot_provider import dot_provider as start_dot_provider
from tests.support.providers.github import GitHub
from tests.support.providers.github import github as start_github
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.oidc_provider import oidc_provider as start_oidc_provider

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def browser() -> Browser:
    """A browser that has never been anywhere."""
    return Browser()


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    """npm ``oidc-provider``: OpenID Connect, certified."""
    with start_oidc_provider() as provider:
        yield provider


@pytest.fixture
def make_site() -> Iterator[MakeSite]:
    """Reserves addresses for applications, until the end of the test."""
    with ExitStack() as stack:

        def make(mount: str = "", **options: Any) -> Site:
            return stack.enter_context(reserve_site(mount, **options))

        yield make


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts the sample application behind the middleware, until the end of the test."""
    with ExitStack() as stack:

        def start(site: Site, settings: SettingsMapping | None, **options: Any) -> Application:
            folder = tmp_path / f"site-{urlsplit(site.listens_at).port}"
            return stack.enter_context(start_application(site, folder, settings, **options))

        yield start


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Deploy]:
    """Starts the sample application on several hosts, until the end of the test."""
    with ExitStack() as stack:

        def start(site: Site, settings: SettingsMapping, **options: Any) -> Deployment:
            folder = tmp_path / f"site-{urlsplit(site.listens_at).port}"
            return stack.enter_context(start_deployment(site, folder, settings, **options))

        yield start


@pytest.fixture(scope="session")
def dot_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DotProvider]:
    """django-oauth-toolkit: plain OAuth 2.0, no ID tokens, numeric ids."""
    with start_dot_provider(tmp_path_factory.mktemp("dot")) as provider:
        yield provider


@pytest.fixture(scope="session")
def github() -> Iterator[GitHub]:
    """npm ``emulate``: GitHub's web flow."""
    with start_github() as provider:
        yield provider


@pytest.fixture
def chromium_page() -> Iterator[ChromiumPage]:
    """A page of a real Chromium, started for this test: npm's build does not survive the end of a context."""
    with start_chromium(find_chromium()) as running:
        # In the C locale Chromium names a language that scripts cannot read.
        yield running.new_context(locale="en-GB").new_page()
