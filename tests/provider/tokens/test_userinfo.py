"""The checks of a signed userinfo response."""

from __future__ import annotations

from typing import Any

import pytest

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.jose.jwks import parse_key_set
from oauth2_mw.provider.tokens.userinfo import validate_userinfo
from oauth2_mw.provider.tokens.validator import TokenValidator
from tests.support.providers.jose import ec_key, rsa_key
from tests.support.providers.standin import LEFT_OUT
from tests.support.settings.providers import provider_settings

CLAIMS = {"iss": "https://op.example", "aud": "client", "sub": "user-1"}
RSA = rsa_key()


def userinfo(token: str, **settings: Any) -> dict[str, Any]:
    keys = parse_key_set({"keys": [RSA.jwk()]}).matching
    return validate_userinfo(token, TokenValidator(provider_settings(**settings), ProviderMetadata(), keys))


def test_signed_userinfo_gives_its_claims_without_nonce_and_times() -> None:
    claims = {**CLAIMS, "email": "jane@example.com"}
    assert userinfo(RSA.sign(claims)) == claims


@pytest.mark.parametrize("missing", [{"iss"}, {"aud"}, {"iss", "aud"}])
def test_signed_userinfo_need_not_say_from_whom_and_for_whom_it_is(missing: set[str]) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name not in missing}
    assert userinfo(RSA.sign(claims)) == claims
    assert userinfo(RSA.sign({**claims, **dict.fromkeys(missing)})) == claims


def test_signed_userinfo_may_name_an_audience_that_is_trusted() -> None:
    claims = {**CLAIMS, "aud": ["client", "other"]}
    assert userinfo(RSA.sign(claims), trusted_audiences=("other",)) == claims
    claims["azp"] = "client"
    assert userinfo(RSA.sign(claims), trusted_audiences=("*",)) == claims


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://evil.example"}, "token_issuer"),
        ({"iss": ["https://op.example"]}, "token_issuer"),
        ({"aud": "other"}, "token_audience"),
        ({"aud": []}, "token_audience"),
        ({"aud": LEFT_OUT, "azp": "other"}, "token_azp"),
        ({"iss": LEFT_OUT, "aud": LEFT_OUT, "sub": LEFT_OUT}, "token_subject"),
        ({"azp": "other"}, "token_azp"),
        ({"sub": ""}, "token_subject"),
    ],
)
def test_signed_userinfo_of_somebody_else_or_for_somebody_else_is_refused(
    changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(TokenError) as refused:
        userinfo(
            RSA.sign({name: value for name, value in {**CLAIMS, **changes}.items() if value is not LEFT_OUT})
        )
    assert refused.value.code == code


def test_userinfo_with_a_wrong_signature_or_algorithm_is_refused() -> None:
    for token, code in (
        (rsa_key(2).sign(CLAIMS, kid="rsa-1"), "token_signature"),
        (ec_key().sign(CLAIMS), "token_algorithm"),
    ):
        with pytest.raises(TokenError) as refused:
            userinfo(token)
        assert refused.value.code == code
