"""A whole sign-in at the stand-in provider, from the authorization URL to the claims."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
import traceback
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from oauth2_mw.errors import OAuth2Error, ProviderError, ProviderUnavailableError, StateError, TokenError
from oauth2_mw.provider.claims import UserClaims
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.settings.allow_list import AllowList
from oauth2_mw.settings.grammar import AttributePath
from tests.security.hostile import Hostile
from tests.support.clock import Clock
from tests.support.providers.jose import base64url, rsa_key
from tests.support.providers.sign_in import REDIRECT_URI, VERIFIER, client_for, sign_in
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.providers import oauth2_settings, oidc_settings, provider_settings


def paths(text: str) -> frozenset[AttributePath]:
    return frozenset(map(AttributePath.parse, text.split()))


def url_of(client: ProviderClient, **options: Any) -> str:
    return client.authorization_url(
        **{"state": "the-state", "nonce": "the-nonce", "code_verifier": VERIFIER, **options}
    )


def refused(provider: StandIn, client: ProviderClient) -> OAuth2Error:
    with pytest.raises(OAuth2Error) as refusal:
        sign_in(provider, client)
    return refusal.value


def query_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len({name for name, _ in pairs}) == len(pairs), "a parameter comes twice (RFC 6749, section 3.1)"
    return dict(pairs)


CHALLENGE = base64url(hashlib.sha256(VERIFIER.encode()).digest())


# The authorization URL


@pytest.mark.requirement("X12", "N2.5.2")
def test_an_openid_connect_request_asks_for_all_that_protects_it(provider: StandIn) -> None:
    url = url_of(client_for(oidc_settings(provider)))
    assert url.startswith(f"{provider.url}/authorize?")
    assert query_of(url) == {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid profile email",
        "state": "the-state",
        "nonce": "the-nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }


def test_a_plain_oauth2_request_has_no_nonce_and_needs_no_network() -> None:
    settings = provider_settings(
        issuer=None, scope=("user:email",), authorization_endpoint="https://op.example/authorize"
    )
    assert query_of(url_of(client_for(settings))) == {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": REDIRECT_URI,
        "scope": "user:email",
        "state": "the-state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }


def plain_url(endpoint: str = "https://op.example/authorize", **changes: Any) -> str:
    options = {name: changes.pop(name) for name in ("login_hint", "languages") if name in changes}
    settings = provider_settings(issuer=None, authorization_endpoint=endpoint, **changes)
    return url_of(client_for(settings), **options)


@pytest.mark.requirement("N2.6.17")
def test_every_option_of_the_request_is_passed_on() -> None:
    asked = query_of(
        plain_url(
            prompt="login consent",
            max_age=0,
            acr_values=("loa3", "loa2"),
            ui_locales="nb en",
            login_hint="jane+x@example.com",
            auth_params=MappingProxyType({"hd": "example.com", "url": "a&b=c", "self": "x"}),
        )
    )
    assert {
        name: asked[name] for name in ("prompt", "max_age", "acr_values", "ui_locales", "login_hint")
    } == {
        "prompt": "login consent",
        "max_age": "0",
        "acr_values": "loa3 loa2",
        "ui_locales": "nb en",
        "login_hint": "jane+x@example.com",
    }
    assert (asked["hd"], asked["url"], asked["self"]) == ("example.com", "a&b=c", "x")


@pytest.mark.parametrize(
    ("ui_locales", "languages", "expected"),
    [
        ("browser", ("nb-NO", "en"), "nb-NO en"),
        ("browser", (), None),
        ("de", ("nb",), "de"),
        (None, ("nb",), None),
    ],
)
def test_the_persons_languages_are_sent_where_the_setting_says_so(
    ui_locales: str | None, languages: tuple[str, ...], expected: str | None
) -> None:
    assert query_of(plain_url(ui_locales=ui_locales, languages=languages)).get("ui_locales") == expected


def test_an_empty_scope_is_not_sent() -> None:
    assert "scope" not in query_of(plain_url(scope=()))


def test_the_endpoints_own_query_is_kept() -> None:
    url = plain_url("https://op.example/authorize?p=b2c_1_sign%20in&empty=&tenant=%C3%BC")
    asked = query_of(url)
    assert (asked["p"], asked["empty"], asked["tenant"]) == ("b2c_1_sign in", "", "ü")
    assert url.startswith("https://op.example/authorize?")


@pytest.mark.requirement("3a.18")
def test_what_we_set_cannot_be_set_by_others() -> None:
    foreign = {
        "redirect_uri": "https://evil.example/",
        "response_type": "token",
        "state": "theirs",
        "client_id": "theirs",
        "code_challenge_method": "plain",
        "scope": "admin",
        "prompt": "none",
    }
    url = plain_url(
        "https://op.example/authorize?client_id=theirs&state=theirs",
        auth_params=MappingProxyType(foreign),
        prompt="login",
    )
    asked = query_of(url)
    assert asked["redirect_uri"] == REDIRECT_URI
    assert (asked["client_id"], asked["state"], asked["response_type"]) == ("client", "the-state", "code")
    assert (asked["code_challenge_method"], asked["prompt"]) == ("S256", "login")
    assert asked["scope"] == "openid profile email"


def test_pkce_can_be_switched_off(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, pkce=False))
    assert not {"code_challenge", "code_challenge_method"} & query_of(url_of(client)).keys()
    sign_in(provider, client)
    assert "code_verifier" not in provider.asked("/token")[0].form


@pytest.mark.requirement("R-pkce")
@pytest.mark.parametrize("nonce", ["that of another attempt", "", None, LEFT_OUT])
def test_without_pkce_the_nonce_binds_a_code_to_its_attempt(provider: StandIn, nonce: Any) -> None:
    provider.claims["nonce"] = nonce
    assert refused(provider, client_for(oidc_settings(provider, pkce=False))).code == "token_nonce"


@pytest.mark.requirement("R-pkce")
@pytest.mark.parametrize("id_token", [None, "", LEFT_OUT])
def test_without_pkce_a_code_needs_an_id_token(provider: StandIn, id_token: Any) -> None:
    provider.token_response = lambda good: {
        name: value for name, value in {**good, "id_token": id_token}.items() if value is not LEFT_OUT
    }
    assert refused(provider, client_for(oidc_settings(provider, pkce=False))).code


@pytest.mark.requirement("O6", "N2.2.2")
def test_pkce_is_never_downgraded(provider: StandIn) -> None:
    provider.metadata["code_challenge_methods_supported"] = LEFT_OUT
    assert query_of(url_of(client_for(oidc_settings(provider))))["code_challenge_method"] == "S256"
    provider.metadata["code_challenge_methods_supported"] = ["plain"]
    with pytest.raises(ProviderError, match="set pkce = off") as refusal:
        url_of(client_for(oidc_settings(provider)))
    assert refusal.value.code == "pkce"


def test_a_loopback_endpoint_needs_no_switch_in_the_environment(plain: StandIn) -> None:
    assert "OAUTHLIB_INSECURE_TRANSPORT" not in os.environ
    assert url_of(client_for(oauth2_settings(plain))).startswith(f"{plain.url}/authorize?")


def test_a_provider_that_is_down_starts_no_sign_in(provider: StandIn) -> None:
    provider.close()
    with pytest.raises(ProviderUnavailableError):
        url_of(client_for(oidc_settings(provider)))


def test_the_address_of_the_sign_in_page_is_known_alone(provider: StandIn) -> None:
    assert client_for(oidc_settings(provider)).authorization_endpoint() == f"{provider.url}/authorize"


def test_no_sign_in_starts_without_an_authorization_endpoint(provider: StandIn) -> None:
    provider.metadata["authorization_endpoint"] = LEFT_OUT
    with pytest.raises(ProviderError, match="no authorization_endpoint"):
        url_of(client_for(oidc_settings(provider)))


# OpenID Connect


@pytest.mark.requirement("B1", "B16", "C1")
def test_a_sign_in_with_openid_connect(provider: StandIn) -> None:
    clock = Clock(time.time())
    client = client_for(oidc_settings(provider), clock=clock)
    user = sign_in(provider, client)
    assert (user.issuer, user.subject) == (provider.url, "user-1")
    assert user.claims["sub"] == "user-1"
    assert user.claims["auth_time"] <= time.time()
    assert user.tokens.id_token
    assert user.tokens.refresh_token
    assert user.tokens.expires_at == int(clock.now) + 3600
    assert [request.path for request in provider.requests] == [
        "/.well-known/openid-configuration",
        "/token",
        "/jwks",
    ]
    (request,) = provider.asked("/token")
    assert request.form["redirect_uri"] == REDIRECT_URI
    assert request.form["code_verifier"] == VERIFIER


def test_a_second_sign_in_makes_one_request(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    sign_in(provider, client)
    provider.requests.clear()
    sign_in(provider, client)
    assert [request.path for request in provider.requests] == ["/token"]


def test_claims_of_the_protocol_do_not_reach_the_application(provider: StandIn) -> None:
    provider.claims |= {"c_hash": "x", "s_hash": "y"}
    claims = sign_in(provider, client_for(oidc_settings(provider))).claims
    assert not {"nonce", "at_hash", "c_hash", "s_hash"} & claims.keys()


def test_an_unknown_lifetime_of_the_access_token_stays_unknown(provider: StandIn) -> None:
    provider.token_response = lambda good: {**good, "expires_in": None}
    assert sign_in(provider, client_for(oidc_settings(provider))).tokens.expires_at is None


@pytest.mark.parametrize(("said", "expected"), [(None, 900), (LEFT_OUT, 900), (3600, 3600), ("60", 60)])
def test_access_token_lifetime_holds_where_the_provider_does_not_say(
    provider: StandIn, said: Any, expected: int
) -> None:
    provider.token_response = lambda good: {
        name: value for name, value in {**good, "expires_in": said}.items() if value is not LEFT_OUT
    }
    now = time.time()
    client = client_for(oidc_settings(provider, access_token_lifetime=900), clock=lambda: now)
    signed_in = sign_in(provider, client)
    assert signed_in.tokens.expires_at == int(now) + expected
    refreshed = client.refresh(str(signed_in.tokens.refresh_token), subject="user-1", auth_time=None)
    assert refreshed.tokens.expires_at == int(now) + expected


@pytest.mark.parametrize("sid", ["08a5019c-17e1", "x", "x" * 255, "a b", "ü"])
def test_the_session_at_the_provider_is_returned(provider: StandIn, sid: str) -> None:
    provider.sid = sid
    provider.userinfo["sid"] = "other"
    user = sign_in(provider, client_for(oidc_settings(provider), needs="email"))
    assert user.sid == sid
    assert user.issued_at == user.claims["iat"]


@pytest.mark.parametrize("sid", [LEFT_OUT, None, "", "x" * 256, "a\nb", "a\0", "\u202e", 7, True, ["a"], {}])
def test_a_malformed_session_id_is_ignored(provider: StandIn, sid: Any) -> None:
    provider.claims["sid"] = sid
    provider.userinfo["sid"] = "only an ID token can tell"
    assert sign_in(provider, client_for(oidc_settings(provider), needs="email")).sid is None


def test_a_moment_of_issue_between_two_seconds_is_the_earlier_one(provider: StandIn) -> None:
    moment = int(time.time()) - 5
    provider.claims["iat"] = moment + 0.9
    assert sign_in(provider, client_for(oidc_settings(provider))).issued_at == moment


@pytest.mark.requirement("B11", "B15")
def test_userinfo_is_asked_for_what_the_id_token_lacks(provider: StandIn) -> None:
    user = sign_in(provider, client_for(oidc_settings(provider), needs="sub email address.locality"))
    assert user.claims["email"] == "jane@example.com"
    (request,) = provider.asked("/userinfo")
    assert request.headers["Authorization"] == f"Bearer {user.tokens.access_token}"
    assert request.headers["Accept"] == "application/json"


def test_userinfo_is_not_asked_when_the_id_token_says_it_all(provider: StandIn) -> None:
    provider.claims["email"] = "jane@example.com"
    sign_in(provider, client_for(oidc_settings(provider), needs="sub email"))
    assert not provider.asked("/userinfo")


def test_a_provider_without_userinfo_gives_what_the_id_token_says(provider: StandIn) -> None:
    provider.metadata["userinfo_endpoint"] = LEFT_OUT
    assert "email" not in sign_in(provider, client_for(oidc_settings(provider), needs="email")).claims


@pytest.mark.parametrize("empty", [None, ""])
def test_a_claim_without_a_value_is_one_that_is_missing(provider: StandIn, empty: str | None) -> None:
    provider.claims |= {"email": empty, "address": {"country": empty}}
    provider.userinfo |= {"email": "jane@example.com", "phone_number": empty}
    user = sign_in(provider, client_for(oidc_settings(provider), needs="email"))
    assert user.claims["email"] == "jane@example.com"
    assert "phone_number" not in user.claims
    sign_in(provider, client_for(oidc_settings(provider), needs="address.country"))
    assert len(provider.asked("/userinfo")) == 2


def test_the_id_token_wins_over_userinfo(provider: StandIn) -> None:
    provider.claims |= {"name": "Signed Name", "email": None, "exp": int(time.time()) + 100}
    provider.userinfo |= {"name": "Loose Name", "iss": "https://evil.example", "exp": 1}
    claims = sign_in(provider, client_for(oidc_settings(provider), needs="email")).claims
    assert (claims["name"], claims["iss"], claims["email"]) == (
        "Signed Name",
        provider.url,
        "jane@example.com",
    )
    assert claims["exp"] > 1


@pytest.mark.requirement("B13", "N2.6.14")
@pytest.mark.parametrize("sub", ["user-2", "USER-1", "user-1 ", 1, False, ["user-1"]])
@pytest.mark.parametrize("wanted", [{"needs": "email"}, {"wishes": paths("email")}])
def test_userinfo_about_another_person_is_refused(
    provider: StandIn, sub: Any, wanted: dict[str, Any]
) -> None:
    provider.answers["userinfo"] = lambda good: {**good, "sub": sub}
    error = refused(provider, client_for(oidc_settings(provider), **wanted))
    assert (type(error), error.code) == (TokenError, "userinfo_subject")


# Userinfo that cannot be used


UNUSABLE = {
    "401": Answer(b"{}", 401),
    "403": Answer(b"{}", 403),
    "404": Answer(b"", 404),
    "429": Answer(b"", 429),
    "431": Answer(b"", 431),
    "500": Answer(b"", 500),
    "302": Answer(b"{}", 302, headers=(("Location", "/userinfo"),)),
    "204": Answer(b"", 204),
    "HTML": Answer(b"<html>", content_type="text/html"),
    "empty": b"",
    "a list": b"[]",
    "twice": b'{"sub": "user-1", "sub": "user-1"}',
    "huge": b'{"sub": "' + b"x" * 600_000 + b'"}',
    "encrypted": Answer(b"a.b.c.d.e", content_type="application/jwt"),
    "JSON that calls itself signed": Answer(b'{"sub": "user-1"}', content_type="application/jwt"),
    "about nobody": b'{"email": "eve@example.com"}',
    "about null": b'{"sub": null, "email": "eve@example.com"}',
}


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_was_only_wished_for_ends_no_sign_in(
    provider: StandIn, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    provider.answers["userinfo"] = answer
    client = client_for(oidc_settings(provider), needs="name", wishes=paths("email"))
    provider.claims["name"] = "Jane"
    user = sign_in(provider, client)
    assert user.claims["name"] == "Jane"
    assert "email" not in user.claims
    assert len(provider.asked("/userinfo")) == 1
    (line,) = [record.getMessage() for record in caplog.records if record.name == "oauth2_mw.audit"]
    assert line.startswith("event=userinfo_unusable code=")


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_needed_and_unknown_ends_the_sign_in(provider: StandIn, answer: Any) -> None:
    provider.answers["userinfo"] = answer
    provider.claims["name"] = "Jane"
    error = refused(provider, client_for(oidc_settings(provider), needs="name email"))
    assert isinstance(error, (ProviderError, ProviderUnavailableError, TokenError))


def test_a_long_access_token_ends_a_sign_in_only_where_it_must_be_used(provider: StandIn) -> None:
    provider.token_response = lambda good: {
        **good,
        "access_token": "a" * 16_385,
        "refresh_token": "b" * 16_385,
    }
    provider.claims["at_hash"] = LEFT_OUT
    assert sign_in(provider, client_for(oidc_settings(provider))).tokens.access_token == "a" * 16_385
    assert sign_in(provider, client_for(oidc_settings(provider), wishes=paths("email"))).subject == "user-1"
    error = refused(provider, client_for(oidc_settings(provider), needs="email"))
    assert "is 16385 characters long" in error.detail
    assert "asked with at most 16384: have the provider put less into it" in error.detail
    assert not provider.asked("/userinfo")


def test_userinfo_that_is_gone_or_slow_ends_no_sign_in(provider: StandIn) -> None:
    provider.metadata["userinfo_endpoint"] = "http://127.0.0.1:1/userinfo"
    client = client_for(oidc_settings(provider), wishes=paths("email"))
    assert "email" not in sign_in(provider, client).claims


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize(
    ("allow", "email_verified", "claims", "signs_in"),
    [
        ("email_domain:example.com", "claim", {}, False),
        ("email_domain:example.com", "claim", {"email": "jane@example.com"}, False),
        ("email_domain:example.com", "text", {"email": "jane@example.com"}, False),
        ("email_domain:example.com", "claim", {"email": "j@example.com", "email_verified": False}, True),
        ("email:jane@example.com", "claim", {"email": "j@example.com", "email_verified": True}, True),
        ("email_domain:example.com", "always", {"email": "jane@example.com"}, True),
        ("email_domain:example.com", "always", {}, False),
        ("email_domain:example.com", "never", {}, True),
        ("group:staff", "claim", {}, False),
        ("group:staff", "claim", {"groups": []}, True),
        ("claim:address.country=NO", "claim", {"address": {"locality": "Oslo"}}, False),
        ("claim:address.country=NO", "claim", {"address": {"country": "SE"}}, True),
        ("user:jane and group:staff", "claim", {"preferred_username": "jane"}, False),
        ("user:jane", "claim", {"preferred_username": "jane"}, True),
        ("user:jane", "claim", {}, False),
        ("provider:corp organization:A", "claim", {}, True),
        ("*", "claim", {}, True),
    ],
)
def test_what_allow_decides_by_is_needed(
    provider: StandIn, allow: str, email_verified: str, claims: dict[str, Any], *, signs_in: bool
) -> None:
    """Unknown is not absent: userinfo, which refuses, might say something else."""
    provider.claims |= claims
    provider.answers["userinfo"] = Answer(b"", 403)
    settings = oidc_settings(provider, allow=AllowList.parse(allow, Path()), email_verified=email_verified)
    client = client_for(settings, wishes=paths("wished"))
    if signs_in:
        assert sign_in(provider, client).subject == "user-1"
    else:
        assert refused(provider, client).code == "userinfo_refused"


@pytest.mark.parametrize("userinfo", ["when-needed", "always", "never"])
def test_userinfo_is_asked_when_the_setting_says_so(provider: StandIn, userinfo: str) -> None:
    provider.claims["name"] = "Jane"
    settings = oidc_settings(provider, userinfo=userinfo)
    user = sign_in(provider, client_for(settings, needs="name"))
    assert len(provider.asked("/userinfo")) == (userinfo == "always")
    assert ("email" in user.claims) == (userinfo == "always")
    provider.requests.clear()
    sign_in(provider, client_for(settings, wishes=paths("email")))
    assert len(provider.asked("/userinfo")) == (userinfo != "never")


def test_userinfo_that_is_never_asked_is_not_asked_at_a_refresh(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, userinfo="never"), needs="email")
    user = sign_in(provider, client)
    provider.refreshes_id_token = False
    tokens = client.refresh(str(user.tokens.refresh_token), subject="user-1", auth_time=None)
    assert tokens.claims is None
    assert not provider.asked("/userinfo")


def test_another_claim_may_be_the_subject(provider: StandIn) -> None:
    settings = oidc_settings(provider, subject=AttributePath.parse("oid"))
    provider.claims["oid"] = "object-1"
    assert sign_in(provider, client_for(settings)).subject == "object-1"
    del provider.claims["oid"]
    assert refused(provider, client_for(settings)).code == "no_subject"
    provider.userinfo["oid"] = "object-2"
    assert sign_in(provider, client_for(settings)).subject == "object-2"


@pytest.mark.requirement("B2", "B10", "3b.16")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"claims": {"iss": "https://other.example"}}, "token_issuer"),
        ({"claims": {"aud": "other"}}, "token_audience"),
        ({"claims": {"nonce": "other"}}, "token_nonce"),
        ({"claims": {"sub": LEFT_OUT}}, "token_subject"),
        ({"claims": {"exp": 1}}, "token_expired"),
        ({"claims": {"at_hash": "x"}}, "token_at_hash"),
        ({"jwks": [rsa_key(9).jwk(kid="rsa-1")]}, "token_signature"),
        ({"header": {"kid": "other"}}, "token_key"),
    ],
)
def test_a_bad_id_token_ends_the_sign_in_before_userinfo(
    provider: StandIn, changes: dict[str, Any], code: str
) -> None:
    for name, value in changes.items():
        setattr(provider, name, value)
    error = refused(provider, client_for(oidc_settings(provider), needs="email"))
    assert (type(error), error.code) == (TokenError, code)
    assert not provider.asked("/userinfo")


def test_a_nonce_of_another_attempt_is_refused(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    code = provider.follow(url_of(client))["code"]
    with pytest.raises(TokenError) as refusal:
        client.redeem(code=code, nonce="another", code_verifier=VERIFIER)
    assert refusal.value.code == "token_nonce"


@pytest.mark.requirement("3a.4", "N2.5.9", "N2.2.3")
def test_a_code_of_another_browser_is_refused(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    code = provider.follow(url_of(client))["code"]
    with pytest.raises(ProviderError) as refusal:
        client.redeem(code=code, nonce="the-nonce", code_verifier="x" * 43)
    assert refusal.value.code == "invalid_grant"


@pytest.mark.requirement("C5", "N2.6.22")
def test_a_sign_in_after_the_provider_changed_its_key(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    sign_in(provider, client)
    provider.key = rsa_key(2)
    assert sign_in(provider, client).subject == "user-1"


@pytest.mark.requirement("N2.6.11", "N2.6.12")
def test_max_age_and_acr_are_checked_when_asked_for(provider: StandIn) -> None:
    settings = oidc_settings(provider, max_age=60, acr_values=("loa3",))
    assert refused(provider, client_for(settings)).code == "token_acr"
    provider.claims["acr"] = "loa3"
    assert sign_in(provider, client_for(settings)).claims["acr"] == "loa3"
    provider.claims["auth_time"] = int(time.time()) - 1000
    assert refused(provider, client_for(settings)).code == "token_auth_time"


# Metadata of RFC 8414


@pytest.fixture
def tenant() -> Iterator[Hostile]:
    """A provider below a path, that has its metadata where RFC 8414 puts them and nowhere else."""
    moved = {"/.well-known/oauth-authorization-server/tenant": "/.well-known/openid-configuration"}
    with Hostile(client_id="client", suffix="/tenant", moved=moved) as standin:
        yield standin


@pytest.mark.requirement("N2.3.2")
def test_a_provider_that_was_found_by_rfc_8414_proves_who_signs_in(tenant: Hostile) -> None:
    for member in ("userinfo_endpoint", "end_session_endpoint", "id_token_signing_alg_values_supported"):
        tenant.metadata[member] = LEFT_OUT
    user = sign_in(tenant, client_for(oidc_settings(tenant)))
    assert (user.issuer, user.subject) == (f"{tenant.url}/tenant", "user-1")


def test_userinfo_is_never_taken_in_place_of_an_id_token(tenant: Hostile) -> None:
    tenant.oidc = False
    assert refused(tenant, client_for(oidc_settings(tenant))).code == "token_response"
    tenant.oidc = True
    tenant.metadata["jwks_uri"] = LEFT_OUT
    assert refused(tenant, client_for(oidc_settings(tenant))).code == "metadata"
    assert not tenant.asked("/userinfo")


# Plain OAuth 2.0


def test_a_sign_in_with_plain_oauth2(plain: StandIn) -> None:
    user = sign_in(plain, client_for(oauth2_settings(plain)))
    assert (user.issuer, user.subject) == (plain.url, "583231")
    assert user.claims == {"id": 583231, "login": "octocat"}
    assert user.tokens.id_token is None
    assert (user.sid, user.issued_at) == (None, None)
    assert [request.path for request in plain.requests] == ["/token", "/userinfo"]


@pytest.mark.parametrize(
    ("value", "subject"), [("u-1", "u-1"), (0, "0"), (2**63, str(2**63)), (-5, "-5"), ("x" * 255, "x" * 255)]
)
def test_a_subject_is_a_text_or_a_whole_number(plain: StandIn, value: Any, subject: str) -> None:
    plain.userinfo["id"] = value
    assert sign_in(plain, client_for(oauth2_settings(plain))).subject == subject


@pytest.mark.parametrize(
    "value", [LEFT_OUT, None, "", 1.5, 1.0, True, False, [1], {}, "x" * 256, "a\nb", "a\0b"]
)
def test_anything_but_a_text_or_a_whole_number_is_no_subject(plain: StandIn, value: Any) -> None:
    plain.userinfo = {"login": "octocat"} if value is LEFT_OUT else {"id": value}
    error = refused(plain, client_for(oauth2_settings(plain)))
    assert (type(error), error.code) == (ProviderError, "no_subject")
    assert "at id" in error.detail


def test_the_subject_may_stand_deeper(plain: StandIn) -> None:
    plain.userinfo = {"data": [{"user": {"id": 7}}]}
    settings = oauth2_settings(plain, subject=AttributePath.parse("data[0].user.id"))
    assert sign_in(plain, client_for(settings)).subject == "7"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(b"{}", 401), "userinfo_refused"),
        (Answer(b"{}", 403), "userinfo_refused"),
        (Answer(b"", 404), "userinfo_refused"),
        (Answer(b"{}", 302, headers=(("Location", "/userinfo"),)), "userinfo"),
        (Answer(b"{}", 204), "userinfo"),
        (Answer(b"a.b.c", content_type="application/jwt"), "userinfo"),
        (Answer(b"<html>", content_type="text/html"), "userinfo"),
        (b"", "userinfo"),
        (b"[]", "userinfo"),
        (b'"text"', "userinfo"),
        (b'{"id": 1, "id": 2}', "userinfo"),
        (b'{"id": NaN}', "userinfo"),
        (b"[" * 100_000, "userinfo"),
        (b'{"id": "' + b"x" * 600_000 + b'"}', "answer_too_large"),
    ],
    ids=[
        "401",
        "403",
        "404",
        "302",
        "204",
        "signed",
        "HTML",
        "empty",
        "list",
        "text",
        "twice",
        "NaN",
        "deep",
        "huge",
    ],
)
def test_a_useless_userinfo_answer_ends_the_sign_in(plain: StandIn, answer: Any, code: str) -> None:
    plain.answers["userinfo"] = answer
    error = refused(plain, client_for(oauth2_settings(plain)))
    assert (type(error), error.code) == (ProviderError, code)
    assert len(plain.asked("/userinfo")) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_userinfo_endpoint_with_a_fault_is_a_provider_that_is_down(plain: StandIn, status: int) -> None:
    plain.answers["userinfo"] = Answer(b"{}", status)
    assert isinstance(refused(plain, client_for(oauth2_settings(plain))), ProviderUnavailableError)


def test_a_form_encoded_answer_and_errors_with_http_200(plain: StandIn) -> None:
    plain.form_encoded = plain.errors_with_200 = True
    client = client_for(oauth2_settings(plain))
    assert sign_in(plain, client).subject == "583231"
    with pytest.raises(ProviderError) as refusal:
        client.redeem(code="used", nonce="n", code_verifier=VERIFIER)
    assert refusal.value.code == "invalid_grant"


def test_a_code_cannot_be_redeemed_twice(plain: StandIn) -> None:
    client = client_for(oauth2_settings(plain))
    code = plain.follow(url_of(client))["code"]
    client.redeem(code=code, nonce="n", code_verifier=VERIFIER)
    with pytest.raises(ProviderError) as refusal:
        client.redeem(code=code, nonce="n", code_verifier=VERIFIER)
    assert refusal.value.code == "invalid_grant"


# The issuer of an authorization response (RFC 9207)


@pytest.mark.requirement("O2", "3a.2", "F8")
@pytest.mark.parametrize(
    "iss", ["https://other.example", "", "{issuer}/", "{issuer}\0", "HTTP{rest}", "\udcff", "é"]
)
def test_an_answer_of_another_issuer_is_refused(provider: StandIn, iss: str) -> None:
    client = client_for(oidc_settings(provider))
    with pytest.raises(StateError) as refusal:
        client.check_issuer(iss.replace("{issuer}", provider.url).replace("{rest}", provider.url[4:]))
    assert refusal.value.code == "issuer"
    assert refusal.value.detail.isprintable()
    assert not provider.requests


def test_an_answer_of_the_right_issuer_is_accepted(provider: StandIn) -> None:
    provider.sends_iss = True
    client = client_for(oidc_settings(provider))
    client.check_issuer(provider.follow(url_of(client))["iss"])


@pytest.mark.requirement("O2", "N2.4.2", "F9")
def test_a_missing_issuer_is_refused_where_it_is_always_sent(provider: StandIn) -> None:
    client_for(oidc_settings(provider)).check_issuer(None)
    provider.sends_iss = True
    with pytest.raises(StateError) as refusal:
        client_for(oidc_settings(provider)).check_issuer(None)
    assert refusal.value.code == "issuer"


def test_plain_oauth2_knows_no_issuer(plain: StandIn) -> None:
    client_for(oauth2_settings(plain)).check_issuer("https://other.example")
    client_for(oauth2_settings(plain)).check_issuer(None)


# Logout


def test_the_logout_endpoint_is_the_written_one_or_the_providers(provider: StandIn, plain: StandIn) -> None:
    assert client_for(oidc_settings(provider)).logout_endpoint() == f"{provider.url}/end_session"
    written = oidc_settings(provider, logout_endpoint="https://op.example/bye")
    assert client_for(written).logout_endpoint() == "https://op.example/bye"
    assert client_for(oauth2_settings(plain)).logout_endpoint() is None


def test_a_provider_that_is_down_stops_no_logout(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    provider.close()
    assert client.logout_endpoint() is None


# Secrets, imports


@pytest.mark.requirement("3i")
def test_nothing_secret_is_in_a_repr_or_an_error(provider: StandIn) -> None:
    user = sign_in(provider, client_for(oidc_settings(provider), needs="email"))
    for secret in (
        user.tokens.access_token,
        str(user.tokens.id_token),
        str(user.tokens.refresh_token),
        "jane@example.com",
    ):
        assert secret not in repr(user)
    provider.token_response = lambda good: {**good, "id_token": good["id_token"] + "x"}
    client = client_for(oidc_settings(provider))
    nonce = secrets.token_urlsafe()
    back = provider.follow(url_of(client, nonce=nonce))
    with pytest.raises(TokenError) as refusal:
        client.redeem(code=back["code"], nonce=nonce, code_verifier=VERIFIER)
    text = "".join(traceback.format_exception(refusal.value))
    for secret in (nonce, VERIFIER, back["code"], provider.client_secret):
        assert secret not in text


def test_what_a_provider_says_of_a_person_is_not_shown_and_never_changed() -> None:
    claims = UserClaims("42", {"email": "canary"}, {"email": "canary"}, frozenset(), frozenset())
    assert "canary" not in repr(claims)
    with pytest.raises(FrozenInstanceError):
        claims.subject = "43"  # type: ignore[misc]


@pytest.mark.requirement("O5")
def test_our_own_log_lines_hold_no_secret(provider: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    user = sign_in(provider, client_for(oidc_settings(provider), needs="email"))
    for secret in (
        "the-state",
        "the-nonce",
        VERIFIER,
        user.tokens.access_token,
        str(user.tokens.id_token),
        str(user.tokens.refresh_token),
        provider.asked("/token")[0].form["code"],
        provider.asked("/token")[0].headers["Authorization"],
    ):
        assert secret not in caplog.text


def test_the_form_of_a_redirect_uri_survives_the_journey(plain: StandIn) -> None:
    client = ProviderClient(oauth2_settings(plain), redirect_uri="https://app.example/cb?a=b&c=%20d")
    url = url_of(client)
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == ["https://app.example/cb?a=b&c=%20d"]
    assert sign_in(plain, client).subject == "583231"


def test_a_parameter_of_the_endpoint_and_of_auth_params_comes_once(provider: StandIn) -> None:
    settings = oidc_settings(
        provider,
        authorization_endpoint=f"{provider.url}/authorize?hd=one&tenant=a",
        auth_params={"hd": "two"},
    )
    asked = query_of(url_of(client_for(settings)))
    assert (asked["hd"], asked["tenant"]) == ("two", "a")
