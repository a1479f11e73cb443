"""npm ``oidc-provider`` after the sign-in: refresh, revocation and back-channel logout, without the middleware."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.browser.jar import Browser
from tests.support.hosts.wsgi_thread import serve
from tests.support.providers.oidc_provider import OidcProvider
from tests.support.providers.plain_client import PlainClient, claims_of, userinfo


class Landing:
    """Where browsers come back to, and where logout tokens go to."""

    def __init__(self) -> None:
        self.origin = ""
        self.answers_logout = "200 OK"
        self.logout_tokens: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        status = "200 OK"
        if environ["PATH_INFO"] == "/backchannel":
            form = parse_qs(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode())
            self.logout_tokens += form["logout_token"]
            status = self.answers_logout
        start_response(status, [("Content-Type", "text/plain")])
        return [b"back"]


@pytest.fixture
def landing() -> Iterator[Landing]:
    place = Landing()
    with serve(place) as origin:
        place.origin = origin
        yield place


class Flow:
    """A client, signed in."""

    def __init__(
        self,
        provider: OidcProvider,
        landing: Landing,
        browser: Browser,
        login: str = "jane",
        **registration: Any,
    ) -> None:
        self.provider = provider
        self.browser = browser
        self.client = provider.register(
            [f"{landing.origin}/callback"], **{"refresh_tokens": True, **registration}
        )
        self._plain = PlainClient(self.client, f"{landing.origin}/callback")
        browser.navigate(self._plain.authorization_url(f"{provider.issuer}/auth"))
        back = provider.sign_in(browser, login)
        self.tokens: dict[str, Any] = self._plain.redeem(f"{provider.issuer}/token", back.url).json()

    def refresh(self, token: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._plain.refresh(f"{self.provider.issuer}/token", token).json()
        return answer

    def revoke(self, token: str) -> None:
        answer = self._plain.post(f"{self.provider.issuer}/token/revocation", {"token": token})
        assert answer.status == 200

    def kinds(self, *kinds: Any) -> list[int]:
        """How many events there were of each kind."""
        return [len(self.provider.events(self.client, kind)) for kind in kinds]


def test_refresh_tokens_come_without_offline_access_where_the_client_wants_them(
    oidc_provider: OidcProvider, landing: Landing
) -> None:
    assert "refresh_token" in Flow(oidc_provider, landing, Browser()).tokens
    assert "refresh_token" not in Flow(oidc_provider, landing, Browser(), refresh_tokens=False).tokens


def test_a_refresh_token_is_replaced_with_each_use(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser, access_token_lifetime=7)
    first = flow.refresh(flow.tokens["refresh_token"])
    second = flow.refresh(first["refresh_token"])
    assert len({flow.tokens["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    assert (flow.tokens["expires_in"], first["expires_in"]) == (7, 7)
    assert claims_of(second["id_token"])["sub"] == "u-jane"
    assert userinfo(f"{oidc_provider.issuer}/me", second["access_token"]).status == 200
    assert flow.kinds("refresh_granted", "refresh_refused") == [2, 0]


def test_a_refresh_token_used_twice_ends_all_that_came_of_the_sign_in(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser)
    newest = flow.refresh(flow.tokens["refresh_token"])
    assert flow.refresh(flow.tokens["refresh_token"])["error"] == "invalid_grant"
    assert flow.refresh(newest["refresh_token"])["error"] == "invalid_grant"
    assert userinfo(f"{oidc_provider.issuer}/me", newest["access_token"]).status == 401
    details = [event["detail"] for event in oidc_provider.events(flow.client, "refresh_refused")]
    assert details == ["refresh token already used", "refresh token not found"]


def test_of_many_uses_of_a_refresh_token_at_once_exactly_one_is_granted(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser)
    with ThreadPoolExecutor(20) as pool:
        with oidc_provider.holding_refreshes(flow.client, "request") as held:
            answers = [pool.submit(flow.refresh, flow.tokens["refresh_token"]) for _ in range(20)]
            held.wait_for(20)
        granted = [answer.result() for answer in answers if "access_token" in answer.result()]
    assert len(granted) == 1
    assert flow.kinds("refresh_granted", "refresh_refused") == [1, 19]


def test_a_held_answer_leaves_the_refresh_done(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser)
    with ThreadPoolExecutor(1) as pool:
        with oidc_provider.holding_refreshes(flow.client) as held:
            answer = pool.submit(flow.refresh, flow.tokens["refresh_token"])
            held.wait_for()
            assert flow.kinds("refresh_granted") == [1]
            assert not answer.done()
        assert "access_token" in answer.result()


def test_a_held_request_whose_sender_is_gone_has_never_been_made(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser, auth_method="client_secret_post")
    form = {"grant_type": "refresh_token", "refresh_token": flow.tokens["refresh_token"]}
    form |= {"client_id": flow.client.client_id, "client_secret": flow.client.client_secret}
    connection = HTTPConnection("127.0.0.1", urlsplit(oidc_provider.issuer).port)
    with oidc_provider.holding_refreshes(flow.client, "request") as held:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/token", body=urlencode(form), headers=headers)
        held.wait_for()
        connection.close()
    assert "access_token" in flow.refresh(flow.tokens["refresh_token"])
    assert flow.kinds("refresh_granted", "refresh_refused") == [1, 0]


def test_revoking_a_refresh_token_ends_the_access_token_too(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser)
    flow.revoke(flow.tokens["refresh_token"])
    flow.revoke("unknown")
    assert userinfo(f"{oidc_provider.issuer}/me", flow.tokens["access_token"]).status == 401
    tokens = [event["token"] for event in oidc_provider.events(flow.client, "revocation")]
    assert tokens == ["RefreshToken", None]


def logout_claims(flow: Flow, landing: Landing) -> dict[str, Any]:
    (token,) = landing.logout_tokens
    (event,) = flow.provider.events(flow.client, "backchannel_logout")
    assert (event["logout_token"], event["status"]) == (token, 200)
    return claims_of(token)


def with_backchannel(landing: Landing) -> dict[str, Any]:
    return {"backchannel_logout_uri": f"{landing.origin}/backchannel"}


def test_ending_a_session_by_sid_tells_the_client_over_the_back_channel(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser, **with_backchannel(landing))
    other = Flow(oidc_provider, landing, Browser(), **with_backchannel(landing))
    sid = claims_of(flow.tokens["id_token"])["sid"]
    assert oidc_provider.sids(flow.client, "u-jane") == [sid]
    oidc_provider.end_sessions(sid=sid)
    claims = logout_claims(flow, landing)
    assert (claims["sub"], claims["sid"], claims["aud"]) == ("u-jane", sid, flow.client.client_id)
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert flow.refresh(flow.tokens["refresh_token"])["error"] == "invalid_grant"
    assert "access_token" in other.refresh(other.tokens["refresh_token"])


def test_ending_the_sessions_of_a_person_ends_all_of_them(
    oidc_provider: OidcProvider, landing: Landing
) -> None:
    oidc_provider.add_account("several")
    flows = [
        Flow(oidc_provider, landing, Browser(), "several", **with_backchannel(landing)) for _ in range(2)
    ]
    oidc_provider.end_sessions(sub="u-several")
    ended = {claims_of(token)["sid"] for token in landing.logout_tokens}
    assert ended == {claims_of(flow.tokens["id_token"])["sid"] for flow in flows}
    assert [oidc_provider.sids(flow.client, "u-several") for flow in flows] == [[], []]


def test_signing_out_at_the_provider_tells_the_client_over_the_back_channel(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser
) -> None:
    flow = Flow(oidc_provider, landing, browser, **with_backchannel(landing))
    hint = urlencode({"id_token_hint": flow.tokens["id_token"]})
    browser.navigate(f"{oidc_provider.issuer}/session/end?{hint}")
    oidc_provider.sign_out(browser)
    assert logout_claims(flow, landing)["sid"] == claims_of(flow.tokens["id_token"])["sid"]


@pytest.mark.parametrize(
    ("uri", "status"), [("{landing}/backchannel", 400), ("http://127.0.0.1:9/backchannel", None)]
)
def test_what_became_of_a_logout_token_is_told(
    oidc_provider: OidcProvider, landing: Landing, browser: Browser, uri: str, status: int | None
) -> None:
    landing.answers_logout = "400 Bad Request"
    uri = uri.format(landing=landing.origin)
    flow = Flow(oidc_provider, landing, browser, backchannel_logout_uri=uri)
    oidc_provider.end_sessions(sid=claims_of(flow.tokens["id_token"])["sid"])
    (event,) = oidc_provider.events(flow.client, "backchannel_logout")
    assert event["status"] == status
