"""The checks of a logout token. Each refusal names its check, so that one that is switched off is noticed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import OAuth2Error, ProviderUnavailableError, TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.jose.jwks import parse_key_set
from oauth2_mw.provider.jose.jws import MAX_TOKEN
from oauth2_mw.provider.tokens.id_token import validate_id_token
from oauth2_mw.provider.tokens.logout_token import EVENT, LogoutToken, validate_logout_token
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.grammar import AttributePath
from tests.support.providers.jose import Key, base64url, ec_key, ed_key, rsa_key
from tests.support.providers.sign_in import client_for
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.providers import oauth2_settings, oidc_settings, provider_settings

NOW = 1_800_000_000
ISSUER = "https://op.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "client",
    "sub": "user-1",
    "sid": "session-1",
    "iat": NOW,
    "exp": NOW + 120,
    "jti": "token-1",
    "events": {EVENT: {}},
}
RSA = rsa_key()
TYPED = {"typ": "logout+jwt"}


def claims(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not LEFT_OUT}


def validate(token: str, *keys: Key, now: float = NOW, **settings: Any) -> LogoutToken:
    return validate_logout_token(token, validator(*(keys or (RSA,)), **settings), now=now)


def validator(*keys: Key, **settings: Any) -> TokenValidator:
    published = parse_key_set({"keys": [key.jwk() for key in keys]})
    return TokenValidator(provider_settings(**settings), ProviderMetadata(), published.matching)


def refusal(token: str, *keys: Key, **options: Any) -> str:
    with pytest.raises(TokenError) as refused:
        validate(token, *keys, **options)
    assert len(token) < 8 or token not in refused.value.detail
    assert refused.value.detail.isprintable()
    return refused.value.code


def claims_refusal(**changes: Any) -> str:
    return refusal(RSA.sign(claims(**changes), **TYPED))


# Accepted


def test_a_good_token_says_whose_session_ended() -> None:
    assert validate(RSA.sign(CLAIMS, **TYPED)) == LogoutToken(
        issuer=ISSUER,
        subject="user-1",
        sid="session-1",
        jti="token-1",
        issued_at=NOW,
        expires_at=NOW + 120 + 60 + 1,
    )


@pytest.mark.parametrize("typ", ["logout+jwt", "Logout+JWT", "application/logout+jwt", "JWT", "jwt", None])
def test_providers_name_the_type_or_do_not(typ: str | None) -> None:
    assert validate(RSA.sign(CLAIMS, typ=typ)).subject


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["client"]},
        {"jti": "x" * 255},
        {"sid": "x" * 255},
        {"events": {EVENT: {"reason": "x"}, "https://op.example/other": 1}},
        {"iat": NOW + 60},
        {"iat": NOW - 660},
        {"exp": NOW - 59},
        {"exp": NOW + 10**9},
        {"unknown": [1]},
    ],
)
def test_the_edges_of_a_good_token_are_accepted(changes: dict[str, Any]) -> None:
    assert validate(RSA.sign(claims(**changes), **TYPED)).subject


@pytest.mark.requirement("N2.7.7")
def test_a_session_or_a_person_is_enough() -> None:
    for name, found in (("sub", (None, "session-1")), ("sid", ("user-1", None))):
        token = validate(RSA.sign(claims(**{name: LEFT_OUT}), **TYPED))
        assert (token.subject, token.sid) == found


@pytest.mark.parametrize(
    ("changes", "expires"),
    [
        ({"exp": NOW + 120}, NOW + 181),
        ({"exp": NOW + 120.9, "iat": NOW - 0.5}, NOW + 181),
        ({"exp": NOW + 10**8}, NOW + 661),
        ({"exp": NOW + 10**8, "iat": NOW - 100}, NOW + 561),
    ],
)
def test_a_logout_token_expires_when_no_copy_is_accepted_any_more(
    changes: dict[str, Any], expires: int
) -> None:
    text = RSA.sign(claims(**changes), **TYPED)
    token = validate(text)
    assert token.expires_at == expires
    assert refusal(text, now=expires) in ("token_expired", "token_issued")
    assert validate(text, now=expires - 1.5) == token


def test_a_moment_of_issue_between_two_seconds_is_the_earlier_one() -> None:
    assert validate(RSA.sign(claims(iat=NOW - 0.5), **TYPED)).issued_at == NOW - 1


# Refused


@pytest.mark.requirement("N2.7.5")
@pytest.mark.parametrize(
    ("token", "code"),
    [
        (ec_key().sign(CLAIMS, **TYPED), "token_algorithm"),
        (rsa_key(9).sign(CLAIMS, **TYPED), "token_key"),
        (rsa_key(9).sign(CLAIMS, kid="rsa-1", **TYPED), "token_signature"),
        (RSA.sign(CLAIMS, crit=["exp"], **TYPED), "token_header"),
        (RSA.sign(CLAIMS, typ="at+jwt"), "token_type"),
        (RSA.sign(CLAIMS, **TYPED) + "=", "token_malformed"),
        (RSA.sign(b'{"iss": 1, "iss": 2}', **TYPED), "token_malformed"),
        ("x" * (MAX_TOKEN + 1), "token_malformed"),
        ("a.b.c.d.e", "token_malformed"),
        ("", "token_malformed"),
    ],
    ids=[
        "algorithm",
        "key",
        "signature",
        "crit",
        "type",
        "spelling",
        "twice",
        "length",
        "encrypted",
        "empty",
    ],
)
def test_a_logout_token_is_verified_like_an_id_token(token: str, code: str) -> None:
    assert refusal(token) == code


@pytest.mark.requirement("N2.7.5")
@pytest.mark.parametrize("alg", ["none", "None", "", None, "HS256"])
def test_an_unsigned_logout_token_is_refused(alg: Any) -> None:
    head = base64url(json.dumps({"alg": alg, **TYPED}).encode())
    assert refusal(f"{head}.{base64url(json.dumps(CLAIMS).encode())}.") == "token_malformed"
    assert refusal(f"{head}.{base64url(json.dumps(CLAIMS).encode())}.AAAA") == "token_algorithm"


def test_an_algorithm_that_was_configured_is_accepted() -> None:
    assert validate(ed_key().sign(CLAIMS, **TYPED), ed_key(), algorithms=("EdDSA",)).subject


@pytest.mark.requirement("N2.7.5")
@pytest.mark.parametrize("iss", [f"{ISSUER}/", "https://other.example", "", None, [ISSUER], LEFT_OUT])
def test_a_logout_token_of_another_issuer_is_refused(iss: Any) -> None:
    assert claims_refusal(iss=iss) == "token_issuer"


@pytest.mark.requirement("N2.7.5")
@pytest.mark.parametrize("aud", ["other", ["client", "other"], [], None, {"client": 1}, LEFT_OUT])
def test_a_logout_token_for_another_client_is_refused(aud: Any) -> None:
    assert claims_refusal(aud=aud) == "token_audience"


def test_a_logout_token_may_name_an_audience_that_is_trusted() -> None:
    token = RSA.sign(claims(aud=["client", "other"]), **TYPED)
    assert validate(token, trusted_audiences=("other",)).subject
    assert refusal(token, trusted_audiences=("*",)) == "token_audience"
    token = RSA.sign(claims(aud=["client", "other"], azp="client"), **TYPED)
    assert validate(token, trusted_audiences=("*",)).subject


@pytest.mark.requirement("N2.7.5")
def test_a_logout_token_that_another_party_asked_for_is_refused() -> None:
    assert claims_refusal(azp="other") == "token_azp"


@pytest.mark.requirement("N2.7.6", "N2.7.5")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iat": LEFT_OUT}, "token_time"),
        ({"iat": "1800000000"}, "token_time"),
        ({"iat": True}, "token_time"),
        ({"iat": NOW + 61}, "token_issued"),
        ({"iat": NOW - 661}, "token_issued"),
        ({"exp": LEFT_OUT}, "token_time"),
        ({"exp": None}, "token_time"),
        ({"exp": 1e300}, "token_time"),
        ({"exp": NOW - 60}, "token_expired"),
        ({"nbf": NOW + 61}, "token_not_yet"),
        ({"events": LEFT_OUT}, "logout_event"),
        ({"jti": LEFT_OUT}, "logout_jti"),
        ({"jti": ""}, "logout_jti"),
        ({"jti": "x" * 256}, "logout_jti"),
        ({"jti": "a\nb"}, "logout_jti"),
        ({"jti": 7}, "logout_jti"),
        ({"jti": ["a"]}, "logout_jti"),
    ],
)
def test_a_missing_or_malformed_claim_of_a_logout_token_is_refused(
    changes: dict[str, Any], code: str
) -> None:
    assert claims_refusal(**changes) == code


@pytest.mark.requirement("N2.7.8")
@pytest.mark.parametrize(
    "events",
    [
        LEFT_OUT,
        None,
        EVENT,
        [EVENT],
        {},
        [],
        {EVENT: None},
        {EVENT: []},
        {EVENT: "x"},
        {EVENT: True},
        {f"{EVENT}/": {}},
        {EVENT.upper(): {}},
        {"https://schemas.openid.net/event/backchannel-logout": {}},
        {"http://schemas.openid.net/secevent/risc/event-type/account-disabled": {}},
    ],
)
def test_a_token_without_the_event_of_a_logout_is_refused(events: Any) -> None:
    assert claims_refusal(events=events) == "logout_event"


@pytest.mark.requirement("N2.7.9")
@pytest.mark.parametrize("nonce", ["the-nonce", " ", 0, False, 1, []])
def test_a_logout_token_with_a_nonce_is_refused(nonce: Any) -> None:
    assert claims_refusal(nonce=nonce) == "logout_nonce"


@pytest.mark.requirement("N2.7.7")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sub": LEFT_OUT, "sid": LEFT_OUT}, "logout_subject"),
        ({"sub": None, "sid": ""}, "logout_subject"),
        ({"sub": 7}, "token_subject"),
        ({"sub": ["user-1"]}, "token_subject"),
        ({"sub": "x" * 256}, "token_subject"),
        ({"jti": None}, "logout_jti"),
        ({"sid": 7}, "logout_sid"),
        ({"sid": ["session-1"]}, "logout_sid"),
        ({"sid": "x" * 256}, "logout_sid"),
        ({"sid": "a\0"}, "logout_sid"),
    ],
)
def test_a_malformed_subject_or_session_is_refused(changes: dict[str, Any], code: str) -> None:
    assert claims_refusal(**changes) == code


@pytest.mark.parametrize("value", [None, ""])
def test_a_claim_without_a_value_is_missing(value: str | None) -> None:
    token = validate(RSA.sign(claims(sub=value, nonce=value, azp=value, nbf=value), **TYPED))
    assert (token.subject, token.sid) == (None, "session-1")
    token = validate(RSA.sign(claims(sid=value), **TYPED))
    assert (token.subject, token.sid) == ("user-1", None)


# A subject that is not at sub


def test_where_another_claim_is_the_subject_sub_names_nobody() -> None:
    settings: dict[str, Any] = {"subject": AttributePath.parse("oid")}
    token = validate(RSA.sign(CLAIMS, **TYPED), **settings)
    assert (token.subject, token.sid) == (None, "session-1")
    assert refusal(RSA.sign(claims(sid=LEFT_OUT), **TYPED), **settings) == "logout_subject"
    assert validate(RSA.sign(claims(oid=7), **TYPED), **settings).subject == "7"
    assert refusal(RSA.sign(claims(oid=[7]), **TYPED), **settings) == "token_subject"


# Neither is the other


@pytest.mark.requirement("N2.7.9")
@pytest.mark.parametrize("changes", [{}, {"nonce": LEFT_OUT}, {"jti": "x", "sid": "s"}])
@pytest.mark.parametrize("typ", [None, "JWT", "logout+jwt"])
def test_an_id_token_is_no_logout_token(changes: dict[str, Any], typ: str | None) -> None:
    members = {"nonce": "the-nonce", **changes}
    token = RSA.sign(claims(events=LEFT_OUT, **members), typ=typ)
    assert refusal(token) == "logout_event"


def test_a_logout_token_is_no_id_token() -> None:
    for typ, code in (("logout+jwt", "token_type"), ("JWT", "token_nonce")):
        with pytest.raises(TokenError) as refused:
            validate_id_token(
                RSA.sign(CLAIMS, typ=typ), validator(RSA), nonce="the-nonce", access_token=None, now=NOW
            )
        assert refused.value.code == code


# With a provider


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn(sid="session-1") as standin:
        yield standin


def test_a_client_reads_what_its_provider_sends(provider: StandIn) -> None:
    token = client_for(oidc_settings(provider)).read_logout_token(provider.logout_token())
    assert (token.issuer, token.subject, token.sid) == (provider.url, "user-1", "session-1")
    assert abs(token.issued_at - time.time()) < 60


def test_each_logout_has_a_name_of_its_own(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    assert len({client.read_logout_token(provider.logout_token()).jti for _ in range(3)}) == 3


def test_a_client_refuses_what_another_provider_sends(provider: StandIn) -> None:
    with StandIn(key=rsa_key(2)) as other, pytest.raises(TokenError) as refused:
        client_for(oidc_settings(provider)).read_logout_token(other.logout_token(iss=provider.url))
    assert refused.value.code == "token_key"


def test_a_logout_cannot_be_read_without_the_providers_keys(provider: StandIn) -> None:
    provider.answers["jwks"] = Answer(b"", 503)
    with pytest.raises(ProviderUnavailableError):
        client_for(oidc_settings(provider)).read_logout_token(provider.logout_token())


def test_a_provider_without_an_issuer_orders_no_logout(provider: StandIn) -> None:
    with pytest.raises(TokenError) as refused:
        client_for(oauth2_settings(provider)).read_logout_token(provider.logout_token(iss=LEFT_OUT))
    assert refused.value.code == "token_issuer"
    assert not provider.requests


# Anything


@given(
    st.text(max_size=200)
    | st.lists(st.binary(max_size=60), max_size=4).map(
        lambda parts: ".".join(base64url(part) for part in parts)
    )
)
def test_no_text_gets_more_than_a_refusal(token: str) -> None:
    assert refusal(token).startswith("token_")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from([*CLAIMS, "nonce", "nbf", "azp"]), VALUES | st.just({EVENT: {}})),
    st.dictionaries(st.sampled_from(["typ", "kid", "crit", "x"]), VALUES),
)
def test_no_claim_and_no_header_gets_more_than_our_own_errors(
    changes: dict[str, Any], header: dict[str, Any]
) -> None:
    try:
        token = RSA.sign(claims(**changes), **{**TYPED, **header})
    except UnicodeError:  # half a character, which JSON cannot be made of
        return
    try:
        found = validate(token)
    except OAuth2Error as error:
        assert error.code.startswith(("token_", "logout_"))
        assert error.detail.isprintable()
        return
    assert found.issuer == ISSUER
    assert found.subject or found.sid
    assert NOW < found.expires_at <= NOW + 721


# Without exp, under a quirk


@pytest.mark.parametrize("quirk", ["hydra", "lemonldap"])
@pytest.mark.parametrize("exp", [LEFT_OUT, None])
def test_a_quirk_lets_the_age_alone_bound_a_token(quirk: str, exp: Any) -> None:
    token = RSA.sign(claims(exp=exp), **TYPED)
    assert validate(token, quirk=quirk).expires_at == NOW + 600 + 60 + 1
    assert validate(token, quirk=quirk, now=NOW + 659).subject
    assert refusal(token, quirk=quirk, now=NOW + 661) == "token_expired"


@pytest.mark.parametrize("exp", [LEFT_OUT, None])
def test_the_refusal_of_a_token_without_exp_names_the_quirk(exp: Any) -> None:
    with pytest.raises(TokenError, match=r"no exp: .* quirk = lemonldap"):
        validate(RSA.sign(claims(exp=exp), **TYPED))


@pytest.mark.parametrize("quirk", [None, "github", "okta"])
def test_without_that_quirk_exp_is_required(quirk: str | None) -> None:
    assert refusal(RSA.sign(claims(exp=LEFT_OUT), **TYPED), quirk=quirk) == "token_time"
    assert refusal(RSA.sign(claims(exp=None), **TYPED), quirk=quirk) == "token_time"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": "x"}, "token_time"),
        ({"exp": 0}, "token_time"),
        ({"exp": False}, "token_time"),
        ({"exp": NOW - 61}, "token_expired"),
        ({"exp": LEFT_OUT, "iat": LEFT_OUT}, "token_time"),
        ({"exp": LEFT_OUT, "iat": NOW + 61}, "token_issued"),
        ({"exp": LEFT_OUT, "iat": NOW - 661}, "token_expired"),
        ({"exp": LEFT_OUT, "iat": 253402300799}, "token_time"),
        ({"exp": LEFT_OUT, "nonce": "x"}, "logout_nonce"),
        ({"exp": LEFT_OUT, "events": LEFT_OUT}, "logout_event"),
        ({"exp": LEFT_OUT, "jti": LEFT_OUT}, "logout_jti"),
    ],
)
def test_the_quirk_forgives_nothing_else(changes: dict[str, Any], code: str) -> None:
    assert refusal(RSA.sign(claims(**changes), **TYPED), quirk="hydra") == code


def test_no_id_token_comes_without_exp_under_the_quirk() -> None:
    token = RSA.sign(claims(exp=LEFT_OUT, events=LEFT_OUT, nonce="n"), typ="JWT")
    with pytest.raises(TokenError) as refused:
        validate_id_token(token, validator(RSA, quirk="hydra"), nonce="n", access_token=None, now=NOW)
    assert refused.value.code == "token_time"


def test_the_algorithms_of_id_tokens_are_those_of_logout_tokens() -> None:
    elliptic = ec_key()
    assert validate(elliptic.sign(CLAIMS, **TYPED), elliptic, algorithms=("ES256",)).subject
    assert refusal(RSA.sign(CLAIMS, **TYPED), RSA, algorithms=("ES256",)) == refusal(
        elliptic.sign(CLAIMS, **TYPED), elliptic, algorithms=("RS256",)
    )
