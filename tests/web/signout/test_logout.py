"""Signing out: only when the person means it, here at once, and at the provider where ``sync_logout`` is on."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth2_mw.settings import presets
from tests.support.browser.jar import Browser
from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN
from tests.support.stores.watched_store import WatchedStore

LOGOUT = f"{ORIGIN}/auth/oauth2/logout/"
DONE = f"{ORIGIN}/auth/oauth2/logout/done/"


# Who may sign a person out


def test_a_link_of_the_application_signs_out_at_once(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    page = browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
    assert page.status == 303
    assert (page.location or "").startswith(provider.url)
    assert not is_signed_in(browser, site)


def test_a_typed_address_signs_out_at_once(site: Guarded) -> None:
    browser = signed_in(site)
    assert browser.navigate(LOGOUT, follow=False).status == 303
    assert not is_signed_in(browser, site)


@pytest.mark.requirement("N2.7.2")
@pytest.mark.parametrize("initiator", ["https://evil.example", "https://other.app.example"])
def test_a_link_of_another_site_is_asked_about(site: Guarded, initiator: str) -> None:
    browser = signed_in(site)
    page = browser.navigate(LOGOUT, initiator=initiator)
    assert page.status == 200
    assert page.header("Referrer-Policy") == "same-origin"
    assert is_signed_in(browser, site)
    page = browser.submit(follow=False)
    assert page.status == 303
    assert not is_signed_in(browser, site)


@pytest.mark.requirement("N2.7.2")
@pytest.mark.requirement("3j.6")
def test_where_the_form_leads_is_not_for_a_request_to_say(site: Guarded) -> None:
    browser = signed_in(site)
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    page = browser.navigate(
        LOGOUT + "?next=https://evil.example/&action=https://evil.example/",
        initiator="https://evil.example",
        headers=forged,
    )
    assert page.form().action == LOGOUT
    assert "evil.example" not in page.text


@pytest.mark.parametrize("dest", ["iframe", "image", "script", "empty", None])
def test_what_is_not_a_page_in_a_window_signs_nobody_out(site: Guarded, dest: str | None) -> None:
    browser = signed_in(site)
    cookie = "; ".join(f"{c.name}={c.value}" for c in browser.jar)
    mode = "navigate" if dest == "iframe" else "no-cors"
    headers = {} if dest is None else {"HTTP_SEC_FETCH_DEST": dest, "HTTP_SEC_FETCH_MODE": mode}
    environ = environ_for(
        "/auth/oauth2/logout/", HTTP_COOKIE=cookie, HTTP_SEC_FETCH_SITE="same-origin", **headers
    )
    if dest is None:
        del environ["HTTP_SEC_FETCH_SITE"]
    assert call(site.middleware, environ).status == 200
    assert is_signed_in(browser, site)


@pytest.mark.requirement("N2.7.2")
@pytest.mark.parametrize("token", [None, "", "x", "A" * 120])
def test_a_form_without_our_token_signs_nobody_out(site: Guarded, token: str | None) -> None:
    browser = signed_in(site)
    page = browser.post(LOGOUT, {} if token is None else {"csrf_token": token}, initiator=ORIGIN)
    assert page.status == 400
    assert is_signed_in(browser, site)
    browser.submit(follow=False)
    assert not is_signed_in(browser, site)


def test_a_form_that_was_refused_is_written_down(site: Guarded) -> None:
    browser = signed_in(site)
    browser.post(LOGOUT, {}, initiator=ORIGIN)
    assert site.audit[-1].startswith("event=logout_not_confirmed ")
    assert "user=" in site.audit[-1]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "logout/", "GET, HEAD, POST"),
        ("OPTIONS", "logout/", "GET, HEAD, POST"),
        ("PUT", "logout/done/", "GET, HEAD"),
        ("POST", "logout/done/", "GET, HEAD"),
    ],
)
def test_another_method_signs_nobody_out(site: Guarded, method: str, path: str, allowed: str) -> None:
    browser = signed_in(site)
    cookie = "; ".join(f"{c.name}={c.value}" for c in browser.jar)
    answer = call(
        site.middleware, environ_for(f"/auth/oauth2/{path}", REQUEST_METHOD=method, HTTP_COOKIE=cookie)
    )
    assert (answer.status, answer.header("Allow")) == (405, allowed)
    assert is_signed_in(browser, site)


def test_the_browser_keeps_no_cookie_of_the_session_or_of_an_attempt(site: Guarded) -> None:
    browser = signed_in(site)
    assert site.session_cookie in browser.jar.names(site.url)
    browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
    assert not [name for name in browser.jar.names(site.url) if name.startswith(site.session_cookie)]


def test_the_tokens_of_the_session_are_revoked_at_the_provider(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, keep_tokens="id access refresh") as site:
        browser = signed_in(site)
        assert provider.asked("/revoke") == []
        browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert len(provider.asked("/revoke")) == 1


def test_a_token_is_good_for_its_own_session_only(site: Guarded) -> None:
    mine, other = signed_in(site), signed_in(site)
    mine.navigate(LOGOUT, initiator="https://evil.example")
    assert mine.page is not None
    token = mine.page.form().value("csrf_token") or ""
    assert other.post(LOGOUT, {"csrf_token": token}, initiator=ORIGIN).status == 400
    assert is_signed_in(other, site)


@pytest.mark.requirement("V35")
@pytest.mark.parametrize(
    ("body", "content_type", "length"),
    [
        (b"csrf_token=%ff", "application/x-www-form-urlencoded", None),
        (b"csrf_token=a&csrf_token=b", "application/x-www-form-urlencoded", None),
        (b"{}", "application/json", None),
        (b"", "application/x-www-form-urlencoded", "99999999"),
        (b"", "application/x-www-form-urlencoded", "-1"),
        (b"", "application/x-www-form-urlencoded", "x"),
        (b"next=/a", "application/x-www-form-urlencoded", None),
    ],
)
def test_a_form_that_cannot_be_read_is_400(
    site: Guarded, body: bytes, content_type: str, length: str | None
) -> None:
    import io

    environ = environ_for(
        "/auth/oauth2/logout/",
        REQUEST_METHOD="POST",
        QUERY_STRING="next=/b",
        CONTENT_TYPE=content_type,
        CONTENT_LENGTH=length or str(len(body)),
    )
    environ["wsgi.input"] = io.BytesIO(body)
    assert call(site.middleware, environ).status == 400


@pytest.mark.requirement("V35")
@pytest.mark.parametrize("what", ["no bytes", "an error", "nothing"])
def test_a_form_that_breaks_off_is_400(site: Guarded, what: str) -> None:
    class Broken:
        def read(self, _length: int) -> Any:
            if what == "an error":
                raise OSError("the client has gone")
            return None

    environ = environ_for(
        "/auth/oauth2/logout/",
        REQUEST_METHOD="POST",
        CONTENT_TYPE="application/x-www-form-urlencoded",
        CONTENT_LENGTH="9",
    )
    environ["wsgi.input"] = Broken()
    if what == "nothing":
        del environ["wsgi.input"]
    assert call(site.middleware, environ).status == 400
    assert "code=bad_form" in site.audit[-1]


# Where a logout leads


@pytest.mark.requirement("L1", "N2.7.1")
def test_a_logout_reaches_the_provider_and_comes_back(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    page = browser.navigate(LOGOUT, initiator=ORIGIN)
    asked = provider.asked("/end_session")[-1].query
    assert asked["client_id"] == "app"
    assert asked["post_logout_redirect_uri"] == DONE
    assert asked["id_token_hint"].count(".") == 2
    assert asked["state"]
    assert page.url.startswith(DONE)
    assert page.status == 200
    assert "signed out" in page.visible_text.lower()
    assert site.session_cookie not in browser.jar.names(site.url)


def test_without_a_kept_id_token_a_logout_reaches_the_provider_all_the_same(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, keep_tokens="access") as site:
        signed_in(site).navigate(LOGOUT, initiator=ORIGIN)
    asked = provider.asked("/end_session")[-1].query
    assert asked["client_id"] == "app"
    assert "id_token_hint" not in asked


def test_next_is_kept_on_the_way_over_the_provider(site: Guarded) -> None:
    browser = signed_in(site)
    page = browser.navigate(LOGOUT + "?next=/bye%3Fa%3D1", initiator=ORIGIN, stop_before=DONE)
    page = browser.navigate(page.location or "", stop_before=lambda url: "/bye" in url)
    assert page.location == site.url + "/bye?a=1"


@pytest.mark.requirement("N2.7.1")
def test_the_state_of_a_logout_tells_the_provider_nothing(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    assert browser.navigate(LOGOUT + "?next=/deep", initiator=ORIGIN).url == site.url + "/deep"
    state = provider.asked("/end_session")[-1].query["state"]
    assert "deep" not in state
    assert b"deep" not in base64.urlsafe_b64decode(state + "==")


@pytest.mark.requirement("3d.9")
def test_next_leads_nowhere_else(site: Guarded) -> None:
    browser = signed_in(site)
    page = browser.navigate(LOGOUT + "?next=https://evil.example/", initiator=ORIGIN)
    assert page.url.startswith(DONE)


@pytest.mark.requirement("L2", "L3", "N2.7.3")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?state=wrong",
        "?state=",
        "?state=" + "A" * 200,
        # What a state of ours holds, without its seal.
        "?state=%22/deep%22",
        "?foo=bar&foo=baz",
    ],
)
def test_whatever_the_provider_sends_back_the_person_lands_on_a_page(site: Guarded, query: str) -> None:
    page = site.browser().navigate(DONE + query)
    assert page.status == 200
    assert "signed out" in page.visible_text.lower()


@pytest.mark.parametrize("sealed", [b"", b"\xff", b"{", b"[1]", b"null"])
def test_what_another_version_sealed_leads_nowhere_and_confirms_nothing(site: Guarded, sealed: bytes) -> None:
    sealer = site.middleware._sessions.sealer
    page = site.browser().navigate(DONE + "?state=" + sealer.seal("logout-state", "", sealed))
    assert (page.status, page.url.partition("?")[0]) == (200, DONE)
    browser = signed_in(site)
    token = sealer.seal("logout-form", "", sealed)
    assert browser.post(LOGOUT, {"csrf_token": token}, initiator=ORIGIN).status == 400
    assert is_signed_in(browser, site)


def test_a_confirmed_logout_keeps_its_destination(site: Guarded) -> None:
    browser = signed_in(site)
    browser.navigate(LOGOUT + "?next=/bye", initiator="https://evil.example")
    page = browser.submit(stop_before=DONE)
    page = browser.navigate(page.location or "", stop_before=lambda url: url.endswith("/bye"))
    assert page.location == site.url + "/bye"


def test_with_sync_logout_off_a_logout_stays_at_the_application(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, sync_logout=False) as site:
        browser = signed_in(site)
        page = browser.navigate(LOGOUT, initiator=ORIGIN)
        assert page.url == DONE
        assert provider.asked("/end_session") == []


def test_without_an_endpoint_a_logout_stays_at_the_application_and_says_so(provider: StandIn) -> None:
    provider.metadata = {"end_session_endpoint": None}
    with guarded(issuer=provider.issuer, provider="Example ID") as site:
        browser = signed_in(site)
        page = browser.navigate(LOGOUT, initiator=ORIGIN)
        assert page.status == 200
        assert "Example ID" in page.visible_text
        assert not is_signed_in(browser, site)
        browser = signed_in(site)
        page = browser.navigate(LOGOUT + "?next=/bye", initiator=ORIGIN)
        assert "may still be signed in at Example ID" in page.visible_text
        assert page.link("Continue") == site.url + "/bye"


def test_a_written_endpoint_of_a_plain_provider_is_used_as_it_stands() -> None:
    with (
        StandIn(client_id="app", oidc=False, userinfo={"id": 1, "username": "jane"}) as provider,
        guarded(
            authorization_endpoint=provider.url + "/authorize",
            token_endpoint=provider.url + "/token",
            userinfo_endpoint=provider.url + "/userinfo",
            logout_endpoint=provider.url + "/bye?a=b%20c",
        ) as site,
    ):
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert page.location == provider.url + "/bye?a=b%20c"


def test_a_query_of_the_endpoint_is_kept(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, logout_endpoint=provider.url + "/end_session?tenant=a%20b") as site:
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        query = parse_qs(urlsplit(page.location or "").query)
        assert query["tenant"] == ["a b"]
        assert query["client_id"] == ["app"]


@pytest.mark.parametrize(
    "written", ["client_id=other", "post_logout_redirect_uri=https%3A%2F%2Fother.example", "state="]
)
def test_what_the_endpoint_has_already_is_not_added_again(provider: StandIn, written: str) -> None:
    endpoint = f"{provider.url}/end_session?{written}&a=b%20c"
    with guarded(issuer=provider.issuer, logout_endpoint=endpoint) as site:
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert (page.location or "").startswith(endpoint + "&")
        query = parse_qs(urlsplit(page.location or "").query, keep_blank_values=True)
        assert all(len(values) == 1 for values in query.values())
        assert query.keys() == {"client_id", "post_logout_redirect_uri", "state", "id_token_hint", "a"}


def test_the_endpoint_of_the_metadata_keeps_what_it_has_as_well(provider: StandIn) -> None:
    endpoint = f"{provider.url}/end_session?client_id=app"
    provider.metadata = {"end_session_endpoint": endpoint}
    with guarded(issuer=provider.issuer) as site:
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert (page.location or "").startswith(endpoint + "&post_logout_redirect_uri=")


def test_a_plain_request_has_nothing_added_to_it(provider: StandIn) -> None:
    endpoint = f"{provider.url}/end_session?client_id=app&logout_uri=https%3A%2F%2Fapp.example%2F"
    with guarded(issuer=provider.issuer, logout_endpoint=endpoint, logout_request="plain") as site:
        page = signed_in(site).navigate(LOGOUT + "?next=/bye", initiator=ORIGIN, follow=False)
        assert page.location == endpoint


def test_a_provider_without_an_issuer_may_take_the_parameters_all_the_same() -> None:
    with (
        StandIn(client_id="app", oidc=False, userinfo={"id": 1, "username": "jane"}) as provider,
        guarded(
            authorization_endpoint=provider.url + "/authorize",
            token_endpoint=provider.url + "/token",
            userinfo_endpoint=provider.url + "/userinfo",
            logout_endpoint=provider.url + "/bye",
            logout_request="oidc",
        ) as site,
    ):
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        query = parse_qs(urlsplit(page.location or "").query)
        assert query.keys() == {"client_id", "post_logout_redirect_uri", "state"}


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("oidc", {"client_id", "post_logout_redirect_uri", "state"}), ("hydra", set()), ("okta", None)],
)
def test_without_an_id_token_the_provider_is_sent_what_it_takes(
    provider: StandIn, preset: str, parameters: set[str] | None
) -> None:
    with guarded(issuer=provider.issuer, preset=preset, keep_tokens="", provider="Example ID") as site:
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        if parameters is None:
            assert page.status == 200
            assert "may still be signed in at Example ID" in page.visible_text
        else:
            url = urlsplit(page.location or "")
            assert url.path == "/end_session"
            assert parse_qs(url.query).keys() == parameters


@pytest.mark.parametrize("preset", ["oidc", "hydra", "okta"])
def test_with_an_id_token_every_provider_is_sent_it(provider: StandIn, preset: str) -> None:
    with guarded(issuer=provider.issuer, preset=preset) as site:
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        query = parse_qs(urlsplit(page.location or "").query)
        assert query.keys() == {"client_id", "post_logout_redirect_uri", "state", "id_token_hint"}


def test_the_documented_example_of_cognito_is_sent_as_it_is_written(
    provider: StandIn, tmp_path: Path
) -> None:
    example = urlsplit(presets.read("cognito", tmp_path).examples["logout_endpoint"])
    endpoint = f"{provider.url}/end_session?{example.query}"
    provider.claims["cognito:username"] = "jane"
    with guarded(issuer=provider.issuer, preset="cognito", logout_endpoint=endpoint) as site:
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert page.location == endpoint
    query = parse_qs(example.query)
    assert query.keys() == {"client_id", "logout_uri"}
    assert query["logout_uri"] == ["https://app.example.com/auth/oauth2/logout/done/"]


@pytest.mark.parametrize("query", ["", "?state=wrong"])
def test_who_is_still_signed_in_is_told_so_after_a_logout(site: Guarded, query: str) -> None:
    browser = signed_in(site)
    page = browser.navigate(DONE + query, initiator="https://id.example")
    assert page.status == 200
    assert "You are still signed in" in page.visible_text
    assert "You are signed out" not in page.visible_text
    assert is_signed_in(browser, site)
    browser.submit(follow=False)
    assert not is_signed_in(browser, site)


def test_who_has_signed_in_again_meanwhile_is_asked_before_the_way_goes_on(site: Guarded) -> None:
    browser = signed_in(site)
    back = browser.navigate(LOGOUT + "?next=/bye", initiator=ORIGIN, stop_before=DONE).location or ""
    browser.navigate(site.url + "/")
    page = browser.navigate(back)
    assert "You are still signed in" in page.visible_text
    assert page.form().value("next") == "/bye"


def test_a_provider_that_is_down_does_not_hold_up_a_logout(provider: StandIn) -> None:
    with guarded(
        issuer=provider.issuer,
        authorization_endpoint=provider.url + "/authorize",
        token_endpoint=provider.url + "/token",
        userinfo_endpoint=provider.url + "/userinfo",
        jwks_uri=provider.url + "/jwks",
    ) as site:
        browser = signed_in(site)
        site.middleware._site()._clients._clients.clear()
        provider.close()
        page = browser.navigate(LOGOUT, initiator=ORIGIN)
        assert page.status == 200
        assert not is_signed_in(browser, site)


def test_without_a_session_nothing_is_asked(site: Guarded, provider: StandIn) -> None:
    page = site.browser().navigate(LOGOUT, initiator="https://evil.example")
    assert page.url == DONE
    page = site.browser().post(LOGOUT, {"next": "/bye"}, initiator=ORIGIN, follow=False)
    assert page.location == site.url + "/bye"
    assert provider.asked("/end_session") == []


# What a browser forgets


CLEAR = f"{ORIGIN}/auth/oauth2/static/clear"


@pytest.mark.requirement("R-clear")
@pytest.mark.parametrize(
    ("setting", "header"),
    [
        ("none", None),
        ("cache", None),
        ("cookies", '"cookies"'),
        ("storage cookies cache", '"cookies", "storage"'),
    ],
)
@pytest.mark.parametrize("sync_logout", [True, False])
def test_the_response_that_ends_a_session_has_the_browser_forget_and_no_other(
    provider: StandIn, setting: str, header: str | None, *, sync_logout: bool
) -> None:
    with guarded(issuer=provider.issuer, sync_logout=sync_logout, clear_site_data=setting) as site:
        browser = signed_in(site)
        asked = browser.navigate(LOGOUT, initiator="https://evil.example")
        ended = browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert ended.header("Clear-Site-Data") == header
        again = browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
        for page in (asked, again, browser.navigate(DONE), browser.navigate(site.url + "/", follow=False)):
            assert page.header("Clear-Site-Data") is None


@pytest.mark.requirement("R-clear")
def test_the_page_that_ends_a_session_itself_has_the_browser_forget(provider: StandIn) -> None:
    provider.metadata = {"end_session_endpoint": None}
    with guarded(issuer=provider.issuer, clear_site_data="storage cache") as site:
        page = signed_in(site).navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert (page.status, page.header("Clear-Site-Data")) == (200, '"storage"')
        assert f'<img src="{CLEAR}" alt="" hidden>' in page.text


@pytest.mark.requirement("R-clear")
def test_the_cache_is_cleared_by_an_image_that_the_signed_out_page_alone_can_show(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, clear_site_data="cache") as site:
        assert f'<img src="{CLEAR}" alt="" hidden>' in site.browser().navigate(DONE).text

        def get(site_of_the_page: str | None) -> WsgiResponse:
            environ = environ_for("/auth/oauth2/static/clear", HTTP_SEC_FETCH_SITE=site_of_the_page)
            return call(site.middleware, environ)

        answer = get("same-origin")
        assert (answer.status, answer.header("Content-Type")) == (200, "image/svg+xml")
        assert answer.header("Clear-Site-Data") == '"cache"'
        for other in ("same-site", "cross-site", "none", "", None):
            assert get(other).header("Clear-Site-Data") is None
        answer = call(site.middleware, environ_for("/auth/oauth2/static/clear", REQUEST_METHOD="POST"))
        assert (answer.status, answer.header("Clear-Site-Data")) == (405, None)


@pytest.mark.requirement("R-clear")
@pytest.mark.parametrize("setting", ["none", "cookies storage"])
def test_without_the_setting_no_image_clears_the_cache(provider: StandIn, setting: str) -> None:
    with guarded(issuer=provider.issuer, clear_site_data=setting) as site:
        assert "clear" not in site.browser().navigate(DONE).text
        environ = environ_for("/auth/oauth2/static/clear", HTTP_SEC_FETCH_SITE="same-origin")
        answer = call(site.middleware, environ)
        assert (answer.status, answer.header("Clear-Site-Data")) == (404, None)


# A session that has ended stays ended


@pytest.mark.requirement("3c.5")
def test_a_copied_cookie_is_worth_nothing_after_the_logout(site: Guarded) -> None:
    browser = signed_in(site)
    thief = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)
    browser.navigate(LOGOUT, initiator=ORIGIN)
    assert not is_signed_in(thief, site)


def test_with_a_directory_a_logout_counts_in_every_process(provider: StandIn, tmp_path: Path) -> None:
    keys = {
        "issuer": provider.issuer,
        "client_secret": CLIENT_SECRET,
        "directory": f"sqlite:///{tmp_path / 'users.db'}",
        "revocation_sync": "1s",
    }
    with guarded(**keys) as one, guarded(**keys) as two:
        browser = signed_in(one)
        elsewhere = Browser(jar=browser.jar.copy(), behind_tls={ORIGIN: two.loopback})
        assert is_signed_in(elsewhere, two)
        browser.navigate(LOGOUT, initiator=ORIGIN)
        two.middleware._sessions.revocations.next_sync_at = 0.0
        assert not is_signed_in(elsewhere, two)


def test_a_logout_that_the_directory_does_not_take_is_one_for_this_browser_and_says_so(
    provider: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    url = tmp_path / "url"
    url.write_text(f"sqlite:///{tmp_path / 'data' / 'users.db'}")
    with guarded(issuer=provider.issuer, directory=f"file:{url}", sync_logout=False) as site:
        browser = signed_in(site)
        url.write_text(f"sqlite:///{tmp_path / 'away' / 'users.db'}")
        copy = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)
        page = browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert page.status == 200
        assert "Signed out in this browser" in page.text
        assert "You are signed out" not in page.text
        assert re.search(r"at the latest until <time[^>]*>\d{4}-\d\d-\d\d \d\d:\d\d UTC</time>", page.text)
        assert "Sign out at" not in page.text
        assert site.session_cookie not in browser.jar.names(site.url)
        assert "event=logout" in site.audit[-1]
        assert "other hosts could not be told" in site.audit[-1]
        assert not is_signed_in(copy, site)
        # What this worker ended it tells by itself when the directory is back, and it is not listed any more.
        url.write_text(f"sqlite:///{tmp_path / 'data' / 'users.db'}")
        registry = site.middleware._sessions.registry
        assert registry is not None
        until = time.monotonic() + 30
        while list(registry.all()):
            assert time.monotonic() < until
            time.sleep(0.1)
        with guarded(issuer=provider.issuer, directory=f"file:{url}", sync_logout=False) as other:
            elsewhere = Browser(jar=copy.jar.copy(), behind_tls={ORIGIN: other.loopback})
            assert not is_signed_in(elsewhere, other)


@pytest.mark.parametrize("sync_logout", [True, False])
def test_who_is_signed_out_in_this_browser_alone_is_shown_the_way_out_at_the_provider(
    provider: StandIn, tmp_path: Path, *, sync_logout: bool
) -> None:
    url = tmp_path / "url"
    url.write_text(f"sqlite:///{tmp_path / 'users.db'}")
    with guarded(issuer=provider.issuer, directory=f"file:{url}", sync_logout=sync_logout) as site:
        browser = signed_in(site)
        url.write_text(f"sqlite:///{tmp_path / 'away' / 'users.db'}")
        page = browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert (page.status, "Sign out at" in page.text) == (200, sync_logout)


@pytest.mark.requirement("3k.8", "V31")
@pytest.mark.requirement("3c.13")
def test_a_store_that_is_away_refuses_a_logout_that_works_when_it_is_back(
    provider: StandIn, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    with guarded(issuer=provider.issuer, session=url) as site:
        browser = signed_in(site)
        registry = site.middleware._sessions.registry
        assert registry is not None
        registry.store = watched = WatchedStore(registry.store)
        watched.away = True
        page = browser.navigate(LOGOUT, initiator=ORIGIN, follow=False)
        assert (page.status, page.header("Retry-After")) == (503, "5")
        watched.away = False
        # Neither the browser nor the worker has taken it for one.
        assert is_signed_in(browser, site)
        copy = site.browser()
        copy.jar = browser.jar.copy()
        assert browser.navigate(LOGOUT, initiator=ORIGIN, follow=False).status == 303
        assert not is_signed_in(copy, site)
        assert list(registry.all()) == []


def test_a_disabled_user_is_out(provider: StandIn, tmp_path: Path) -> None:
    with guarded(issuer=provider.issuer, directory=f"sqlite:///{tmp_path / 'users.db'}") as site:
        browser = signed_in(site)
        directory = site.middleware._directory
        assert directory is not None
        (user,) = directory.users()
        directory.set_disabled(user.id, disabled=True, now=1)
        site.middleware._sessions.revocations.next_sync_at = 0.0
        assert not is_signed_in(browser, site)
        page = browser.navigate(site.url + "/")
        assert page.status == 403
        assert "code=user_disabled" in site.audit[-1]
