"""A provider tells of a sign-out there: a signed token ends sessions, and nothing else does."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
import pytest

from oauth2_mw.errors import StoreUnavailableError
from tests.support.browser.jar import Browser
from tests.support.hosts.guarded import Guarded, guarded, is_signed_in, signed_in
from tests.support.hosts.shared_sessions import settings, site
from tests.support.providers.jose import Key, base64url, rsa_key
from tests.support.providers.standin import LEFT_OUT, LOGOUT_EVENT, Answer, StandIn
from tests.support.settings.minimal import CLIENT_SECRET, ORIGIN
from tests.support.stores.watched_store import WatchedStore

__all__ = ["site"]

PATH = "/auth/oauth2/backchannel-logout/"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

Kept = Callable[[StandIn], dict[str, Any]]


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn(client_id="app", sid="session-1") as provider:
        yield provider


@dataclass
class LogoutResponse:
    """The answer that a provider gets."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        document = json.loads(self.body)
        assert self.headers["content-type"] == "application/json"
        assert document.keys() == {"error", "error_description"}
        return str(document["error"])


def request(
    site: Guarded, method: str, path: str = PATH, body: bytes = b"", headers: Mapping[str, str] = FORM
) -> LogoutResponse:
    connection = HTTPConnection(urlsplit(site.loopback).netloc, timeout=30)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        response = LogoutResponse(
            answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        )
    finally:
        connection.close()
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    return response


def tell(site: Guarded, token: str, path: str = PATH) -> LogoutResponse:
    return request(site, "POST", path, urlencode({"logout_token": token}).encode())


def watch(site: Guarded) -> WatchedStore:
    """Watch every call to the store from now on."""
    registry = site.middleware._sessions.registry
    assert registry is not None
    registry.store = watched = WatchedStore(registry.store)
    return watched


# A valid logout token


@pytest.mark.requirement("L6", "N2.7.5")
def test_a_token_in_order_ends_the_session(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    answer = tell(site, provider.logout_token())
    assert (answer.status, answer.body) == (200, b"")
    assert not is_signed_in(browser, site)
    (line,) = [line for line in site.audit if line.startswith("event=logout_by_provider")]
    assert re.fullmatch(
        "event=logout_by_provider ref=.{8} provider=default user=.* username=jane address=127.0.0.1 count=1 how=sid",
        line,
    )


def test_a_copied_cookie_is_worth_nothing_after_a_logout(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    thief = Browser(jar=browser.jar.copy(), behind_tls=browser.behind_tls)
    tell(site, provider.logout_token())
    assert not is_signed_in(thief, site)


def test_by_sid_a_token_ends_that_session_alone(site: Guarded, provider: StandIn) -> None:
    one = signed_in(site)
    provider.sid = "session-2"
    two = signed_in(site)
    assert tell(site, provider.logout_token()).status == 200
    assert is_signed_in(one, site)
    assert not is_signed_in(two, site)


def test_a_session_that_came_twice_from_one_of_the_providers_ends_twice(
    site: Guarded, provider: StandIn
) -> None:
    browsers = [signed_in(site), signed_in(site)]
    tell(site, provider.logout_token(sub=LEFT_OUT))
    assert [is_signed_in(browser, site) for browser in browsers] == [False, False]


@pytest.mark.requirement("N2.7.13")
def test_by_sub_a_token_ends_every_session_of_that_user_and_of_no_other(
    site: Guarded, provider: StandIn
) -> None:
    one = signed_in(site)
    provider.sid = "session-2"
    two = signed_in(site)
    provider.userinfo = {"sub": "user-2", "preferred_username": "joe"}
    other = signed_in(site)
    assert tell(site, provider.logout_token(sub="user-1", sid=LEFT_OUT)).status == 200
    assert [is_signed_in(browser, site) for browser in (one, two, other)] == [False, False, True]
    assert any("count=2 how=sub" in line for line in site.audit)


def test_by_sub_a_token_ends_no_session_that_is_newer(site: Guarded, provider: StandIn) -> None:
    earlier = int(time.time()) - 30
    browser = signed_in(site)
    assert tell(site, provider.logout_token(sid=LEFT_OUT, iat=earlier)).status == 200
    assert is_signed_in(browser, site)


def test_a_logout_token_counts_in_every_process(provider: StandIn, tmp_path: Path) -> None:
    for where in ("directory", "session"):
        keys = settings(provider, tmp_path / where, where=where, revocation_sync="1s")
        (tmp_path / where).mkdir()
        with guarded(**keys) as one, guarded(**keys) as two:
            browser = signed_in(one)
            elsewhere = Browser(jar=browser.jar, behind_tls={ORIGIN: two.loopback})
            tell(two, provider.logout_token())
            one.middleware._sessions.revocations.next_sync_at = 0.0
            assert not is_signed_in(elsewhere, two)


@pytest.mark.requirement("N2.7.11")
@pytest.mark.parametrize(
    "changes", [{}, {"sid": "unknown"}, {"sub": "unknown", "sid": LEFT_OUT}, {"sub": LEFT_OUT}]
)
def test_a_token_that_names_nobody_signed_in_succeeds(
    site: Guarded, provider: StandIn, changes: dict[str, Any]
) -> None:
    assert tell(site, provider.logout_token(**changes)).status == 200


@pytest.mark.requirement("N2.7.10")
def test_a_token_that_comes_twice_has_one_effect(site: Guarded, provider: StandIn) -> None:
    browser, token = signed_in(site), provider.logout_token()
    assert tell(site, token).status == 200
    watched = watch(site)
    assert tell(site, token).status == 200
    assert watched.calls == ["revoked"]
    assert not is_signed_in(browser, site)
    assert "count=0 how=repeated" in site.audit[-1]


def test_a_token_whose_logout_failed_half_way_works_when_it_comes_again(
    site: Guarded, provider: StandIn
) -> None:
    browser, token, watched = signed_in(site), provider.logout_token(), watch(site)

    def fail() -> None:
        watched.before.clear()
        raise StoreUnavailableError("the store went away")

    # Each time, not only the first.
    for _ in range(3):
        watched.before["find"] = fail
        answer = tell(site, token)
        assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert tell(site, token).status == 200
    assert not is_signed_in(browser, site)


def test_tokens_of_one_name_from_two_providers_are_two(provider: StandIn, tmp_path: Path) -> None:
    with (
        StandIn(client_id="app", sid="session-1") as other,
        guarded(**several(provider, other, tmp_path)) as site,
    ):
        browser = site.browser()
        browser.navigate(f"{ORIGIN}/auth/oauth2/login/corp/")
        assert tell(site, provider.logout_token(jti="1")).status == 200
        assert is_signed_in(browser, site)
        assert tell(site, other.logout_token(jti="1"), f"{PATH}corp/").status == 200
        assert not is_signed_in(browser, site)


# A logout that comes while somebody signs in


@pytest.mark.requirement("3l.6")
@pytest.mark.parametrize("changes", [{}, {"sid": LEFT_OUT}], ids=["sid", "sub"])
def test_a_logout_before_the_session_is_written_ends_it(
    site: Guarded, provider: StandIn, changes: dict[str, Any]
) -> None:
    # The directory knows a user from the first sign-in on.
    signed_in(site)
    answers: list[int] = []

    def answer(good: Any) -> Any:
        answers.append(tell(site, provider.logout_token(**changes)).status)
        return good

    provider.answers["token"] = answer
    browser = site.browser()
    page = browser.navigate(site.url + "/")
    assert answers == [200]
    assert page.status == 403
    assert not is_signed_in(browser, site)
    assert "code=signed_out" in site.audit[-1]


# What is not a logout token


def refused(site: Guarded, provider: StandIn, token: str, code: str | None = None) -> None:
    """Check that a token ends nothing, and that the provider learns no more than that."""
    browser = signed_in(site)
    answer = tell(site, token)
    assert answer.status == 400
    assert answer.error == "invalid_request"
    assert is_signed_in(browser, site)
    assert re.match(
        "event=refused ref=[0-9a-f]{8} code=.* provider=default address=127.0.0.1 detail=", site.audit[-1]
    )
    if code is not None:
        assert f"code={code} " in site.audit[-1]
    assert site.audit[-1].split("ref=")[1][:8] in answer.body.decode()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": "another"}, marks=pytest.mark.requirement("L11"), id="another client"),
        pytest.param(
            {"iss": "https://evil.example"}, marks=pytest.mark.requirement("L13"), id="another issuer"
        ),
        pytest.param({"events": LEFT_OUT}, marks=pytest.mark.requirement("L8"), id="no event"),
        pytest.param({"events": {"urn:other": {}}}, marks=pytest.mark.requirement("L12"), id="another event"),
        pytest.param({"nonce": "n"}, marks=pytest.mark.requirement("L9"), id="a nonce"),
        pytest.param(
            {"events": [LOGOUT_EVENT]}, marks=pytest.mark.requirement("N2.7.8"), id="a list of events"
        ),
        pytest.param(
            {"events": LOGOUT_EVENT}, marks=pytest.mark.requirement("N2.7.8"), id="an event as a text"
        ),
        pytest.param(
            {"events": {LOGOUT_EVENT: True}},
            marks=pytest.mark.requirement("N2.7.8"),
            id="an event that is no object",
        ),
        pytest.param(
            {"sub": LEFT_OUT, "sid": LEFT_OUT}, marks=pytest.mark.requirement("N2.7.7"), id="nobody is named"
        ),
        *(
            pytest.param({name: LEFT_OUT}, marks=pytest.mark.requirement("N2.7.6"), id=f"no {name}")
            for name in ("iss", "aud", "iat", "exp", "jti")
        ),
        pytest.param({"exp": 1_000_000_000}, marks=pytest.mark.requirement("N2.7.5"), id="expired"),
        pytest.param({"iat": 4_000_000_000}, marks=pytest.mark.requirement("N2.7.5"), id="of the future"),
    ],
)
def test_a_token_with_other_claims_ends_nothing(
    site: Guarded, provider: StandIn, changes: dict[str, Any]
) -> None:
    refused(site, provider, provider.logout_token(**changes))


@pytest.mark.requirement("L7")
def test_an_unsigned_token_ends_nothing(site: Guarded, provider: StandIn) -> None:
    _, claims, _ = provider.logout_token().split(".")
    header = base64url(json.dumps({"alg": "none", "typ": "logout+jwt"}).encode())
    for signature in ("", "x"):
        refused(site, provider, f"{header}.{claims}.{signature}")


@pytest.mark.requirement("L10")
def test_a_token_of_another_algorithm_ends_nothing(site: Guarded, provider: StandIn) -> None:
    provider.metadata = {"id_token_signing_alg_values_supported": ["RS256"]}
    provider.jwks = [provider.key.jwk(alg=None)]
    claims = jwt.decode(provider.logout_token(), options={"verify_signature": False})
    other = Key(provider.key.private, "RS512", provider.key.kid)
    refused(site, provider, other.sign(claims, typ="logout+jwt"), "token_algorithm")


@pytest.mark.requirement("N2.7.5")
def test_a_token_that_somebody_else_signed_ends_nothing(site: Guarded, provider: StandIn) -> None:
    theirs = StandIn(client_id="app", key=rsa_key(2), sid="session-1", url=provider.url)
    refused(site, provider, theirs.logout_token(header={"kid": provider.key.kid}))


@pytest.mark.requirement("N2.7.9")
def test_an_id_token_ends_nothing(site: Guarded, provider: StandIn) -> None:
    refused(site, provider, provider.id_token("nonce", "access token"))
    refused(site, provider, provider.id_token(None, "access token"))


def test_a_user_who_is_known_by_another_claim_is_not_found_by_sub(provider: StandIn, tmp_path: Path) -> None:
    provider.claims = {"oid": "o-1"}
    with guarded(**settings(provider, tmp_path, subject="oid")) as site:
        refused(site, provider, provider.logout_token(sid=LEFT_OUT), code="logout_subject")
        assert tell(site, provider.logout_token()).status == 200


# How a logout token is sent


@pytest.mark.requirement("N2.7.4")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_than_post_are_405(site: Guarded, provider: StandIn, method: str) -> None:
    browser = signed_in(site)
    query = urlencode({"logout_token": provider.logout_token()})
    answer = request(site, method, f"{PATH}?{query}", headers={})
    assert (answer.status, answer.headers.get("allow")) == (405, "POST")
    assert is_signed_in(browser, site)


def as_form(*tokens: str, **more: str) -> bytes:
    return urlencode([*(("logout_token", token) for token in tokens), *more.items()]).encode()


@pytest.mark.requirement("N2.7.4", "N2.7.11")
@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        pytest.param("", lambda token: as_form(token, token), FORM, id="twice"),
        pytest.param("", lambda token: as_form(token, "x"), FORM, id="and another"),
        pytest.param("", lambda _token: as_form(), FORM, id="nothing"),
        pytest.param("", lambda _token: as_form(""), FORM, id="empty"),
        pytest.param("", lambda token: as_form(token, more="x" * 16 * 1024), FORM, id="too long"),
        pytest.param("", lambda _token: b"logout_token=%ff", FORM, id="bad UTF-8"),
        pytest.param(
            "",
            lambda token: json.dumps({"logout_token": token}).encode(),
            {"Content-Type": "application/json"},
            id="JSON",
        ),
        pytest.param("", lambda token: token.encode(), {"Content-Type": "application/jwt"}, id="bare"),
        pytest.param("?{}", lambda _token: b"", FORM, id="in the query"),
    ],
)
def test_a_logout_token_comes_as_one_form_field(
    site: Guarded, provider: StandIn, path: str, body: Callable[[str], bytes], headers: dict[str, str]
) -> None:
    browser, token = signed_in(site), provider.logout_token()
    answer = request(
        site, "POST", PATH + path.format(urlencode({"logout_token": token})), body(token), headers
    )
    assert answer.status == 400
    assert answer.error == "invalid_request"
    assert is_signed_in(browser, site)


def test_fields_beside_the_logout_token_say_nothing(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    body = as_form(provider.logout_token(), state="x", client_id="another")
    assert request(site, "POST", body=body).status == 200
    assert not is_signed_in(browser, site)


def test_cookies_are_neither_read_nor_set(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    cookies = [f"{site.session_cookie}=broken", "; ".join(f"{c.name}={c.value}" for c in browser.jar)]
    for cookie in cookies:
        headers = {**FORM, "Cookie": cookie}
        # request() looks for Set-Cookie.
        assert request(site, "POST", body=as_form("x"), headers=headers).status == 400
        assert request(site, "POST", body=as_form(provider.logout_token()), headers=headers).status == 200


# When a logout token cannot be acted upon


def several(provider: StandIn, other: StandIn, folder: Path) -> dict[str, Any]:
    return {
        **settings(provider, folder),
        "provider:corp": {
            "issuer": other.issuer,
            "client_id": "app",
            "client_secret": CLIENT_SECRET,
            "username_prefix": "corp-",
            **({"same_users_as": "default"} if other is provider else {}),
        },
        "provider:plain": {
            "subject": "sub",
            "same_users_as": "corp",
            "client_id": "app",
            "client_secret": CLIENT_SECRET,
            "authorization_endpoint": other.url + "/authorize",
            "token_endpoint": other.url + "/token",
            "userinfo_endpoint": other.url + "/userinfo",
        },
    }


def test_each_provider_has_an_address_of_its_own(provider: StandIn, tmp_path: Path) -> None:
    with (
        StandIn(client_id="app", sid="session-1", key=rsa_key(2)) as other,
        guarded(**several(provider, other, tmp_path)) as site,
    ):
        browser = site.browser()
        browser.navigate(f"{ORIGIN}/auth/oauth2/login/corp/")
        assert is_signed_in(browser, site)
        # A token of one provider at the URL of another, with the claims of the other.
        assert tell(site, other.logout_token()).status == 400
        assert tell(site, provider.logout_token(iss=other.issuer), f"{PATH}corp/").status == 400
        assert is_signed_in(browser, site)
        assert tell(site, other.logout_token(), f"{PATH}corp/").status == 200
        assert not is_signed_in(browser, site)


@pytest.mark.parametrize("name", ["unknown", "plain", "default", "corp/x", "%00"])
def test_a_provider_that_cannot_tell_has_no_address(provider: StandIn, tmp_path: Path, name: str) -> None:
    with guarded(**several(provider, provider, tmp_path)) as site:
        assert tell(site, provider.logout_token(), f"{PATH}{name}/").status in (400, 404)


def test_with_neither_directory_nor_store_no_address_takes_logout_tokens(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer) as site:
        assert tell(site, provider.logout_token()).status == 404


def test_a_provider_whose_keys_cannot_be_had_is_told_to_come_again(site: Guarded, provider: StandIn) -> None:
    browser = signed_in(site)
    site.middleware._site()._clients._clients.clear()
    provider.answers["jwks"] = Answer(status=500)
    answer = tell(site, provider.logout_token())
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert is_signed_in(browser, site)
    assert "code=provider_unavailable" in site.audit[-1]


def test_a_store_that_is_away_tells_the_provider_to_come_again(site: Guarded, provider: StandIn) -> None:
    browser, token, watched = signed_in(site), provider.logout_token(), watch(site)
    watched.away = True
    answer = tell(site, token)
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "code=store_unavailable" in site.audit[-1]
    watched.away = False
    assert tell(site, token).status == 200
    assert not is_signed_in(browser, site)
