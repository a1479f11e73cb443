"""Refreshing: new tokens for the same person, with claims that are checked as at a sign-in."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.boundary import numeric_date
from oauth2_mw.errors import OAuth2Error, ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.claim_sources import KnownClaims
from oauth2_mw.provider.client import Authentication, ProviderClient, RefreshResult
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.token import redeem_refresh_token
from oauth2_mw.provider.http.messages import Response, Timeouts
from oauth2_mw.settings.grammar import AttributePath
from tests.support.providers.fixed_transport import FixedTransport
from tests.support.providers.jose import rsa_key
from tests.support.providers.sign_in import client_for
from tests.support.providers.sign_in import sign_in as authenticate
from tests.support.providers.standin import LEFT_OUT, LOGOUT_EVENT, Answer, StandIn
from tests.support.settings.providers import oauth2_settings, oidc_settings, provider_settings


def sign_in(provider: StandIn, client: ProviderClient) -> Authentication:
    user = authenticate(provider, client)
    provider.requests.clear()
    return user


WISHES = frozenset({AttributePath.parse("email"), AttributePath.parse("groups")})


def refresh(client: ProviderClient, user: Authentication, **changes: Any) -> RefreshResult:
    auth_time = user.claims.get("auth_time")
    given = {"refresh_token": user.tokens.refresh_token, "subject": user.subject, "auth_time": auth_time}
    values = {**given, **changes}
    return client.refresh(values.pop("refresh_token"), **values)


def refused(client: ProviderClient, user: Authentication, **changes: Any) -> OAuth2Error:
    with pytest.raises(OAuth2Error) as refusal:
        refresh(client, user, **changes)
    return refusal.value


# Tokens


@pytest.mark.requirement("F7", "N2.1.10")
def test_a_refresh_token_is_redeemed_and_replaced(provider: StandIn) -> None:
    now = time.time()
    client = client_for(oidc_settings(provider), clock=lambda: now)
    user = sign_in(provider, client)
    first = refresh(client, user).tokens
    assert first.access_token != user.tokens.access_token
    assert first.refresh_token not in (None, user.tokens.refresh_token)
    assert first.id_token not in (None, user.tokens.id_token)
    assert first.expires_at == int(now) + 3600
    second = refresh(client, user, refresh_token=first.refresh_token).tokens
    assert second.refresh_token not in (None, first.refresh_token)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_the_request_holds_the_token_and_one_proof_and_no_scope(provider: StandIn, method: str) -> None:
    provider.auth_method = method
    client = client_for(oidc_settings(provider, client_auth_method=method))
    user = sign_in(provider, client)
    refresh(client, user)
    (request,) = provider.asked("/token")
    assert (request.method, request.query) == ("POST", {})
    assert {*request.form} - {"client_id", "client_secret"} == {"grant_type", "refresh_token"}
    assert request.form["grant_type"] == "refresh_token"
    assert request.form["refresh_token"] == user.tokens.refresh_token


def test_a_refresh_costs_one_request(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    refresh(client, sign_in(provider, client))
    assert [request.path for request in provider.requests] == ["/token"]


def test_a_token_that_is_not_replaced_stays(provider: StandIn) -> None:
    provider.rotates = False
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    assert refresh(client, user).tokens.refresh_token is None
    assert refresh(client, user).tokens.access_token


def test_an_answer_without_an_id_token_leaves_the_one_before(provider: StandIn) -> None:
    provider.refreshes_id_token = False
    client = client_for(oidc_settings(provider))
    refreshed = refresh(client, sign_in(provider, client))
    assert refreshed.tokens.id_token is None
    assert refreshed.claims is None


@pytest.mark.requirement("N2.5.11")
def test_a_second_use_of_a_replaced_token_is_an_invalid_grant(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    successor = refresh(client, user).tokens.refresh_token
    for token in (user.tokens.refresh_token, successor):
        error = refused(client, user, refresh_token=token)
        assert (type(error), error.code) == (ProviderError, "invalid_grant")
        assert "refused the refresh token" in error.detail
        assert "sign in again" in error.message


def test_githubs_error_for_a_used_refresh_token_is_understood(plain: StandIn) -> None:
    client = client_for(oauth2_settings(plain))
    user = sign_in(plain, client)
    plain.token_response = b"error=bad_refresh_token&error_description=x"
    assert refused(client, user).code == "invalid_grant"


@pytest.mark.parametrize("token", ["", "two words", "a\r\nb", "ä", "\udcff"])
def test_a_malformed_refresh_token_is_not_sent(provider: StandIn, token: str) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    assert refused(client, user, refresh_token=token).code == "invalid_grant"
    assert not provider.requests


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error": "invalid_client"}, "invalid_client"),
        (Answer(b"", 401), "invalid_client"),
        ({"error": "invalid_scope"}, "token_refused"),
        (b"<html>", "token_response"),
        (Answer(b"{}", 404), "token_response"),
        (lambda good: {**good, "access_token": None}, "token_response"),
        (lambda good: {**good, "refresh_token": ["a"]}, "token_response"),
        (lambda good: {**good, "token_type": "mac"}, "token_response"),
        (b'{"access_token": "' + b"a" * 300_000, "answer_too_large"),
    ],
    ids=["client", "401", "scope", "HTML", "404", "no token", "list", "mac", "huge"],
)
def test_an_unusable_answer_is_refused_like_that_to_a_code(provider: StandIn, answer: Any, code: str) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.token_response = answer
    error = refused(client, user)
    assert (type(error), error.code) == (ProviderError, code)
    assert len(provider.asked("/token")) == 1


@pytest.mark.parametrize(
    "answer",
    [Answer(b"oops", 500), Answer(b"", 429), Answer(b'{"error": "temporarily_unavailable"}', 503)],
    ids=["500", "429", "503 with a reason"],
)
def test_a_fault_of_the_provider_says_nothing_about_the_token(provider: StandIn, answer: Answer) -> None:
    provider.rotates = False
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.token_response = answer
    assert isinstance(refused(client, user), ProviderUnavailableError)
    assert len(provider.asked("/token")) == 1
    provider.answers.clear()
    assert refresh(client, user).tokens.access_token


def test_a_provider_that_is_gone_is_unavailable(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.close()
    error = refused(client, user)
    assert isinstance(error, ProviderUnavailableError)
    assert not error.is_sent


def test_no_token_is_redeemed_while_there_is_no_key_to_check_the_answer_with(provider: StandIn) -> None:
    user = sign_in(provider, client_for(oidc_settings(provider)))
    provider.answers["jwks"] = Answer(b"", 500)
    client = client_for(oidc_settings(provider))
    error = refused(client, user)
    assert isinstance(error, ProviderUnavailableError)
    # What has left, and was answered with a fault, was no refresh token.
    assert not error.is_sent
    assert not provider.asked("/token")


@pytest.mark.deep
@pytest.mark.requirement("R-refresh")
def test_the_answer_to_a_refresh_token_is_waited_for_longer_than_any_other(provider: StandIn) -> None:
    patience = Timeouts(connect=2, read=2, total=2)
    client = client_for(oidc_settings(provider), timeouts=patience, refresh_timeout=30)
    user = sign_in(provider, client)

    def slowly(members: Any) -> Any:
        time.sleep(2.5)
        return members

    provider.answers["token"] = slowly
    assert refresh(client, user).tokens.access_token
    # Without a patience of its own it is waited for as long as any.
    impatient = client_for(oidc_settings(provider), timeouts=patience)
    error = refused(impatient, user)
    assert isinstance(error, ProviderUnavailableError)
    assert error.is_sent


# The refreshed ID token


def test_the_claims_are_those_of_the_new_id_token(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    provider.claims["email"] = "jane@example.com"
    user = sign_in(provider, client)
    provider.claims["email"] = "jane.doe@example.com"
    claims = refresh(client, user).claims
    assert claims is not None
    assert (claims["email"], claims["sub"]) == ("jane.doe@example.com", "user-1")
    assert not {"nonce", "at_hash"} & claims.keys()
    assert not provider.asked("/userinfo")


def test_a_refreshed_id_token_may_name_an_audience_that_is_trusted(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, trusted_audiences=("other",)))
    user = sign_in(provider, client)
    provider.refreshed_claims = {"aud": ["client", "other"]}
    assert refresh(client, user).claims


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"aud": "other"}, "token_audience"),
    ({"aud": ["client", "other"]}, "token_audience"),
    ({"azp": "other"}, "token_azp"),
    ({"sub": LEFT_OUT}, "token_subject"),
    ({"exp": 1}, "token_expired"),
    ({"exp": LEFT_OUT}, "token_time"),
    ({"iat": LEFT_OUT}, "token_time"),
    ({"iat": 1}, "token_issued"),
    ({"nbf": 4_000_000_000}, "token_not_yet"),
    ({"at_hash": "x"}, "token_at_hash"),
    ({"auth_time": 7}, "token_auth_time"),
    # A logout token of a provider that does not say so in its header.
    ({"events": {LOGOUT_EVENT: {}}}, "token_type"),
]


@pytest.mark.requirement("N2.6.20")
@pytest.mark.parametrize(
    ("claims", "code"), REFUSED, ids=[f"{code} {[*changes]}" for changes, code in REFUSED]
)
def test_a_refreshed_id_token_must_prove_what_a_first_one_must(
    provider: StandIn, claims: dict[str, Any], code: str
) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    provider.refreshed_claims = claims
    error = refused(client, user)
    assert (type(error), error.code) == (TokenError, code)
    assert [request.path for request in provider.requests] == ["/token"]


@pytest.mark.requirement("N2.6.20")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": rsa_key(9)}, "token_key"),
        ({"key": rsa_key(9), "header": {"kid": "rsa-1"}, "jwks": [rsa_key().jwk()]}, "token_signature"),
        ({"header": {"alg": "none"}}, "token_algorithm"),
        ({"header": {"typ": "logout+jwt"}}, "token_type"),
        ({"header": {"crit": ["exp"]}}, "token_header"),
    ],
)
def test_a_refreshed_id_token_is_verified(provider: StandIn, changes: dict[str, Any], code: str) -> None:
    provider.jwks = [rsa_key().jwk()]
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    for name, value in changes.items():
        setattr(provider, name, value)
    assert refused(client, user).code == code


@pytest.mark.requirement("X3", "N2.6.20")
@pytest.mark.parametrize("iss", ["https://other.example", "{issuer}/", "", None, LEFT_OUT])
def test_a_refreshed_id_token_of_another_issuer_is_refused(provider: StandIn, iss: Any) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.refreshed_claims = {
        "iss": iss.replace("{issuer}", provider.url) if isinstance(iss, str) else iss
    }
    assert refused(client, user).code == "token_issuer"


@pytest.mark.requirement("N2.6.20")
@pytest.mark.parametrize("sub", ["user-2", "USER-1", "user-1 "])
def test_a_refreshed_id_token_about_another_person_is_refused(provider: StandIn, sub: str) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    provider.refreshed_claims = {"sub": sub}
    error = refused(client, user)
    assert (type(error), error.code) == (TokenError, "subject_changed")
    assert not provider.asked("/userinfo")


def test_the_subject_is_compared_where_it_was_taken_from(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, subject=AttributePath.parse("oid")))
    provider.userinfo["oid"] = "object-1"
    user = sign_in(provider, client)
    assert refresh(client, user, refresh_token=user.tokens.refresh_token).claims
    provider.userinfo["oid"] = "object-2"
    user = sign_in(provider, client)
    assert refused(client, user, subject="object-1").code == "subject_changed"


def test_max_age_counts_for_the_sign_in_alone(provider: StandIn) -> None:
    # A little ahead, so that a token of the next second is not one of the future.
    clock = time.time() + 10
    client = client_for(oidc_settings(provider, max_age=60, leeway=0), clock=lambda: clock)
    user = sign_in(provider, client)
    clock += 120
    assert refresh(client, user).claims


@pytest.mark.requirement("N2.6.20")
def test_the_authentication_class_asked_for_must_still_be_there(provider: StandIn) -> None:
    provider.claims["acr"] = "loa3"
    client = client_for(oidc_settings(provider, acr_values=("loa3",)))
    user = sign_in(provider, client)
    provider.refreshed_claims = {"acr": "loa1"}
    assert refused(client, user).code == "token_acr"


@pytest.mark.parametrize("auth_time", [LEFT_OUT, 1_700_000_000, 1_700_000_000.5])
def test_auth_time_may_be_missing_or_the_same(provider: StandIn, auth_time: Any) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.refreshed_claims = {"auth_time": auth_time}
    assert refresh(client, user, auth_time=1_700_000_000).claims


@pytest.mark.parametrize("auth_time", [0, None, "", "now", True, -1, 1e300, [1_700_000_000]])
def test_what_is_no_auth_time_tells_of_no_other_sign_in(provider: StandIn, auth_time: Any) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.refreshed_claims = {"auth_time": auth_time}
    assert refresh(client, user, auth_time=1_700_000_000).claims


@pytest.mark.parametrize("auth_time", [0, "now", True])
def test_where_max_age_asked_for_it_auth_time_is_a_date(provider: StandIn, auth_time: Any) -> None:
    client = client_for(oidc_settings(provider, max_age=60))
    user = sign_in(provider, client)
    provider.refreshed_claims = {"auth_time": auth_time}
    assert refused(client, user, auth_time=1_700_000_000).code == "token_time"


def test_an_unknown_auth_time_is_not_compared(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.refreshed_claims = {"auth_time": 7}
    assert refresh(client, user, auth_time=None).claims


def test_a_nonce_in_a_refreshed_id_token_must_be_the_first_one(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    provider.rotates = False
    user = sign_in(provider, client)
    provider.refreshed_claims = {"nonce": "the-nonce"}
    assert refresh(client, user, id_token=user.tokens.id_token).claims
    for missing in (None, ""):
        provider.refreshed_claims = {"nonce": missing}
        assert refresh(client, user, id_token=user.tokens.id_token).claims
    for nonce in ("another", " ", 0, 1, ["the-nonce"]):
        provider.refreshed_claims = {"nonce": nonce}
        assert refused(client, user, id_token=user.tokens.id_token).code == "token_nonce"


@pytest.mark.parametrize("kept", [None, "rubbish", "a.b.c", rsa_key().sign({"nonce": 1}), rsa_key().sign({})])
def test_a_nonce_is_not_compared_when_the_first_one_is_not_known(provider: StandIn, kept: str | None) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    provider.refreshed_claims = {"nonce": "the-nonce"}
    assert refresh(client, user, id_token=kept).claims


# Userinfo


@pytest.mark.requirement("X2")
def test_userinfo_is_asked_with_the_refreshed_access_token(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    provider.userinfo["email"] = "jane.doe@example.com"
    refreshed = refresh(client, user)
    (request,) = provider.asked("/userinfo")
    assert request.headers["Authorization"] == f"Bearer {refreshed.tokens.access_token}"
    assert refreshed.claims is not None
    assert refreshed.claims["email"] == "jane.doe@example.com"


def test_without_an_id_token_userinfo_says_who_it_is(provider: StandIn) -> None:
    provider.refreshes_id_token = False
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    assert refresh(client, user).claims == provider.userinfo
    user = sign_in(provider, client)
    provider.userinfo["sub"] = "user-2"
    assert refused(client, user).code == "subject_changed"


def test_a_provider_without_userinfo_may_say_nothing(provider: StandIn) -> None:
    provider.refreshes_id_token = False
    provider.metadata["userinfo_endpoint"] = LEFT_OUT
    client = client_for(oidc_settings(provider), needs="email")
    assert refresh(client, sign_in(provider, client)).claims is None


def test_userinfo_about_another_person_is_refused(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    provider.answers["userinfo"] = {"sub": "user-2", "email": "joe@example.com"}
    assert refused(client, user).code == "userinfo_subject"


def test_tokens_are_not_lost_when_userinfo_cannot_be_had(
    provider: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    provider.answers["userinfo"] = Answer(b"", 503)
    refreshed = refresh(client, user)
    assert refreshed.claims is None
    assert "after a refresh the claims stay what they were" in caplog.text
    provider.answers.clear()
    assert refresh(client, user, refresh_token=refreshed.tokens.refresh_token).claims


def test_userinfo_that_refuses_ends_the_refresh(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    provider.answers["userinfo"] = Answer(b"{}", 403)
    assert refused(client, user).code == "userinfo_refused"


def test_a_refresh_with_plain_oauth2_asks_who_it_is(plain: StandIn) -> None:
    client = client_for(oauth2_settings(plain))
    user = sign_in(plain, client)
    refreshed = refresh(client, user)
    assert refreshed.claims == {"id": 583231, "login": "octocat"}
    assert refreshed.tokens.id_token is None
    plain.userinfo["id"] = 1
    assert refused(client, user, refresh_token=refreshed.tokens.refresh_token).code == "subject_changed"


# What stays, and what is gone


def known(user: Authentication) -> dict[str, Any]:
    return {"known": KnownClaims(user.claims, user.from_userinfo)}


def refreshed_claims(client: ProviderClient, user: Authentication) -> Mapping[str, Any]:
    claims = refresh(client, user, **known(user)).claims
    assert claims is not None
    return claims


@pytest.mark.requirement("R-kept-claims")
def test_without_an_id_token_what_the_last_one_proved_stays(provider: StandIn) -> None:
    provider.claims |= {"groups": ["a"], "name": "Jane"}
    del provider.userinfo["name"]
    client = client_for(oidc_settings(provider), needs="email groups")
    user = sign_in(provider, client)
    provider.refreshes_id_token = False
    claims = refreshed_claims(client, user)
    assert (claims["groups"], claims["name"], claims["email"]) == (["a"], "Jane", "jane@example.com")
    assert {"iss", "sub", "exp"} <= claims.keys()


@pytest.mark.requirement("R-kept-claims")
@pytest.mark.parametrize("in_id_token", [[], ["a"]])
def test_what_userinfo_gave_and_gives_no_more_is_gone(provider: StandIn, in_id_token: list[str]) -> None:
    provider.claims |= {"groups": in_id_token} if in_id_token else {}
    provider.userinfo["groups"] = ["a"]
    client = client_for(oidc_settings(provider), needs="email", wishes=WISHES)
    user = sign_in(provider, client)
    assert user.claims["groups"] == ["a"]
    provider.refreshes_id_token = False
    del provider.userinfo["groups"]
    result = refresh(client, user, **known(user))
    assert result.claims is not None
    assert "groups" not in result.claims
    assert "groups" not in result.from_userinfo


@pytest.mark.requirement("R-kept-claims")
def test_what_userinfo_says_anew_takes_the_place_of_what_was_known(provider: StandIn) -> None:
    provider.claims |= {"groups": ["a", "b"], "email_verified": True, "email": "old@example.com"}
    client = client_for(oidc_settings(provider), needs="phone_number")
    provider.userinfo["phone_number"] = "1"
    user = sign_in(provider, client)
    provider.refreshes_id_token = False
    provider.userinfo |= {"groups": ["b"], "email": "new@example.com"}
    claims = refreshed_claims(client, user)
    assert (claims["groups"], claims["email"]) == (["b"], "new@example.com")
    # The ID token proved another address.
    assert "email_verified" not in claims


@pytest.mark.requirement("R-kept-claims")
def test_a_new_id_token_takes_the_place_of_the_one_before(provider: StandIn) -> None:
    provider.claims |= {"groups": ["a"]}
    client = client_for(oidc_settings(provider), wishes=WISHES)
    user = sign_in(provider, client)
    del provider.claims["groups"]
    assert "groups" not in refreshed_claims(client, user)


@pytest.mark.requirement("R-kept-claims", "R-needed")
def test_without_an_id_token_userinfo_that_fails_takes_nothing_away(provider: StandIn) -> None:
    provider.claims |= {"name": "Jane"}
    del provider.userinfo["name"]
    client = client_for(oidc_settings(provider), needs="name", wishes=WISHES)
    user = sign_in(provider, client)
    provider.refreshes_id_token = False
    provider.answers["userinfo"] = Answer(b"{}", 403)
    assert refresh(client, user, **known(user)).claims is None


@pytest.mark.requirement("R-needed")
def test_what_userinfo_gave_is_unknown_when_it_refuses(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    user = sign_in(provider, client)
    provider.refreshes_id_token = False
    provider.answers["userinfo"] = Answer(b"{}", 403)
    assert refused(client, user, **known(user)).code == "userinfo_refused"


@pytest.mark.requirement("R-needed")
@pytest.mark.parametrize("status", [403, 500])
def test_with_an_id_token_userinfo_that_fails_takes_nothing_away(provider: StandIn, status: int) -> None:
    provider.claims |= {"name": "Jane", "department": "X"}
    provider.userinfo |= {"email": "jane@example.com", "email_verified": True}
    client = client_for(oidc_settings(provider), needs="name", wishes=WISHES)
    user = sign_in(provider, client)
    provider.answers["userinfo"] = Answer(b"{}", status)
    provider.claims = {"name": "Jane Doe"}
    claims = refreshed_claims(client, user)
    # The new ID token took that away, and could have said it.
    assert "department" not in claims
    assert (claims["name"], claims["email"], claims["email_verified"]) == (
        "Jane Doe",
        "jane@example.com",
        True,
    )
    provider.claims |= {"email": "other@example.com"}
    user = sign_in(provider, client)
    assert "email_verified" not in refreshed_claims(client, user)


@pytest.mark.requirement("R-kept-claims")
@pytest.mark.parametrize("userinfo", ["when-needed", "never"])
def test_a_setting_ends_the_session_that_gets_no_id_token(provider: StandIn, userinfo: str) -> None:
    settings = oidc_settings(provider, refresh_needs_id_token=True, userinfo=userinfo)
    client = client_for(settings, needs="name")
    provider.claims |= {"name": "Jane"}
    user = sign_in(provider, client)
    assert refresh(client, user).claims
    user = sign_in(provider, client)
    provider.refreshes_id_token = False
    error = refused(client, user, **known(user))
    assert (type(error), error.code) == (TokenError, "refresh_without_id_token")
    assert not provider.asked("/userinfo")


@pytest.mark.parametrize("sub", ["user-2", None])
@pytest.mark.parametrize("oid", ["object-1", None])
def test_without_an_id_token_userinfo_is_about_the_same_person(
    provider: StandIn, sub: str | None, oid: str | None
) -> None:
    """Where the subject is not ``sub``, either of them tells."""
    provider.claims |= {"oid": "object-1"}
    client = client_for(oidc_settings(provider, subject=AttributePath.parse("oid")), needs="email")
    user = sign_in(provider, client)
    provider.refreshes_id_token = False
    provider.answers["userinfo"] = {"sub": sub, "oid": oid, "email": "eve@example.com"}
    if oid is not None:
        assert refreshed_claims(client, user)["email"] == "eve@example.com"
    else:
        code = "userinfo" if sub is None else "userinfo_subject"
        assert refused(client, user, **known(user)).code == code


def test_plain_oauth2_keeps_nothing(plain: StandIn) -> None:
    client = client_for(oauth2_settings(plain))
    plain.userinfo["groups"] = ["a"]
    user = sign_in(plain, client)
    del plain.userinfo["groups"]
    forgotten = KnownClaims(user.claims)
    assert refresh(client, user, known=forgotten).claims == {"id": 583231, "login": "octocat"}


# Secrets


@pytest.mark.requirement("3i")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("padding", [0, 190])
def test_a_provider_that_repeats_what_it_was_sent_does_not_make_us_repeat_it(
    provider: StandIn, caplog: pytest.LogCaptureFixture, method: str, padding: int
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.auth_method = method
    provider.rotates = False
    client = client_for(oidc_settings(provider, client_auth_method=method))
    user = sign_in(provider, client)
    token = str(user.tokens.refresh_token)
    description = f"{'.' * padding}{token} of {provider.client_secret}"
    for answer in (
        {"error": "invalid_grant", "error_description": description},
        {"error": "invalid_client", "error_description": description},
        {"error": "other", "error_description": description},
        {"error": [description]},
        {"access_token": "a", "token_type": description},
    ):
        provider.token_response = answer
        text = "".join(traceback.format_exception(refused(client, user)))
        assert token[:8] not in text + caplog.text
        assert "s3cret" not in text + caplog.text


@pytest.mark.requirement("3i")
def test_no_token_is_in_a_repr(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider), needs="email")
    refreshed = refresh(client, sign_in(provider, client))
    tokens = refreshed.tokens
    for secret in (tokens.access_token, tokens.refresh_token, tokens.id_token, "jane@example.com"):
        assert secret
        assert secret not in repr(refreshed)


# Anything


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("Bearer"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["access_token", "token_type", "expires_in", "refresh_token", "id_token", "error"]),
    VALUES,
)


@given(
    MEMBERS.map(lambda members: json.dumps(members).encode()) | st.binary(max_size=99),
    st.integers(200, 599),
    st.text(max_size=9) | st.just("the-token"),
)
def test_no_answer_and_no_token_gets_more_than_our_own_errors(body: bytes, status: int, token: str) -> None:
    url = "https://op.example/token"
    response = Response(status=status, content_type="application/json", body=body, headers={}, url=url)
    try:
        metadata, authentication = (
            ProviderMetadata(token_endpoint=url),
            ClientAuthentication(provider_settings()),
        )
        tokens = redeem_refresh_token(
            AuthenticatedClient(FixedTransport(response), metadata, authentication), token
        )
    except (ProviderError, ProviderUnavailableError) as error:
        assert error.detail.isprintable()
        return
    assert tokens.access_token.isascii()


@given(
    st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "x"]), VALUES)
)
def test_no_claim_gets_more_than_our_own_errors(changes: dict[str, Any]) -> None:
    key, now = rsa_key(), 1_800_000_000
    client = client_for(
        provider_settings(
            authorization_endpoint="https://op.example/a",
            token_endpoint="https://op.example/token",
            jwks_uri="https://op.example/jwks",
        ),
        clock=lambda: now,
    )
    right = {"iss": "https://op.example", "aud": "client", "sub": "user-1", "iat": now, "exp": now + 300}
    try:
        token = key.sign({**right, **changes})
    except (ValueError, UnicodeError):
        return
    answers = {
        "/token": {"access_token": "a", "token_type": "Bearer", "id_token": token},
        "/jwks": {"keys": [key.jwk()]},
        "/.well-known/openid-configuration": {"issuer": "https://op.example"},
    }

    def answer(url: str, **_: Any) -> Response:
        body = json.dumps(answers[url.removeprefix("https://op.example")]).encode()
        return Response(status=200, content_type="application/json", body=body, headers={}, url=url)

    for transport in (client._transport, client._refresh_transport):
        transport.get_json = transport.post_form = answer  # type: ignore[method-assign]  # a fake
    try:
        refreshed = client.refresh(
            "the-token", subject="user-1", auth_time=1_700_000_000, id_token=key.sign(right)
        )
    except OAuth2Error as error:
        assert error.detail.isprintable()
        return
    assert refreshed.claims is not None
    assert (refreshed.claims["iss"], refreshed.claims["sub"]) == ("https://op.example", "user-1")
    auth_time = numeric_date(refreshed.claims.get("auth_time"))
    assert auth_time is None or int(auth_time) == 1_700_000_000


def test_a_further_address_that_does_not_answer_leaves_the_claims_as_they_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with StandIn(oidc=False, userinfo={"id": "42", "login": "jane"}, emails=[]) as plain:
        settings = oauth2_settings(
            plain,
            quirk="github",
            attribute_map={
                "username": AttributePath.parse("login"),
                "email": AttributePath.parse("email"),
            },
        )
        client = client_for(settings, needs="login email")
        user = sign_in(plain, client)
        plain.answers["emails"] = Answer(b"", 503)
        result = refresh(client, user)
        assert result.claims is None
        assert result.tokens.access_token
    assert "after a refresh the claims stay what they were" in caplog.text
