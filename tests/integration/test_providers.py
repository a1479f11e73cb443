"""The other kinds of provider, each for real: plain OAuth 2.0, GitHub's web flow, and answers of older fashions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.processes import free_port
from tests.support.hosts.servers import MakeSite, Serve
from tests.support.providers.dot_provider import DotProvider
from tests.support.providers.github import GitHub
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.oidc_provider import oidc_provider as start
from tests.support.providers.standin import StandIn

# django-oauth-toolkit: no ID token, a numeric id


def test_plain_oauth_2_signs_in_by_userinfo(
    dot_provider: DotProvider, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    site = make_site()
    client = dot_provider.register([site.redirect_uri])
    serve(
        site, {**dot_provider.settings(client), "attribute_map": '{"username": "username", "email": "email"}'}
    )
    browser.navigate(site.url("/deep?x=1"))
    page = dot_provider.sign_in(browser)
    assert page.url == site.url("/deep?x=1")
    report = page.json()
    assert report["auth_type"] == "OAuth2"
    assert report["identity"]["subject"].isdigit()
    assert report["identity"]["issuer"] == dot_provider.origin
    assert report["user"] == report["identity"]["username"]


def test_plain_oauth_2_tells_when_a_person_declines(
    dot_provider: DotProvider, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    site = make_site()
    client = dot_provider.register([site.redirect_uri])
    serve(site, {**dot_provider.settings(client), "attribute_map": '{"username": "username"}'})
    browser.navigate(site.url("/"))
    page = dot_provider.sign_in(browser, deny=True)
    assert page.status == 403
    assert "cancelled" in page.visible_text
    assert browser.fetch(site.url("/")).status == 401


# emulate: GitHub's web flow with the preset


@pytest.fixture
def at_github(github: GitHub, make_site: MakeSite, serve: Serve) -> Any:
    site = make_site()
    client = github.register([site.redirect_uri])
    serve(site, {"preset": "github", "allow": "*", **github.settings(client)})
    return site


def test_the_github_preset_signs_in(github: GitHub, at_github: Any, browser: Browser) -> None:
    browser.navigate(at_github.url("/"))
    page = github.sign_in(browser, "octocat")
    assert page.url == at_github.url("/")
    report = page.json()
    assert report["user"] == "octocat"
    assert report["identity"]["subject"].isdigit()


def test_githubs_errors_with_http_200_are_errors(
    github: GitHub, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    site = make_site()
    client = github.register([site.redirect_uri])
    settings = {"preset": "github", "allow": "*", **github.settings(client), "client_secret": "wrong"}
    application = serve(site, settings)
    browser.navigate(site.url("/"))
    page = github.sign_in(browser, "octocat")
    assert page.status == 502
    assert "event=login_failed" in application.log
    assert browser.fetch(site.url("/")).status == 401


# Our own stand-in: form-encoded token answers, a null e-mail


@pytest.fixture
def old_fashioned() -> Iterator[StandIn]:
    with StandIn(
        client_id="app",
        client_secret="s3cret",
        auth_method="client_secret_post",
        oidc=False,
        form_encoded=True,
        userinfo={"id": 583231, "login": "octocat", "name": None, "email": None},
        emails=[
            {"email": "old@example.com", "primary": False, "verified": True},
            {"email": "octocat@example.com", "primary": True, "verified": True},
        ],
    ) as provider:
        yield provider


def test_a_form_encoded_answer_and_a_null_email_are_understood(
    old_fashioned: StandIn, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    site = make_site()
    settings = {
        "preset": "github",
        "allow": "*",
        "client_id": "app",
        "client_secret": "s3cret",
        "authorization_endpoint": old_fashioned.url + "/authorize",
        "token_endpoint": old_fashioned.url + "/token",
        "userinfo_endpoint": old_fashioned.url + "/userinfo",
    }
    serve(site, settings)
    report = browser.navigate(site.url("/")).json()
    assert report["user"] == "octocat"
    assert report["identity"]["subject"] == "583231"
    assert report["identity"]["name"] is None
    assert report["identity"]["email"] == "octocat@example.com"


# Two workers, one session


def test_every_worker_knows_the_session_and_the_forged_header_is_gone(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    site = make_site()
    client = oidc_provider.register([site.redirect_uri])
    serve(
        site,
        {"issuer": oidc_provider.issuer, **client.settings, "environ": {"HTTP_X_REMOTE_USER": "username"}},
    )
    browser.navigate(site.url("/"))
    oidc_provider.sign_in(browser)
    for _ in range(30):
        report = browser.fetch(
            site.url("/"),
            headers={"X-Remote-User": "root", "Remote-User": "root", "X-Forwarded-User": "root"},
        ).json()
        assert report["user"] == "jane"
        assert report["environ"]["HTTP_X_REMOTE_USER"] == "jane"
        assert "root" not in report["environ"].values()
        assert "oauth2_mw" not in (report["cookies"] or "")


def test_a_body_reaches_the_application_untouched(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    site = make_site()
    client = oidc_provider.register([site.redirect_uri])
    serve(site, {"issuer": oidc_provider.issuer, **client.settings})
    browser.navigate(site.url("/"))
    oidc_provider.sign_in(browser)
    body = bytes(range(256)) * 40
    assert browser.fetch(site.url("/echo"), method="POST", body=body).body == body


# The provider goes away and comes back


def test_a_provider_that_was_down_is_found_again(make_site: MakeSite, serve: Serve, browser: Browser) -> None:
    site, port = make_site(), free_port()
    application = serve(
        site, {"issuer": f"http://localhost:{port}", "client_id": "app-1", "client_secret": "s3cret"}
    )
    page = browser.navigate(site.url("/deep"))
    assert page.status == 503
    assert page.header("Retry-After")
    assert "code=provider_unavailable" in application.log
    with start(port=port) as provider:
        provider.register([site.redirect_uri], client_id="app-1", client_secret="s3cret")

        def again() -> bool:
            # Each worker remembers a failure for some seconds, so that a dead provider is not asked by everybody.
            browser.navigate(site.url("/deep"))
            return provider.sign_in(browser).content_type == "application/json"

        application.process.wait_until(again)
        assert browser.page is not None
        assert browser.page.json()["path"] == "/deep"
