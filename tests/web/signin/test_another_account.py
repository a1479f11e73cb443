"""Denied, and not a dead end: as whom, where, how to come back as somebody else, and where *Try again* leads."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from oauth2_mw.errors import StoreUnavailableError
from oauth2_mw.settings import presets
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.guarded import Guarded, guarded, signed_in
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN

RULES = {"rules": "required /admin/ if user:bob"}
LOGIN = f"{ORIGIN}/auth/oauth2/login/"
CALLBACK = f"{LOGIN}callback/"


def plain(standin: StandIn, **keys: Any) -> dict[str, Any]:
    """The settings of a plain OAuth 2.0 provider."""
    standin.oidc = False
    return {
        "authorization_endpoint": f"{standin.url}/authorize",
        "token_endpoint": f"{standin.url}/token",
        "userinfo_endpoint": f"{standin.url}/userinfo",
        "attribute_map": '{"username": "preferred_username", "name": "name", "email": "email"}',
        "subject": "sub",
        **keys,
    }


def prompts(provider: StandIn) -> list[str | None]:
    return [request.query.get("prompt") for request in provider.asked("/authorize")]


def becomes_bob(provider: StandIn) -> None:
    provider.userinfo |= {"sub": "user-2", "preferred_username": "bob"}
    provider.claims |= {"sub": "user-2", "preferred_username": "bob"}


# As whom, and where


def test_who_is_refused_at_the_sign_in_reads_as_whom_the_provider_knows_them(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, allow="user:bob", provider="Corp") as site:
        page = site.browser().navigate(site.url + "/deep?x=1")
        assert page.status == 403
        assert "You signed in at <bdi>Corp</bdi> as <strong><bdi>jane</bdi></strong>." in page.text


def test_an_address_that_the_provider_has_not_verified_is_nobody_s_name_on_the_page(
    provider: StandIn,
) -> None:
    with guarded(
        issuer=provider.issuer, attribute_map='{"username": "email", "email": "email"}', provider="Corp"
    ) as site:
        page = site.browser().navigate(site.url + "/")
        assert page.status == 403
        assert "You signed in at <bdi>Corp</bdi>." in page.text
        assert "jane@example.com" not in page.text
        assert "Please confirm it there" in page.text


def test_a_person_of_another_session_is_not_the_one_who_was_refused(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, allow="user:jane") as site:
        browser = signed_in(site)
        becomes_bob(provider)
        page = browser.navigate(f"{LOGIN}?next=/deep")
        assert page.status == 403
        assert "<bdi>bob</bdi>" in page.text
        assert "jane" not in page.text
        # Whoever was signed in still is.
        assert browser.navigate(site.url + "/").json()["user"] == "jane"


# Another account


@pytest.mark.requirement("R-account")
@pytest.mark.parametrize("refusal", ["rule", "allow"])
def test_another_account_is_chosen_and_leads_where_the_person_wanted_to_go(
    provider: StandIn, refusal: str
) -> None:
    keys: dict[str, Any] = {"access": RULES} if refusal == "rule" else {"allow": "user:bob"}
    with guarded(issuer=provider.issuer, **keys) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/admin/x?y=%2F1")
        assert page.status == 403
        becomes_bob(provider)
        page = browser.click("Use another account")
        assert page.url == site.url + "/admin/x?y=%2F1"
        assert page.json()["user"] == "bob"
        assert prompts(provider) == [None, "login"]


@pytest.mark.requirement("R-account")
@pytest.mark.parametrize(
    ("supported", "prompt"),
    [
        (["none", "login", "select_account"], "select_account"),
        (["none", "login"], "login"),
        ([], "login"),
        (None, "login"),
        ("select_account", "login"),
        (["select_account", 1], "login"),
    ],
)
def test_the_provider_says_whether_it_lets_people_choose(
    provider: StandIn, supported: Any, prompt: str
) -> None:
    if supported is not None:
        provider.metadata["prompt_values_supported"] = supported
    with guarded(issuer=provider.issuer, access=RULES) as site:
        browser = site.browser()
        browser.navigate(site.url + "/admin/")
        browser.click("Use another account")
        assert prompts(provider) == [None, prompt]


@pytest.mark.requirement("R-account")
@pytest.mark.parametrize("preset", ["google", "github", "microsoft"])
def test_a_preset_says_that_its_provider_lets_people_choose(provider: StandIn, preset: str) -> None:
    keys: dict[str, Any] = {"issuer": provider.issuer}
    if preset == "github":
        keys = plain(provider, subject="id", client_auth_method="client_secret_basic")
        provider.userinfo["id"] = 7
    keys["attribute_map"] = '{"username": "preferred_username"}'
    keys["subject"] = "sub"
    with guarded(preset=preset, access=RULES, **keys) as site:
        browser = site.browser()
        page = browser.navigate(f"{LOGIN}default/?prompt=select_account", stop_before=provider.url)
        assert dict(parse_qsl(urlsplit(page.location or "").query))["prompt"] == "select_account"


def test_these_presets_and_no_others_say_so() -> None:
    say_so = {name for name in presets.names() if presets.read(name, Path()).selects_account}
    assert say_so == {"google", "github", "microsoft", "entra-multitenant"}


@pytest.mark.requirement("R-account")
def test_a_provider_without_a_prompt_is_signed_out_of_first(provider: StandIn) -> None:
    with guarded(**plain(provider, provider="Corp", access=RULES)) as site:
        browser = site.browser()
        page = browser.navigate(site.url + "/admin/")
        assert page.status == 403
        assert "To use another account, sign out at <bdi>Corp</bdi> first." in page.text
        becomes_bob(provider)
        assert browser.click("Use another account").json()["user"] == "bob"
        assert prompts(provider) == [None, None]


@pytest.mark.parametrize(
    ("written", "sent"),
    [("consent", "login consent"), ("login", "login"), ("none", "login"), ("none login", "login")],
)
def test_a_prompt_of_the_settings_stays_beside_it_but_for_none(
    provider: StandIn, written: str, sent: str
) -> None:
    with guarded(issuer=provider.issuer, prompt=written) as site:
        site.browser().navigate(f"{LOGIN}?prompt=select_account")
        assert prompts(provider) == [sent]


@pytest.mark.parametrize("prompt", ["none", "consent", "create", "", "SELECT_ACCOUNT"])
def test_a_link_asks_for_no_other_prompt(site: Guarded, provider: StandIn, prompt: str) -> None:
    assert site.browser().navigate(f"{LOGIN}?prompt={prompt}").json()["user"] == "jane"
    assert prompts(provider) == [None]


def test_the_page_with_the_buttons_asks_the_provider_that_is_chosen(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, login_page=True) as site:
        browser = site.browser()
        page = browser.navigate(f"{LOGIN}?next=/deep&prompt=select_account")
        assert browser.navigate(page.link("/login/default/")).url == site.url + "/deep"
        assert prompts(provider) == ["login"]


def test_of_several_providers_it_is_the_one_that_refused(provider: StandIn) -> None:
    with guarded(
        issuer="https://silent.example",
        username_prefix="a-",
        access=RULES,
        **{
            "provider:corp": {
                "issuer": provider.issuer,
                "client_id": "app",
                "client_secret": CLIENT_SECRET,
                "username_prefix": "b-",
            }
        },
    ) as site:
        browser = site.browser()
        page = browser.navigate(f"{LOGIN}corp/?next=/admin/")
        assert page.status == 403
        browser.click("Use another account")
        assert prompts(provider) == [None, "login"]
        # Another way in is offered by the page with all of them.
        assert page.link("Try again") == f"{LOGIN}?next=/admin/"


# A provider that does not know the prompt


def refuses_prompts(browser: Browser, provider: StandIn, url: str, error: str = "invalid_request") -> Page:
    """What the person sees whose provider answers a ``prompt`` with an error."""
    page = browser.navigate(url, stop_before=CALLBACK)
    parts = urlsplit(page.location or "")
    right = {name: values[0] for name, values in parse_qs(parts.query).items() if name != "code"}
    return browser.navigate(parts._replace(query=urlencode({**right, "error": error})).geturl())


@pytest.mark.requirement("R-account")
def test_a_prompt_of_ours_that_is_refused_is_left_out_once(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    page = refuses_prompts(browser, provider, f"{LOGIN}?next=/deep?x=1&prompt=select_account")
    assert page.url == site.url + "/deep?x=1"
    assert page.json()["user"] == "jane"
    assert prompts(provider) == ["login", None]
    assert [line for line in site.audit if "event=login_restarted" in line]


@pytest.mark.requirement("R-account")
@pytest.mark.parametrize("error", ["invalid_scope", "unauthorized_client", "login_required"])
def test_another_error_has_nothing_to_do_with_the_prompt(
    site: Guarded, provider: StandIn, error: str
) -> None:
    page = refuses_prompts(site.browser(), provider, f"{LOGIN}?prompt=select_account", error)
    assert page.status == 502
    assert len(prompts(provider)) == 1


@pytest.mark.requirement("R-account")
def test_where_no_prompt_was_ours_the_error_is_the_provider_s(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, prompt="login") as site:
        assert refuses_prompts(site.browser(), provider, LOGIN).status == 502
    provider.requests.clear()
    with guarded(**plain(provider)) as site:
        assert refuses_prompts(site.browser(), provider, f"{LOGIN}?prompt=select_account").status == 502
    assert len(prompts(provider)) == 1


@pytest.mark.requirement("R-account")
def test_it_is_left_out_once_and_then_the_person_reads_what_is_wrong(
    site: Guarded, provider: StandIn
) -> None:
    browser = site.browser()
    provider.denies = "invalid_request"
    page = browser.navigate(f"{LOGIN}?next=/deep&prompt=select_account")
    assert page.status == 502
    assert prompts(provider) == ["login", None]
    assert page.link("Try again") == f"{LOGIN}?next=/deep"


def test_a_lost_attempt_begins_anew_with_the_same_choice(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    answer = browser.navigate(f"{LOGIN}?prompt=select_account", stop_before=CALLBACK).location or ""
    provider.denies = "server_error"
    browser.navigate(answer.replace("code=", "error=server_error&was="), stop_before=CALLBACK)
    provider.denies = None
    assert browser.navigate(answer).json()["user"] == "jane"
    assert prompts(provider) == ["login", "login"]


# Try again


def test_try_again_keeps_the_destination_when_the_provider_cannot_be_reached(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer) as site:
        browser = site.browser()
        provider.close()
        for url in (f"{LOGIN}?next=/deep?x=1", f"{LOGIN}default/?next=/deep?x=1", f"{site.url}/deep?x=1"):
            page = browser.navigate(url)
            assert page.status == 503
            assert page.link("Try again") == f"{LOGIN}?next=/deep%3Fx%3D1", url


def test_try_again_keeps_a_destination_that_travels_sealed(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer) as site:
        browser = site.browser()
        provider.answers["discovery"] = b"{"
        page = browser.navigate(site.url + "/deep;x=1//y")
        assert page.status == 502
        again = browser.navigate(page.link("Try again"))
        assert again.status == 502
        del provider.answers["discovery"]
        site.middleware._site()._clients._clients.clear()
        assert browser.navigate(again.link("Try again")).url == site.url + "/deep;x=1//y"


def test_try_again_keeps_the_destination_of_an_answer_that_came_twice(
    site: Guarded, provider: StandIn
) -> None:
    browser = site.browser()
    answer = browser.navigate(site.url + "/deep?x=1", stop_before=CALLBACK).location or ""
    broken = answer.replace("code=", "error=server_error&was=")
    again = browser.navigate(broken)
    assert again.status == 503
    assert again.link("Try again") == f"{LOGIN}?next=/deep%3Fx%3D1"
    # The same answer once more, in a frame, where no sign-in can begin anew.
    page = browser.navigate(broken, headers={"Sec-Fetch-Dest": "iframe"})
    assert page.status == 400
    assert page.link("Try again") == f"{LOGIN}?next=/deep%3Fx%3D1"


@pytest.mark.parametrize("path", ["/deep?x=1", "/auth/oauth2/login/?next=/deep?x=1"])
def test_try_again_keeps_the_destination_when_the_store_cannot_be_reached(
    provider: StandIn, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded(issuer=provider.issuer) as site:
        browser = signed_in(site)

        def away(_header: str) -> None:
            raise StoreUnavailableError("the store is away")

        monkeypatch.setattr(site.middleware, "_at_hand", lambda _header: None)
        monkeypatch.setattr(site.middleware, "_resolve", away)
        page = browser.navigate(site.url + path)
        assert page.status == 503
        assert page.link("Try again") == f"{LOGIN}?next=/deep%3Fx%3D1"
