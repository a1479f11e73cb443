"""Every row of the parameter table, against a certified provider, under gunicorn with two workers.

The names of the tests are the names of the rows.
"""

from __future__ import annotations

import sqlite3
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.servers import Application, MakeSite, Serve, ServerName, Site
from tests.support.providers.oidc_provider import OidcProvider

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000"
    "0500010d0a2db40000000049454e44ae426082"
)


@dataclass
class Stage:
    """One application behind the middleware, registered at the provider."""

    provider: OidcProvider
    site: Site
    settings: dict[str, Any]
    start: Callable[..., Application]

    def run(self, **settings: Any) -> Application:
        """Start it; a setting ``None`` is left out."""
        merged = {**self.settings, **settings}
        return self.start(self.site, {key: value for key, value in merged.items() if value is not None})

    def sign_in(self, browser: Browser, login: str = "jane", path: str = "/") -> dict[str, Any]:
        """Open a page, sign in where asked, and return what the application then sees."""
        browser.navigate(self.site.url(path))
        page = self.provider.sign_in(browser, login)
        assert page.status == 200, f"{browser.transcript}\n{page.visible_text}"
        report: dict[str, Any] = page.json()
        return report

    def asked(self, path: str) -> dict[str, Any]:
        """The provider's latest request at a path."""
        return self.provider.requests(path)[-1]


@pytest.fixture
def stage(oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve) -> Iterator[Stage]:
    yield make_stage(oidc_provider, make_site(), serve)


def make_stage(provider: OidcProvider, site: Site, serve: Serve, **registration: Any) -> Stage:
    provider.forget_requests()
    client = provider.register(
        [site.redirect_uri], post_logout_redirect_uris=[site.post_logout_redirect_uri], **registration
    )
    return Stage(provider, site, {"issuer": provider.issuer, **client.settings}, serve)


def explicit(provider: OidcProvider) -> dict[str, Any]:
    """The same provider as plain OAuth 2.0: every address written, no issuer."""
    return {
        "issuer": None,
        "authorization_endpoint": f"{provider.issuer}/auth?tenant=a%20b",
        "token_endpoint": f"{provider.issuer}/token",
        "userinfo_endpoint": f"{provider.issuer}/me",
        "scope": "openid profile email",
        "subject": "sub",
        "attribute_map": '{"username": "preferred_username", "email": "email"}',
    }


# OAuth2 (on/off)


def test_enabled(stage: Stage, browser: Browser) -> None:
    stage.run(enabled="false", public_paths="/open/")
    page = browser.navigate(stage.site.url("/"))
    assert page.status == 503
    assert "switched off" in page.visible_text.lower()
    assert browser.navigate(stage.site.own_url("login/default/")).status == 404
    assert browser.navigate(stage.site.redirect_uri).status == 404
    assert browser.navigate(stage.site.url("/open/x")).status == 200
    assert stage.provider.requests() == []


def test_enabled_of_one_among_two(stage: Stage, browser: Browser) -> None:
    other = {"enabled": "false", "issuer": stage.provider.issuer, "client_id": "x", "client_secret": "y"}
    stage.run(login_page="true", **{"provider:other": {**other, "provider": "Other"}})
    page = browser.navigate(stage.site.url("/"))
    assert "Other" not in page.visible_text
    assert browser.navigate(stage.site.own_url("login/other/")).status == 404


# Service Provider, Icon


def test_service_provider(stage: Stage, browser: Browser) -> None:
    stage.run(provider="Acme & Söhne <b>", login_page="true")
    page = browser.navigate(stage.site.url("/deep"))
    assert "Continue with Acme & Söhne <b>" in page.visible_text
    browser.click("Acme")
    page = stage.provider.sign_in(browser)
    assert page.json()["path"] == "/deep"


def test_icon(stage: Stage, browser: Browser) -> None:
    stage.run(icon="github", login_page="true")
    page = browser.navigate(stage.site.url("/"))
    assert f"{stage.site.own_url('icon/default')}" in page.text
    icon = browser.fetch(stage.site.own_url("icon/default"))
    assert icon.content_type == "image/svg+xml"
    assert icon.body.startswith(b"<svg")
    assert icon.header("X-Content-Type-Options") == "nosniff"


def test_icon_of_ones_own(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "corp.png"
    path.write_bytes(PNG)
    stage.run(icon=str(path), login_page="true")
    browser.navigate(stage.site.url("/"))
    icon = browser.fetch(stage.site.own_url("icon/default"))
    assert (icon.content_type, icon.body) == ("image/png", PNG)


# Client ID, Client Secret, Client Authentication Method


def basic_credentials(asked: dict[str, Any]) -> list[str]:
    """What RFC 6749, section 2.3.1 put into the header."""
    scheme, _, encoded = asked["authorization"].partition(" ")
    assert scheme == "Basic"
    return [unquote_plus(part) for part in b64decode(encoded).decode().split(":")]


def test_client_id(stage: Stage, browser: Browser) -> None:
    stage.run()
    stage.sign_in(browser)
    assert stage.asked("/auth")["query"]["client_id"] == stage.settings["client_id"]
    assert basic_credentials(stage.asked("/token"))[0] == stage.settings["client_id"]


def test_client_secret(stage: Stage, browser: Browser) -> None:
    application = stage.run()
    assert stage.sign_in(browser)["user"] == "jane"
    assert stage.settings["client_secret"] not in application.log


def test_client_secret_of_the_environment(stage: Stage, browser: Browser) -> None:
    secret = stage.settings["client_secret"]
    settings = {**stage.settings, "client_secret": "env:THE_SECRET"}
    stage.start(stage.site, settings, env={"THE_SECRET": secret})
    assert stage.sign_in(browser)["user"] == "jane"


def test_client_secret_of_a_file_that_changes(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "client-secret"
    path.write_text("wrong\n")
    application = stage.run(client_secret=f"file:{path}")
    browser.navigate(stage.site.url("/"))
    page = stage.provider.sign_in(browser)
    assert page.status == 502
    assert "code=invalid_client" in application.log
    path.write_text(stage.settings["client_secret"] + "\n")
    assert browser.click("Try again").json()["user"] == "jane"


@pytest.mark.requirement("B16")
def test_client_authentication_method_client_secret_basic(stage: Stage, browser: Browser) -> None:
    stage.run(client_auth_method="client_secret_basic")
    stage.sign_in(browser)
    asked = stage.asked("/token")
    assert asked["method"] == "POST"
    assert basic_credentials(asked) == [stage.settings["client_id"], stage.settings["client_secret"]]
    assert "client_secret" not in asked["body"]


def test_client_authentication_method_client_secret_post(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    stage = make_stage(oidc_provider, make_site(), serve, auth_method="client_secret_post")
    stage.run()
    assert stage.sign_in(browser)["user"] == "jane"
    asked = stage.asked("/token")
    assert asked["method"] == "POST"
    assert not asked["authorization"]
    assert asked["body"]["client_id"] == stage.settings["client_id"]
    assert asked["body"]["client_secret"] == stage.settings["client_secret"]


def test_client_authentication_method_none(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    stage = make_stage(oidc_provider, make_site(), serve, auth_method="none")
    stage.run()
    assert stage.sign_in(browser)["user"] == "jane"
    asked = stage.asked("/token")
    assert not asked["authorization"]
    assert "client_secret" not in asked["body"]
    assert "code_verifier" in asked["body"]


# Scope and endpoints


def test_scope(stage: Stage, browser: Browser) -> None:
    stage.run(scope="openid email", attribute_map='{"username": "email"}')
    report = stage.sign_in(browser)
    assert stage.asked("/auth")["query"]["scope"] == "openid email"
    assert "preferred_username" not in report["identity"]["claims"]


def test_authorization_endpoint_keeps_its_query(stage: Stage, browser: Browser) -> None:
    stage.run(**explicit(stage.provider))
    assert stage.sign_in(browser)["user"] == "jane"
    assert stage.asked("/auth")["query"]["tenant"] == "a b"
    assert stage.asked("/auth")["query"]["response_type"] == "code"


def test_token_endpoint(stage: Stage, browser: Browser) -> None:
    stage.run(**explicit(stage.provider))
    assert stage.sign_in(browser)["user"] == "jane"
    assert stage.asked("/token")["status"] == 200
    assert stage.provider.requests("/.well-known/openid-configuration") == []


def test_user_info_endpoint(stage: Stage, browser: Browser) -> None:
    stage.run(**explicit(stage.provider))
    report = stage.sign_in(browser)
    assert stage.asked("/me")["authorization"].startswith("Bearer ")
    assert report["identity"]["email"] == "jane@example.com"
    assert report["identity"]["issuer"] == stage.provider.issuer


def test_logout_endpoint(stage: Stage, browser: Browser) -> None:
    stage.run(logout_endpoint=f"{stage.provider.issuer}/session/end?ui=plain")
    stage.sign_in(browser)
    page = browser.navigate(stage.site.own_url("logout/"), follow=False)
    assert (page.location or "").startswith(f"{stage.provider.issuer}/session/end?ui=plain&client_id=")


# Mapped Attributes


def test_mapped_attributes(stage: Stage, browser: Browser) -> None:
    named_by_url: dict[str, Any] = {"https://acme.example/roles": [{"name": "chief"}]}
    stage.provider.add_account(
        "mapped",
        preferred_username="mapped",
        name="Mapped Örson",
        email="mapped@example.com",
        email_verified=True,
        phone_number="+49 1",
        realm_access={"roles": ["a", "b,c"]},
        **named_by_url,
    )
    stage.run(
        scope="openid profile email phone groups",
        attribute_map='{"username": "email", "name": "name", "phone": "phone_number", "groups": "realm_access.roles",'
        ' "comment": "\\"https://acme.example/roles\\"[0].name"}',
        environ={"HTTP_X_GROUPS": "groups", "REMOTE_COMMENT": "comment", "REMOTE_NAME": "name"},
    )
    report = stage.sign_in(browser, "mapped")
    assert report["user"] == "mapped@example.com"
    assert report["identity"]["phone"] == "+49 1"
    assert report["identity"]["email"] is None
    assert report["environ"]["HTTP_X_GROUPS"] == "a,b%2Cc"
    assert report["environ"]["REMOTE_COMMENT"] == "chief"
    assert report["environ"]["REMOTE_NAME"] == "Mapped Örson".encode().decode("latin-1")


# Organization, Always Update User Info


def rows(path: Path, query: str) -> list[Any]:
    """What the directory holds."""
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


def test_organization(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    database = tmp_path / "users.db"
    application = stage.run(directory=f"sqlite:///{database}", organization="ACME Research")
    assert stage.sign_in(browser)["identity"]["organizations"] == ["ACME", "Research"]
    assert sorted(rows(database, "SELECT organization FROM oauth2_mw_memberships")) == [
        ("ACME",),
        ("Research",),
    ]
    # An existing member is never moved, whatever the setting says later.
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM oauth2_mw_memberships WHERE organization = 'ACME'")
    assert application.process.running
    browser.navigate(stage.site.own_url("login/"))
    assert stage.sign_in(browser)["identity"]["organizations"] == ["Research"]


def test_organization_is_default_when_nothing_is_written(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    stage.run(directory=f"sqlite:///{tmp_path / 'users.db'}")
    assert stage.sign_in(browser)["identity"]["organizations"] == ["DEFAULT"]


@pytest.mark.parametrize("update", ["true", "false"])
def test_always_update_user_info(stage: Stage, browser: Browser, tmp_path: Path, update: str) -> None:
    stage.run(
        directory=f"sqlite:///{tmp_path / 'users.db'}",
        always_update=update,
        scope="openid profile email phone groups",
    )
    login = f"changing-{update}"
    before: dict[str, Any] = {
        "preferred_username": login,
        "name": "Before",
        "email": "b@example.com",
        "groups": ["one"],
    }
    after: dict[str, Any] = {
        "preferred_username": login + "2",
        "name": "After",
        "email": "a@example.com",
        "groups": ["two"],
    }
    stage.provider.add_account(login, **before)
    first = stage.sign_in(browser, login)["identity"]
    assert (first["username"], first["name"], first["email"], first["groups"]) == (
        login,
        "Before",
        "b@example.com",
        ["one"],
    )
    stage.provider.add_account(login, **after)
    browser.navigate(stage.site.own_url("login/"))
    second = stage.sign_in(browser, login)["identity"]
    assert second["id"] == first["id"]
    if update == "true":
        assert (second["username"], second["name"], second["email"]) == (
            login + "2",
            "After",
            "a@example.com",
        )
    else:
        assert (second["username"], second["name"], second["email"]) == (login, "Before", "b@example.com")
    assert second["groups"] == ["one"]


# Sync Logout


def test_sync_logout(stage: Stage, browser: Browser) -> None:
    stage.run()
    stage.sign_in(browser)
    browser.navigate(stage.site.own_url("logout/"))
    page = stage.provider.sign_out(browser)
    assert page.url.startswith(stage.site.post_logout_redirect_uri + "?state=")
    assert page.status == 200
    # The provider has forgotten the person too: the next sign-in asks for the password again.
    page = browser.navigate(stage.site.url("/"))
    assert page.form().value("login") is not None


def test_sync_logout_off(stage: Stage, browser: Browser) -> None:
    stage.run(sync_logout="false")
    stage.sign_in(browser)
    page = browser.navigate(stage.site.own_url("logout/"))
    assert page.url == stage.site.post_logout_redirect_uri
    assert stage.provider.requests("/session/end") == []
    assert browser.fetch(stage.site.url("/")).status == 401


# The three URLs


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
@pytest.mark.parametrize("mount", ["", "/core"])
def test_the_three_urls(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, server: ServerName, mount: str
) -> None:
    site = make_site(mount, public_origin="https://jumpserver.example.com")
    stage = make_stage(oidc_provider, site, serve)
    serve(site, stage.settings, server=server)
    browser = site.browser()
    base = f"https://jumpserver.example.com{mount}/auth/oauth2"

    page = browser.navigate(f"{base}/login/?next={mount}/deep%3Fx%3D1", stop_before=oidc_provider.issuer)
    assert parse_qs(urlsplit(page.location or "").query)["redirect_uri"] == [f"{base}/login/callback/"]
    browser.navigate(page.location or "", initiator="https://jumpserver.example.com")
    page = oidc_provider.sign_in(browser)
    assert page.url == f"https://jumpserver.example.com{mount}/deep?x=1"
    assert page.json()["user"] == "jane"
    assert browser.jar.names(page.url)[0].startswith("__Host-oauth2_mw")

    browser.navigate(f"{base}/logout/")
    page = oidc_provider.sign_out(browser)
    assert page.url.startswith(f"{base}/logout/done/?state=")


# What a provider answers in place of a code


def test_a_silent_sign_in_shows_the_providers_page_where_it_must_and_only_then(
    stage: Stage, browser: Browser
) -> None:
    stage.run(prompt="none")
    assert stage.sign_in(browser)["user"] == "jane"
    silent, interactive = stage.provider.requests("/auth")
    assert silent["query"]["prompt"] == "none"
    assert "prompt" not in interactive["query"]
    # At the provider the person is signed in now, so that the next sign-in is silent.
    assert browser.navigate(stage.site.own_url("login/default/")).json()["user"] == "jane"
    assert [request["query"].get("prompt") for request in stage.provider.requests("/auth")[2:]] == ["none"]


def test_who_declines_is_told_so(stage: Stage, browser: Browser) -> None:
    application = stage.run()
    browser.navigate(stage.site.url("/"))
    page = stage.provider.sign_in(browser, deny=True)
    assert page.status == 403
    assert "code=sign_in_declined" in application.log


# A redirect URI that was registered before


def test_callback_path(
    oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve, browser: Browser
) -> None:
    site = make_site()
    path = "/accounts/oidc/callback"
    client = oidc_provider.register([site.url(path)])
    serve(site, {"issuer": oidc_provider.issuer, **client.settings, "callback_path": path})
    browser.navigate(site.url("/deep"))
    page = oidc_provider.sign_in(browser)
    assert page.url == site.url("/deep")
    assert page.json()["user"] == "jane"
