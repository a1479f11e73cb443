"""Signatures, algorithms, headers and key sets: no way leads to a token that somebody else could have made.

The requirements are those of OpenID Connect Core, section 3.1.3.7 (N2.6), and of the attacks on tokens (3b), with the
traps of the JWT library (J) and the incidents of others (V).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from oauth2_mw.errors import ConfigError
from tests.security.hostile import (
    SECRET,
    Case,
    Change,
    Hostile,
    accepted,
    answered,
    assert_refused,
    assert_signed_in,
    both,
    claims_of,
    forged,
    header,
    members_of,
    refused,
    refused_unread,
    sealed,
    signed_by,
    stage,
    unsigned,
    with_signature,
)
from tests.support.providers.jose import Key, base64url, ec_key, ed_key, from_base64url, rsa_key, to_json
from tests.support.providers.standin import LEFT_OUT, Answer
from tests.support.settings.minimal import make_settings

# Signature


def of_another_token(provider: Hostile, token: str) -> str:
    other = provider.key.sign({**claims_of(token), "sub": "user-2"}, **provider.header)
    return f"{token.rpartition('.')[0]}.{other.rpartition('.')[2]}"


def with_payload_changed(_provider: Hostile, token: str) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{base64url(to_json({**claims_of(token), 'sub': 'admin'}))}.{signature}"


def with_header_changed(_: Hostile, token: str) -> str:
    head, rest = token.split(".", 1)
    return f"{base64url(to_json({**json.loads(from_base64url(head)), 'x': 1}))}.{rest}"


def under_the_name_of(key: Key, kid: str) -> Change:
    """Signed with another key than the one whose name it bears."""
    return forged(lambda _, token: key.sign(claims_of(token), kid=kid))


CRITICAL: list[Any] = [["exp"], ["b64"], ["x-unknown"], [], "exp", {}]
SIGNATURES = [
    refused(
        "N2.6.5 B10",
        "first octet changed",
        with_signature(lambda octets: bytes([octets[0] ^ 0x40]) + octets[1:]),
        "token_signature",
    ),
    refused("N2.6.5", "one octet short", with_signature(lambda octets: octets[:-1]), "token_signature"),
    refused("N2.6.5", "one octet more", with_signature(lambda octets: octets + b"\0"), "token_signature"),
    refused("N2.6.5", "zero octets", with_signature(lambda octets: bytes(len(octets))), "token_signature"),
    refused("N2.6.5", "turned around", with_signature(lambda octets: octets[::-1]), "token_signature"),
    refused_unread("N2.6.5", "empty", with_signature(lambda _: b""), "token_malformed"),
    refused("N2.6.5 J6", "of another token", forged(of_another_token), "token_signature"),
    refused("N2.6.5", "of another payload", forged(with_payload_changed), "token_signature"),
    refused("N2.6.5", "of another header", forged(with_header_changed), "token_signature"),
    refused("N2.6.5", "of another key", under_the_name_of(rsa_key(2), "rsa-1"), "token_signature"),
    refused("N2.6.5", "of a key that nobody published", under_the_name_of(rsa_key(2), "rsa-2"), "token_key"),
]


@pytest.mark.parametrize("case", SIGNATURES)
def test_a_signature_that_does_not_verify_is_refused(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def r_and_s(r: int | None, s: int | None) -> Change:
    """An ES256 signature with one or both numbers replaced."""

    def change(octets: bytes) -> bytes:
        new_r = octets[:32] if r is None else r.to_bytes(32)
        return new_r + (octets[32:] if s is None else s.to_bytes(32))

    return both(signed_by(ec_key()), with_signature(change))


def as_der(octets: bytes) -> bytes:
    return utils.encode_dss_signature(int.from_bytes(octets[:32]), int.from_bytes(octets[32:]))


def elliptic(change: Callable[[bytes], bytes]) -> Change:
    return both(signed_by(ec_key()), with_signature(change))


CURVES = [
    accepted("3b.20", "ES256", signed_by(ec_key())),
    accepted("3b.20", "ES384", signed_by(ec_key("ES384"))),
    accepted("3b.20", "ES512", signed_by(ec_key("ES512"))),
    accepted("3b.20", "EdDSA", signed_by(ed_key())),
    refused(
        "X7",
        "one bit changed",
        elliptic(lambda octets: octets[:-1] + bytes([octets[-1] ^ 1])),
        "token_signature",
    ),
    refused("3b.20", "all zero", r_and_s(0, 0), "token_signature"),
    refused("3b.20", "r is zero", r_and_s(0, None), "token_signature"),
    refused("3b.20", "s is zero", r_and_s(None, 0), "token_signature"),
    refused("3b.20", "r and s are one", r_and_s(1, 1), "token_signature"),
    refused("3b.20", "r is the order", r_and_s(P256_ORDER, None), "token_signature"),
    refused("3b.20", "s is the order", r_and_s(None, P256_ORDER), "token_signature"),
    refused("3b.20", "as DER", elliptic(as_der), "token_signature"),
    refused("3b.20", "twice", elliptic(lambda octets: octets * 2), "token_signature"),
    refused("3b.20", "one octet short", elliptic(lambda octets: octets[:-1]), "token_signature"),
    refused("3b.20", "one octet more", elliptic(lambda octets: octets + b"\0"), "token_signature"),
    refused("3b.20", "r alone", elliptic(lambda octets: octets[:32]), "token_signature"),
    refused(
        "3b.20",
        "Ed25519, zero",
        both(signed_by(ed_key()), with_signature(lambda _: bytes(64))),
        "token_signature",
    ),
    refused(
        "3b.20",
        "Ed25519, short",
        both(signed_by(ed_key()), with_signature(lambda octets: octets[:-1])),
        "token_signature",
    ),
]


@pytest.mark.parametrize("case", CURVES)
def test_an_elliptic_signature_verifies_or_is_refused(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# Algorithm


def announces(*algorithms: str) -> Change:
    """The metadata promise signatures of these kinds."""
    return members_of("discovery", id_token_signing_alg_values_supported=list(algorithms))


def without_alg(_: Hostile, token: str) -> str:
    return sealed({"kid": "rsa-1"}, claims_of(token), lambda _: b"any")


NO_ALGORITHMS = [
    *(
        refused_unread("3b.1 V7", f"{alg}, unsigned", unsigned(alg), "token_malformed")
        for alg in ("none", "None", "NONE", "nOnE")
    ),
    *(
        refused_unread(
            "3b.1 F22",
            f"{alg}",
            both(announces("none", "None", "NONE", "nOnE"), unsigned(alg, b"any")),
            "token_algorithm",
        )
        for alg in ("none", "None", "NONE", "nOnE")
    ),
    *(
        refused_unread("3b.1 J6", f"{what} as alg", unsigned(alg, b"any"), "token_algorithm")
        for what, alg in {"nothing": None, "a number": 256, "a list": ["RS256"], "an empty text": ""}.items()
    ),
    *(
        refused_unread("3b.1 J6", f"{alg!r} as alg", header(alg=alg), "token_algorithm")
        for alg in ("rs256", "RS256 ", "RS1")
    ),
    refused_unread("3b.1 J6", "no alg", forged(without_alg), "token_algorithm"),
]


@pytest.mark.parametrize("case", NO_ALGORITHMS)
def test_a_token_without_an_algorithm_that_we_know_is_refused(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


def as_kind(alg: str) -> Key:
    """The provider's own RSA key, used with another algorithm."""
    return Key(rsa_key().private, alg, "rsa-1")


BOTH_KEYS = (rsa_key().jwk(), ec_key().jwk())

ALGORITHMS = [
    accepted("N2.6.6", "PS256 where it is announced", signed_by(as_kind("PS256"))),
    accepted(
        "N2.6.6",
        "ES256 where it is configured",
        both(signed_by(ec_key(), *BOTH_KEYS), announces("RS256")),
        algorithms="ES256",
    ),
    refused_unread(
        "N2.6.6 F23 V27",
        "ES256 where RS256 is configured",
        signed_by(ec_key(), *BOTH_KEYS),
        "token_algorithm",
        algorithms="RS256",
    ),
    refused_unread(
        "N2.6.6 F23 V27",
        "ES256 where nothing is announced",
        both(
            signed_by(ec_key(), *BOTH_KEYS),
            members_of("discovery", id_token_signing_alg_values_supported=LEFT_OUT),
        ),
        "token_algorithm",
    ),
    refused_unread(
        "N2.6.6",
        "PS256 where RS256 is configured",
        signed_by(as_kind("PS256"), rsa_key().jwk()),
        "token_algorithm",
        algorithms="RS256",
    ),
    refused_unread(
        "N2.6.6",
        "RS256 where ES256 is configured",
        signed_by(rsa_key(), *BOTH_KEYS),
        "token_algorithm",
        algorithms="ES256",
    ),
    refused("3b.3", "RS512 with a key for RS256", signed_by(as_kind("RS512"), rsa_key().jwk()), "token_key"),
    refused("3b.3", "PS256 with a key for RS256", signed_by(as_kind("PS256"), rsa_key().jwk()), "token_key"),
    refused(
        "3b.3",
        "PS256 that calls itself RS256",
        both(signed_by(as_kind("PS256"), rsa_key().jwk()), header(alg="RS256")),
        "token_signature",
    ),
    refused(
        "3b.3",
        "RS256 under the name of an elliptic key",
        both(signed_by(rsa_key(), *BOTH_KEYS), header(kid="es256")),
        "token_key",
    ),
    refused(
        "3b.3",
        "ES384 with a key on P-256",
        both(signed_by(ec_key(), ec_key().jwk(alg=None)), header(alg="ES384"), announces("ES256", "ES384")),
        "token_key",
    ),
    refused_unread("3b.3", "ES256K", both(announces("ES256K"), header(alg="ES256K")), "token_algorithm"),
]


@pytest.mark.parametrize("case", ALGORITHMS)
def test_token_key_and_configuration_agree_on_the_algorithm(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


def under(secret: bytes, alg: str = "HS256") -> Change:
    """A token under a shared secret, from a provider that announces it."""
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]

    def make(provider: Hostile, token: str) -> str:
        head = {"alg": alg, "kid": provider.key.kid}
        return sealed(head, claims_of(token), lambda text: hmac.digest(secret, text, digest))

    return both(announces("RS256", alg), forged(make))


def public(encoding: str, form: str) -> bytes:
    """The provider's public key as octets."""
    return bytes(
        rsa_key()
        .private.public_key()
        .public_bytes(getattr(serialization.Encoding, encoding), getattr(serialization.PublicFormat, form))
    )


SECRETS = {
    "the client secret": SECRET.encode(),
    "an empty one": b"",
    "the public key as PEM": public("PEM", "SubjectPublicKeyInfo"),
    "the public key as DER": public("DER", "SubjectPublicKeyInfo"),
    "the public key as PKCS 1": public("PEM", "PKCS1"),
    "the public key as PKCS 1 in DER": public("DER", "PKCS1"),
    "the public key as OpenSSH": public("OpenSSH", "OpenSSH"),
    "the public key as JWK": to_json(rsa_key().jwk()),
    "its modulus": rsa_key().private.public_key().public_numbers().n.to_bytes(256),
}
OCTETS = {"kty": "oct", "k": base64url(SECRET.encode()), "kid": "rsa-1", "alg": "HS256", "use": "sig"}
SYMMETRIC = [
    *(
        refused_unread("X6 3b.2 V2", what, under(secret), "token_algorithm")
        for what, secret in SECRETS.items()
    ),
    refused_unread("N2.6.7 V22", "HS384", under(SECRET.encode(), "HS384"), "token_algorithm"),
    refused_unread("N2.6.7 V22", "HS512", under(SECRET.encode(), "HS512"), "token_algorithm"),
    refused_unread(
        "J8", "an RSA key as secret", both(announces("HS256"), header(alg="HS256")), "token_algorithm"
    ),
    refused_unread(
        "N2.6.7 3b.19",
        "the client secret, published",
        both(under(SECRET.encode()), signed_by(rsa_key(), OCTETS)),
        "token_algorithm",
    ),
]


@pytest.mark.parametrize("case", SYMMETRIC)
def test_nothing_makes_a_secret_a_signing_key(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


@pytest.mark.requirement("N2.6.7")
@pytest.mark.parametrize("algorithms", ["HS256", "RS256 HS256", "none", "RS256 none"])
def test_a_symmetric_algorithm_cannot_be_configured(algorithms: str) -> None:
    with pytest.raises(ConfigError, match="algorithms"):
        make_settings(issuer="https://op.example", algorithms=algorithms)


# The rest of the header


def carrying(key: Key, **members: Any) -> Change:
    """A token of an intruder's key that brings the key along."""
    return forged(lambda _, token: key.sign(claims_of(token), **members))


INTRUDER = rsa_key(2)

HEADERS = [
    accepted("J4 3b.4", "another key, which is not used", header(jwk=INTRUDER.jwk(), x5c=["MIIB"])),
    refused("3b.4 J4 V8", "the key of an intruder", carrying(INTRUDER, jwk=INTRUDER.jwk()), "token_key"),
    refused(
        "3b.4 J4",
        "the key of an intruder under the provider's name",
        carrying(INTRUDER, kid="rsa-1", jwk=INTRUDER.jwk(kid="rsa-1")),
        "token_signature",
    ),
    refused(
        "3b.4 V8",
        "the key of an intruder where none is published",
        both(carrying(INTRUDER, jwk=INTRUDER.jwk()), answered("jwks", {"keys": []})),
        "token_key",
    ),
    refused(
        "3b.4",
        "the key of an intruder without a name",
        carrying(INTRUDER, kid=None, jwk=INTRUDER.jwk(), x5c=["MIIB"]),
        "token_signature",
    ),
    *(
        refused("3b.5", f"kid {what}", header(kid=kid), "token_key")
        for what, kid in {
            "with a path": "../../../../etc/passwd",
            "with SQL": "rsa-1' OR '1'='1",
            "with a line break": "rsa-1\r\nX: y",
            "with a NUL": "rsa-1\0",
            "in capitals": "RSA-1",
            "an address": "https://evil.example/key",
            "of 256 characters": "x" * 256,
        }.items()
    ),
    *(
        refused_unread("3b.5", f"kid {what}", header(kid=kid), "token_header")
        for what, kid in {
            "a number": 1,
            "a list": ["rsa-1"],
            "an object": {"rsa-1": 1},
            "empty": "",
            "of 257 characters": "x" * 257,
        }.items()
    ),
    *(refused_unread("3b.7 V3 J6", f"crit {crit}", header(crit=crit), "token_header") for crit in CRITICAL),
    refused_unread("3b.7 V16", "b64 false", header(b64=False, crit=["b64"]), "token_header"),
    refused_unread("3b.7", "b64 false without crit", header(b64=False), "token_header"),
    *(
        refused_unread("3b.15", f"typ {typ}", header(typ=typ), "token_type")
        for typ in ("at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "", 7)
    ),
]


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_names_a_key_and_does_nothing_else(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


@pytest.mark.requirement("3b.6", "J4", "3f.14")
def test_no_address_in_a_token_is_visited(tmp_path: Path) -> None:
    with Hostile(key=INTRUDER) as elsewhere, stage(tmp_path) as there:
        url = elsewhere.url
        there.provider.header = {"jku": f"{url}/jwks", "x5u": f"{url}/cert", "kid": INTRUDER.kid}
        there.provider.key = Key(INTRUDER.private, kid=INTRUDER.kid)
        there.provider.jwks = [rsa_key().jwk()]
        assert_refused(there, there.sign_in(), code="token_key")
        assert elsewhere.requests == []


# The key set


def with_an_exponent_of_one(_: Hostile, token: str) -> str:
    """Under such a key the padded hash is its own signature (RFC 8017, section 9.2)."""
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")

    def sign(text: bytes) -> bytes:
        info = prefix + hashlib.sha256(text).digest()
        return b"\x00\x01" + b"\xff" * (256 - 3 - len(info)) + b"\x00" + info

    return sealed({"alg": "RS256", "kid": "rsa-1"}, claims_of(token), sign)


def private_jwk(key: Key) -> dict[str, Any]:
    return {**key.jwk(), "d": base64url(key.private.private_numbers().d.to_bytes(256))}


SMALL = rsa_key(9, bits=1024)
KOBLITZ = ec.generate_private_key(ec.SECP256K1()).public_key().public_numbers()
ON_ANOTHER_CURVE = {"x": base64url(KOBLITZ.x.to_bytes(32)), "y": base64url(KOBLITZ.y.to_bytes(32))}
UNFIT: list[Any] = [
    *(None, 1, "x", [], {}, {"kty": "RSA"}, {"kty": "XYZ"}, {"kid": "rsa-1"}),
    *(OCTETS, private_jwk(rsa_key(3)), SMALL.jwk(), SMALL.jwk(kid="rsa-1")),
]

KEY_SETS = [
    accepted("3b.19", "a good key among bad ones", signed_by(rsa_key(), *UNFIT, rsa_key().jwk())),
    accepted(
        "3b.5", "one name for two kinds", signed_by(rsa_key(), ec_key().jwk(kid="rsa-1"), rsa_key().jwk())
    ),
    accepted(
        "3b.5", "one name for two keys", signed_by(rsa_key(), rsa_key(2).jwk(kid="rsa-1"), rsa_key().jwk())
    ),
    refused("3b.19", "a private key", signed_by(rsa_key(), private_jwk(rsa_key())), "token_key"),
    refused("3b.19 V17", "1024 bits", signed_by(SMALL, SMALL.jwk()), "token_key"),
    refused(
        "3b.19",
        "an exponent of one",
        both(signed_by(rsa_key(), rsa_key().jwk(e="AQ")), forged(with_an_exponent_of_one)),
        "token_key",
    ),
    refused("3b.19", "an even exponent", signed_by(rsa_key(), rsa_key().jwk(e="AQAA")), "token_key"),
    refused("3b.19", "a modulus of nothing", signed_by(rsa_key(), rsa_key().jwk(n="")), "token_key"),
    refused(
        "3b.19",
        "a point on another curve",
        signed_by(ec_key(), ec_key().jwk(**ON_ANOTHER_CURVE)),
        "token_key",
    ),
    refused(
        "3b.19", "a curve that is not its own", signed_by(ec_key(), ec_key().jwk(crv="P-384")), "token_key"
    ),
    refused("3b.19", "for encryption", signed_by(rsa_key(), rsa_key().jwk(use="enc")), "token_key"),
    refused("3b.19", "for signing only", signed_by(rsa_key(), rsa_key().jwk(key_ops=["sign"])), "token_key"),
    refused(
        "3b.19", "for another algorithm", signed_by(rsa_key(), rsa_key().jwk(alg="RSA-OAEP")), "token_key"
    ),
    accepted("3b.19", "the only one, without a name", signed_by(rsa_key(), rsa_key().jwk(kid=None))),
    refused(
        "3b.19",
        "one of two without a name",
        signed_by(rsa_key(), rsa_key().jwk(kid=None), rsa_key(2).jwk(kid=None)),
        "token_key",
    ),
    refused("3b.19", "of somebody else", signed_by(rsa_key(), rsa_key(2).jwk(kid=None)), "token_signature"),
    refused("3b.19", "with a number as name", signed_by(rsa_key(), rsa_key().jwk(kid=1)), "token_key"),
    refused(
        "3b.19", "behind a hundred others", signed_by(rsa_key(), *([{}] * 100), rsa_key().jwk()), "token_key"
    ),
    refused("3b.19", "none", answered("jwks", {"keys": []}), "token_key"),
    *(
        refused("3b.19", what, answered("jwks", answer), "metadata", status=502)
        for what, answer in {
            "a list": [rsa_key().jwk()],
            "a key without a set": rsa_key().jwk(),
            "an object of keys": {"keys": {"rsa-1": rsa_key().jwk()}},
            "null as keys": {"keys": None},
            "ten thousand keys": {"keys": [{"kty": "RSA"}] * 10_000},
            "two lists of keys": b'{"keys": [], "keys": []}',
            "a page": Answer(b"<html>", content_type="text/html"),
            "not found": Answer(b"{}", 404),
        }.items()
    ),
    refused("3b.19", "a megabyte", answered("jwks", b" " * 2**20), "answer_too_large", status=502),
]


@pytest.mark.parametrize("case", KEY_SETS)
def test_only_fit_public_keys_of_the_set_are_used(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


@pytest.mark.requirement("J7")
def test_keys_are_fetched_by_our_own_transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("somebody else opened an address")

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", refuse)
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", refuse)
    with stage(tmp_path) as there:
        assert_signed_in(there, there.sign_in())
