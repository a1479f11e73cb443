"""Step-up against a certified provider, and another account there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.test_parameters import Stage, make_stage
from tests.support.browser.jar import Browser
from tests.support.hosts.servers import MakeSite, Serve
from tests.support.providers.clients import PASSWORD
from tests.support.providers.oidc_provider import OidcProvider

pytestmark = pytest.mark.integration

TWO_FACTORS = "urn:acme:two-factors"


@pytest.fixture
def stage(oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve) -> Iterator[Stage]:
    stage = make_stage(oidc_provider, make_site(), serve)
    stage.run(access={"rules": f"required /vault/ if acr:{TWO_FACTORS}\nrequired /zoe/ if user:zoë"})
    yield stage


def test_a_person_with_a_second_factor_gets_it_once_and_passes(stage: Stage, browser: Browser) -> None:
    assert stage.sign_in(browser)["user"] == "jane"
    browser.navigate(stage.site.url("/vault/x?y=1"))
    assert browser.origin == stage.provider.issuer
    page = stage.provider.sign_in(browser)
    assert page.url == stage.site.url("/vault/x?y=1")
    assert page.json()["user"] == "jane"
    assert stage.asked("/auth")["query"]["acr_values"] == TWO_FACTORS
    before = len(stage.provider.requests("/auth"))
    assert browser.navigate(stage.site.url("/vault/z")).json()["user"] == "jane"
    assert len(stage.provider.requests("/auth")) == before


def test_a_person_without_one_is_refused_and_stays_signed_in(stage: Stage, browser: Browser) -> None:
    assert stage.sign_in(browser, "zoë")["user"] is not None
    browser.navigate(stage.site.url("/vault/"))
    page = stage.provider.sign_in(browser, "zoë")
    assert page.status == 403
    assert "did not confirm" in page.visible_text
    assert browser.navigate(stage.site.url("/")).status == 200


def test_another_account_is_asked_for_although_the_provider_knows_one(stage: Stage, browser: Browser) -> None:
    assert stage.sign_in(browser)["user"] == "jane"
    page = browser.navigate(stage.site.url("/zoe/"))
    assert page.status == 403
    browser.click("Use another account")
    assert browser.origin == stage.provider.issuer
    browser.submit("password", login="zoë", password=PASSWORD)
    # The provider ends Jane's session first.
    browser.submit("xsrf")
    page = stage.provider.sign_in(browser, "zoë")
    assert page.url == stage.site.url("/zoe/")
    assert page.status == 200
