"""Each counterpart does what the other tests rely on: shown with a client of fifty lines, without the middleware."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Error as ChromiumError
from playwright.sync_api import Page as ChromiumPage

from tests.support.browser.chromium import DEBIAN, chromium, debian, from_npm, sign_in_at_oidc_provider
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.loopback import LOOPBACK, listeners
from tests.support.hosts.processes import ChildFailedError
from tests.support.hosts.servers import MakeSite, Serve, ServerName
from tests.support.hosts.wsgi_thread import serve
from tests.support.providers.clients import AuthMethod
from tests.support.providers.dot_provider import DotProvider
from tests.support.providers.github import GitHub
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.plain_client import PlainClient, claims_of, http, userinfo


@pytest.fixture(scope="module")
def landing() -> Iterator[str]:
    """Where browsers come back to: a page of nothing, at another site than the provider."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"back"]

    with serve(app) as origin:
        yield origin


def query_of(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


# npm oidc-provider


def start(provider: OidcProvider, landing: str, **registration: Any) -> PlainClient:
    client = provider.register(
        [f"{landing}/callback"], post_logout_redirect_uris=[f"{landing}/done"], **registration
    )
    return PlainClient(client, f"{landing}/callback")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_oidc_provider_completes_the_code_flow(
    oidc_provider: OidcProvider, landing: str, browser: Browser, method: AuthMethod
) -> None:
    flow = start(oidc_provider, landing, auth_method=method)
    metadata = http("GET", f"{oidc_provider.issuer}/.well-known/openid-configuration").json()
    browser.navigate(flow.authorization_url(metadata["authorization_endpoint"], nonce="n-1"))
    back = oidc_provider.sign_in(browser, "jane")
    assert query_of(back)["iss"] == metadata["issuer"] == oidc_provider.issuer
    tokens = flow.redeem(metadata["token_endpoint"], back.url)
    assert tokens.status == 200, tokens.body
    claims = claims_of(tokens.json()["id_token"])
    assert (claims["sub"], claims["nonce"], claims["aud"]) == ("u-jane", "n-1", flow.client.client_id)
    person = userinfo(metadata["userinfo_endpoint"], tokens.json()["access_token"]).json()
    assert (person["sub"], person["email"], person["name"]) == ("u-jane", "jane@example.com", "Jane Roe")


def test_oidc_provider_puts_claims_into_userinfo_or_the_id_token_as_the_client_asks(
    oidc_provider: OidcProvider, landing: str
) -> None:
    seen = {}
    for in_id_token in (False, True):
        flow = start(oidc_provider, landing, claims_in_id_token=in_id_token)
        flow.scope = "openid profile email phone groups"
        browser = Browser()
        browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
        back = oidc_provider.sign_in(browser)
        seen[in_id_token] = claims_of(
            flow.redeem(f"{oidc_provider.issuer}/token", back.url).json()["id_token"]
        )
    assert "email" not in seen[False]
    assert seen[True]["email"] == "jane@example.com"
    assert seen[True]["realm_access"] == {"roles": ["editor", "viewer"]}
    assert seen[True]["https://acme.example/roles"] == ["acme-admin"]


def test_oidc_provider_insists_on_pkce_unless_the_client_need_not(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    flow = start(oidc_provider, landing)
    back = browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth", pkce=False))
    assert query_of(back)["error"] == "invalid_request"
    relaxed = start(oidc_provider, landing, pkce_optional=True)
    browser.navigate(relaxed.authorization_url(f"{oidc_provider.issuer}/auth", pkce=False))
    back = oidc_provider.sign_in(browser)
    assert relaxed.redeem(f"{oidc_provider.issuer}/token", back.url, pkce=False).status == 200


def test_oidc_provider_refuses_a_wrong_verifier_a_wrong_secret_and_a_used_code(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    token_endpoint = f"{oidc_provider.issuer}/token"
    flow = start(oidc_provider, landing, auth_method="client_secret_post")
    browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
    back = oidc_provider.sign_in(browser)
    assert flow.redeem(token_endpoint, back.url, client_secret="wrong").json()["error"] == "invalid_client"
    assert flow.redeem(token_endpoint, back.url, code_verifier="x" * 43).json()["error"] == "invalid_grant"
    browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
    back = oidc_provider.sign_in(browser)
    assert flow.redeem(token_endpoint, back.url).status == 200
    assert flow.redeem(token_endpoint, back.url).json()["error"] == "invalid_grant"


def test_oidc_provider_wants_id_and_secret_form_encoded_in_the_basic_header(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    flow = start(oidc_provider, landing, auth_method="client_secret_basic")
    browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
    back = oidc_provider.sign_in(browser)
    pair = f"{flow.client.client_id}:{flow.client.client_secret}"
    unencoded = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    refused = flow.redeem(f"{oidc_provider.issuer}/token", back.url, headers=unencoded)
    assert refused.status in (400, 401)
    assert flow.redeem(f"{oidc_provider.issuer}/token", back.url).status == 200


def test_oidc_provider_sends_a_denial_back(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    flow = start(oidc_provider, landing)
    browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
    back = query_of(oidc_provider.sign_in(browser, deny=True))
    assert (back["error"], back["state"]) == ("access_denied", flow.state)


def test_oidc_provider_remembers_the_person_until_signed_out_there(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    flow = start(oidc_provider, landing)
    address = flow.authorization_url(f"{oidc_provider.issuer}/auth")
    browser.navigate(address)
    back = oidc_provider.sign_in(browser)
    hint = flow.redeem(f"{oidc_provider.issuer}/token", back.url).json()["id_token"]
    assert browser.navigate(address).url.startswith(landing)
    asked = {"id_token_hint": hint, "post_logout_redirect_uri": f"{landing}/done", "state": "s-1"}
    browser.navigate(f"{oidc_provider.issuer}/session/end?{urlencode(asked)}")
    assert oidc_provider.sign_out(browser).url == f"{landing}/done?state=s-1"
    assert browser.navigate(address).form().value("login") == ""


def test_oidc_provider_rejects_an_unregistered_redirect_uri(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    flow = start(oidc_provider, landing)
    flow.redirect_uri = f"{landing}/elsewhere"
    page = browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
    assert page.status == 400
    assert "invalid_redirect_uri" in page.text


def test_oidc_provider_knows_people_that_a_test_adds(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    oidc_provider.add_account("added", name="Added Later", email="added@example.net")
    flow = start(oidc_provider, landing)
    browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
    back = oidc_provider.sign_in(browser, "added")
    tokens = flow.redeem(f"{oidc_provider.issuer}/token", back.url).json()
    assert userinfo(f"{oidc_provider.issuer}/me", tokens["access_token"]).json()["name"] == "Added Later"


def test_oidc_provider_tells_what_it_was_asked(
    oidc_provider: OidcProvider, landing: str, browser: Browser
) -> None:
    flow = start(oidc_provider, landing, auth_method="client_secret_post")
    oidc_provider.forget_requests()
    browser.navigate(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
    flow.redeem(f"{oidc_provider.issuer}/token", oidc_provider.sign_in(browser).url)
    (token_request,) = oidc_provider.requests("/token")
    assert token_request["status"] == 200
    assert token_request["authorization"] == ""
    assert token_request["body"]["client_secret"] == flow.client.client_secret


# django-oauth-toolkit


def start_plain(
    provider: DotProvider, landing: str, method: AuthMethod = "client_secret_basic"
) -> PlainClient:
    client = provider.register([f"{landing}/callback"], auth_method=method)
    return PlainClient(client, f"{landing}/callback", scope="read")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_django_oauth_toolkit_completes_the_code_flow_without_an_id_token(
    dot_provider: DotProvider, landing: str, browser: Browser, method: AuthMethod
) -> None:
    flow = start_plain(dot_provider, landing, method)
    browser.navigate(flow.authorization_url(dot_provider.authorization_endpoint))
    back = dot_provider.sign_in(browser)
    assert set(query_of(back)) == {"code", "state"}
    tokens = flow.redeem(dot_provider.token_endpoint, back.url)
    assert tokens.status == 200, tokens.body
    assert "id_token" not in tokens.json()
    person = userinfo(dot_provider.userinfo_endpoint, tokens.json()["access_token"]).json()
    assert person["id"] == dot_provider.jane_id
    assert (person["username"], person["email"], person["name"]) == ("jane", "jane@example.com", "Jane Roe")
    assert [team["slug"] for team in person["profile"]["teams"]] == ["staff", "admins"]


def test_django_oauth_toolkit_refuses_a_wrong_secret_a_wrong_verifier_and_a_used_code(
    dot_provider: DotProvider, landing: str, browser: Browser
) -> None:
    flow = start_plain(dot_provider, landing, "client_secret_post")
    browser.navigate(flow.authorization_url(dot_provider.authorization_endpoint))
    back = dot_provider.sign_in(browser)
    endpoint = dot_provider.token_endpoint
    assert flow.redeem(endpoint, back.url, client_secret="wrong").json()["error"] == "invalid_client"
    assert flow.redeem(endpoint, back.url, code_verifier="x" * 43).json()["error"] == "invalid_grant"
    browser.navigate(flow.authorization_url(dot_provider.authorization_endpoint))
    back = dot_provider.sign_in(browser)
    assert flow.redeem(endpoint, back.url).status == 200
    assert flow.redeem(endpoint, back.url).json()["error"] == "invalid_grant"


def test_django_oauth_toolkit_sends_a_denial_back(
    dot_provider: DotProvider, landing: str, browser: Browser
) -> None:
    flow = start_plain(dot_provider, landing)
    browser.navigate(flow.authorization_url(dot_provider.authorization_endpoint))
    back = query_of(dot_provider.sign_in(browser, deny=True))
    assert (back["error"], back["state"]) == ("access_denied", flow.state)


def test_django_oauth_toolkit_signs_out_and_tells_what_it_was_asked(
    dot_provider: DotProvider, landing: str, browser: Browser
) -> None:
    flow = start_plain(dot_provider, landing)
    dot_provider.forget_requests()
    address = flow.authorization_url(dot_provider.authorization_endpoint)
    browser.navigate(address)
    flow.redeem(dot_provider.token_endpoint, dot_provider.sign_in(browser).url)
    (asked,) = dot_provider.requests("/o/token/")
    assert asked["authorization"].startswith("Basic ")
    assert "client_secret" not in asked["body"]
    assert browser.navigate(dot_provider.logout_endpoint).title == "Signed out at the provider"
    assert browser.navigate(address).form().value("username") == ""


# npm emulate


def start_github(github: GitHub, landing: str) -> PlainClient:
    return PlainClient(
        github.register([f"{landing}/callback"]), f"{landing}/callback", scope="read:user user:email"
    )


@pytest.mark.parametrize(
    ("login", "name", "email"), [("octocat", "The Octocat", "octocat@github.example"), ("hidden", None, None)]
)
def test_emulate_completes_githubs_flow_with_a_numeric_id_and_null_for_what_is_hidden(
    github: GitHub, landing: str, browser: Browser, login: str, name: str | None, email: str | None
) -> None:
    flow = start_github(github, landing)
    browser.navigate(flow.authorization_url(github.authorization_endpoint))
    back = github.sign_in(browser, login)
    tokens = flow.redeem(github.token_endpoint, back.url)
    assert (tokens.status, tokens.content_type) == (200, "application/json")
    person = userinfo(github.userinfo_endpoint, tokens.json()["access_token"]).json()
    assert type(person["id"]) is int
    assert (person["login"], person["name"], person["email"]) == (login, name, email)
    (address,) = userinfo(f"{github.userinfo_endpoint}/emails", tokens.json()["access_token"]).json()
    assert address["primary"] and address["verified"]


def test_emulate_reports_errors_with_status_200(github: GitHub, landing: str, browser: Browser) -> None:
    flow = start_github(github, landing)
    browser.navigate(flow.authorization_url(github.authorization_endpoint))
    back = github.sign_in(browser)
    wrong = flow.redeem(github.token_endpoint, back.url, client_secret="wrong")
    assert (wrong.status, wrong.json()["error"]) == (200, "incorrect_client_credentials")
    assert flow.redeem(github.token_endpoint, back.url).status == 200
    used = flow.redeem(github.token_endpoint, back.url)
    assert (used.status, used.json()["error"]) == (200, "bad_verification_code")


def test_emulate_listens_on_this_machine_alone(github: GitHub) -> None:
    port = urlsplit(github.origin).port or 0
    assert listeners(port) == [f"{LOOPBACK}:{port:04X}"]


# The servers, with the sample application alone


@pytest.mark.parametrize("server", ["gunicorn", "waitress"])
@pytest.mark.parametrize("mount", ["", "/core"])
def test_servers_run_the_sample_application_where_it_is_mounted(
    make_site: MakeSite, serve: Serve, browser: Browser, server: ServerName, mount: str
) -> None:
    site = make_site(mount)
    serve(site, None, server=server)
    seen = browser.navigate(site.url("/some/page?x=1")).json()
    assert (seen["path"], seen["query"]) == (f"{mount}/some/page", "x=1")
    assert (seen["environ"]["SCRIPT_NAME"], seen["environ"]["PATH_INFO"]) == (mount, "/some/page")
    assert (seen["user"], seen["identity"]) == (None, None)
    echo = browser.fetch(site.url("/echo"), method="POST", body="grüße".encode())
    assert echo.body == "grüße".encode()


def test_gunicorn_runs_two_workers(make_site: MakeSite, serve: Serve) -> None:
    application = serve(make_site(), None, workers=2)
    application.process.wait_for_line(r"Booting worker.*(.|\n)*")
    application.process.wait_until(lambda: application.log.count("Booting worker") == 2)


def test_a_server_that_cannot_start_says_why(make_site: MakeSite, serve: Serve) -> None:
    with pytest.raises(ChildFailedError, match="no_such_factory"):
        serve(make_site(), None, app="tests.support.hosts.sample_app:no_such_factory")


def test_behind_a_proxy_that_ends_tls_the_browser_sees_https(make_site: MakeSite, serve: Serve) -> None:
    site = make_site("/core", public_origin="https://sso.example.com")
    serve(site, None)
    seen = site.browser().navigate("https://sso.example.com/core/x").json()
    assert seen["environ"]["HTTP_HOST"] == "sso.example.com"


# Chromium


@pytest.mark.parametrize("which", ["npm", *(["debian"] if DEBIAN.exists() else [])])
def test_chromium_signs_in_at_the_provider_with_either_build(
    oidc_provider: OidcProvider, landing: str, which: str
) -> None:
    flow = start(oidc_provider, landing)
    with chromium(debian() if which == "debian" else from_npm()) as running:
        page = running.new_context().new_page()
        page.goto(flow.authorization_url(f"{oidc_provider.issuer}/auth"))
        sign_in_at_oidc_provider(page)
        page.wait_for_url(f"{landing}/**")
        assert "code=" in page.url
        assert page.inner_text("body") == "back"


def test_chromium_resolves_no_name_of_the_outside(chromium_page: ChromiumPage) -> None:
    with pytest.raises(ChromiumError, match="ERR_NAME_NOT_RESOLVED"):
        chromium_page.goto("http://outside.example/")
