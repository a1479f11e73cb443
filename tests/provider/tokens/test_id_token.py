"""The checks of an ID token. Each refusal names its check, so that one that is switched off is noticed."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms
from oauth2_mw.provider.jose.jwks import KeySet, SigningKey, parse_key_set
from oauth2_mw.provider.jose.jws import MAX_TOKEN, verify_jws
from oauth2_mw.provider.tokens.id_token import ID_TOKEN, read_sid, validate_id_token
from oauth2_mw.provider.tokens.validator import TokenValidator
from tests.support.providers.jose import Key, at_hash, base64url, ec_key, ed_key, from_base64url, rsa_key
from tests.support.providers.standin import LEFT_OUT
from tests.support.settings.providers import provider_settings

NOW = 1_800_000_000
ISSUER = "https://op.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "client",
    "sub": "user-1",
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": "the-nonce",
}
RSA = rsa_key()


def published(*keys: Key) -> KeySet:
    return parse_key_set({"keys": [key.jwk() for key in keys]})


def claims(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not LEFT_OUT}


def validate(
    token: str,
    *keys: Key,
    algorithms: tuple[str, ...] | None = None,
    announced: tuple[str, ...] | None = None,
    access_token: str | None = None,
    now: float = NOW,
    nonce: str = "the-nonce",
    **settings: Any,
) -> dict[str, Any]:
    return validate_id_token(
        token,
        TokenValidator(
            provider_settings(algorithms=algorithms, **settings),
            ProviderMetadata(id_token_signing_alg_values_supported=announced),
            published(*(keys or (RSA,))).matching,
        ),
        nonce=nonce,
        access_token=access_token,
        now=now,
    )


def refusal(token: str, *keys: Key, **options: Any) -> str:
    with pytest.raises(TokenError) as refused:
        validate(token, *keys, **options)
    assert not token or token not in refused.value.detail
    return refused.value.code


def claims_refusal(**changes: Any) -> str:
    return refusal(RSA.sign(claims(**changes)))


# Accepted


@pytest.mark.requirement("B8", "B1")
def test_a_good_token_gives_its_claims() -> None:
    assert validate(RSA.sign(claims(email="jane@example.com"))) == claims(email="jane@example.com")


@pytest.mark.parametrize(
    "key", [rsa_key(2, alg="PS256"), ec_key("ES256"), ec_key("ES384"), ec_key("ES512"), ed_key()]
)
def test_announced_and_configured_algorithms_are_accepted(key: Key) -> None:
    token = key.sign(CLAIMS)
    assert validate(token, key, announced=(key.alg,))
    assert validate(token, key, algorithms=(key.alg,))


@pytest.mark.parametrize("typ", ["JWT", "jwt", None])
def test_the_type_of_a_jwt_is_accepted(typ: str | None) -> None:
    assert validate(RSA.sign(CLAIMS, typ=typ))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["client"]},
        {"aud": ["client", "client"]},
        {"azp": "client"},
        {"iat": NOW + 59.5, "exp": NOW + 100.5},
        {"exp": NOW - 59},
        {"iat": NOW - 3660},
        {"nbf": NOW + 60},
        {"sub": "x" * 255},
        {"sub": "x"},
        {"sub": "üser 1"},
        {"auth_time": 1},
        {"exp": 253402300799},
    ],
)
def test_the_edges_of_a_good_token_are_accepted(changes: dict[str, Any]) -> None:
    assert validate(RSA.sign(claims(**changes)))


def test_no_claim_is_in_a_repr() -> None:
    signed = verify_jws(
        RSA.sign(claims(email="jane@example.com")),
        ID_TOKEN,
        algorithms=frozenset({"RS256"}),
        keys=published(RSA).matching,
    )
    assert signed.claims["email"] == "jane@example.com"
    assert "jane" not in repr(signed)


def test_a_session_at_the_provider_is_a_short_printable_text_or_none() -> None:
    assert read_sid(claims(sid="session-1")) == "session-1"
    assert read_sid(claims(sid="x" * 256)) is None
    assert read_sid(CLAIMS) is None


# Algorithm and header


@pytest.mark.requirement("B9", "3b.1")
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, ["RS256"], 1, LEFT_OUT])
def test_an_unsigned_token_is_refused(alg: Any) -> None:
    header = {} if alg is LEFT_OUT else {"alg": alg}
    unsigned = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(CLAIMS).encode())}"
    assert refusal(f"{unsigned}.{RSA.sign(CLAIMS).rpartition('.')[2]}") == "token_algorithm"
    assert refusal(f"{unsigned}.") == "token_malformed"


HS256 = b'{"alg":"HS256","kid":"rsa-1"}'


def public_forms(key: Key) -> list[bytes]:
    encoding, form = serialization.Encoding, serialization.PublicFormat
    public = key.private.public_key()
    return [
        public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo),
        public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo),
        public.public_bytes(encoding.PEM, form.PKCS1),
        public.public_bytes(encoding.OpenSSH, form.OpenSSH),
        json.dumps(key.jwk()).encode(),
    ]


@pytest.mark.requirement("3b.2", "X6")
@pytest.mark.parametrize("secret", [*public_forms(RSA), b"s3cret: %+&\xc3\xbc", b""])
@pytest.mark.parametrize("algorithms", [None, ("RS256", "HS256")])
def test_a_symmetric_signature_is_refused_whatever_the_secret(
    secret: bytes, algorithms: tuple[str, ...] | None
) -> None:
    signed = f"{base64url(HS256)}.{base64url(json.dumps(CLAIMS).encode())}"
    token = f"{signed}.{base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
    assert refusal(token, algorithms=algorithms, announced=("RS256", "HS256")) == "token_algorithm"


def test_only_asymmetric_algorithms_can_be_allowed() -> None:
    metadata = ProviderMetadata(id_token_signing_alg_values_supported=("none", "HS256", "ES256", "XX"))
    assert allowed_algorithms(provider_settings(), metadata) == {"RS256", "ES256"}
    assert allowed_algorithms(provider_settings(), ProviderMetadata()) == {"RS256"}
    assert allowed_algorithms(provider_settings(algorithms=("PS256", "HS512")), metadata) == {"PS256"}


def test_an_algorithm_that_is_not_configured_is_refused() -> None:
    assert refusal(ec_key().sign(CLAIMS), ec_key()) == "token_algorithm"
    assert refusal(RSA.sign(CLAIMS), algorithms=("ES256",), announced=("RS256",)) == "token_algorithm"


@pytest.mark.requirement("3b.3")
def test_the_algorithm_of_the_header_must_be_the_keys_own() -> None:
    key = rsa_key(2, alg="PS256")
    assert refusal(key.sign(CLAIMS, alg="RS256"), key, algorithms=("RS256", "PS256")) == "token_key"
    assert refusal(RSA.sign(CLAIMS, kid="es256"), ec_key(), announced=("ES256",)) == "token_key"


@pytest.mark.requirement("3b.7")
@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": None, "b64": False},
        {"b64": True},
    ],
)
def test_critical_extensions_are_refused(header: dict[str, Any]) -> None:
    assert refusal(RSA.sign(CLAIMS, **header)) == "token_header"


@pytest.mark.requirement("3b.4", "3b.6", "J4")
def test_keys_in_the_header_are_ignored() -> None:
    attacker = rsa_key(66)
    header: dict[str, Any] = {
        "jwk": attacker.jwk(),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/x",
    }
    assert refusal(attacker.sign(CLAIMS, kid="rsa-1", **header)) == "token_signature"
    assert validate(RSA.sign(CLAIMS, x5c=["MIIB"], **header))


@pytest.mark.requirement("3b.15")
@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "application/at+jwt", "JWE", "", 1, ["JWT"]])
def test_another_kind_of_token_is_refused(typ: Any) -> None:
    assert refusal(RSA.sign(CLAIMS, typ=typ)) == "token_type"


@pytest.mark.requirement("3b.5")
@pytest.mark.parametrize("kid", [1, "", "x" * 257, ["rsa-1"], {}])
def test_a_strange_key_name_is_refused(kid: Any) -> None:
    assert refusal(RSA.sign(CLAIMS, kid=kid)) == "token_header"


@pytest.mark.parametrize("kid", ["x", "x" * 256])
def test_the_shortest_and_the_longest_key_name_are_read(kid: str) -> None:
    key = replace(RSA, kid=kid)
    assert validate(key.sign(CLAIMS), key)


@pytest.mark.requirement("3b.5")
@pytest.mark.parametrize("kid", ["../rsa-1", "rsa-1\n", "' OR 1=1 --", "rsa-1\0", "RSA-1"])
def test_a_key_name_is_nothing_but_a_name(kid: str) -> None:
    assert refusal(RSA.sign(CLAIMS, kid=kid)) == "token_key"


# Form


@pytest.mark.requirement("3b.22", "J5")
def test_a_long_token_is_refused_before_it_is_read() -> None:
    with pytest.raises(
        TokenError, match="is 16385 characters long, and at most 16384 are read: have"
    ) as refused:
        validate("x" * (MAX_TOKEN + 1))
    assert refused.value.code == "token_malformed"
    token = RSA.sign(claims(padding="x" * 12_000))
    assert len(token) > MAX_TOKEN
    assert refusal(token) == "token_malformed"


def test_a_token_of_just_the_length_allowed_is_read() -> None:
    # Some lengths cannot be reached with one header, because of the base64.
    tokens = (
        RSA.sign(claims(padding="x" * length), extra=extra)
        for extra in ("", "x", "xx")
        for length in range(11_500, 11_900)
    )
    assert validate(next(token for token in tokens if len(token) == MAX_TOKEN == 16_384))


@pytest.mark.requirement("3b.21")
@pytest.mark.parametrize("token", ["", ".", "a.b", "a.b.c.d", "a.b.c.d.e", "..", "text"])
def test_anything_but_three_parts_is_refused(token: str) -> None:
    assert refusal(token) == "token_malformed"


def respelled(position: int, change: Any) -> str:
    parts = RSA.sign(CLAIMS).split(".")
    parts[position] = change(parts[position])
    return ".".join(parts)


@pytest.mark.requirement("3b.23")
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        lambda part: part + "=",
        lambda part: part + "==",
        lambda part: part + "\n",
        lambda part: " " + part,
        lambda part: part[:9] + "\n" + part[9:],
        lambda part: part[:9] + "+" + part[10:],
        lambda part: part[:9] + "/" + part[10:],
        lambda part: part[:0],
        lambda part: part[:5],
        lambda part: part[:9] + "é" + part[10:],
    ],
)
def test_one_token_has_one_spelling(position: int, change: Any) -> None:
    assert refusal(respelled(position, change)) == "token_malformed"


@pytest.mark.requirement("3b.23")
def test_unused_bits_at_the_end_must_be_zero() -> None:
    *rest, signature = RSA.sign(CLAIMS).split(".")
    assert len(signature) % 4 == 2
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
    assert from_base64url(other) == from_base64url(signature)
    assert refusal(".".join([*rest, other])) == "token_malformed"


@pytest.mark.requirement("3b.23")
def test_no_other_spelling_of_a_last_character_passes() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    endings = set()
    for number in range(1000):
        token = RSA.sign(claims(number=number))
        if token[-1] not in endings:
            endings.add(token[-1])
            first = alphabet.index(token[-1])
            for other in alphabet[first + 1 : first + 16]:
                assert refusal(token[:-1] + other) == "token_malformed"
        if endings == set("AQgw"):
            return
    raise AssertionError(endings)


@pytest.mark.requirement("3b.24")
@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"sub": "user-1", "sub": "admin"}', "token_malformed"),
        (b"[]", "token_malformed"),
        (b"null", "token_malformed"),
        (b"", "token_malformed"),
        (b"\xff", "token_malformed"),
        (b'{"exp": NaN}', "token_malformed"),
        (b"[" * 5000, "token_malformed"),
    ],
)
def test_a_payload_that_is_no_plain_object_is_refused(payload: bytes, code: str) -> None:
    assert refusal(RSA.sign(payload)) == code


@pytest.mark.requirement("3b.24")
def test_a_header_that_is_no_plain_object_is_refused() -> None:
    _, payload, signature = RSA.sign(CLAIMS).split(".")
    for header in (b'{"alg":"none","alg":"RS256"}', b"[]", b"x"):
        assert refusal(f"{base64url(header)}.{payload}.{signature}") == "token_malformed"


# Signature and keys


@pytest.mark.requirement("B10", "X7")
@pytest.mark.parametrize("key", [RSA, ec_key(), ed_key()])
def test_a_wrong_signature_is_refused(key: Key) -> None:
    head, payload, signature = key.sign(CLAIMS).split(".")
    octets = bytearray(from_base64url(signature))
    octets[0] ^= 1
    options: dict[str, Any] = {"announced": (key.alg,)}
    assert refusal(f"{head}.{payload}.{base64url(bytes(octets))}", key, **options) == "token_signature"
    other = base64url(json.dumps(claims(sub="admin")).encode())
    assert refusal(f"{head}.{other}.{signature}", key, **options) == "token_signature"


@pytest.mark.requirement("3b.20")
@pytest.mark.parametrize("signature", [b"\0" * 64, b"\0" * 63, b"\0" * 65, b"\0", b"0" * 200])
def test_an_empty_ecdsa_signature_is_refused(signature: bytes) -> None:
    head, payload, _ = ec_key().sign(CLAIMS).split(".")
    token = f"{head}.{payload}.{base64url(signature)}"
    assert refusal(token, ec_key(), announced=("ES256",)) == "token_signature"


def test_a_key_of_another_provider_is_refused() -> None:
    assert refusal(rsa_key(2).sign(CLAIMS, kid="rsa-1")) == "token_signature"
    assert refusal(rsa_key(2).sign(CLAIMS)) == "token_key"


@pytest.mark.requirement("B6")
def test_a_token_without_a_key_name_uses_the_one_key() -> None:
    assert validate(RSA.sign(CLAIMS, kid=None))
    assert refusal(rsa_key(2).sign(CLAIMS, kid=None)) == "token_signature"


@pytest.mark.requirement("B7")
def test_a_token_without_a_key_name_is_tried_with_each_key() -> None:
    assert validate(RSA.sign(CLAIMS, kid=None), rsa_key(2), ec_key(), RSA)
    assert refusal(rsa_key(3).sign(CLAIMS, kid=None), rsa_key(2), RSA) == "token_signature"


def test_each_of_many_keys_is_tried_and_the_refusal_says_how_many() -> None:
    others = [replace(rsa_key(2), kid=str(number)) for number in range(19)]
    token = RSA.sign(CLAIMS, kid=None)
    assert validate(token, *others, RSA)
    for keys, tried in (((RSA, *others), "20"), (others, "19"), ([rsa_key(2)], "1")):
        with pytest.raises(TokenError) as refused:
            validate(rsa_key(3).sign(CLAIMS, kid=None), *keys)
        assert refused.value.code == "token_signature"
        assert f"InvalidSignatureError) with any key of the provider that fits; keys tried: {tried}" in str(
            refused.value.detail
        )


def test_a_lone_key_without_a_name_verifies_a_token_that_names_one() -> None:
    assert validate(RSA.sign(CLAIMS), replace(RSA, kid=None))
    assert refusal(rsa_key(2).sign(CLAIMS), replace(RSA, kid=None)) == "token_signature"


@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("allowed", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("published", ["EdDSA", "Ed25519"])
def test_ed25519_is_the_newer_name_of_eddsa(named: str, allowed: str, published: str) -> None:
    token = ed_key().sign(claims(at_hash=at_hash("token", "sha512")), alg=named)
    key = replace(ed_key(), alg=published)
    assert validate(token, key, algorithms=(allowed,), access_token="token")
    assert validate(token, key, announced=(allowed,), access_token="token")
    assert refusal(token, key, announced=("ES256",)) == "token_algorithm"
    assert refusal(token, ec_key(), announced=(allowed,)) == "token_key"
    other = Key(ed25519.Ed25519PrivateKey.generate(), "EdDSA", key.kid)
    assert refusal(other.sign(CLAIMS, alg=named), key, announced=(allowed,)) == "token_signature"


@pytest.mark.parametrize(
    ("alg", "cure"),
    [
        ("HS256", "choose one of these for this client at the provider"),
        ("none", "choose one of these for this client at the provider"),
        ("ES256K", "choose one of these for this client at the provider"),
        ("ES256", "choose one of these for this client at the provider, or add ES256 to algorithms"),
        ("Ed25519", "choose one of these for this client at the provider, or add Ed25519 to algorithms"),
    ],
)
def test_the_refusal_of_an_algorithm_names_a_cure_that_exists(alg: str, cure: str) -> None:
    with pytest.raises(TokenError) as refused:
        validate(RSA.sign(CLAIMS, alg=alg), announced=("PS256",))
    assert refused.value.detail.endswith(f"signed with '{alg}', and PS256 RS256 is allowed: {cure}")


@pytest.mark.requirement("J8")
def test_a_fault_inside_the_library_is_a_refusal() -> None:
    def broken(kid: str | None, alg: str) -> Sequence[SigningKey]:
        return [SigningKey(kid=kid, kty="RSA", crv=None, alg=alg, public=object())]

    with pytest.raises(TokenError) as refused:
        validate_id_token(
            RSA.sign(CLAIMS),
            TokenValidator(provider_settings(), ProviderMetadata(), broken),
            nonce="the-nonce",
            access_token=None,
            now=NOW,
        )
    assert refused.value.code == "token_signature"


# Who, for whom


@pytest.mark.requirement("B2", "3b.11")
@pytest.mark.parametrize(
    "iss",
    [
        f"{ISSUER}/",
        "https://OP.example",
        "https://op.exampl",
        "https://op.example.evil.test",
        "http://op.example",
        "",
        None,
        [ISSUER],
        LEFT_OUT,
    ],
)
def test_another_issuer_is_refused(iss: Any) -> None:
    assert claims_refusal(iss=iss) == "token_issuer"


@pytest.mark.requirement("B4", "X5", "J2")
@pytest.mark.parametrize(
    "aud",
    [
        "other",
        ["other"],
        ["client", "other"],
        ["other", "client"],
        ["client", "client", "other"],
        ["client", ""],
        ["client", None],
        ["client", ["client"]],
        [],
        [["client"]],
        None,
        {"client": 1},
        "client other",
        "CLIENT",
        "",
        LEFT_OUT,
    ],
)
def test_a_token_that_is_not_for_us_alone_is_refused(aud: Any) -> None:
    assert claims_refusal(aud=aud) == "token_audience"


AUD_AND_OTHER = {"aud": ["other", "client"]}
SEVERAL = {"aud": ["client", "other", "third", "client"]}
ISSUED_TO_US = {"azp": "client"}


@pytest.mark.requirement("N2.6.3")
@pytest.mark.parametrize(
    ("trusted", "changes"),
    [
        (("other",), AUD_AND_OTHER),
        (("other",), AUD_AND_OTHER | ISSUED_TO_US),
        (("other",), {"aud": "client"}),
        (("third", "other", "fourth"), SEVERAL),
        (("*",), SEVERAL | ISSUED_TO_US),
        (("*",), {"aud": "client"}),
        (("*",), {"aud": ["client", "*"]} | ISSUED_TO_US),
    ],
)
def test_a_trusted_audience_may_be_named_beside_us(trusted: tuple[str, ...], changes: dict[str, Any]) -> None:
    assert validate(RSA.sign(claims(**changes)), trusted_audiences=trusted)


@pytest.mark.requirement("F17", "N2.6.3", "3b.10")
@pytest.mark.parametrize(
    ("trusted", "changes"),
    [
        (("other",), {"aud": "other"}),
        (("other",), {"aud": ["other"]} | ISSUED_TO_US),
        (("other",), SEVERAL | ISSUED_TO_US),
        (("other",), {"aud": ["client", "Other"]}),
        (("other",), {"aud": ["client", "othe"]}),
        (("other",), {"aud": ["client", ["other"]]}),
        (("other",), {"aud": {"client": 1, "other": 1}}),
        (("*",), {"aud": "*"} | ISSUED_TO_US),
        (("*",), {"aud": ["other"]} | ISSUED_TO_US),
        (("*",), {"aud": ["client", 1]} | ISSUED_TO_US),
        (("*",), {"aud": ["client", "*"]}),
        (("*",), SEVERAL),
        (("*",), SEVERAL | {"azp": None}),
        (("*",), SEVERAL | {"azp": ""}),
        (("*",), SEVERAL | {"azp": "other"}),
        (("*",), SEVERAL | {"azp": ["client"]}),
    ],
)
def test_trust_in_other_audiences_has_its_bounds(trusted: tuple[str, ...], changes: dict[str, Any]) -> None:
    token = RSA.sign(claims(**changes))
    assert refusal(token, trusted_audiences=trusted) == "token_audience"


@pytest.mark.parametrize(
    ("trusted", "aud", "cure"),
    [
        ((), ["client", "other"], "name those that you trust in trusted_audiences"),
        (("third",), ["client", "other"], "name those that you trust in trusted_audiences"),
        (("*",), ["client", "other"], "accepts only where azp is 'client'"),
        (("*",), ["other"], "compare client_id"),
    ],
)
def test_the_refusal_of_an_audience_names_the_setting(
    trusted: tuple[str, ...], aud: list[str], cure: str
) -> None:
    with pytest.raises(TokenError) as refused:
        validate(RSA.sign(claims(aud=aud)), trusted_audiences=trusted)
    assert cure in refused.value.detail
    assert "'other'" in refused.value.detail


@pytest.mark.parametrize("trusted", [("other",), ("*",)])
def test_whoever_is_trusted_a_token_issued_to_another_is_refused(trusted: tuple[str, ...]) -> None:
    token = RSA.sign(claims(azp="other"))
    assert refusal(token, trusted_audiences=trusted) == "token_azp"


@pytest.mark.requirement("3b.10", "J2")
@pytest.mark.parametrize("azp", ["other", ["client"], 1, False])
def test_a_token_issued_to_another_client_is_refused(azp: Any) -> None:
    assert claims_refusal(azp=azp) == "token_azp"


@pytest.mark.requirement("B3", "3b.14", "J3")
@pytest.mark.parametrize(
    "sub",
    [LEFT_OUT, None, "", 7, 7.0, True, ["user-1"], "x" * 256, "a\nb", "a\0", "a\x7f", "a\u202e", "a\u2028"],
)
def test_a_malformed_subject_is_refused(sub: Any) -> None:
    assert claims_refusal(sub=sub) == "token_subject"


@pytest.mark.requirement("B14", "3b.12")
@pytest.mark.parametrize("nonce", [LEFT_OUT, None, "", "other", "the-nonce ", ["the-nonce"], 1, "thé-nonce"])
def test_a_token_of_another_sign_in_is_refused(nonce: Any) -> None:
    assert claims_refusal(nonce=nonce) == "token_nonce"


# When


NO_DATES = ["1800000000", True, [NOW], {}, -1, 0, 1e300, 253402300800, 10**39, -math.pi]


@pytest.mark.requirement("J3", "3b.8", "J1")
@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "auth_time"])
@pytest.mark.parametrize("value", NO_DATES)
def test_a_time_that_is_no_date_is_refused(name: str, value: Any) -> None:
    assert refusal(RSA.sign(claims(auth_time=NOW) | {name: value}), max_age=60) == "token_time"


@pytest.mark.requirement("B5", "J1")
@pytest.mark.parametrize("value", [None, ""])
def test_a_required_time_without_a_value_is_missing(value: str | None) -> None:
    for name in ("exp", "iat", "auth_time"):
        assert refusal(RSA.sign(claims(auth_time=NOW) | {name: value}), max_age=60) == "token_time"


@pytest.mark.parametrize("value", [None, "", *NO_DATES])
def test_a_moment_of_sign_in_that_was_not_asked_for_refuses_nothing(value: Any) -> None:
    assert validate(RSA.sign(claims(auth_time=value)))


@pytest.mark.requirement("B5", "J1")
@pytest.mark.parametrize("name", ["exp", "iat"])
def test_a_token_without_its_times_is_refused(name: str) -> None:
    assert claims_refusal(**{name: LEFT_OUT}) == "token_time"


@pytest.mark.requirement("3b.8")
def test_an_expired_token_is_refused() -> None:
    assert claims_refusal(exp=NOW - 60) == "token_expired"
    assert refusal(RSA.sign(claims(exp=NOW)), leeway=0) == "token_expired"
    assert validate(RSA.sign(claims(exp=NOW + 1)), leeway=0)


@pytest.mark.requirement("3b.9", "J6")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iat": NOW + 61}, "token_issued"),
        ({"iat": NOW - 3661}, "token_issued"),
        ({"nbf": NOW + 61}, "token_not_yet"),
    ],
)
def test_a_token_from_the_future_or_the_distant_past_is_refused(changes: dict[str, Any], code: str) -> None:
    assert claims_refusal(**changes) == code


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_no_expiry_gets_a_token_past_its_time(value: float) -> None:
    try:
        accepted = validate(RSA.sign(claims(exp=value)))
    except TokenError:
        return
    assert NOW - 60 < accepted["exp"] < 253402300800


# What was asked for


@pytest.mark.parametrize("auth_time", [NOW, NOW - 100, NOW - 160, NOW + 60])
def test_a_recent_sign_in_satisfies_max_age(auth_time: int) -> None:
    assert validate(RSA.sign(claims(auth_time=auth_time)), max_age=100)


@pytest.mark.parametrize("auth_time", [NOW - 161, NOW + 61])
def test_an_old_sign_in_does_not_satisfy_max_age(auth_time: int) -> None:
    assert refusal(RSA.sign(claims(auth_time=auth_time)), max_age=100) == "token_auth_time"


def test_max_age_needs_auth_time() -> None:
    assert refusal(RSA.sign(CLAIMS), max_age=0) == "token_time"
    assert refusal(RSA.sign(claims(auth_time=NOW - 61)), max_age=0) == "token_auth_time"


@pytest.mark.parametrize("acr", [LEFT_OUT, None, "loa1", ["loa3"], "", 3])
def test_another_authentication_class_than_asked_for_is_refused(acr: Any) -> None:
    token = RSA.sign(claims(acr=acr))
    assert refusal(token, acr_values=("loa2", "loa3")) == "token_acr"
    assert validate(token)


def test_any_of_the_authentication_classes_asked_for_will_do() -> None:
    assert validate(RSA.sign(claims(acr="loa3")), acr_values=("loa2", "loa3"))


# The access token


DIGESTS = {"RS256": "sha256", "PS256": "sha256", "ES256": "sha256", "ES384": "sha384", "ES512": "sha512"}


@pytest.mark.requirement("X13", "3b.13")
@pytest.mark.parametrize(
    "key", [RSA, rsa_key(2, alg="PS256"), ec_key("ES256"), ec_key("ES384"), ec_key("ES512"), ed_key()]
)
def test_at_hash_follows_the_algorithm(key: Key) -> None:
    digest = DIGESTS.get(key.alg, "sha512")
    options: dict[str, Any] = {"announced": (key.alg,), "access_token": "token"}
    assert validate(key.sign(claims(at_hash=at_hash("token", digest))), key, **options)
    for other in {"sha256", "sha384", "sha512"} - {digest}:
        token = key.sign(claims(at_hash=at_hash("token", other)))
        assert refusal(token, key, **options) == "token_at_hash"


@pytest.mark.requirement("X13", "3b.13")
@pytest.mark.parametrize("found", [at_hash("other"), 1, [at_hash("token")], at_hash("token") + "="])
def test_the_hash_of_another_access_token_is_refused(found: Any) -> None:
    assert refusal(RSA.sign(claims(at_hash=found)), access_token="token") == "token_at_hash"


@pytest.mark.requirement("X14")
def test_at_hash_may_be_missing() -> None:
    assert validate(RSA.sign(CLAIMS), access_token="token")


@pytest.mark.parametrize("name", ["azp", "nbf", "at_hash", "auth_time", "acr", "sid", "email"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_claim_without_a_value_is_missing(name: str, value: str | None) -> None:
    assert validate(RSA.sign(claims(**{name: value})), access_token="token") == CLAIMS


def test_at_hash_needs_an_access_token_to_be_checked() -> None:
    assert validate(RSA.sign(claims(at_hash="anything")), access_token=None)


# Anything


@given(
    st.text(max_size=200)
    | st.lists(st.binary(max_size=60), max_size=4).map(
        lambda parts: ".".join(base64url(part) for part in parts)
    )
)
def test_no_text_gets_more_than_a_refusal(token: str) -> None:
    with pytest.raises(TokenError) as refused:
        validate(token)
    assert refused.value.code.startswith("token_")


HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.sampled_from(["RS256", "ES256", "rsa-1"]),
)


@given(HEADERS, st.dictionaries(st.sampled_from([*CLAIMS]), st.none() | st.integers() | st.text(max_size=9)))
def test_a_signed_token_is_accepted_only_with_good_claims(
    header: dict[str, Any], changes: dict[str, Any]
) -> None:
    header.pop("alg", None)
    try:
        accepted = validate(RSA.sign(claims(**changes), **header))
    except TokenError as error:
        assert error.code.startswith("token_")
        return
    assert (accepted["iss"], accepted["aud"], accepted["nonce"]) == (ISSUER, "client", "the-nonce")
