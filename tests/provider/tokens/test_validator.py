"""What is the same for every kind of token: who signed it, who issued it, and for whom."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.jose.jwks import parse_key_set
from oauth2_mw.provider.jose.jws import TokenKind
from oauth2_mw.provider.tokens.validator import TokenValidator
from tests.support.providers.jose import ec_key, rsa_key
from tests.support.settings.providers import provider_settings

ISSUER = "https://op.example"
RSA = rsa_key()
KIND = TokenKind("token", frozenset({"jwt"}))
CLAIMS = {"iss": ISSUER, "aud": "client", "sub": "1"}


def validator(**settings: Any) -> TokenValidator:
    keys = parse_key_set({"keys": [RSA.jwk(), ec_key("ES256").jwk()]})
    return TokenValidator(provider_settings(**settings), ProviderMetadata(), keys.matching)


def refusal(token: str, **settings: Any) -> str:
    with pytest.raises(TokenError) as caught:
        validator(**settings).verify(token, KIND)
    return caught.value.code


def test_a_token_of_the_provider_for_this_client_is_verified() -> None:
    assert validator().verify(RSA.sign(CLAIMS), KIND).claims == CLAIMS


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://other.example"}, "token_issuer"),
        ({"aud": "other"}, "token_audience"),
        ({"azp": "other"}, "token_azp"),
    ],
)
def test_each_check_is_made(claims: dict[str, str], code: str) -> None:
    assert refusal(RSA.sign(CLAIMS | claims)) == code


def test_the_algorithm_is_one_that_the_settings_allow() -> None:
    token = RSA.sign(CLAIMS)
    assert refusal(token, algorithms=("ES256",)) == "token_algorithm"


def test_it_is_never_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        validator().metadata = ProviderMetadata()  # type: ignore[misc]  # frozen
