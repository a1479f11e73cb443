"""The checks of an access token. Each refusal names its check, so that one that is switched off is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.jose.jwks import parse_key_set
from oauth2_mw.provider.tokens.access_token import (
    AccessToken,
    read_client,
    read_introspection,
    read_scopes,
    validate_access_token,
)
from oauth2_mw.provider.tokens.logout_token import EVENT
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.model import ProviderSettings
from tests.support.providers.jose import rsa_key
from tests.support.providers.standin import LEFT_OUT
from tests.support.settings.minimal import make_settings

NOW = 1_800_000_000
ISSUER = "https://op.example"
API = "https://api.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": API,
    "sub": "user-1",
    "client_id": "script",
    "scope": "read write",
    "iat": NOW,
    "exp": NOW + 300,
    "jti": "token-1",
}
TENANT = "11111111-2222-3333-4444-555555555555"
#: is never opened
DIRECTORY = "sqlite:////nowhere/users.db"
RSA = rsa_key()


def claims(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not LEFT_OUT}


def provider(**keys: Any) -> ProviderSettings:
    given = {
        "issuer": ISSUER,
        "accept_tokens": "jwt",
        "token_audiences": API,
        "bearer_paths": "/api/",
        **keys,
    }
    return make_settings(**given).providers["default"]


def validate(token: str, **keys: Any) -> AccessToken:
    published = parse_key_set({"keys": [RSA.jwk()]})
    validator = TokenValidator(provider(**keys), ProviderMetadata(), published.matching)
    return validate_access_token(token, validator, now=NOW)


def refusal(token: str, **keys: Any) -> str:
    with pytest.raises(TokenError) as refused:
        validate(token, **keys)
    assert token not in refused.value.detail
    assert refused.value.detail.isprintable()
    return refused.value.code


def typed(**changes: Any) -> str:
    return RSA.sign(claims(**changes), typ="at+jwt")


def untyped(**changes: Any) -> str:
    return RSA.sign(claims(**changes), typ="JWT")


# Accepted


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT"])
def test_a_token_that_says_what_it_is_says_whose_it_is(typ: str) -> None:
    token = validate(RSA.sign(CLAIMS, typ=typ))
    assert (token.issuer, token.subject, token.client_id) == (ISSUER, "user-1", "script")
    assert token.scopes == {"read", "write"}
    assert token.expires_at == NOW + 300
    assert token.claims["scope"] == "read write"


@pytest.mark.parametrize("typ", ["JWT", "jwt", None, "at+jwt"])
def test_jwt_untyped_takes_those_that_do_not_say_so_too(typ: str | None) -> None:
    assert validate(RSA.sign(CLAIMS, typ=typ), accept_tokens="jwt-untyped").subject == "user-1"


#: what the providers put into their access tokens, as far as it differs
_ACCESS_TOKENS: dict[str, dict[str, Any]] = {
    "keycloak": {"typ": "Bearer", "azp": "script", "client_id": LEFT_OUT, "sid": "s", "acr": "1"},
    "entra": {
        "scp": "access_as_user",
        "scope": LEFT_OUT,
        "azp": "script",
        "client_id": LEFT_OUT,
        "ver": "2.0",
    },
    "entra application": {
        "roles": ["Task.Read"],
        "scope": LEFT_OUT,
        "client_id": LEFT_OUT,
        "appid": "script",
    },
    "okta": {"scp": ["read"], "scope": LEFT_OUT, "cid": "script", "client_id": LEFT_OUT, "ver": 1},
    "cognito": {"token_use": "access", "username": "jane"},
    "auth0": {"azp": "script", "client_id": LEFT_OUT, "aud": [API, f"{ISSUER}/userinfo"]},
}


@pytest.mark.parametrize("name", _ACCESS_TOKENS)
def test_the_access_token_of_each_provider_is_taken(name: str) -> None:
    token = validate(untyped(**_ACCESS_TOKENS[name]), accept_tokens="jwt-untyped")
    assert token.client_id == "script"


# Refused: other kinds of tokens

_OTHERS: dict[str, dict[str, Any]] = {
    "ID token": {"nonce": "n", "aud": API, "scope": LEFT_OUT},
    "ID token with a scope": {"nonce": "n"},
    "ID token of a hybrid flow": {"at_hash": "x"},
    "ID token with a code": {"c_hash": "x"},
    "keycloak ID token": {"typ": "ID", "azp": "script"},
    "keycloak refresh token": {"typ": "Refresh"},
    "keycloak offline token": {"typ": "Offline"},
    "keycloak logout token": {"typ": "Logout", "events": {EVENT: {}}},
    "entra ID token": {"scope": LEFT_OUT, "tid": TENANT, "ver": "2.0", "nonce": "n", "roles": ["Task.Read"]},
    "okta ID token": {"scope": LEFT_OUT, "ver": 1, "amr": ["pwd"]},
    "cognito ID token": {"token_use": "id"},
    "cognito refresh token": {"token_use": "refresh"},
    "auth0 ID token": {"scope": LEFT_OUT, "sid": "s"},
    "logout token": {"events": {EVENT: {}}, "scope": LEFT_OUT},
    "a token without any grant": {"scope": LEFT_OUT},
    "a kind that is no text": {"typ": ["Bearer"]},
}


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize("name", _OTHERS)
def test_no_other_kind_of_token_passes_for_one_that_does_not_say_what_it_is(name: str) -> None:
    assert refusal(untyped(**_OTHERS[name]), accept_tokens="jwt-untyped") == "token_type"


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize("accept", ["jwt", "jwt-untyped"])
@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "rt+jwt"])
def test_a_token_that_says_that_it_is_another_is_refused(typ: str, accept: str) -> None:
    assert refusal(RSA.sign(CLAIMS, typ=typ), accept_tokens=accept) == "token_type"


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize("typ", ["JWT", None])
def test_jwt_takes_none_that_does_not_say_so(typ: str | None) -> None:
    assert refusal(RSA.sign(CLAIMS, typ=typ)) == "token_type"


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize("cnf", [{"jkt": "thumbprint"}, {"x5t#S256": "thumbprint"}, {"jwk": {}}, {}])
def test_a_token_that_is_bound_to_a_key_is_refused(cnf: dict[str, Any]) -> None:
    assert refusal(typed(cnf=cnf)) == "token_bound"
    assert refusal(untyped(cnf=cnf), accept_tokens="jwt-untyped") == "token_bound"


# Refused: what it says


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://other.example"}, "token_issuer"),
        ({"iss": f"{ISSUER}/"}, "token_issuer"),
        ({"iss": [ISSUER]}, "token_issuer"),
        ({"iss": LEFT_OUT}, "token_issuer"),
        ({"aud": "https://other.example"}, "token_audience"),
        ({"aud": f"{API}/"}, "token_audience"),
        ({"aud": ["https://other.example"]}, "token_audience"),
        ({"aud": [[API]]}, "token_audience"),
        ({"aud": {API: API}}, "token_audience"),
        ({"aud": []}, "token_audience"),
        ({"aud": LEFT_OUT}, "token_audience"),
        ({"exp": NOW - 61}, "token_expired"),
        ({"exp": LEFT_OUT}, "token_time"),
        ({"exp": str(NOW + 9)}, "token_time"),
        ({"exp": 1e300}, "token_time"),
        ({"iat": NOW + 61}, "token_issued"),
        ({"iat": LEFT_OUT}, "token_time"),
        ({"nbf": NOW + 61}, "token_not_yet"),
        ({"sub": LEFT_OUT}, "token_subject"),
        ({"sub": ""}, "token_subject"),
        ({"sub": "a\nb"}, "token_subject"),
        ({"sub": "x" * 256}, "token_subject"),
    ],
)
def test_a_claim_that_is_wrong_is_refused(changes: dict[str, Any], code: str) -> None:
    assert refusal(typed(**changes)) == code


def test_an_old_token_is_as_good_as_its_end() -> None:
    assert validate(typed(iat=NOW - 86400)).subject == "user-1"


def test_one_of_several_audiences_is_enough() -> None:
    token = typed(aud=["https://other.example", API, 1])
    assert validate(token, token_audiences=f"https://b.example {API}").subject == "user-1"


def test_the_audience_stands_where_the_setting_says() -> None:
    token = typed(aud=LEFT_OUT, client_id="app-1")
    assert validate(token, token_audience_claim="client_id", token_audiences="app-1").subject == "user-1"
    assert (
        refusal(typed(aud="app-1"), token_audience_claim="client_id", token_audiences="app-1")
        == "token_audience"
    )


def test_another_key_or_none_signs_nothing() -> None:
    stranger = rsa_key(2)
    assert refusal(stranger.sign(CLAIMS, typ="at+jwt", kid=RSA.kid)) == "token_signature"
    assert refusal(stranger.sign(CLAIMS, typ="at+jwt")) == "token_key"
    assert refusal(RSA.sign(CLAIMS, typ="at+jwt", alg="none")) == "token_algorithm"
    assert refusal(RSA.sign(CLAIMS, typ="at+jwt", alg="HS256")) == "token_algorithm"
    assert refusal(RSA.sign(CLAIMS, typ="at+jwt", crit=["exp"])) == "token_header"


# Issuers


def test_a_further_issuer_means_the_same_users() -> None:
    token = typed(iss="http://keycloak:8080/realms/a")
    assert refusal(token) == "token_issuer"
    assert validate(token, token_issuers="http://keycloak:8080/realms/a").issuer == ISSUER


@pytest.mark.parametrize("host", ["https://login.microsoftonline.com/{}/v2.0", "https://sts.windows.net/{}/"])
def test_the_preset_of_entra_knows_its_two_issuers(host: str) -> None:
    own = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    keys = {"preset": "microsoft", "issuer": own, "accept_tokens": "jwt-untyped", "directory": DIRECTORY}
    token = untyped(iss=host.format(TENANT), oid="o-1", tid=TENANT, scope=LEFT_OUT, scp="access_as_user")
    found = validate(token, **keys)
    assert (found.issuer, found.subject) == (own, "o-1")
    other = host.format(TENANT.replace("1", "9"))
    assert refusal(untyped(iss=other, oid="o-1"), **keys) == "token_issuer"


def test_the_tenant_of_a_token_is_that_of_its_issuer() -> None:
    second = TENANT.replace("1", "9")
    keys = {
        "preset": "entra-multitenant",
        "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
        "tenants": f"{TENANT} {second}",
        "directory": DIRECTORY,
        "allow": "user:jane",
        "accept_tokens": "jwt-untyped",
    }
    iss = f"https://sts.windows.net/{second}/"
    found = validate(untyped(iss=iss, tid=second, oid="o-1"), **keys)
    assert found.issuer == f"https://login.microsoftonline.com/{second}/v2.0"
    assert refusal(untyped(iss=iss, tid=TENANT, oid="o-1"), **keys) == "token_issuer"
    third = TENANT.replace("1", "8")
    assert (
        refusal(untyped(iss=f"https://sts.windows.net/{third}/", tid=third, oid="o"), **keys)
        == "token_issuer"
    )


def test_the_preset_of_cognito_reads_the_audience_from_the_client() -> None:
    keys = {"preset": "cognito", "accept_tokens": "jwt-untyped", "token_audiences": "script"}
    keys["logout_endpoint"] = f"{ISSUER}/logout"
    assert validate(untyped(aud=LEFT_OUT, token_use="access"), **keys).subject == "user-1"


# Client and scopes


@pytest.mark.parametrize(
    ("given", "client"),
    [
        ({"client_id": "a", "azp": "b"}, "a"),
        ({"azp": "b", "appid": "c"}, "b"),
        ({"appid": "c", "cid": "d"}, "c"),
        ({"cid": "d"}, "d"),
        ({"client_id": 1, "azp": "b"}, "b"),
        ({}, None),
    ],
)
def test_the_client_stands_in_the_first_claim_that_is_there(
    given: dict[str, Any], client: str | None
) -> None:
    assert read_client(given) == client


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": "a", "scp": "b"}, {"a"}),
        ({"scp": "a b"}, {"a", "b"}),
        ({"scope": " a  b\u00a0admin\tc "}, {"a", "b\u00a0admin\tc"}),
        ({"scp": ["a", "b c", 1]}, {"a", "b c"}),
        ({"scope": 1}, set()),
        ({"roles": ["a"]}, set()),
    ],
)
def test_the_scopes_are_a_text_or_a_list(given: dict[str, Any], scopes: set[str]) -> None:
    assert read_scopes(given) == scopes


# Introspection

ANSWER: dict[str, Any] = {"sub": "user-1", "token_type": "Bearer", "scope": "read"}


def read(answer: dict[str, Any], **keys: Any) -> AccessToken:
    given = {"accept_tokens": "introspection", "token_audiences": None, **keys}
    return read_introspection(answer, provider(**given), now=NOW)


def answer_refusal(answer: dict[str, Any], **keys: Any) -> str:
    with pytest.raises(TokenError) as refused:
        read(answer, **keys)
    return refused.value.code


def test_an_answer_says_whose_the_token_is() -> None:
    token = read(ANSWER)
    assert (token.issuer, token.subject) == (ISSUER, "user-1")
    assert token.scopes == {"read"}
    assert token.expires_at == float("inf")
    assert read({**ANSWER, "iss": ISSUER, "exp": NOW + 9}).expires_at == NOW + 9


@pytest.mark.requirement("R-access-token")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://other.example"}, "token_issuer"),
        ({"exp": NOW - 61}, "token_expired"),
        ({"exp": "soon"}, "token_time"),
        ({"nbf": NOW + 61}, "token_not_yet"),
        ({"sub": LEFT_OUT}, "token_subject"),
        ({"sub": LEFT_OUT, "client_id": "script"}, "token_subject"),
        ({"sub": ""}, "token_subject"),
        ({"cnf": {"jkt": "x"}}, "token_bound"),
        ({"token_type": "DPoP"}, "token_bound"),
        ({"token_type": "refresh_token"}, "token_type"),
        ({"token_use": "refresh_token"}, "token_type"),
        ({"typ": "Refresh"}, "token_type"),
        ({"nonce": "n"}, "token_type"),
        # What oidc-provider says of a refresh token.
        ({"token_type": LEFT_OUT, "iss": ISSUER, "client_id": "app"}, "token_type"),
        ({"token_type": LEFT_OUT, "scope": "openid offline_access"}, "token_type"),
    ],
)
def test_an_answer_about_another_token_is_refused(changes: dict[str, Any], code: str) -> None:
    answer = {name: value for name, value in {**ANSWER, **changes}.items() if value is not LEFT_OUT}
    assert answer_refusal(answer) == code


@pytest.mark.parametrize(
    "mark",
    [
        {"token_use": "access_token"},
        {"typ": "Bearer"},
        {"token_type": "bearer"},
        {"aud": "https://b.example"},
    ],
)
def test_one_word_that_it_is_an_access_token_is_enough(mark: dict[str, str]) -> None:
    assert read({"sub": "user-1", "iss": ISSUER, "scope": "offline_access", **mark}).subject == "user-1"


def test_an_answer_that_says_little_is_taken_at_its_word() -> None:
    assert read({"sub": "user-1", "scope": "read", "client_id": "app", "exp": NOW + 9}).subject == "user-1"


def test_an_audience_is_enough_too_and_is_checked_where_it_is_written() -> None:
    bare = {"sub": "user-1", "aud": [API]}
    assert read(bare, token_audiences=API).subject == "user-1"
    assert answer_refusal(ANSWER, token_audiences=API) == "token_audience"
    assert answer_refusal({**ANSWER, "aud": "https://other.example"}, token_audiences=API) == "token_audience"
    dot = {"sub": "user-1", "client_id": "app"}
    assert read(dot, token_audiences="app", token_audience_claim="client_id").client_id == "app"


def test_a_provider_without_an_issuer_is_its_origin() -> None:
    keys = {
        "issuer": None,
        "authorization_endpoint": "https://op.example/a",
        "token_endpoint": "https://op.example/t",
        "userinfo_endpoint": "https://op.example/u",
        "introspection_endpoint": "https://op.example/i",
        "subject": "sub",
    }
    assert read(ANSWER, **keys).issuer == ISSUER
    assert answer_refusal({**ANSWER, "iss": "https://op.example/o"}, **keys) == "token_issuer"
    further = {**keys, "token_issuers": "https://op.example/o"}
    assert read({**ANSWER, "iss": "https://op.example/o"}, **further).issuer == ISSUER
