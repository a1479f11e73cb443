"""Signed client authentication, against a certified provider, under gunicorn with two workers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.certificates import client_certificate
from tests.support.hosts.servers import Application, MakeSite, Serve, Site
from tests.support.providers.client_keys import pem, private_jwk
from tests.support.providers.clients import Client
from tests.support.providers.jose import Key, ec_key, ed_key, from_base64url, rsa_key
from tests.support.providers.oidc_provider import OidcProvider

LONG_SECRET = "s3cret: 100%+&=/?~! and long enough"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Stage:
    """One site whose client has to sign."""

    provider: OidcProvider
    site: Site
    serve: Serve

    def register(self, **registration: Any) -> Client:
        self.provider.forget_requests()
        return self.provider.register([self.site.redirect_uri], **registration)

    def run(self, client: Client, **settings: Any) -> Application:
        """Start it; a setting ``None`` is left out."""
        merged = {"issuer": self.provider.issuer, **client.settings, **settings}
        return self.serve(self.site, {key: value for key, value in merged.items() if value is not None})

    def sign_in(self, browser: Browser) -> dict[str, Any]:
        """Sign in, and return what the application then sees."""
        browser.navigate(self.site.url("/"))
        page = self.provider.sign_in(browser)
        assert page.status == 200, f"{browser.transcript}\n{page.visible_text}"
        report: dict[str, Any] = page.json()
        return report

    def assertions(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(header, claims) of what the token endpoint was sent."""
        found = []
        for asked in self.provider.requests("/token"):
            assert not asked["authorization"]
            assert "client_secret" not in asked["body"]
            assert asked["body"]["client_assertion_type"] == ASSERTION_TYPE
            header, claims, _ = asked["body"]["client_assertion"].split(".")
            found.append((json.loads(from_base64url(header)), json.loads(from_base64url(claims))))
        return found


@pytest.fixture
def stage(oidc_provider: OidcProvider, make_site: MakeSite, serve: Serve) -> Stage:
    return Stage(oidc_provider, make_site(), serve)


def keys(*published: Key) -> dict[str, Any]:
    """The public halves, as a client registers them."""
    return {"keys": [key.jwk() for key in published]}


def without_issuer(provider: OidcProvider) -> dict[str, Any]:
    """The same provider as plain OAuth 2.0."""
    return {
        "issuer": None,
        "authorization_endpoint": f"{provider.issuer}/auth",
        "token_endpoint": f"{provider.issuer}/token",
        "userinfo_endpoint": f"{provider.issuer}/me",
        "scope": "openid profile email",
        "subject": "sub",
        "attribute_map": '{"username": "preferred_username"}',
    }


@pytest.mark.requirement("N2.8.3", "N2.6.21")
def test_client_secret_jwt(stage: Stage, browser: Browser) -> None:
    client = stage.register(auth_method="client_secret_jwt", client_secret=LONG_SECRET)
    application = stage.run(client)
    assert stage.sign_in(browser)["user"] == "jane"
    ((header, claims),) = stage.assertions()
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert claims["iss"] == claims["sub"] == client.client_id
    assert claims["aud"] == stage.provider.issuer
    assert claims["exp"] - claims["iat"] == 60
    assert LONG_SECRET not in application.log


@pytest.mark.requirement("N2.5.4")
@pytest.mark.parametrize(
    "key", [rsa_key(), ec_key("ES256"), ec_key("ES384"), ec_key("ES512"), ed_key()], ids=lambda key: key.alg
)
def test_private_key_jwt(stage: Stage, browser: Browser, tmp_path: Path, key: Key) -> None:
    path = tmp_path / "client-key.pem"
    path.write_text(pem(key.private))
    # Two keys are registered; nothing but the signature says which is ours.
    jwks = keys(rsa_key(2), ec_key("ES256"), key) if key.alg != "ES256" else keys(rsa_key(2), key)
    stage.run(stage.register(auth_method="private_key_jwt", jwks=jwks), client_key=f"file:{path}")
    assert stage.sign_in(browser)["user"] == "jane"
    ((header, claims),) = stage.assertions()
    assert header == {"alg": key.alg, "typ": "JWT"}
    assert claims["aud"] == stage.provider.issuer


def test_private_key_jwt_with_a_jwk_that_names_itself(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    key = rsa_key()
    path = tmp_path / "client-key.json"
    path.write_text(private_jwk(key, kid=key.kid, alg="PS256"))
    client = stage.register(
        auth_method="private_key_jwt",
        jwks={"keys": [key.jwk(alg=None)]},
        token_endpoint_auth_signing_alg="PS256",
    )
    stage.run(client, client_key=f"file:{path}")
    assert stage.sign_in(browser)["user"] == "jane"
    ((header, _),) = stage.assertions()
    assert header == {"alg": "PS256", "typ": "JWT", "kid": key.kid}


@pytest.mark.parametrize("audience", ["issuer", "token_endpoint"])
def test_private_key_jwt_with_ps256_and_a_certificate(
    stage: Stage, browser: Browser, tmp_path: Path, audience: str
) -> None:
    key = rsa_key()
    path = tmp_path / "client.pem"
    path.write_text(pem(key.private) + client_certificate(key.private))
    client = stage.register(
        auth_method="private_key_jwt",
        jwks={"keys": [key.jwk(alg=None)]},
        token_endpoint_auth_signing_alg="PS256",
        refresh_tokens=True,
    )
    stage.run(
        client,
        client_key=f"file:{path}",
        client_certificate=f"file:{path}",
        client_assertion_algorithm="PS256",
        client_assertion_audience=audience,
        keep_tokens="id refresh",
        directory=f"sqlite:///{tmp_path / 'users.db'}",
    )
    assert stage.sign_in(browser)["user"] == "jane"
    ((header, claims),) = stage.assertions()
    assert (header["alg"], len(header["x5t#S256"])) == ("PS256", 43)
    assert claims["aud"] == stage.provider.issuer + ("/token" if audience == "token_endpoint" else "")
    browser.navigate(stage.site.own_url("logout/"), initiator=stage.site.origin)
    (revocation,) = stage.provider.events(client, "revocation")
    assert revocation["token"] == "RefreshToken"


def test_private_key_jwt_without_an_issuer(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "client-key.pem"
    path.write_text(pem(ed_key().private))
    client = stage.register(auth_method="private_key_jwt", jwks=keys(ed_key()))
    stage.run(client, client_key=f"file:{path}", **without_issuer(stage.provider))
    assert stage.sign_in(browser)["user"] == "jane"
    ((_, claims),) = stage.assertions()
    assert claims["aud"] == f"{stage.provider.issuer}/token"


@pytest.mark.requirement("N2.8.3")
def test_a_client_key_is_replaced_while_the_server_runs(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "client-key.pem"
    path.write_text(pem(ec_key().private))
    client = stage.register(auth_method="private_key_jwt", jwks=keys(ed_key()))
    application = stage.run(client, client_key=f"file:{path}")
    browser.navigate(stage.site.url("/"))
    assert stage.provider.sign_in(browser).status == 502
    assert "code=invalid_client" in application.log
    path.write_text(pem(ed_key().private))
    assert browser.click("Try again").json()["user"] == "jane"
    first, second = stage.assertions()
    assert (first[0]["alg"], second[0]["alg"]) == ("ES256", "EdDSA")
    assert first[1]["jti"] != second[1]["jti"]
