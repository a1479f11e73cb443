"""Attacks with access tokens of a provider through the whole middleware, and what must not follow from a poor one."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw import breaker, require
from oauth2_mw.credentials import strangers
from tests.support.hosts.guarded import guard
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.jose import rsa_key
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.test_middleware_bearer import API, OPAQUE, Site, enter, introspecting, session

SPA = "https://spa.example"
NAVIGATES: dict[str, Any] = {
    "HTTP_ACCEPT": "text/html",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
}


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


def twin(provider: StandIn, **keys: Any) -> dict[str, Any]:
    """A second provider section."""
    other: Any = {
        "issuer": provider.issuer,
        "client_id": "other",
        "client_secret": "s3cret",
        "accept_tokens": "jwt",
        "token_audiences": "https://other-api.example",
        "attribute_map": '{"username": "sub"}',
        "username_prefix": "o-",
        **keys,
    }
    return {"username_prefix": "d-", "provider:other": other}


# Whose token


def test_each_provider_speaks_for_its_own_users_alone(provider: StandIn) -> None:
    with StandIn() as second:
        second.key = rsa_key(2)
        site = Site(provider, **twin(second, token_audiences=API))
        now = int(time.time())
        claims = {"aud": API, "sub": "7", "iat": now, "exp": now + 300}
        assert site.seen(second.key.sign({**claims, "iss": second.issuer}, typ="at+jwt"))["user"] == "o-7"
        site.refused(second.key.sign({**claims, "iss": provider.issuer}, typ="at+jwt"))
        site.refused(provider.key.sign({**claims, "iss": second.issuer}, typ="at+jwt"))


def test_each_has_its_own_allow(provider: StandIn) -> None:
    other = twin(provider, same_users_as="default", allow="user:o-8")
    site = Site(provider, allow="user:d-joe", **other)
    audience = "https://other-api.example"
    assert site.seen(site.token())["user"] == "d-joe"
    assert site.seen(site.token(aud=audience, sub="8"))["user"] == "o-8"
    site.refused(site.token(aud=audience), status=403)
    site.refused(site.token(preferred_username="o-8"), status=403)


def test_what_is_no_bearer_token_is_nobodys(provider: StandIn) -> None:
    site = Site(provider)
    token = site.token()
    for header in (f"Bearer {token}, Bearer {token}", f"Bearer {token},Basic eDp5", f"Bearer {token};x"):
        site.refused(status=400, HTTP_AUTHORIZATION=header)
    basic = b64encode(f"joe:{token}".encode()).decode()
    for header in (
        f"Bearer omwpat_x, Bearer {token}",
        f"Bearer {token}, Bearer omwpat_x",
        f"DPoP {token}",
        f"Basic {basic}",
        token,
    ):
        site.refused(HTTP_AUTHORIZATION=header)
    site.refused(REDIRECT_HTTP_AUTHORIZATION=f"Bearer {token}")
    site.refused(HTTP_COOKIE=f"access_token={token}")


@pytest.mark.parametrize("strip", ["all", "basic", "none"])
@pytest.mark.parametrize("path", ["/api/public", "/api/optional", "/api/x"])
def test_nothing_in_the_environ_holds_the_token(provider: StandIn, strip: str, path: str) -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(dict(environ))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    site = Site(provider)
    site.middleware = guarding(
        app,
        provider,
        strip_authorization=strip,
        keep_forms="/api/",
        access={"rules": "public /api/public\noptional /api/optional"},
    )
    token = site.token()
    assert site.get(token, path).status == 200
    holding = {key for key, value in seen[-1].items() if token in repr(value)}
    assert holding == ({"HTTP_AUTHORIZATION"} if strip == "none" else set())


def guarding(app: Any, provider: StandIn, **keys: Any) -> Any:
    return guard(
        app,
        issuer=provider.issuer,
        bearer_paths="/api/",
        accept_tokens="jwt",
        token_audiences=API,
        attribute_map='{"username": "sub", "groups": "groups"}',
        **keys,
    )


def test_a_cookie_that_opens_nothing_says_nothing(provider: StandIn) -> None:
    site = Site(provider)
    name = session(site).partition("=")[0]
    assert site.seen(site.token(), HTTP_COOKIE=f"{name}=rubbish")["user"] == "joe"


# How somebody signed in


@pytest.mark.requirement("R-access-token")
def test_no_token_is_a_step_up(provider: StandIn) -> None:
    site = Site(provider, rules="required /api/ if acr:gold")
    for headers in ({}, NAVIGATES):
        answer = site.refused(site.token(acr="gold"), status=403, **headers)
        assert answer.header("Location") is None
        assert answer.header("WWW-Authenticate") is None


def test_require_asks_a_token_for_no_sign_in(provider: StandIn) -> None:
    asked: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> Any:
        refusal = require(environ, **asked)
        if refusal is not None:
            return refusal(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    middleware = guarding(app, provider)
    token = Site(provider).token(acr="gold", auth_time=int(time.time()), groups=["g"], n="1")
    for asked, status in (
        ({"acr": "gold"}, 403),
        ({"max_age": 300}, 403),
        ({"group": "g"}, 200),
        ({"group": "h"}, 403),
        ({"claim": "n=1"}, 200),
    ):
        for headers in ({}, NAVIGATES):
            environ = environ_for("/api/x", HTTP_AUTHORIZATION=f"Bearer {token}", **headers)
            answer = call(middleware, environ)
            assert (answer.status, answer.header("Location")) == (status, None), asked


# The directory


@pytest.mark.parametrize("sync", ["first", "always", "never"])
def test_the_first_sign_in_after_a_token_is_still_the_first(
    provider: StandIn, tmp_path: Path, sync: str
) -> None:
    database = f"sqlite:///{tmp_path / 'users.db'}"
    rules = "required /api/ if via:bearer"
    site = Site(provider, rules=rules, directory=database, group_sync=sync, always_update="false")
    site.seen(site.token(preferred_username=LEFT_OUT))
    first = enter(site, "joe", groups=["staff"])
    assert (first.username, first.groups) == ("joe", () if sync == "never" else ("staff",))
    assert enter(site, "joey", groups=["staff"]).username == "joe"
    site.later(6)
    # A token that says less, or more, changes nothing.
    for groups in (LEFT_OUT, [], ["admins"]):
        site.seen(site.token(groups=groups))
        assert site.app.seen[-1]["Identity"].groups == first.groups
        assert enter(site, groups=["staff"]).groups == first.groups


@pytest.mark.parametrize("sync", ["first", "always", "never"])
def test_a_service_loses_here_what_it_loses_at_the_provider(
    provider: StandIn, tmp_path: Path, sync: str
) -> None:
    site = Site(provider, directory=f"sqlite:///{tmp_path / 'users.db'}", group_sync=sync)

    def groups(**claims: Any) -> tuple[str, ...]:
        site.later(6)
        site.seen(site.token(**claims))
        found: tuple[str, ...] = site.app.seen[-1]["Identity"].groups
        return found

    first = groups(groups=["writers"])
    assert first == (() if sync == "never" else ("writers",))
    assert groups() == first
    assert groups(groups=["readers"]) == (("readers",) if sync == "always" else first)
    assert groups(groups=[]) == (() if sync == "always" else first)


# Answers


def origin_of(answer: WsgiResponse) -> tuple[str | None, bool]:
    varies = any(name == "Vary" and "Origin" in value for name, value in answer.headers)
    return answer.header("Access-Control-Allow-Origin"), varies


@pytest.mark.parametrize(("origin", "allowed"), [(SPA, SPA), ("https://evil.example", None)])
def test_only_named_origins_read_a_refusal(provider: StandIn, origin: str, allowed: str | None) -> None:
    rules = "required /api/no if user:ada\nrequired /api/w if scope:w"
    site = Site(provider, cors_origins=SPA, rules=rules)
    asked = introspecting(provider, cors_origins=SPA)
    provider.answers["introspection"] = Answer(b"busy", 503)
    sent: dict[str, Any] = {"HTTP_ORIGIN": origin}
    for answer in (
        site.refused("junk", **sent),
        site.refused("", status=400, **sent),
        site.refused(site.token(), "/api/no", status=403, **sent),
        site.refused(site.token(), "/api/w", status=403, **sent),
        asked.refused("opaque", status=503, **sent),
    ):
        assert origin_of(answer) == (allowed, True)


def test_a_websocket_needs_a_good_token_and_no_foreign_page(provider: StandIn) -> None:
    site = Site(provider)
    upgrade: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}
    assert site.seen(site.token(), **upgrade)["user"] == "joe"
    site.refused("junk", **upgrade)
    site.refused(site.token(), status=403, HTTP_ORIGIN="https://evil.example", **upgrade)


def test_a_refusal_is_never_a_redirect(provider: StandIn) -> None:
    for protect in ("required", "optional", "on-401"):
        site = Site(provider, protect=protect)
        for headers in (NAVIGATES, {"REQUEST_METHOD": "HEAD"}, {"REQUEST_METHOD": "POST", **NAVIGATES}):
            answer = site.refused("junk", **headers)
            assert answer.header("Location") is None
        assert site.refused("junk", REQUEST_METHOD="HEAD").text == ""


# The provider


def test_an_outage_makes_nobody_a_stranger(provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ALL", 10)
    site = introspecting(provider, revocation_sync="0")
    site.later(60 - site.clocks.monotonic() % 60)
    provider.introspected["opaque"] = dict(OPAQUE)
    site.seen("opaque")
    provider.answers["introspection"] = Answer(b"busy", 503)
    for _ in range(20):
        site.refused("opaque", status=503)
    del provider.answers["introspection"]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + breaker.PAUSE + 0.1)
    site.seen("opaque")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_is_not_sent_where_the_provider_points(provider: StandIn, status: int) -> None:
    site = introspecting(provider)
    body = json.dumps({"active": True, **OPAQUE}).encode()
    elsewhere = (("Location", f"{provider.url}/elsewhere"),)
    provider.answers["introspection"] = Answer(body, status, headers=elsewhere)
    site.refused("opaque", status=502)
    assert not provider.asked("/elsewhere")


@pytest.mark.requirement("R-access-token")
def test_a_machine_that_slept_remembers_nothing_beyond_its_end(provider: StandIn) -> None:
    site = introspecting(provider, revocation_sync="60s", leeway="0s")
    provider.introspected["opaque"] = {**OPAQUE, "exp": int(time.time()) + 300}
    site.seen("opaque")
    provider.introspected.clear()
    site.seen("opaque")
    site.clocks.slept = 301
    site.refused("opaque")
