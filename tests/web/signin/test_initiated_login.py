"""A sign-in that a third party begins (OpenID Connect Core, section 4): a portal, or the provider itself."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN

PORTAL = "https://portal.example"
LOGIN = f"{ORIGIN}/auth/oauth2/login/"


@pytest.fixture
def two(provider: StandIn) -> Iterator[Guarded]:
    """Two providers, of which the second listens."""
    with guarded(
        issuer="https://silent.example",
        username_prefix="a-",
        **{
            "provider:corp": {
                "issuer": provider.issuer,
                "client_id": "app",
                "client_secret": CLIENT_SECRET,
                "username_prefix": "b-",
            }
        },
    ) as site:
        yield site


@pytest.mark.requirement("X1", "R-initiated")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_issuer_chooses_the_provider(two: Guarded, provider: StandIn, method: str) -> None:
    browser = two.browser()
    params = {
        "iss": provider.issuer,
        "target_link_uri": f"{ORIGIN}/deep?x=1",
        "login_hint": "jane@example.com",
    }
    if method == "GET":
        page = browser.navigate(LOGIN + "?" + urlencode(params), initiator=PORTAL)
    else:
        page = browser.post(LOGIN, params, initiator=PORTAL)
    assert page.url == f"{ORIGIN}/deep?x=1"
    assert page.json()["user"] == "b-jane"
    assert provider.asked("/authorize")[-1].query["login_hint"] == "jane@example.com"


@pytest.mark.requirement("R-initiated")
@pytest.mark.parametrize("path", ["", "corp/"])
def test_a_form_is_answered_by_the_same_address_as_a_link(two: Guarded, provider: StandIn, path: str) -> None:
    params = {"iss": provider.issuer, "target_link_uri": "/deep?x=1", "login_hint": "j"}
    page = two.browser().post(LOGIN + path, params, initiator=PORTAL, follow=False)
    assert page.status == 303
    assert page.location == f"{LOGIN}{path}?" + urlencode(params, safe="/")
    assert page.header("Set-Cookie") is None
    assert provider.requests == []


@pytest.mark.requirement("R-initiated")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_is_signed_in_at_that_provider_goes_to_the_target(
    site: Guarded, provider: StandIn, method: str
) -> None:
    browser = signed_in(site)
    del provider.requests[:]
    params = {"iss": provider.issuer, "target_link_uri": "/deep"}
    if method == "GET":
        page = browser.navigate(LOGIN + "?" + urlencode(params), initiator=PORTAL)
    else:
        page = browser.post(LOGIN, params, initiator=PORTAL)
    assert page.url == f"{ORIGIN}/deep"
    assert provider.requests == []
    assert len([line for line in site.audit if "event=login" in line]) == 1


def test_who_is_signed_in_at_another_provider_signs_in(provider: StandIn) -> None:
    named = {"client_id": "app", "client_secret": CLIENT_SECRET}
    with (
        StandIn(client_id="app", client_secret=CLIENT_SECRET) as second,
        guarded(
            issuer=provider.issuer,
            username_prefix="a-",
            **{"provider:corp": {**named, "issuer": second.issuer, "username_prefix": "b-"}},
        ) as site,
    ):
        browser = site.browser()
        browser.navigate(f"{LOGIN}default/")
        assert is_signed_in(browser, site)
        page = browser.navigate(LOGIN + "?" + urlencode({"iss": second.issuer}), initiator=PORTAL)
        assert page.json()["user"].startswith("b-")


@pytest.mark.requirement("X1", "R-initiated")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["", "default/"])
def test_an_issuer_of_no_provider_is_refused(
    site: Guarded, provider: StandIn, method: str, path: str
) -> None:
    for issuer in ("https://evil.example", provider.issuer + "/", provider.issuer.upper(), "x"):
        browser = site.browser()
        if method == "GET":
            page = browser.navigate(f"{LOGIN}{path}?" + urlencode({"iss": issuer}), initiator=PORTAL)
        else:
            page = browser.post(LOGIN + path, {"iss": issuer}, initiator=PORTAL)
        assert page.status == 400
        assert "code=unknown_issuer" in site.audit[-1]
        assert "evil.example" not in page.text
    assert provider.requests == []


def test_the_issuer_of_another_provider_than_the_addresss_own_is_refused(
    two: Guarded, provider: StandIn
) -> None:
    page = two.browser().navigate(f"{LOGIN}default/?" + urlencode({"iss": provider.issuer}), initiator=PORTAL)
    assert page.status == 400


@pytest.mark.requirement("N2.6.19", "3d.11")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "https://app.example.evil.example/",
        "https://app.example@evil.example/",
        "/auth/oauth2/logout/",
        "javascript:alert(1)",
    ],
)
def test_a_target_elsewhere_leads_to_the_front_page(
    site: Guarded, provider: StandIn, method: str, target: str
) -> None:
    params = {"iss": provider.issuer, "target_link_uri": target}
    for browser in (site.browser(), signed_in(site)):
        if method == "GET":
            page = browser.navigate(LOGIN + "?" + urlencode(params), initiator=PORTAL)
        else:
            page = browser.post(LOGIN, params, initiator=PORTAL)
        assert page.url == f"{ORIGIN}/"
        assert not any("evil" in (step.location or "") for step in browser.steps)


@pytest.mark.requirement("R-initiated")
def test_two_targets_are_refused(site: Guarded, provider: StandIn) -> None:
    both = {"iss": provider.issuer, "next": "/a", "target_link_uri": "/b"}
    page = site.browser().navigate(LOGIN + "?" + urlencode(both), initiator=PORTAL)
    assert page.status == 400
    assert "code=two_destinations" in site.audit[-1]
    assert site.browser().post(LOGIN, both, initiator=PORTAL).status == 400
    query = LOGIN + "?" + urlencode({"target_link_uri": "/a"})
    assert site.browser().post(query, {"iss": provider.issuer, "next": "/b"}, initiator=PORTAL).status == 400
    assert site.browser().post(query, {"target_link_uri": "/a"}, initiator=PORTAL).status == 400
    assert provider.requests == []


@pytest.mark.requirement("R-initiated")
@pytest.mark.parametrize("dest", ["iframe", "frame", "image", "embed"])
def test_in_a_frame_no_sign_in_begins(site: Guarded, provider: StandIn, dest: str) -> None:
    url = LOGIN + "?" + urlencode({"iss": provider.issuer})
    for browser in (site.browser(), signed_in(site)):
        del provider.requests[:]
        page = browser.navigate(url, initiator=PORTAL, headers={"Sec-Fetch-Dest": dest}, follow=False)
        assert page.status == 401
        assert provider.requests == []
        assert browser.steps[-1].cookies_set == ()


def test_a_form_without_an_issuer_is_not_for_the_login(site: Guarded) -> None:
    page = site.browser().post(LOGIN, {"target_link_uri": "/a"}, initiator=PORTAL)
    assert (page.status, page.header("Allow")) == (405, "GET, HEAD")


def test_two_providers_of_one_issuer_are_offered(provider: StandIn) -> None:
    named = {"issuer": provider.issuer, "client_id": "app", "client_secret": CLIENT_SECRET}
    other = {"issuer": "https://other.example", "client_id": "app", "client_secret": "x", "provider": "Other"}
    with guarded(
        client_id=None,
        client_secret=None,
        **{
            "provider:a": {**named, "username_prefix": "a-", "provider": "First"},
            "provider:b": {**named, "username_prefix": "b-", "provider": "Second", "same_users_as": "a"},
            "provider:c": {**other, "username_prefix": "c-"},
        },
    ) as site:
        browser = site.browser()
        page = browser.navigate(
            LOGIN + "?" + urlencode({"iss": provider.issuer, "target_link_uri": "/deep"}), initiator=PORTAL
        )
        assert page.status == 200
        assert "Continue with Second" in page.visible_text
        assert "Other" not in page.visible_text
        assert browser.click("Second").url == f"{ORIGIN}/deep"
