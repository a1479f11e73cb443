"""Access tokens of real providers at an application: signed, opaque (by introspection), and those of clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oauth2_mw.identity.model import user_key
from tests.support.browser.jar import Browser
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import App, guard
from tests.support.hosts.servers import MakeSite, Serve
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.hosts.wsgi_thread import serve as serve_in_thread
from tests.support.providers.clients import Client
from tests.support.providers.dot_provider import DotProvider
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.plain_client import PlainClient, claims_of, http

JWT_API = "https://api.example/jwt"
OPAQUE_API = "https://api.example/opaque"
MAP = '{"username": ["preferred_username", "username", "sub", "id"], "name": "name"}'


@pytest.fixture(scope="module")
def landing() -> Iterator[str]:
    """Where browsers come back to: a page of nothing, at another site than the provider."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"back"]

    with serve_in_thread(app) as origin:
        yield origin


class Api:
    """An application in this process that takes access tokens below ``/api/``."""

    def __init__(self, **keys: Any) -> None:
        self.app = App()
        self.clocks = ShiftedClocks()
        given = {"bearer_paths": "/api/", "attribute_map": MAP, **keys}
        self.middleware = guard(self.app, clocks=self.clocks.clocks, **given)

    def get(self, token: str) -> WsgiResponse:
        return call(self.middleware, environ_for("/api/x", HTTP_AUTHORIZATION=f"Bearer {token}"))

    def user(self, token: str) -> tuple[str, str]:
        """Name and id of whom the application sees."""
        answer = self.get(token)
        assert answer.status == 200, answer.text
        seen = json.loads(answer.text)
        return seen["user"], seen["identity"]

    def refusal(self, token: str) -> str:
        """The challenge to a token with which the application is not called."""
        calls = self.app.calls
        answer = self.get(token)
        assert (answer.status, self.app.calls) == (401, calls)
        return answer.header("WWW-Authenticate") or ""


# npm oidc-provider


def tokens_of_jane(
    provider: OidcProvider, landing: str, *, resource: str | None = None, **registration: Any
) -> tuple[Client, dict[str, Any]]:
    """What a client gets when jane signs in there."""
    client = provider.register([f"{landing}/callback"], **registration)
    flow = PlainClient(client, f"{landing}/callback", scope="openid offline_access read")
    asked: Any = {} if resource is None else {"resource": resource}
    browser = Browser()
    browser.navigate(flow.authorization_url(f"{provider.issuer}/auth", prompt="consent", nonce="n", **asked))
    back = provider.sign_in(browser, "jane")
    answer = flow.redeem(f"{provider.issuer}/token", back.url, **asked)
    assert answer.status == 200, answer.body
    return client, answer.json()


def service(provider: OidcProvider) -> Client:
    """A client that acts for itself."""
    return provider.register([], grant_types=["client_credentials"], response_types=[])


def test_a_signed_token_of_oidc_provider_opens_the_api(oidc_provider: OidcProvider, landing: str) -> None:
    client, tokens = tokens_of_jane(oidc_provider, landing, resource=JWT_API)
    api = Api(**oidc_provider.settings(client), accept_tokens="jwt", token_audiences=JWT_API)
    assert claims_of(tokens["access_token"])["aud"] == JWT_API
    assert api.user(tokens["access_token"]) == ("u-jane", user_key(oidc_provider.issuer, "u-jane"))
    for name in ("id_token", "refresh_token"):
        assert 'error="invalid_token"' in api.refusal(tokens[name])
    other = Api(**oidc_provider.settings(client), accept_tokens="jwt", token_audiences="https://b.example")
    assert 'error="invalid_token"' in other.refusal(tokens["access_token"])
    untyped = Api(
        **oidc_provider.settings(client),
        accept_tokens="jwt-untyped",
        token_audiences=f"{JWT_API} {client.client_id}",
    )
    assert untyped.user(tokens["access_token"])[0] == "u-jane"
    for name in ("id_token", "refresh_token"):
        assert 'error="invalid_token"' in untyped.refusal(tokens[name])


def test_an_opaque_token_of_oidc_provider_opens_the_api_while_it_is_active(
    oidc_provider: OidcProvider, landing: str
) -> None:
    client, tokens = tokens_of_jane(oidc_provider, landing, resource=OPAQUE_API)
    settings = {**oidc_provider.settings(client), "accept_tokens": "introspection"}
    apis = [Api(**settings), Api(**settings, token_audiences=OPAQUE_API)]
    for api in apis:
        assert api.user(tokens["access_token"]) == ("u-jane", user_key(oidc_provider.issuer, "u-jane"))
        for wrong in (tokens["id_token"], tokens["refresh_token"], "junk"):
            assert 'error="invalid_token"' in api.refusal(wrong)
    other = Api(**settings, token_audiences="https://b.example")
    assert 'error="invalid_token"' in other.refusal(tokens["access_token"])
    flow = PlainClient(client, "")
    form = {"token": tokens["access_token"]}
    assert flow.post(f"{oidc_provider.issuer}/token/revocation", form).status == 200
    for api in apis:
        assert api.user(tokens["access_token"])[0] == "u-jane"
        api.clocks.ahead += 31
        assert 'error="invalid_token"' in api.refusal(tokens["access_token"])


def test_a_client_of_oidc_provider_comes_in_as_a_user(oidc_provider: OidcProvider) -> None:
    client = service(oidc_provider)
    keys: dict[str, Any] = {
        **oidc_provider.settings(client),
        "accept_tokens": "jwt introspection",
        "token_audiences": f"{JWT_API} {OPAQUE_API}",
        "access": {"rules": "required /api/ if via:bearer and scope:write"},
    }
    api = Api(**keys)
    signed = oidc_provider.client_token(client, resource=JWT_API, scope="read write")
    assert api.user(signed) == (client.client_id, user_key(oidc_provider.issuer, client.client_id))
    answer = api.get(oidc_provider.client_token(client, resource=JWT_API))
    assert answer.status == 403
    assert 'error="insufficient_scope", scope="write"' in (answer.header("WWW-Authenticate") or "")
    # Of such a client's opaque token the provider names no subject.
    opaque = oidc_provider.client_token(client, resource=OPAQUE_API, scope="read write")
    assert 'error="invalid_token"' in api.refusal(opaque)


def test_a_server_takes_them(make_site: MakeSite, serve: Serve, oidc_provider: OidcProvider) -> None:
    client = service(oidc_provider)
    site = make_site()
    keys = {
        **oidc_provider.settings(client),
        "bearer_paths": "/",
        "attribute_map": MAP,
        "accept_tokens": "jwt",
        "token_audiences": JWT_API,
    }
    serve(site, keys)
    token = oidc_provider.client_token(client, resource=JWT_API)
    good = http("GET", f"{site.listens_at}/", headers={"Authorization": f"Bearer {token}"})
    assert good.status == 200
    assert client.client_id in good.body.decode()
    assert http("GET", f"{site.listens_at}/", headers={"Authorization": f"Bearer {token}x"}).status == 401


# django-oauth-toolkit


def test_a_token_of_django_oauth_toolkit_opens_the_api(
    dot_provider: DotProvider, landing: str, browser: Browser
) -> None:
    client = dot_provider.register([f"{landing}/callback"])
    flow = PlainClient(client, f"{landing}/callback", scope="read")
    browser.navigate(flow.authorization_url(dot_provider.authorization_endpoint))
    back = dot_provider.sign_in(browser)
    tokens = flow.redeem(dot_provider.token_endpoint, back.url).json()
    keys = {
        **dot_provider.settings(client),
        "issuer": None,
        "attribute_map": MAP,
        "accept_tokens": "introspection",
        "introspection_endpoint": dot_provider.introspection_endpoint,
        "token_audience_claim": "client_id",
        "token_audiences": client.client_id,
    }
    api = Api(**keys)
    identity = user_key(dot_provider.origin, str(dot_provider.jane_id))
    assert api.user(tokens["access_token"]) == ("jane", identity)
    for wrong in (tokens["refresh_token"], "junk"):
        assert 'error="invalid_token"' in api.refusal(wrong)
    bare = Api(**{**keys, "introspection_endpoint": dot_provider.bare_introspection_endpoint})
    assert 'error="invalid_token"' in bare.refusal(tokens["access_token"])
    assert (
        flow.post(f"{dot_provider.origin}/o/revoke_token/", {"token": tokens["access_token"]}).status == 200
    )
    api.clocks.ahead += 31
    assert 'error="invalid_token"' in api.refusal(tokens["access_token"])


def test_a_client_of_django_oauth_toolkit_comes_in_as_a_user(dot_provider: DotProvider) -> None:
    client = dot_provider.register([], grant_type="client-credentials")
    answer = PlainClient(client, "").post(
        dot_provider.token_endpoint, {"grant_type": "client_credentials", "scope": "read"}
    )
    assert answer.status == 200, answer.body
    api = Api(
        **dot_provider.settings(client) | {"attribute_map": MAP},
        issuer=None,
        accept_tokens="introspection",
        introspection_endpoint=dot_provider.introspection_endpoint,
    )
    subject = f"client {client.client_id}"
    assert api.user(answer.json()["access_token"]) == (subject, user_key(dot_provider.origin, subject))
