"""The provider's answer: who may bring it, what it must carry, and what a bad one leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from oauth2_mw.provider.client import ProviderClient
from tests.support.browser.jar import Browser
from tests.support.browser.page import Page
from tests.support.hosts.guarded import Guarded, guarded
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN
from tests.support.settings.providers import oidc_settings, provider_settings

CALLBACK = f"{ORIGIN}/auth/oauth2/login/callback/"
LOGIN = f"{ORIGIN}/auth/oauth2/login/"


@contextmanager
def two_providers(**changes: Any) -> Iterator[tuple[Guarded, StandIn, StandIn]]:
    """An application with two providers, both under one client id."""
    with (
        StandIn(client_id="app", client_secret="one") as one,
        StandIn(
            client_id="app", client_secret="two", userinfo={"sub": "9", "preferred_username": "eve"}
        ) as two,
        guarded(
            client_id=None,
            client_secret=None,
            **{
                "provider:one": {
                    "issuer": one.issuer,
                    "client_id": "app",
                    "client_secret": "one",
                    "username_prefix": "1-",
                },
                "provider:two": {
                    "issuer": two.issuer,
                    "client_id": "app",
                    "client_secret": "two",
                    "username_prefix": "2-",
                    **changes,
                },
            },
        ) as site,
    ):
        yield site, one, two


def at_callback(browser: Browser, site: Guarded, path: str = "/deep") -> str:
    page = browser.navigate(site.url + path, stop_before=CALLBACK)
    assert (page.location or "").startswith(CALLBACK)
    return page.location or ""


def user_of(browser: Browser, site: Guarded) -> str | None:
    page = browser.fetch(site.url + "/whoami", initiator=ORIGIN)
    return page.json()["user"] if page.status == 200 else None


def changed(answer: str, **changes: str | None) -> str:
    """Return the URL of an answer with some of its parameters changed, or left out where ``None``."""
    url = urlsplit(answer)
    query = {**dict(parse_qsl(url.query)), **changes}
    return url._replace(query=urlencode({k: v for k, v in query.items() if v is not None})).geturl()


def refused(page: Page, browser: Browser, site: Guarded, provider: StandIn, code: str) -> None:
    """Check for a page, one audit line that names it, no code sent and no session."""
    assert 400 <= page.status < 500 or page.status == 502
    assert re.search(r"\b[0-9a-f]{8}\b", page.visible_text)
    assert f"code={code}" in site.audit[-1]
    assert provider.asked("/token") == []
    assert user_of(browser, site) is None


# What must be in an answer


@pytest.mark.requirement("N2.1.2")
@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "session_state", "error_description"])
def test_a_parameter_that_comes_twice_makes_the_answer_malformed(
    site: Guarded, provider: StandIn, name: str
) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    value = parse_qs(urlsplit(answer).query).get(name, ["x"])[0]
    twice = urlencode([(name, value), (name, value)])
    url = urlsplit(changed(answer, **{name: None}))
    page = browser.navigate(url._replace(query=f"{url.query}&{twice}").geturl())
    refused(page, browser, site, provider, "bad_request")


@pytest.mark.requirement("3a.1", "N2.1.11")
def test_an_answer_is_nothing_to_a_browser_whose_own_attempt_has_the_same_name(
    site: Guarded, provider: StandIn
) -> None:
    victim = site.browser()
    at_callback(victim, site)
    [name] = attempts_of(victim)
    for _ in range(200):
        attacker = site.browser()
        answer = at_callback(attacker, site)
        if attempts_of(attacker) == [name]:
            break
    assert attempts_of(attacker) == [name]
    victim.navigate(answer, initiator="https://evil.example", stop_before=provider.url)
    assert provider.asked("/token") == []
    assert user_of(victim, site) is None


def attempts_of(browser: Browser) -> list[str]:
    return [name for name in browser.jar.names(CALLBACK) if "-a-" in name]


@pytest.mark.requirement("3a.5", "V10")
def test_a_used_answer_is_used_whatever_became_of_it(site: Guarded, provider: StandIn) -> None:
    """The one use of an attempt is taken before the code is sent, so none is left for a copy of the answer."""
    browser = site.browser()
    answer = at_callback(browser, site)
    seen: list[bool] = []
    thief = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)

    def slow(good: Any) -> Any:
        seen.append(thief.navigate(answer, follow=False).status == 303)
        return good

    provider.answers["token"] = slow
    browser.navigate(answer)
    assert seen == [True]
    assert len(provider.asked("/token")) == 1
    assert user_of(thief, site) is None
    assert user_of(browser, site) == "jane"


@pytest.mark.requirement("3a.6")
@pytest.mark.parametrize("broken", [{"error": "invalid_grant"}, Answer(b"", status=500), {"access_token": 1}])
def test_reload_after_a_failure_sends_no_code_twice(site: Guarded, provider: StandIn, broken: Any) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    provider.answers["token"] = broken
    assert browser.navigate(answer).status >= 400
    assert browser.navigate(answer, follow=False).status == 303
    codes = [request.form["code"] for request in provider.asked("/token")]
    assert len(codes) == len(set(codes)) == 1


@pytest.mark.requirement("N2.1.12", "N2.1.11")
def test_a_state_that_was_altered_in_any_place_is_refused(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    state = parse_qs(urlsplit(answer).query)["state"][0]
    for place in range(len(state)):
        other = state[:place] + ("A" if state[place] != "A" else "B") + state[place + 1 :]
        page = browser.navigate(changed(answer, state=other), follow=False)
        assert page.status == 400, place
    assert provider.asked("/token") == []


@pytest.mark.requirement("N2.1.12", "3a.4", "N2.5.9")
def test_the_codes_of_two_tabs_cannot_be_swapped(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    first, second = at_callback(browser, site, "/one"), at_callback(browser, site, "/two")
    code = parse_qs(urlsplit(second).query)["code"][0]
    page = browser.navigate(changed(first, code=code))
    assert page.status == 502
    assert "code=invalid_grant" in site.audit[-1]
    assert user_of(browser, site) is None


@pytest.mark.requirement("3a.4", "N2.5.9")
def test_without_pkce_the_nonce_alone_tells_the_codes_of_two_browsers_apart(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, pkce="off") as site:
        victim, attacker = site.browser(), site.browser()
        stolen = parse_qs(urlsplit(at_callback(victim, site)).query)["code"][0]
        page = attacker.navigate(changed(at_callback(attacker, site), code=stolen))
        assert page.status == 400
        assert "code=token_nonce" in site.audit[-1]
        assert user_of(attacker, site) is None


@pytest.mark.requirement("N2.5.9", "3a.4")
def test_a_code_of_somebody_else_signs_nobody_in(site: Guarded, provider: StandIn) -> None:
    victim, attacker = site.browser(), site.browser()
    stolen = parse_qs(urlsplit(at_callback(victim, site)).query)["code"][0]
    page = attacker.navigate(changed(at_callback(attacker, site), code=stolen))
    assert page.status == 502
    assert user_of(attacker, site) is None


@pytest.mark.requirement("O7", "N2.6.18")
@pytest.mark.parametrize("state", [None, "", "x", "A" * 104])
def test_an_error_without_our_state_is_no_error_of_ours(
    site: Guarded, provider: StandIn, state: str | None
) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    page = browser.navigate(changed(answer, code=None, error="access_denied", state=state))
    refused(page, browser, site, provider, "state_missing" if not state else "state_foreign")
    # The bad answer has not used up the attempt.
    assert browser.navigate(answer).url == site.url + "/deep"


@pytest.mark.requirement("N2.4.1")
@pytest.mark.parametrize("error", [None, "access_denied", "server_error"])
@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_of_another_issuer_is_refused_code_or_error(
    site: Guarded, provider: StandIn, error: str | None, *, announced: bool
) -> None:
    provider.sends_iss = announced
    browser = site.browser()
    answer = at_callback(browser, site)
    changes = {"iss": provider.issuer + "/", **({} if error is None else {"code": None, "error": error})}
    page = browser.navigate(changed(answer, **changes))
    refused(page, browser, site, provider, "issuer")


@pytest.mark.requirement("N2.4.3")
def test_an_issuer_that_nobody_announced_is_compared(provider: StandIn) -> None:
    provider.sends_iss = False
    with guarded(issuer=provider.issuer) as site:
        browser = site.browser()
        answer = at_callback(browser, site)
        refused(
            browser.navigate(changed(answer, iss="https://evil.example")), browser, site, provider, "issuer"
        )
        browser = site.browser()
        answer = at_callback(browser, site)
        assert browser.navigate(changed(answer, iss=provider.issuer)).url == site.url + "/deep"


# Two providers


@pytest.mark.requirement("N2.1.21", "N2.5.8", "3a.2")
def test_a_code_goes_to_the_provider_whose_sign_in_was_begun() -> None:
    with two_providers() as (site, one, two):
        browser = site.browser()
        page = browser.navigate(f"{LOGIN}one/", stop_before=ORIGIN)
        answer = page.location or ""
        evil = browser.navigate(f"{LOGIN}two/", stop_before=ORIGIN).location or ""
        for crossed in (
            answer.replace("/callback/one/", "/callback/two/"),
            changed(evil, code=parse_qs(urlsplit(answer).query)["code"][0]).replace("/two/", "/one/"),
        ):
            assert browser.navigate(crossed).status == 400
        assert one.asked("/token") == two.asked("/token") == []
        assert browser.navigate(answer).status == 200
        assert (len(one.asked("/token")), len(two.asked("/token"))) == (1, 0)


@pytest.mark.requirement("N2.5.14", "3a.3", "N2.5.8")
def test_a_provider_that_lends_anothers_authorization_endpoint_gets_no_code() -> None:
    with two_providers() as (site, one, two):
        # Its metadata names the honest provider's authorization endpoint, and its own token endpoint.
        two.metadata = {"authorization_endpoint": one.url + "/authorize"}
        one.sends_iss = True
        browser = site.browser()
        page = browser.navigate(f"{LOGIN}two/", stop_before=ORIGIN)
        assert "/callback/two/" in (page.location or "")
        page = browser.navigate(page.location or "")
        assert page.status == 400
        assert "code=issuer" in site.audit[-1]
        assert two.asked("/token") == []


@pytest.mark.requirement("N2.4.4", "N2.5.14")
def test_each_provider_has_a_callback_of_its_own() -> None:
    with two_providers() as (site, one, two):
        for name, provider in (("one", one), ("two", two)):
            site.browser().navigate(f"{LOGIN}{name}/")
            assert provider.asked("/authorize")[-1].query["redirect_uri"] == f"{CALLBACK}{name}/"


# What a sign-in leaves


@pytest.mark.requirement("3a.15")
def test_who_signs_in_over_another_gets_a_session_of_their_own(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    before = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)
    identity = site.app.seen[-1]["Identity"]
    provider.userinfo = {"sub": "user-2", "preferred_username": "joe", "phone_number": "7"}
    browser.navigate(LOGIN)
    assert user_of(browser, site) == "joe"
    assert user_of(before, site) is None
    now = site.app.seen[-1]["Identity"]
    assert now.id != identity.id
    assert (now.name, now.email) == (None, None)


@pytest.mark.requirement("3a.16", "3c.9")
def test_a_session_that_was_planted_before_the_sign_in_is_gone_after_it(
    site: Guarded, provider: StandIn
) -> None:
    attacker = site.browser()
    attacker.navigate(site.url + "/")
    planted = next(cookie for cookie in attacker.jar if cookie.name == site.session_cookie)
    victim = Browser(jar=attacker.jar.copy(), behind_tls=attacker.behind_tls)
    provider.userinfo = {"sub": "victim", "preferred_username": "victim"}
    victim.navigate(LOGIN)
    assert user_of(victim, site) == "victim"
    own = next(cookie for cookie in victim.jar if cookie.name == site.session_cookie)
    assert own.value != planted.value
    assert user_of(attacker, site) is None


@pytest.mark.requirement("3a.13")
@pytest.mark.parametrize("error", ["access_denied", "login_required", "server_error", "x" * 300])
def test_an_error_changes_no_session_that_is_there(site: Guarded, provider: StandIn, error: str) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    cookie = next(cookie for cookie in browser.jar if cookie.name == site.session_cookie).value
    provider.denies = error
    assert browser.navigate(LOGIN).status in (403, 502, 503)
    assert next(cookie for cookie in browser.jar if cookie.name == site.session_cookie).value == cookie
    assert user_of(browser, site) == "jane"


@pytest.mark.requirement("3a.19")
def test_a_sign_in_that_another_site_begins_gains_nothing(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    seen = site.app.calls
    page = browser.navigate(
        LOGIN + "?next=https://evil.example/", initiator="https://evil.example", stop_before=CALLBACK
    )
    # The sign-in has only begun: the session is as before, and the browser is at the provider.
    assert user_of(browser, site) == "jane"
    assert site.app.calls == seen + 1
    assert browser.navigate(page.location or "").url == site.url + "/"


@pytest.mark.requirement("3a.20")
def test_a_sign_in_that_never_succeeds_ends_after_one_new_start(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    location = at_callback(browser, site)
    starts = 0
    while True:
        browser.jar.clear()
        page = browser.navigate(location, stop_before=CALLBACK)
        if page.location is None:
            break
        location = page.location
        starts += 1
        assert starts < 5
    assert starts == 1
    assert page.status == 400
    assert "code=attempt_lost" in site.audit[-1]


@pytest.mark.requirement("V10", "V6")
@pytest.mark.parametrize("start", ["/deep", "/auth/oauth2/login/", "/auth/oauth2/login/default/"])
def test_every_way_of_starting_binds_the_sign_in_to_the_browser(
    site: Guarded, provider: StandIn, start: str
) -> None:
    attacker, victim = site.browser(), site.browser()
    answer = at_callback(attacker, site, start)
    page = victim.navigate(answer, initiator="https://evil.example", stop_before=provider.url)
    assert provider.asked("/token") == []
    assert user_of(victim, site) is None
    # The new attempt that it gets instead is bound to this browser as well.
    again = victim.navigate(page.location or "", stop_before=CALLBACK).location or ""
    attacker.navigate(again, stop_before=provider.url)
    assert provider.asked("/token") == []


@pytest.mark.requirement("V10", "3a.1", "V6")
def test_a_form_is_bound_to_the_browser_as_well(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, response_mode="form_post") as site:
        attacker, victim = site.browser(), site.browser()
        fields = provider.follow(attacker.navigate(site.url + "/", follow=False).location or "")
        victim.post(CALLBACK, fields, initiator="https://evil.example", follow=False)
        assert provider.asked("/token") == []
        assert user_of(victim, site) is None


@pytest.mark.requirement("V30")
def test_no_two_attempts_share_a_state(site: Guarded) -> None:
    browser = site.browser()
    states = {
        parse_qs(urlsplit(browser.navigate(LOGIN, follow=False).location or "").query)["state"][0]
        for _ in range(50)
    }
    assert len(states) == 50
    assert len({state[20:40] for state in states}) == 50


# The request for tokens


@pytest.mark.requirement("N2.1.3", "N2.1.7", "N2.2.3")
def test_tokens_are_asked_for_by_post_with_the_same_redirect_uri_and_the_verifier(
    site: Guarded, provider: StandIn
) -> None:
    site.browser().navigate(site.url + "/")
    (asked,) = provider.asked("/authorize")
    (request,) = provider.asked("/token")
    assert (request.method, request.query) == ("POST", {})
    assert request.form["redirect_uri"] == asked.query["redirect_uri"] == CALLBACK
    assert len(request.form["code_verifier"]) == 43


@pytest.mark.requirement("N2.2.3")
def test_a_token_endpoint_that_checks_the_verifier_refuses_another(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    for code, attempt in provider._codes.items():
        provider._codes[code] = type(attempt)(attempt.redirect_uri, attempt.nonce, "another", attempt.scope)
    assert browser.navigate(answer).status == 502


@pytest.mark.requirement("N2.1.4", "N2.1.5")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_client_authenticates_in_one_way_and_never_in_an_address(provider: StandIn, method: str) -> None:
    provider.auth_method = method
    with guarded(issuer=provider.issuer, client_auth_method=method) as site:
        site.browser().navigate(site.url + "/")
    (request,) = provider.asked("/token")
    assert ("Authorization" in request.headers) == (method == "client_secret_basic")
    assert ("client_secret" in request.form) == (method == "client_secret_post")
    assert ("client_id" in request.form) == (method == "client_secret_post")
    for request in provider.requests:
        assert CLIENT_SECRET not in str(request.query)


@pytest.mark.requirement("N2.1.8")
@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", "", "Bearer ", 1, ["Bearer"], LEFT_OUT])
def test_a_token_of_an_unknown_type_is_not_used(site: Guarded, provider: StandIn, kind: Any) -> None:
    provider.answers["token"] = lambda good: {
        name: value for name, value in {**good, "token_type": kind}.items() if value is not LEFT_OUT
    }
    page = site.browser().navigate(site.url + "/")
    assert page.status == 502
    assert "code=token_response" in site.audit[-1]
    assert provider.asked("/userinfo") == []


@pytest.mark.requirement("N2.1.9")
@pytest.mark.parametrize("scope", ["openid", "", "openid profile email address phone admin", LEFT_OUT])
def test_another_scope_than_the_one_asked_for_is_no_fault(
    site: Guarded, provider: StandIn, scope: Any
) -> None:
    provider.answers["token"] = lambda good: {
        name: value for name, value in {**good, "scope": scope}.items() if value is not LEFT_OUT
    }
    assert site.browser().navigate(site.url + "/").json()["user"] == "jane"


@pytest.mark.requirement("N2.5.1")
def test_tokens_in_the_answer_itself_are_not_looked_at(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    implicit = changed(
        answer, code=None, id_token=provider.id_token("x", "y"), access_token="y", token_type="Bearer"
    )
    refused(browser.navigate(implicit), browser, site, provider, "code_missing")


@pytest.mark.requirement("N2.2.4")
def test_the_verifier_is_in_no_address_and_in_no_readable_cookie(site: Guarded, provider: StandIn) -> None:
    browser = site.browser()
    answer = at_callback(browser, site)
    cookies = "".join(cookie.value for cookie in browser.jar)
    browser.navigate(answer)
    cookies += "".join(cookie.value for cookie in browser.jar)
    verifier = provider.asked("/token")[0].form["code_verifier"]
    assert verifier not in cookies
    assert not any(verifier in step.url for step in browser.steps)


@pytest.mark.requirement("N2.1.19")
def test_no_token_can_be_read_in_a_cookie(provider: StandIn) -> None:
    token_responses: list[dict[str, str]] = []

    def keep(answer: dict[str, str]) -> dict[str, str]:
        token_responses.append(answer)
        return answer

    provider.answers["token"] = keep
    with guarded(issuer=provider.issuer, keep_tokens="id access") as site:
        browser = site.browser()
        browser.navigate(site.url + "/")
        cookies = "".join(cookie.value for cookie in browser.jar)
        for name in ("access_token", "refresh_token", "id_token"):
            assert token_responses[0][name] not in cookies
            assert token_responses[0][name].split(".")[-1] not in cookies
        assert all(cookie.secure for cookie in browser.jar)


@pytest.mark.requirement("N2.6.17", "N2.5.2")
@pytest.mark.parametrize("make", [oidc_settings, None])
def test_a_request_says_what_is_configured_and_no_more(
    provider: StandIn, make: Callable[..., Any] | None
) -> None:
    options = {"prompt": "login", "acr_values": ("loa3",), "max_age": 60, "ui_locales": "de fr"}
    settings = (
        oidc_settings(provider, **options)
        if make
        else provider_settings(
            issuer=None,
            authorization_endpoint="https://op.example/a",
            **{**options, "acr_values": (), "max_age": None},
        )
    )
    client = ProviderClient(settings, redirect_uri=CALLBACK)
    asked = dict(
        parse_qsl(urlsplit(client.authorization_url(state="s", nonce="n", code_verifier="v" * 43)).query)
    )
    usual = {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
    assert asked["prompt"] == "login"
    if make:
        assert (asked["acr_values"], asked["max_age"], asked["ui_locales"]) == ("loa3", "60", "de fr")
        assert asked.keys() == usual | {"nonce", "prompt", "acr_values", "max_age", "ui_locales"}
    else:
        assert asked.keys() - {"ui_locales"} == usual | {"prompt"}
