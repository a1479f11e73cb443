"""A callback outside ``prefix``: a redirect URI that an application had registered before it came behind us."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth2_mw.settings.model import Settings
from tests.support.hosts.guarded import Guarded, guard, guarded, is_signed_in, signed_in
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN, oidc, only_problem, problems, service

PATH = "/oidc/callback"


@pytest.fixture
def registered(provider: StandIn) -> Iterator[Guarded]:
    with guarded(issuer=provider.issuer, callback_path=PATH) as site:
        yield site


@pytest.mark.requirement("R-callback-path")
def test_a_sign_in_comes_back_there_and_the_application_never_sees_it(
    registered: Guarded, provider: StandIn
) -> None:
    browser = registered.browser()
    answer = browser.navigate(registered.url + "/deep?x=1", stop_before=ORIGIN).location or ""
    assert answer.startswith(f"{ORIGIN}{PATH}?")
    page = browser.navigate(answer)
    assert page.url == f"{ORIGIN}/deep?x=1"
    assert page.json()["user"] == "jane"
    assert provider.asked("/authorize")[0].query["redirect_uri"] == ORIGIN + PATH
    assert provider.asked("/token")[0].form["redirect_uri"] == ORIGIN + PATH
    assert [seen["path"] for seen in registered.app.seen] == ["/deep"]


def test_a_form_comes_back_there_as_well(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, callback_path=PATH, response_mode="form_post") as site:
        browser = site.browser()
        answer = urlsplit(browser.navigate(site.url + "/deep", stop_before=ORIGIN).location or "")
        fields = {name: values[0] for name, values in parse_qs(answer.query).items()}
        page = browser.post(ORIGIN + PATH, fields, initiator=provider.url)
        assert page.url == f"{ORIGIN}/deep"
        assert browser.navigate(answer.geturl()).status == 405


def test_the_callback_under_prefix_answers_too(registered: Guarded) -> None:
    browser = registered.browser()
    answer = browser.navigate(registered.url + "/deep", stop_before=ORIGIN).location or ""
    page = browser.navigate(answer.replace(PATH, "/auth/oauth2/login/callback/"))
    assert page.json()["user"] == "jane"


@pytest.mark.requirement("R-callback-path")
@pytest.mark.parametrize("query", ["", "code=x", "code=x&state=y", "error=access_denied"])
@pytest.mark.parametrize("settings", [{}, {"protect": "optional"}, {"public_paths": "/oidc/ /oidc/callback"}])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_what_is_no_answer_is_refused_there_whatever_the_rules_say(
    provider: StandIn, query: str, settings: dict[str, str], method: str
) -> None:
    with guarded(issuer=provider.issuer, callback_path=PATH, **settings) as site:
        environ = environ_for(PATH, REQUEST_METHOD=method, QUERY_STRING=query)
        assert call(site.middleware, environ).status == (400 if method == "GET" else 405)
        assert site.app.calls == 0
        assert provider.requests == []


@pytest.mark.requirement("R-callback-path")
@pytest.mark.parametrize(
    "path",
    [PATH + "/", PATH + "/x", PATH.upper(), "/oidc//callback", "/oidc/./callback", "/x" + PATH, "/oidc"],
)
def test_it_is_compared_exactly(registered: Guarded, path: str) -> None:
    answer = call(registered.middleware, environ_for(path))
    assert answer.status == 401
    assert call(registered.middleware, environ_for(PATH, SCRIPT_NAME="/elsewhere")).status == 401


@pytest.mark.requirement("R-callback-path")
@pytest.mark.parametrize(
    "spelling", [PATH, ORIGIN + PATH, PATH + "?code=x", "/oidc/%63allback", "/oidc/%2563allback"]
)
def test_it_is_no_destination(registered: Guarded, spelling: str) -> None:
    page = registered.browser().navigate(
        f"{ORIGIN}/auth/oauth2/login/?next=" + spelling.replace("%", "%25").replace("?", "%3F")
    )
    assert page.url == f"{ORIGIN}/"
    browser = signed_in(registered)
    page = browser.navigate(f"{ORIGIN}/auth/oauth2/login/?next={PATH}/beside")
    assert page.url == f"{ORIGIN}{PATH}/beside"


@pytest.mark.requirement("R-callback-path")
def test_its_state_must_name_that_provider(provider: StandIn) -> None:
    named = {"issuer": provider.issuer, "client_id": "app", "client_secret": CLIENT_SECRET}
    with guarded(
        client_id=None,
        client_secret=None,
        **{
            "provider:a": {**named, "username_prefix": "a-", "callback_path": "/cb/a"},
            "provider:b": {**named, "username_prefix": "b-", "callback_path": "/cb/b", "same_users_as": "a"},
        },
    ) as site:
        browser = site.browser()
        answer = browser.navigate(f"{ORIGIN}/auth/oauth2/login/a/", stop_before=ORIGIN).location or ""
        assert answer.startswith(f"{ORIGIN}/cb/a?")
        page = browser.navigate(answer.replace("/cb/a", "/cb/b"))
        assert page.status == 400
        assert "code=state_of_other_provider" in site.audit[-1]
        assert provider.asked("/token") == []
        assert not is_signed_in(browser, site)


def test_it_lies_below_the_mount() -> None:
    middleware = guard(public_url=f"{ORIGIN}/core", callback_path=PATH)
    assert middleware._urls.callback("default") == f"{ORIGIN}/core{PATH}"
    assert call(middleware, environ_for(PATH, SCRIPT_NAME="/core")).status == 400
    assert call(middleware, environ_for(PATH)).status == 400
    # A server that has not stripped the mount would send every answer into a new sign-in.
    assert call(middleware, environ_for("/core" + PATH, HTTP_ACCEPT="text/html")).status == 503


@pytest.mark.requirement("R-callback-path")
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "//",
            "oidc",
            "https://app.example.com/oidc",
            "/oidc//",
            "/oidc//callback",
            "/oidc/../x",
            "/./x",
        ),
        *("/a;b", "/a?b", "/a#b", "/a%2Fb", "/a b", "/a\\b", "/ä", "/...", "/.../x", "/a,b", "/*"),
        *("/auth/oauth2", "/auth/oauth2/", "/auth/oauth2/login/callback/", "/auth/oauth2/x"),
    ],
)
def test_any_other_path_stops_the_start(path: str) -> None:
    assert only_problem(service(**oidc(callback_path=path))).startswith("[oauth2_mw] callback_path: ")


@pytest.mark.requirement("R-callback-path")
def test_two_providers_cannot_share_one() -> None:
    second = oidc(issuer="https://b.example.com", username_prefix="b-", callback_path=PATH)
    mapping = service(**oidc(callback_path=PATH, username_prefix="a-"))
    (found,) = problems({**mapping, "provider:b": second})
    assert found.startswith("[provider:b] callback_path: is that of provider default already")
    Settings.from_mapping({**mapping, "provider:b": {**second, "callback_path": PATH + "/"}})
    Settings.from_mapping({**mapping, "provider:b": {**second, "enabled": "false"}})


@pytest.mark.parametrize("path", ["/cb", "/cb/", "/auth/oauth2x", "/auth", "/a.b/c_d/~e-f", "/auth/"])
def test_an_ordinary_path_is_taken_as_it_is_written(path: str) -> None:
    settings = Settings.from_mapping(service(**oidc(callback_path=path)))
    assert settings.providers["default"].callback_path == path
