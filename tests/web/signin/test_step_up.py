"""Step-up: the application, or a rule, asks for a stronger or fresher sign-in, and the person gets it, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from oauth2_mw import require
from oauth2_mw.provider.demand import Demand
from oauth2_mw.web.signin.step_up import read_challenge
from tests.support.clock import ShiftedClocks
from tests.support.hosts import guarded as host
from tests.support.hosts.guarded import Guarded, guarded, signed_in
from tests.support.providers.standin import LEFT_OUT, StandIn
from tests.support.settings.minimal import ORIGIN

RULES = {"rules": "required /admin/ if group:staff and acr:gold\nrequired /both/ if acr:gold or acr:platinum"}
ERROR = "insufficient_user_authentication"
App = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


class Asking:
    """An application that asks for more at one path, by one of its ways, and greets everywhere else."""

    def __init__(self, path: str, way: App) -> None:
        self.path = path
        self.way = way
        self.closed = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == self.path:
            return self.way(environ, start_response)
        return host.App()(environ, start_response)


@contextmanager
def asking(provider: StandIn, way: App, **keys: Any) -> Iterator[Guarded]:
    """An application that asks for more at ``/vault``."""
    with guarded(issuer=provider.issuer, **keys) as site:
        site.middleware._app = Asking("/vault", way)
        yield site


def by_401(challenge: str, *, lazy: bool = False) -> App:
    """A way to ask: RFC 9470 while the ``acr`` is not gold."""

    def eager(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["oauth2_mw.identity"].acr == "gold":
            return host.App()(environ, start_response)
        headers = [("WWW-Authenticate", challenge), ("Content-Type", "text/plain"), ("Set-Cookie", "app=1")]
        start_response("401 Unauthorized", [*headers, ("Content-Length", "4")])
        return [b"more"]

    def later(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        yield from eager(environ, start_response)

    return later if lazy else eager


def by_require(**demanded: Any) -> App:
    def way(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = require(environ, **demanded)
        return (answer or host.App())(environ, start_response)

    return way


def asked(provider: StandIn, name: str = "acr_values") -> list[str | None]:
    return [request.query.get(name) for request in provider.asked("/authorize")]


GOLD = f'Bearer error="{ERROR}", error_description="more, please", acr_values="gold"'
WAYS = [by_401(GOLD), by_401(GOLD, lazy=True), by_require(acr="gold")]


# Rules


@pytest.mark.requirement("R-step-up")
def test_where_the_acr_alone_is_missing_a_navigation_gets_it(provider: StandIn) -> None:
    provider.userinfo["groups"] = ["staff"]
    provider.claims["groups"] = ["staff"]
    with guarded(issuer=provider.issuer, access=RULES) as site:
        browser = signed_in(site)
        provider.claims["acr"] = "gold"
        page = browser.navigate(site.url + "/admin/x?y=%2F1")
        assert page.url == site.url + "/admin/x?y=%2F1"
        assert page.json()["user"] == "jane"
        assert asked(provider) == [None, "gold"]
        # It is got once: the next page needs no more.
        browser.navigate(site.url + "/admin/z")
        assert len(asked(provider)) == 2


@pytest.mark.requirement("R-step-up")
@pytest.mark.parametrize("acr", [None, "silver", 7, ["gold"], "GOLD"])
def test_what_was_not_got_is_refused_and_nobody_goes_round(provider: StandIn, acr: Any) -> None:
    with guarded(issuer=provider.issuer, access=RULES) as site:
        browser = signed_in(site)
        calls = site.app.calls
        if acr is not None:
            provider.claims["acr"] = acr
        page = browser.navigate(site.url + "/both/")
        assert page.status == 403
        assert "did not confirm" in page.text
        assert asked(provider) == [None, "gold platinum"]
        assert site.app.calls == calls
        assert "code=step_up_not_met" in site.audit[-1]
        assert page.link("Try again").endswith("?next=/both/")
        # The session before it goes on.
        assert browser.navigate(site.url + "/").json()["user"] == "jane"


@pytest.mark.requirement("R-step-up")
def test_one_of_several_is_enough(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, access=RULES) as site:
        browser = signed_in(site)
        provider.claims["acr"] = "platinum"
        assert browser.navigate(site.url + "/both/").json()["user"] == "jane"


@pytest.mark.requirement("R-step-up")
def test_where_something_else_is_missing_too_no_sign_in_is_begun(provider: StandIn) -> None:
    clocks = ShiftedClocks()
    with guarded(issuer=provider.issuer, access=RULES, clocks=clocks.clocks) as site:
        browser = signed_in(site)
        clocks.ahead = 300
        assert browser.navigate(site.url + "/admin/").status == 403
        assert asked(provider) == [None]


@pytest.mark.requirement("R-step-up")
@pytest.mark.parametrize("rule", ["denied /admin/", "denied /admin/ if acr:gold or signed-in"])
def test_what_is_denied_stays_denied(provider: StandIn, rule: str) -> None:
    with guarded(issuer=provider.issuer, access={"rules": rule}) as site:
        browser = signed_in(site)
        assert browser.navigate(site.url + "/admin/").status == 403
        assert asked(provider) == [None]


@pytest.mark.requirement("R-step-up")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Purpose": "prefetch"},
        {"X-Requested-With": "XMLHttpRequest"},
    ],
)
def test_what_is_no_navigation_is_refused(provider: StandIn, headers: dict[str, str]) -> None:
    with guarded(issuer=provider.issuer, access=RULES) as site:
        browser = signed_in(site)
        page = browser.navigate(site.url + "/both/", headers=headers)
        assert page.status == 403
        assert asked(provider) == [None]


@pytest.mark.requirement("R-step-up")
def test_a_provider_without_an_issuer_cannot_be_asked(provider: StandIn) -> None:
    provider.oidc = False
    with guarded(
        authorization_endpoint=f"{provider.url}/authorize",
        token_endpoint=f"{provider.url}/token",
        userinfo_endpoint=f"{provider.url}/userinfo",
        attribute_map='{"username": "preferred_username"}',
        subject="sub",
    ) as site:
        for way, status in (
            (by_require(acr="gold"), 403),
            (by_require(max_age=300), 403),
            (by_401(GOLD), 401),
        ):
            site.middleware._app = Asking("/vault", way)
            assert signed_in(site).navigate(site.url + "/vault").status == status
        assert asked(provider) == [None] * 3


def test_an_acr_that_no_list_can_hold_is_not_asked_for(provider: StandIn) -> None:
    with guarded(issuer=provider.issuer, access={"rules": 'required /admin/ if acr:"a b"'}) as site:
        assert signed_in(site).navigate(site.url + "/admin/").status == 403
        assert asked(provider) == [None]


def test_it_is_asked_for_beside_what_the_settings_ask(provider: StandIn) -> None:
    provider.claims["acr"] = "silver"
    keys: dict[str, Any] = {"acr_values": "silver", "prompt": "none", "max_age": "1h"}
    with guarded(issuer=provider.issuer, access=RULES, **keys) as site:
        provider.claims["auth_time"] = int(time.time())
        browser = signed_in(site)
        provider.claims["acr"] = "gold"
        assert browser.navigate(site.url + "/both/").json()["user"] == "jane"
        assert asked(provider) == ["silver", "gold platinum"]
        # Nobody can be asked for more behind a closed door.
        assert asked(provider, "prompt") == ["none", None]
        assert asked(provider, "max_age") == ["3600", "3600"]


def test_what_came_of_it_outlives_a_refresh(provider: StandIn) -> None:
    clocks = ShiftedClocks()
    provider.claims["acr"] = "silver"
    keys: dict[str, Any] = {"acr_values": "silver", "keep_tokens": "id refresh", "clocks": clocks.clocks}
    with guarded(issuer=provider.issuer, access=RULES, **keys) as site:
        browser = signed_in(site)
        provider.claims["acr"] = "gold"
        assert browser.navigate(site.url + "/both/").status == 200
        clocks.ahead = 3590
        assert browser.navigate(site.url + "/both/").status == 200
        assert len(provider.asked("/token")) == 3


# The application


@pytest.mark.parametrize("way", WAYS)
def test_the_application_asks_and_the_person_gets_it(provider: StandIn, way: App) -> None:
    with asking(provider, way) as site:
        browser = signed_in(site)
        provider.claims["acr"] = "gold"
        page = browser.navigate(site.url + "/vault?x=1")
        assert page.url == site.url + "/vault?x=1"
        assert page.json()["user"] == "jane"
        assert asked(provider) == [None, "gold"]


@pytest.mark.parametrize("way", WAYS)
def test_what_the_application_asked_for_and_was_not_got_is_refused_once(provider: StandIn, way: App) -> None:
    with asking(provider, way) as site:
        browser = signed_in(site)
        page = browser.navigate(site.url + "/vault")
        assert page.status == 403
        assert "did not confirm" in page.text
        assert asked(provider) == [None, "gold"]


def test_the_redirect_keeps_the_cookies_of_the_application_and_hides_its_challenge(provider: StandIn) -> None:
    with asking(provider, by_401(GOLD)) as site:
        browser = signed_in(site)
        page = browser.navigate(site.url + "/vault", stop_before=provider.url)
        assert page.status == 303
        assert page.header("WWW-Authenticate") is None
        assert "app=1" in page.all_headers("Set-Cookie")
        assert page.header("Cache-Control") == "no-store"


@pytest.mark.requirement("R-step-up")
def test_an_application_that_is_never_content_does_not_go_round(provider: StandIn) -> None:
    def never(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("401 Unauthorized", [("WWW-Authenticate", GOLD), ("Content-Type", "text/plain")])
        return [b"never"]

    provider.claims["acr"] = "gold"
    with asking(provider, never) as site:
        browser = signed_in(site)
        page = browser.navigate(site.url + "/vault")
        assert (page.status, page.text) == (401, "never")
        assert asked(provider) == [None, "gold"]


def test_two_pages_that_want_different_things_are_both_served(provider: StandIn) -> None:
    rules = {"rules": "required /a if acr:gold\nrequired /b if acr:silver"}
    with guarded(issuer=provider.issuer, access=rules) as site:
        browser = site.browser()
        for path, acr in (("/a", "gold"), ("/b", "silver"), ("/a", "gold")):
            provider.claims["acr"] = acr
            assert browser.navigate(site.url + path).status == 200


def test_an_application_that_wants_two_things_at_once_does_not_go_round(provider: StandIn) -> None:
    wanted = {"gold": "silver", "silver": "gold", None: "gold"}

    def both(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        acr = provider.claims["acr"] = wanted[environ["oauth2_mw.identity"].acr]
        challenge = f'Bearer error="{ERROR}", acr_values="{acr}"'
        start_response("401 Unauthorized", [("WWW-Authenticate", challenge), ("Content-Type", "text/plain")])
        return [b"never"]

    with asking(provider, both) as site:
        page = signed_in(site).navigate(site.url + "/vault")
        assert (page.status, page.text) == (401, "never")
        assert len(asked(provider)) <= 4


def test_a_program_reads_the_application_s_own_answer(provider: StandIn) -> None:
    with asking(provider, by_401(GOLD)) as site:
        page = signed_in(site).fetch(site.url + "/vault")
        assert (page.status, page.header("WWW-Authenticate"), page.text) == (401, GOLD, "more")


def test_another_401_of_the_application_is_its_own(provider: StandIn) -> None:
    for challenge in ('Bearer error="invalid_token", acr_values="gold"', 'Basic realm="acr_values"'):
        with asking(provider, by_401(challenge)) as site:
            page = signed_in(site).navigate(site.url + "/vault")
            assert (page.status, page.header("WWW-Authenticate")) == (401, challenge)


def test_a_provider_that_cannot_be_reached_leaves_the_application_its_answer(provider: StandIn) -> None:
    with asking(provider, by_401(GOLD)) as site:
        browser = signed_in(site)
        site.middleware._site()._clients._clients.clear()
        provider.close()
        page = browser.navigate(site.url + "/vault")
        assert (page.status, page.text) == (401, "more")
        assert "code=provider_unavailable" in site.audit[-1]


@pytest.mark.breaks_us
def test_a_fault_on_the_way_is_not_the_application_s(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_arguments: Any, **_more: Any) -> Any:
        raise RuntimeError("unforeseen")

    with asking(provider, by_401(GOLD)) as site:
        browser = signed_in(site)
        monkeypatch.setattr(site.middleware._site()._login, "begin", fault)
        assert browser.navigate(site.url + "/vault").text == "more"
        site.middleware._app = Asking("/vault", by_require(acr="gold"))
        assert browser.navigate(site.url + "/vault").status == 500
        assert "code=unexpected" in site.audit[-1]


@pytest.mark.parametrize("way", ["require", "401"])
def test_a_sign_in_that_is_too_old_is_made_anew(provider: StandIn, way: str) -> None:
    def by_401_until_fresh(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if time.time() - environ["oauth2_mw.identity"].auth_time < 300:
            return host.App()(environ, start_response)
        challenge = f'Bearer error="{ERROR}", max_age=300'
        start_response("401 Unauthorized", [("WWW-Authenticate", challenge), ("Content-Type", "text/plain")])
        return [b"old"]

    provider.claims["auth_time"] = int(time.time()) - 1000
    with asking(provider, by_require(max_age=300) if way == "require" else by_401_until_fresh) as site:
        browser = signed_in(site)
        provider.claims["auth_time"] = int(time.time())
        assert browser.navigate(site.url + "/vault").json()["user"] == "jane"
        assert asked(provider, "max_age") == [None, "300"]


@pytest.mark.parametrize("auth_time", [-1000, None])
def test_a_provider_that_does_not_ask_again_is_noticed(provider: StandIn, auth_time: int | None) -> None:
    provider.claims["auth_time"] = LEFT_OUT if auth_time is None else int(time.time()) + auth_time
    with asking(provider, by_require(max_age=300)) as site:
        page = signed_in(site).navigate(site.url + "/vault")
        assert page.status == 403
        assert "code=step_up_not_met" in site.audit[-1]
        assert asked(provider, "max_age") == [None, "300"]


# Reading a challenge


@pytest.mark.parametrize(
    ("value", "demand"),
    [
        (f'Bearer error="{ERROR}", acr_values="a b", max_age="5"', Demand(acr_values=("a", "b"), max_age=5)),
        (f"bearer ERROR={ERROR},max_age=0", Demand(max_age=0)),
        (f'DPoP error="{ERROR}", acr_values="a"', Demand(acr_values=("a",))),
        (f'Basic realm="x, y", Bearer error="{ERROR}", acr_values="a"', Demand(acr_values=("a",))),
        (f'Bearer realm="say \\"hi\\"", error="{ERROR}", acr_values="\\a"', Demand(acr_values=("a",))),
        (f'Bearer error="{ERROR}"', None),
        (f'Bearer error="{ERROR}", max_age="-1"', None),
        (f'Bearer error="{ERROR}", max_age="1e3"', None),
        (f'Bearer realm="error={ERROR}, acr_values=a"', None),
        ('Bearer error="invalid_token", acr_values="a"', None),
        (f'Bearer error="{ERROR}", acr_values="{"a" * 600}"', None),
        ("Bearer " + "x" * 5000, None),
        ("", None),
    ],
)
def test_a_challenge_is_read(value: str, demand: Demand | None) -> None:
    assert read_challenge([("X", "y"), ("www-authenticate", value)]) == demand


def test_require_sends_a_stranger_to_sign_in_and_back(provider: StandIn) -> None:
    with asking(provider, by_require(), protect="optional") as site:
        page = site.browser().navigate(f"{ORIGIN}/vault?x=1")
        assert page.url == f"{ORIGIN}/vault?x=1"
        assert page.json()["user"] == "jane"
