"""Which published keys may verify an ID token."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.provider.jose.jwks import ALGORITHMS, MAX_KEYS, KeySet, parse_key_set
from tests.support.providers.jose import Key, base64url, ec_key, ed_key, from_base64url, rsa_key

RSA = rsa_key()


def key_set(*jwks: Any) -> KeySet:
    return parse_key_set({"keys": list(jwks)})


def number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


@pytest.mark.parametrize("key", [RSA, ec_key("ES256"), ec_key("ES384"), ec_key("ES512"), ed_key()])
def test_public_keys_of_good_strength_are_used(key: Key) -> None:
    (found,) = key_set(key.jwk()).matching(key.kid, key.alg)
    assert (
        found.public.public_numbers() == key.private.public_key().public_numbers()
        if key.alg != "EdDSA"
        else True
    )
    assert key_set(key.jwk(alg=None, use=None, kid=None)).matching(None, key.alg)
    assert key_set(key.jwk(kid="x" * 256)).matching("x" * 256, key.alg)
    assert key_set(key.jwk(key_ops=["verify"], x5c=["ignored"], unknown=1)).matching(key.kid, key.alg)


@pytest.mark.parametrize("value", [None, ""])
def test_a_member_without_a_value_is_missing(value: str | None) -> None:
    empty = dict.fromkeys(("kid", "alg", "use", "key_ops", "d", "x5c"), value)
    (found,) = key_set(RSA.jwk() | empty).keys
    assert (found.kid, found.alg) == (None, None)
    assert not key_set(RSA.jwk() | {"n": value}).keys


@pytest.mark.parametrize(
    ("issuer", "read"),
    [
        (None, None),
        ("", None),
        ("https://op.example/{tenantid}/v2.0", "https://op.example/{tenantid}/v2.0"),
        # What is no text names nobody's issuer.
        (7, ""),
        ([], ""),
        (["https://op.example"], ""),
    ],
)
def test_a_key_may_name_the_issuer_whose_tokens_alone_it_signs(issuer: object, read: str | None) -> None:
    (found,) = key_set(RSA.jwk() | {"issuer": issuer}).keys
    assert found.issuer == read


N = int.from_bytes(from_base64url(RSA.jwk()["n"]), "big")
UNFIT = {
    "no object": "text",
    "no type": {"kid": "rsa-1"},
    "type of another kind": RSA.jwk(kty=["RSA"]),
    "unknown type": RSA.jwk(kty="AKP"),
    "symmetric": {"kty": "oct", "k": base64url(b"x" * 32), "kid": "rsa-1", "alg": "HS256"},
    "symmetric in disguise": RSA.jwk(k=base64url(b"x" * 32)),
    "private": RSA.jwk(d=number(3)),
    "private prime": RSA.jwk(p=number(3)),
    "for encryption": RSA.jwk(use="enc"),
    "use of another kind": RSA.jwk(use=["sig"]),
    "operations without verify": RSA.jwk(key_ops=["encrypt"]),
    "operations of another kind": RSA.jwk(key_ops="verify"),
    "kid of another kind": RSA.jwk(kid=7),
    "kid too long": RSA.jwk(kid="x" * 257),
    "alg of another kind": RSA.jwk(alg=["RS256"]),
    "alg HS256": RSA.jwk(alg="HS256"),
    "alg none": RSA.jwk(alg="none"),
    "alg for another type": RSA.jwk(alg="ES256"),
    "alg for another curve": ec_key("ES256").jwk(alg="ES384"),
    "512 bits": rsa_key(512, bits=1024).jwk(n=number(N >> 1536)),
    "1024 bits": rsa_key(1024, bits=1024).jwk(),
    "2047 bits": RSA.jwk(n=number((N >> 1) | 1)),
    "16384 bits": RSA.jwk(n=number((1 << 16383) | 1)),
    "exponent 1": RSA.jwk(e=number(1)),
    "even exponent": RSA.jwk(e=number(65536)),
    "no modulus": RSA.jwk(n=None),
    "modulus of another kind": RSA.jwk(n=12345),
    "modulus not base64url": RSA.jwk(n="!!!"),
    "no curve": ec_key().jwk(crv=None),
    "wrong curve": ec_key().jwk(crv="P-384"),
    "secp256k1": Key(ec.generate_private_key(ec.SECP256K1()), "ES256K").jwk(alg=None),
    "secp256k1 in disguise": ec_key().jwk(crv="secp256k1", alg=None),
    "point not on the curve": ec_key().jwk(y=base64url(b"\1" * 32)),
    "no y": ec_key().jwk(y=None),
    "Ed448": Key(ed448.Ed448PrivateKey.generate(), "EdDSA").jwk(),
    "Ed448 in disguise": ed_key().jwk(crv="Ed448"),
    "X25519": ed_key().jwk(crv="X25519"),
    "short Ed25519": ed_key().jwk(x=base64url(b"\1" * 31)),
}


@pytest.mark.requirement("3b.19", "3b.3")
@pytest.mark.parametrize("jwk", UNFIT.values(), ids=UNFIT.keys())
def test_an_unusable_key_is_ignored_and_the_others_are_used(jwk: Any) -> None:
    good = rsa_key(2)
    (key,) = key_set(jwk, good.jwk()).keys
    assert key.kid == good.kid


@pytest.mark.requirement("3b.19")
def test_a_hundred_keys_are_looked_at() -> None:
    assert len(key_set(*[RSA.jwk(kid=str(n)) for n in range(150)]).keys) == MAX_KEYS


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}])
def test_a_document_without_a_list_is_no_key_set(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no list of keys"):
        parse_key_set(document)


def test_a_key_is_found_by_its_name_and_kind() -> None:
    keys = key_set(RSA.jwk(), rsa_key(2).jwk(alg=None), ec_key().jwk())
    assert [key.kid for key in keys.matching("rsa-1", "RS256")] == ["rsa-1"]
    assert [key.kid for key in keys.matching("rsa-2", "PS512")] == ["rsa-2"]
    assert not keys.matching("rsa-1", "PS256")  # published for RS256 alone
    assert not keys.matching("rsa-1", "ES256")
    assert not keys.matching("rsa-3", "RS256")
    assert not keys.matching("rsa-2", "HS256")


@pytest.mark.requirement("3b.5")
def test_one_name_for_several_keys_is_told_apart_by_kind() -> None:
    keys = key_set(RSA.jwk(kid="x"), ec_key().jwk(kid="x"), rsa_key(2).jwk(kid="x"))
    assert [key.kty for key in keys.matching("x", "ES256")] == ["EC"]
    assert [key.kty for key in keys.matching("x", "RS256")] == ["RSA", "RSA"]


@pytest.mark.requirement("3b.5")
def test_a_lone_key_without_a_name_fits_every_name() -> None:
    keys = key_set(RSA.jwk(kid=None), rsa_key(2).jwk(), ec_key().jwk(kid=None))
    assert [key.kid for key in keys.matching("unknown", "RS256")] == [None]
    assert [key.kid for key in keys.matching("rsa-2", "RS256")] == ["rsa-2"]
    assert [key.kty for key in keys.matching("unknown", "ES256")] == ["EC"]
    assert [key.kid for key in keys.matching(None, "RS256")] == [None, "rsa-2"]
    assert not keys.matching("unknown", "ES384")
    assert not key_set(RSA.jwk(kid=None), rsa_key(2).jwk(kid=None)).matching("unknown", "RS256")


def test_a_token_is_tried_with_twenty_keys_at_most() -> None:
    keys = key_set(*[RSA.jwk(kid="x") for n in range(30)])
    assert len(keys.matching(None, "RS256")) == len(keys.matching("x", "RS256")) == 20


def test_a_key_for_ed25519_is_one_for_eddsa() -> None:
    keys = key_set(ed_key().jwk(alg="Ed25519"), ed_key().jwk(kid="2"), ec_key().jwk(kid="3", alg="Ed25519"))
    assert [key.kid for key in keys.matching(None, "EdDSA")] == ["ed25519", "2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from(["kid", "alg", "use", "key_ops", "n", "e", "x", "y", "crv", "kty"]), JSON
    ),
    st.sampled_from([RSA.jwk(), ec_key().jwk(), ed_key().jwk(), {}]),
)
def test_a_key_of_any_shape_is_used_or_ignored(changes: dict[str, Any], jwk: dict[str, Any]) -> None:
    for key in key_set({**jwk, **changes}).keys:
        assert (key.kty, key.crv) in ALGORITHMS.values()


def test_a_giant_modulus_costs_nothing() -> None:
    started = time.process_time()
    key_set(*[RSA.jwk(n=base64url(b"\xff" * 48_000)) for _ in range(MAX_KEYS)])
    assert time.process_time() - started < 5
