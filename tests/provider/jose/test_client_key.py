"""The private key of the client: which keys are usable, and how the others are explained."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.provider.jose.client_key import ClientKey, parse_client_key
from tests.support.providers.client_keys import pem, private_jwk, public_pem
from tests.support.providers.jose import Key, ec_key, ed_key, rsa_key

KEYS = [rsa_key(), ec_key("ES256"), ec_key("ES384"), ec_key("ES512"), ed_key()]
EC_PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def refused(text: str) -> str:
    with pytest.raises(ValueError, match=r"its? ") as refusal:
        parse_client_key(text)
    assert refusal.value.__context__ is None
    return str(refusal.value)


# Usable keys


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
def test_a_pem_and_a_jwk_are_the_same_key(key: Key) -> None:
    for text in (pem(key.private), private_jwk(key), private_jwk(key, key_ops=None, use="sig", alg=key.alg)):
        found = parse_client_key(text)
        assert (found.alg, found.kid) == (key.alg, None)
        assert found.private.public_key() == key.private.public_key()


def test_the_older_forms_of_a_pem_are_read() -> None:
    for key in (rsa_key(), ec_key()):
        assert parse_client_key(pem(key.private, kind=PrivateFormat.TraditionalOpenSSL)).alg == key.alg


def test_what_stands_around_the_key_in_a_pem_does_not_matter() -> None:
    key = ec_key()
    text = (
        "Bag Attributes\n" + EC_PARAMETERS + pem(key.private).replace("\n", "\r\n") + public_pem(key.private)
    )
    assert parse_client_key(text).private.public_key() == key.private.public_key()


def test_an_rsa_jwk_may_leave_out_its_primes() -> None:
    text = private_jwk(rsa_key(), p=None, q=None, dp=None, dq=None, qi=None)
    assert parse_client_key(text).alg == "RS256"


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_a_jwk_may_name_another_algorithm_that_fits(alg: str) -> None:
    assert parse_client_key(private_jwk(rsa_key(), alg=alg)).alg == alg


@pytest.mark.parametrize(
    ("key", "alg"),
    [(rsa_key(), "PS256"), (rsa_key(), "RS512"), (ec_key("ES384"), "ES384"), (ed_key(), "Ed25519")],
    ids=str,
)
def test_the_algorithm_may_be_chosen(key: Key, alg: str) -> None:
    for text in (pem(key.private), private_jwk(key), private_jwk(key, alg=alg)):
        assert parse_client_key(text, alg=alg).alg == alg


@pytest.mark.parametrize(
    ("text", "alg", "why"),
    [
        (
            pem(ec_key().private),
            "PS256",
            "client_assertion_algorithm = PS256 does not fit it: write ES256, or take",
        ),
        (
            private_jwk(ed_key()),
            "RS256",
            "client_assertion_algorithm = RS256 does not fit it: write EdDSA, or take",
        ),
        (
            pem(rsa_key().private),
            "ES256",
            "write RS256 or RS384 or RS512 or PS256 or PS384 or PS512, or take",
        ),
        (
            private_jwk(rsa_key(), alg="RS256"),
            "PS256",
            "its alg is RS256, and client_assertion_algorithm is PS256",
        ),
    ],
)
def test_a_chosen_algorithm_that_does_not_fit_is_explained(text: str, alg: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_client_key(text, alg=alg)


def test_members_that_we_do_not_know_do_not_matter() -> None:
    found = parse_client_key(
        private_jwk(ed_key(), kid="a b/ü", ext=True, x5t="x", key_ops=["sign", "verify"])
    )
    assert found.kid == "a b/ü"


def test_a_key_is_not_shown() -> None:
    assert repr(parse_client_key(pem(ed_key().private))) == "ClientKey(alg='EdDSA', kid=None)"


# Unusable keys


UNUSABLE = {
    "nothing": ("", "neither a PEM nor a JWK"),
    "a name": ("client-key.pem", "write file: and the path of one"),
    "no end": ("-----BEGIN PRIVATE KEY-----\nMII", "neither a PEM nor a JWK"),
    "another end": ("-----BEGIN PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----", "neither a PEM nor a JWK"),
    "no DER": ("-----BEGIN PRIVATE KEY-----\nMIIcanary\n-----END PRIVATE KEY-----", "damaged"),
    "no ASCII": ("-----BEGIN PRIVATE KEY-----\nü\n-----END PRIVATE KEY-----", "damaged"),
    "public": (public_pem(ec_key().private), "only PUBLIC KEY: the provider gets that one"),
    "two": (pem(ec_key().private) + pem(ed_key().private), "2 private keys: leave only the one to sign with"),
    "encrypted": (pem(ec_key().private, passphrase=b"x"), "is encrypted"),
    "encrypted, older form": (
        pem(ec_key().private, passphrase=b"x", kind=PrivateFormat.TraditionalOpenSSL),
        "openssl pkey -in OLD -out NEW",
    ),
    "OpenSSH": (pem(ed_key().private, kind=PrivateFormat.OpenSSH), "ssh-keygen -p -m PKCS8"),
    "short RSA": (pem(rsa_key(bits=1024).private), "RSA key of 1024 bits, which is too weak"),
    "secp256k1": (pem(ec.generate_private_key(ec.SECP256K1())), "its kind is not supported"),
    "Ed448": (pem(ed448.Ed448PrivateKey.generate()), "its kind is not supported"),
    "X25519": (pem(x25519.X25519PrivateKey.generate()), "its kind is not supported"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_pem_that_cannot_sign_is_explained(case: str) -> None:
    text, why = UNUSABLE[case]
    assert why in refused(text)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"d": None}, "a JWK without the member d, and so a public key"),
        ({"d": "canary"}, "damaged"),
        ({"d": 5}, "damaged"),
        ({"d": []}, "damaged"),
        ({"x": "AAAA"}, "damaged"),
        ({"y": None}, "damaged"),
        ({"crv": None}, "damaged"),
        ({"crv": "P-384"}, "damaged"),
        ({"crv": "secp256k1"}, "damaged"),
        ({"kty": None}, "damaged"),
        ({"kty": "OKP", "crv": "X25519"}, "damaged"),
        ({"kty": "oct", "k": "canary"}, "a shared secret"),
        ({"keys": []}, "a set of keys"),
        ({"use": "enc"}, "not for signing"),
        ({"key_ops": ["verify"]}, "not for signing"),
        ({"key_ops": "sign"}, "not for signing"),
        ({"kid": 7}, "its kid is not a string"),
        ({"alg": "ES384"}, "its alg does not fit the key: write ES256, or leave it out"),
        ({"alg": "HS256"}, "its alg does not fit the key"),
        ({"alg": "none"}, "its alg does not fit the key"),
        ({"alg": ["ES256"]}, "its alg does not fit the key"),
    ],
)
def test_a_jwk_that_cannot_sign_is_explained(changes: dict[str, Any], why: str) -> None:
    assert why in refused(private_jwk(ec_key(), **changes))


def test_a_weak_rsa_key_is_refused_as_a_jwk_too() -> None:
    assert "1024 bits" in refused(private_jwk(rsa_key(bits=1024), alg="PS256"))


def test_an_rsa_jwk_whose_numbers_do_not_belong_together_is_refused() -> None:
    other = json.loads(private_jwk(rsa_key(2)))
    assert "damaged" in refused(private_jwk(rsa_key(), p=other["p"]))
    assert "damaged" in refused(private_jwk(rsa_key(), oth=[]))


@pytest.mark.parametrize(
    "text", ["{", "{}{}", '{"d": "canary", "d": "canary"}', '{"canary": NaN}', "{" * 99_999]
)
def test_text_that_only_begins_like_a_jwk_is_refused(text: str) -> None:
    found = refused(text)
    assert found == "it is not a JWK: that is one JSON object"


ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=2)


@given(
    st.sampled_from([json.loads(private_jwk(key)) for key in KEYS]),
    st.dictionaries(
        st.sampled_from(["kty", "crv", "n", "e", "d", "p", "q", "x", "y", "kid", "alg", "use", "key_ops"]),
        ODD,
    ),
)
def test_a_jwk_with_any_members_is_a_key_or_explained(jwk: dict[str, Any], odd: dict[str, Any]) -> None:
    try:
        found = parse_client_key(json.dumps({**jwk, **odd}))
    except ValueError as error:
        assert error.__context__ is None
        assert jwk["d"] not in "".join(traceback.format_exception(error))
    else:
        assert isinstance(found, ClientKey)


@given(st.text(max_size=99), st.text(max_size=99))
def test_whatever_surrounds_or_fills_a_pem_is_explained(around: str, inside: str) -> None:
    for text in (around, f"{around}-----BEGIN PRIVATE KEY-----{inside}-----END PRIVATE KEY-----"):
        assert refused(text)
