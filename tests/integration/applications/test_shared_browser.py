"""One browser and two people, in front of real applications that trust a session of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser.chromium import sign_in_at_oidc_provider
from tests.support.hosts.servers import MakeSite, Site, serve
from tests.support.providers.oidc_provider import OidcProvider

from .known import KNOWN

#: milliseconds until a page shows who it is: pgAdmin's scripts take their time
SHOWN_WITHIN = 30_000


Serving = Callable[[Site, Path, Mapping[str, str]], AbstractContextManager[object]]


@dataclass(frozen=True)
class Tried:
    """An application, and where it does what every application of its kind does."""

    #: serves it
    serving: Serving
    #: the cookies of its own that it sets on the way
    cookies: frozenset[str]
    #: where it reads ``REMOTE_USER``
    login: str
    #: what to click, one after the other, to sign out
    logout: tuple[str, ...]
    #: finds what it calls the person
    name: str


@contextmanager
def serving_django(site: Site, folder: Path, settings: Mapping[str, str]) -> Iterator[object]:
    """Serve a Django project that reads the name at its login alone, which the sample does not."""
    written = {"app_cookies": "sessionid csrftoken", "app_logout_paths": "POST:/logout/", **settings}
    app = "tests.integration.applications.django_project:app_factory"
    env = {"DJANGO_DATABASE": str(folder / "django.db")}
    with serve(site, folder, written, workers=1, app=app, env=env) as running:
        yield running


DJANGO = Tried(
    serving_django,
    frozenset({"sessionid", "csrftoken"}),
    login="/",
    logout=("button",),
    name="p",
)
APPBUILDER = Tried(
    KNOWN["appbuilder"].serving,
    frozenset({"session"}),
    login="/login/",
    logout=(".navbar-right .dropdown-toggle:has(.fa-user)", "a[href='/logout/']"),
    name=".navbar-right .dropdown-toggle:has(.fa-user)",
)
TRAC = Tried(
    KNOWN["trac"].serving,
    frozenset({"trac_auth", "trac_form_token"}),
    login="/login",
    logout=("#logout button",),
    name=".trac-author-user",
)
PGADMIN = Tried(
    KNOWN["pgadmin"].serving,
    frozenset({"pga4_session"}),
    login="/",
    logout=("[data-test=loggedin-username]", "text=Logout"),
    name="[data-test=loggedin-username]",
)


@pytest.fixture(
    params=[DJANGO, APPBUILDER, TRAC, PGADMIN], ids=["Django", "Flask-AppBuilder", "Trac", "pgAdmin"]
)
def tried(request: pytest.FixtureRequest) -> Tried:
    tried: Tried = request.param
    return tried


@pytest.fixture
def served(tried: Tried, oidc_provider: OidcProvider, make_site: MakeSite, tmp_path: Path) -> Iterator[Site]:
    site = make_site()
    client = oidc_provider.register(
        [site.redirect_uri], post_logout_redirect_uris=[site.post_logout_redirect_uri]
    )
    oidc_provider.add_account("bob", sub="u-bob", preferred_username="bob", name="bob")
    with tried.serving(site, tmp_path, oidc_provider.settings(client)):
        yield site


@pytest.mark.requirement("R-app-cookies")
@pytest.mark.requirement("R-app-logout")
def test_after_the_applications_own_button_the_next_person_is_who_they_are(
    tried: Tried, served: Site, chromium_page: Page
) -> None:
    page = chromium_page
    page.goto(served.url(tried.login))
    sign_in_at_oidc_provider(page)
    expect(page.locator(tried.name)).to_contain_text("jane", ignore_case=True, timeout=SHOWN_WITHIN)

    for clicked in tried.logout:
        page.locator(clicked).click()
    # The provider asks; then it leads back to where the application wanted to go, which needs a sign-in.
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("input[name=login]")).to_be_visible()
    assert own_cookies(page, served, tried) == set()

    sign_in_at_oidc_provider(page, "bob")
    page.goto(served.url(tried.login))
    expect(page.locator(tried.name)).to_contain_text("bob", timeout=SHOWN_WITHIN)


@pytest.mark.requirement("R-app-cookies")
def test_a_session_that_was_left_behind_is_nobodys(tried: Tried, served: Site, chromium_page: Page) -> None:
    page = chromium_page
    page.goto(served.url(tried.login))
    sign_in_at_oidc_provider(page)
    expect(page.locator(tried.name)).to_contain_text("jane", ignore_case=True, timeout=SHOWN_WITHIN)
    left_behind: list[Any] = page.context.cookies(served.public_url)

    # Our session and the provider's have ended. What is the application's is still there, and so is what says whose.
    page.context.clear_cookies()
    page.context.add_cookies([cookie for cookie in left_behind if cookie["name"] != "oauth2_mw"])
    assert len(own_cookies(page, served, tried)) == 2 * len(tried.cookies)
    page.goto(served.url(tried.login))
    sign_in_at_oidc_provider(page, "bob")
    expect(page.locator(tried.name)).to_contain_text("bob", timeout=SHOWN_WITHIN)


def own_cookies(page: Page, site: Site, tried: Tried) -> set[str]:
    """The names of the cookies that are the application's, and of ours that say whose they are."""
    names = {cookie.get("name", "") for cookie in page.context.cookies(site.public_url)}
    return {name for name in names if name in tried.cookies or "-o-" in name}
