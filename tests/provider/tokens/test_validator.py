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
from tests.support.providers.entra import FOREIGN, ONE, TWO
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


# Several tenants of one provider, with one key set

TEMPLATE = "https://op.example/{tenantid}/v2.0"
TENANTS: dict[str, Any] = {"issuer": TEMPLATE, "tenants": (ONE, TWO)}


def issuer_of(tenant: str) -> str:
    return TEMPLATE.replace("{tenantid}", tenant)


def of_tenant(tenant: str) -> dict[str, Any]:
    return {"iss": issuer_of(tenant), "tid": tenant, "aud": "client", "sub": "1"}


def validator_of_tenants(*keys: dict[str, Any], **settings: Any) -> TokenValidator:
    return TokenValidator(
        provider_settings(**TENANTS | settings), ProviderMetadata(), parse_key_set({"keys": [*keys]}).matching
    )


def refusal_of_tenants(token: str, *keys: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(TokenError) as caught:
        validator_of_tenants(*keys or (RSA.jwk(),), **settings).verify(token, KIND)
    return caught.value.code


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("tenant", [ONE, TWO])
def test_each_tenant_that_is_let_in_speaks_for_its_own_people(tenant: str) -> None:
    token = RSA.sign(of_tenant(tenant))
    assert validator_of_tenants(RSA.jwk()).verify(token, KIND).claims == of_tenant(tenant)


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": issuer_of(FOREIGN), "tid": FOREIGN},
        {"iss": issuer_of(FOREIGN)},
        {"tid": FOREIGN},
        {"iss": issuer_of(TWO)},
        {"tid": TWO},
        {"tid": ""},
        {"tid": None},
        {"tid": [ONE]},
        {"tid": 7},
        {"tid": ONE.upper()},
        {"tid": "{tenantid}"},
        {"tid": f"{ONE}\n"},
        {"iss": TEMPLATE, "tid": "{tenantid}"},
        {"iss": issuer_of(ONE.upper()), "tid": ONE.upper()},
        {"iss": issuer_of("organizations"), "tid": "organizations"},
        {"iss": None},
        {"iss": [issuer_of(ONE)]},
    ],
    ids=str,
)
def test_iss_and_tid_must_name_one_tenant_that_is_let_in(changes: dict[str, Any]) -> None:
    assert refusal_of_tenants(RSA.sign(of_tenant(ONE) | changes)) == "token_issuer"


def test_one_tenant_of_a_template_is_judged_like_many() -> None:
    settings = {"tenants": (ONE,)}
    token = RSA.sign(of_tenant(ONE))
    assert validator_of_tenants(RSA.jwk(), **settings).verify(token, KIND).claims == of_tenant(ONE)
    assert refusal_of_tenants(RSA.sign(of_tenant(TWO)), **settings) == "token_issuer"
    assert refusal_of_tenants(RSA.sign(of_tenant(ONE) | {"tid": TWO}), **settings) == "token_issuer"


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize("named", [None, TEMPLATE, issuer_of(ONE)])
def test_a_key_signs_for_the_tenants_that_it_names_or_for_all(named: str | None) -> None:
    key = RSA.jwk() if named is None else RSA.jwk(issuer=named)
    verified = validator_of_tenants(key).verify(RSA.sign(of_tenant(ONE)), KIND)
    assert verified.claims == of_tenant(ONE)


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(
    "named", [issuer_of(TWO), issuer_of(FOREIGN), issuer_of(ONE.upper()), f"{TEMPLATE}/", ISSUER, 7]
)
def test_a_key_signs_for_no_other_tenant(named: object) -> None:
    assert refusal_of_tenants(RSA.sign(of_tenant(ONE)), RSA.jwk(issuer=named)) == "token_key"


@pytest.mark.requirement("R-entra")
def test_the_tenant_of_a_token_is_that_of_its_claims_and_not_the_first_or_that_of_its_header() -> None:
    key = RSA.jwk(issuer=issuer_of(ONE))
    assert refusal_of_tenants(RSA.sign(of_tenant(TWO)), key) == "token_key"
    assert refusal_of_tenants(RSA.sign(of_tenant(TWO), iss=issuer_of(ONE)), key) == "token_key"


@pytest.mark.parametrize("tenant", [ONE, TWO])
def test_of_one_key_that_is_published_for_each_tenant_that_of_the_token_counts(tenant: str) -> None:
    """Whichever comes first: the other is passed over, and not the end of the search."""
    keys = [RSA.jwk(issuer=issuer_of(each)) for each in (ONE, TWO)]
    verified = validator_of_tenants(*keys).verify(RSA.sign(of_tenant(tenant)), KIND)
    assert verified.claims == of_tenant(tenant)


def test_a_key_of_another_tenant_is_named_in_the_refusal() -> None:
    keys = [RSA.jwk(issuer=issuer_of(each)) for each in (TWO, FOREIGN)]
    with pytest.raises(TokenError, match=f"no key of {issuer_of(ONE)}.* are of '{issuer_of(TWO)}'"):
        validator_of_tenants(*keys).verify(RSA.sign(of_tenant(ONE)), KIND)


def test_a_forged_signature_is_not_said_to_be_a_key_of_another_tenant() -> None:
    token = rsa_key(2).sign(of_tenant(ONE), kid=RSA.jwk()["kid"])
    assert refusal_of_tenants(token, RSA.jwk(issuer=issuer_of(ONE))) == "token_signature"


def test_a_token_of_a_foreign_tenant_is_refused_for_that_and_not_for_its_key() -> None:
    token = RSA.sign(of_tenant(FOREIGN))
    assert refusal_of_tenants(token, RSA.jwk(issuer=issuer_of(ONE))) == "token_issuer"


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(("named", "signs"), [(ONE, True), (TWO, False)])
def test_a_response_that_names_no_issuer_is_that_of_the_tenant_of_the_sign_in(
    named: str, *, signs: bool
) -> None:
    """Signed userinfo need not have ``iss``; the settings are then those of one tenant."""
    token = RSA.sign({"sub": "1"})
    validator = validator_of_tenants(RSA.jwk(issuer=issuer_of(named)), tenants=(ONE,))
    if signs:
        assert validator.verify_signature(token, KIND).claims == {"sub": "1"}
    else:
        with pytest.raises(TokenError):
            validator.verify_signature(token, KIND)


@pytest.mark.requirement("R-entra")
@pytest.mark.parametrize(("named", "signs"), [(ONE, True), (TWO, False)])
def test_a_further_issuer_of_a_tenant_is_signed_for_by_the_tenants_keys_alone(
    named: str, *, signs: bool
) -> None:
    validator = validator_of_tenants(
        RSA.jwk(issuer=issuer_of(named)), token_issuers={"https://sts.example/1/": issuer_of(ONE)}
    )
    token = RSA.sign({"iss": "https://sts.example/1/"})
    if signs:
        assert validator.verify_signature(token, KIND).claims == {"iss": "https://sts.example/1/"}
    else:
        with pytest.raises(TokenError, match="no key of https://op"):
            validator.verify_signature(token, KIND)
