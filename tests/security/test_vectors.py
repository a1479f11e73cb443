"""Edge vectors for the cryptography under us, through our own wrappers: ID tokens, key sets, sealed texts.

All of them are made here, most by calculating with a private key what no library would sign. Each says what it shows.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.jose.jwks import parse_key_set
from oauth2_mw.provider.tokens.id_token import validate_id_token
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.session.keyring import ID_BYTES, Keyring
from oauth2_mw.session.sealing import Sealer
from oauth2_mw.settings.grammar import Secret
from tests.support.providers.jose import Key, base64url, ec_key, ed_key, from_base64url, rsa_key, to_json
from tests.support.settings.keys import raw_key, text_key
from tests.support.settings.providers import provider_settings

NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://op.example",
    "aud": "client",
    "sub": "user-1",
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": "the-nonce",
}


def refusal(token: str, *jwks: dict[str, Any]) -> str | None:
    """Why *token* is refused when *jwks* is what the provider publishes; ``None``: it is accepted."""
    header = json.loads(from_base64url(token.partition(".")[0]))
    try:
        validate_id_token(
            token,
            TokenValidator(
                provider_settings(algorithms=(header["alg"],)),
                ProviderMetadata(),
                parse_key_set({"keys": list(jwks)}).matching,
            ),
            nonce="the-nonce",
            access_token=None,
            now=NOW,
        )
    except TokenError as error:
        return error.code
    return None


def signing_input(key: Key, **claims: Any) -> str:
    """What a signature of *key* is over."""
    header = to_json({"alg": key.alg, "kid": key.kid})
    return f"{base64url(header)}.{base64url(to_json({**CLAIMS, **claims}))}"


@dataclass(frozen=True)
class Vector:
    """A signature, and whether it may pass."""

    shows: str
    #: the octets of a signature over a text
    sign: Callable[[str], bytes]
    accepted: bool = False

    def __str__(self) -> str:
        return self.shows


def check(key: Key, vector: Vector) -> None:
    text = signing_input(key)
    found = refusal(f"{text}.{base64url(vector.sign(text))}", key.jwk())
    assert found == (None if vector.accepted else "token_signature")


# ECDSA (RFC 7518, section 3.4: r and s, each of the length of the order, one after the other)

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
    "ES512": int("1" + "F" * 65 + "A51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
}
SIZES = {"ES256": 32, "ES384": 48, "ES512": 66}
DIGESTS = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def numbers(key: Key, text: str) -> tuple[int, int]:
    """A genuine signature."""
    return utils.decode_dss_signature(key.private.sign(text.encode(), ec.ECDSA(DIGESTS[key.alg[-3:]])))


def as_they_are(r: int, s: int) -> tuple[int, int]:
    return r, s


def with_numbers(
    key: Key,
    change: Callable[[int, int], tuple[int, int]] = as_they_are,
    *,
    r: int | None = None,
    s: int | None = None,
) -> Callable[[str], bytes]:
    """A signature whose r and s are made from those of a genuine one, or stand in for them."""
    size = SIZES[key.alg]

    def sign(text: str) -> bytes:
        first, second = change(*numbers(key, text))
        return (first if r is None else r).to_bytes(size) + (second if s is None else s).to_bytes(size)

    return sign


def with_octets(key: Key, change: Callable[[bytes], bytes]) -> Callable[[str], bytes]:
    """A signature made from the octets of a genuine one."""
    return lambda text: change(with_numbers(key)(text))


def of_digest(key: Key, digest: hashes.HashAlgorithm) -> Callable[[str], bytes]:
    def sign(text: str) -> bytes:
        der = key.private.sign(text.encode(), ec.ECDSA(digest))
        return b"".join(number.to_bytes(SIZES[key.alg]) for number in utils.decode_dss_signature(der))

    return sign


def to_der(octets: bytes) -> bytes:
    half = len(octets) // 2
    return utils.encode_dss_signature(int.from_bytes(octets[:half]), int.from_bytes(octets[half:]))


def ecdsa(key: Key) -> list[Vector]:
    size, n = SIZES[key.alg], ORDERS[key.alg]
    most = (1 << 8 * size) - 1
    return [
        Vector("genuine", with_numbers(key), accepted=True),
        # JWS knows no low-S rule, and nothing here remembers tokens by their spelling: the nonce is used once.
        Vector(
            "the other s of the same signature", with_numbers(key, lambda r, s: (r, n - s)), accepted=True
        ),
        Vector("r and s zero, as CVE-2022-21449 has it", with_numbers(key, r=0, s=0)),
        Vector("r zero", with_numbers(key, r=0)),
        Vector("s zero", with_numbers(key, s=0)),
        Vector("r and s one", with_numbers(key, r=1, s=1)),
        Vector("r is the order", with_numbers(key, r=n)),
        Vector("s is the order", with_numbers(key, s=n)),
        Vector("r and s are the order", with_numbers(key, r=n, s=n)),
        Vector("r just below the order, s one", with_numbers(key, r=n - 1, s=1)),
        Vector("r beyond the order", with_numbers(key, r=n + 1)),
        Vector("s beyond the order", with_numbers(key, s=n + 1)),
        Vector("r and s as large as they can be written", with_numbers(key, r=most, s=most)),
        Vector("the other r", with_numbers(key, lambda r, s: (n - r, s))),
        Vector("r and s exchanged", with_numbers(key, lambda r, s: (s, r))),
        Vector("DER", with_octets(key, to_der)),
        Vector(
            "DER, filled up", with_octets(key, lambda raw: to_der(raw).ljust(2 * size, b"\0")[: 2 * size])
        ),
        Vector("without its first octet", with_octets(key, lambda raw: raw[1:])),
        Vector("without its last octet", with_octets(key, lambda raw: raw[:-1])),
        Vector("with a zero in front", with_octets(key, lambda raw: b"\0" + raw)),
        Vector("with a zero behind", with_octets(key, lambda raw: raw + b"\0")),
        Vector(
            "both numbers one octet longer",
            with_octets(key, lambda raw: b"\0" + raw[:size] + b"\0" + raw[size:]),
        ),
        Vector("r alone", with_octets(key, lambda raw: raw[:size])),
        Vector("twice", with_octets(key, lambda raw: raw * 2)),
        Vector("one octet", lambda _: b"\0"),
        *(
            Vector(f"over SHA-{bits} instead of SHA-{key.alg[-3:]}", of_digest(key, digest))
            for bits, digest in DIGESTS.items()
            if bits != key.alg[-3:]
        ),
    ]


@pytest.mark.requirement("3b.20")
@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
@pytest.mark.parametrize(
    "number", range(len(ecdsa(ec_key()))), ids=[str(vector) for vector in ecdsa(ec_key())]
)
def test_ecdsa(alg: str, number: int) -> None:
    check(ec_key(alg), ecdsa(ec_key(alg))[number])


@pytest.mark.requirement("3b.20")
def test_ecdsa_numbers_without_their_leading_zeros() -> None:
    """A shorter r next to a whole s: the halves would be read across."""
    key = ec_key()
    for count in range(10_000):
        text = signing_input(key, jti=str(count))
        r, s = numbers(key, text)
        if r < 1 << 248:
            break
    assert refusal(f"{text}.{base64url(r.to_bytes(32) + s.to_bytes(32))}", key.jwk()) is None
    assert refusal(f"{text}.{base64url(r.to_bytes(31) + s.to_bytes(32))}", key.jwk()) == "token_signature"


# P-256, just enough of it to make a key for a signature and not the other way round

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = ORDERS["ES256"]
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
Point = tuple[int, int]
G: Point = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def add(first: Point, second: Point) -> Point:
    if first == second:
        slope = (3 * first[0] ** 2 - 3) * pow(2 * first[1], -1, P)
    else:
        slope = (second[1] - first[1]) * pow(second[0] - first[0], -1, P)
    x = (slope**2 - first[0] - second[0]) % P
    return x, (slope * (first[0] - x) - first[1]) % P


def times(factor: int, point: Point) -> Point:
    found: Point | None = None
    for bit in bin(factor % N)[2:]:
        found = add(found, found) if found is not None else None
        if bit == "1":
            found = add(found, point) if found is not None else point
    assert found is not None
    return found


def point_with(x: int) -> Point | None:
    """A point of the curve over *x*, if there is one."""
    square = (x**3 - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return (x, y) if y * y % P == square else None


def public_jwk(point: Point) -> dict[str, Any]:
    return {
        "kty": "EC",
        "crv": "P-256",
        "kid": "es256",
        "x": base64url(point[0].to_bytes(32)),
        "y": base64url(point[1].to_bytes(32)),
    }


def hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


@pytest.mark.requirement("3b.20")
def test_ecdsa_with_a_point_between_the_order_and_the_prime() -> None:
    """r is the first coordinate modulo the order; the coordinate itself, which fits as well, is not r."""
    text = signing_input(ec_key())
    point = next(found for x in range(N, P) if (found := point_with(x)) is not None)
    r, s = point[0] - N, 7
    # sR = eG + rQ, solved for Q
    inverse = pow(r, -1, N)
    jwk = public_jwk(add(times(s * inverse, point), times(-hashed(text) * inverse, G)))
    assert refusal(f"{text}.{base64url(r.to_bytes(32) + s.to_bytes(32))}", jwk) is None
    assert refusal(f"{text}.{base64url(point[0].to_bytes(32) + s.to_bytes(32))}", jwk) == "token_signature"


@pytest.mark.requirement("3b.20")
@pytest.mark.parametrize("r", [1, 7, N - 1, G[0] % N])
@pytest.mark.parametrize("s", [1, N - 1])
def test_ecdsa_that_ends_at_infinity(r: int, s: int) -> None:
    """The key is such that the point to compare r with is none."""
    text = signing_input(ec_key())
    jwk = public_jwk(times(-hashed(text) * pow(r, -1, N), G))
    assert refusal(f"{text}.{base64url(r.to_bytes(32) + s.to_bytes(32))}", jwk) == "token_signature"


# RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2): what is encoded, to the power of the private exponent

SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
SHA256_WITHOUT_NULL = bytes.fromhex("302f300b06096086480165030402010420")
SHA1 = bytes.fromhex("3021300906052b0e03021a05000414")
SHA512 = bytes.fromhex("3051300d060960864801650304020305000440")


def power(number: int, key: Key) -> int:
    private = key.private.private_numbers()
    return pow(number, private.d, private.public_numbers.n)


def of_encoded(key: Key, encode: Callable[[bytes], bytes]) -> Callable[[str], bytes]:
    """A signature of whatever *encode* makes of a text, always 256 octets."""

    def sign(text: str) -> bytes:
        octets = encode(text.encode())
        assert len(octets) == 256
        return power(int.from_bytes(octets), key).to_bytes(256)

    return sign


def padded(body: bytes, *, kind: bytes = b"\0\1", fill: bytes = b"\xff", end: bytes = b"\0") -> bytes:
    return kind + fill * (256 - len(kind) - len(end) - len(body)) + end + body


def sha256(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def pss(
    key: Key,
    salt: int,
    *,
    digest: hashes.HashAlgorithm | None = None,
    mask: hashes.HashAlgorithm | None = None,
) -> Callable[[str], bytes]:
    scheme = padding.PSS(padding.MGF1(mask or hashes.SHA256()), salt)
    return lambda text: key.private.sign(text.encode(), scheme, digest or hashes.SHA256())


RS = rsa_key()
MODULUS = RS.private.private_numbers().public_numbers.n
RSA = [
    Vector("genuine, built here", of_encoded(RS, lambda text: padded(SHA256 + sha256(text))), accepted=True),
    Vector(
        "the algorithm without NULL", of_encoded(RS, lambda text: padded(SHA256_WITHOUT_NULL + sha256(text)))
    ),
    Vector("the hash without its algorithm", of_encoded(RS, lambda text: padded(sha256(text)))),
    Vector("SHA-1", of_encoded(RS, lambda text: padded(SHA1 + hashlib.sha1(text).digest()))),  # noqa: S324
    Vector("SHA-512", of_encoded(RS, lambda text: padded(SHA512 + hashlib.sha512(text).digest()))),
    Vector(
        "SHA-256 said, SHA-512 meant",
        of_encoded(RS, lambda text: padded(SHA256 + hashlib.sha512(text).digest())),
    ),
    Vector(
        "a length in two octets", of_encoded(RS, lambda text: padded(b"\x30\x81" + SHA256[1:] + sha256(text)))
    ),
    Vector("of another text", of_encoded(RS, lambda text: padded(SHA256 + sha256(text + b"x")))),
    Vector(
        "type 2, as for encryption", of_encoded(RS, lambda text: padded(SHA256 + sha256(text), kind=b"\0\2"))
    ),
    Vector("type 0", of_encoded(RS, lambda text: padded(SHA256 + sha256(text), kind=b"\0\0", fill=b"\0"))),
    Vector(
        "filled with something else", of_encoded(RS, lambda text: padded(SHA256 + sha256(text), fill=b"\xfe"))
    ),
    Vector(
        "nothing after the filling", of_encoded(RS, lambda text: padded(SHA256 + sha256(text), end=b"\xff"))
    ),
    Vector(
        "little filling and something behind, as Bleichenbacher forged it",
        of_encoded(
            RS, lambda text: (b"\0\1" + b"\xff" * 8 + b"\0" + SHA256 + sha256(text)).ljust(256, b"\x55")
        ),
    ),
    Vector(
        "something behind the hash, inside the algorithm's length",
        of_encoded(RS, lambda text: padded(b"\x30\x35" + SHA256[2:] + sha256(text) + bytes(4))),
    ),
    Vector("zero", lambda _: bytes(256)),
    Vector("one", lambda _: bytes(255) + b"\1"),
    Vector("the modulus less one", lambda _: (MODULUS - 1).to_bytes(256)),
    Vector("the modulus", lambda _: MODULUS.to_bytes(256)),
    Vector("the encoded text itself", lambda text: padded(SHA256 + sha256(text.encode()))),
    Vector(
        "genuine, and the modulus added",
        lambda text: (power(int.from_bytes(padded(SHA256 + sha256(text.encode()))), RS) + MODULUS).to_bytes(
            257
        ),
    ),
    Vector(
        "genuine, with a zero in front",
        lambda text: b"\0" + of_encoded(RS, lambda octets: padded(SHA256 + sha256(octets)))(text),
    ),
    Vector("PSS under the name of RS256", pss(RS, 32)),
    Vector("over SHA-384", lambda text: RS.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA384())),
]


@pytest.mark.requirement("N2.6.5", "3b.3")
@pytest.mark.parametrize("vector", RSA, ids=str)
def test_rsa(vector: Vector) -> None:
    check(RS, vector)


@pytest.mark.requirement("N2.6.5")
def test_rsa_without_its_leading_zero() -> None:
    """A signature has the length of the modulus (RFC 8017, section 8.2.2, step 1)."""
    for count in range(20_000):
        text = signing_input(RS, jti=str(count))
        signature = RS.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        if signature[0] == 0:
            break
    assert refusal(f"{text}.{base64url(signature)}", RS.jwk()) is None
    assert refusal(f"{text}.{base64url(signature[1:])}", RS.jwk()) == "token_signature"


PS = rsa_key(2, alg="PS256")
RSA_PSS = [
    Vector("a salt as long as the hash", pss(PS, 32), accepted=True),
    # RFC 7518, section 3.5: the salt has the size of the hash, and no other.
    *(Vector(f"a salt of {size}", pss(PS, size)) for size in (0, 20, 31, 33, 64, 222)),
    Vector("SHA-1 in the mask", pss(PS, 32, mask=hashes.SHA1())),  # noqa: S303
    Vector("SHA-512 in the mask", pss(PS, 32, mask=hashes.SHA512())),
    Vector("SHA-512 of the text", pss(PS, 32, digest=hashes.SHA512())),
    Vector("SHA-384 all over", pss(PS, 48, digest=hashes.SHA384(), mask=hashes.SHA384())),
    Vector(
        "PKCS1 under the name of PS256",
        lambda text: PS.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()),
    ),
    Vector("zero", lambda _: bytes(256)),
    Vector("without its last octet", lambda text: pss(PS, 32)(text)[:-1]),
    Vector("with a zero in front", lambda text: b"\0" + pss(PS, 32)(text)),
]


@pytest.mark.requirement("N2.6.5", "3b.3")
@pytest.mark.parametrize("vector", RSA_PSS, ids=str)
def test_rsa_pss(vector: Vector) -> None:
    check(PS, vector)


# EdDSA (RFC 8032, section 5.1.7)

ED = ed_key()
L = 2**252 + 27742317777372353535851937790883648493
ED_PRIME = 2**255 - 19
IDENTITY = (1).to_bytes(32, "little")
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


def ed_with_s(change: Callable[[int], int]) -> Callable[[str], bytes]:
    def sign(text: str) -> bytes:
        octets = ED.private.sign(text.encode())
        return octets[:32] + change(int.from_bytes(octets[32:], "little")).to_bytes(32, "little")

    return sign


def ed_with(change: Callable[[bytes], bytes]) -> Callable[[str], bytes]:
    return lambda text: change(ED.private.sign(text.encode()))


EDDSA = [
    Vector("genuine", ed_with(lambda octets: octets), accepted=True),
    Vector("S and the order added", ed_with_s(lambda s: s + L)),
    Vector("S and the order added seven times", ed_with_s(lambda s: s + 7 * L)),
    Vector("S zero", ed_with_s(lambda _: 0)),
    Vector("S is the order", ed_with_s(lambda _: L)),
    Vector("S negative", ed_with_s(lambda s: L - s)),
    Vector("S with the highest bit", ed_with_s(lambda s: s | 1 << 255)),
    Vector("all zero", lambda _: bytes(64)),
    Vector("R neutral, S zero", lambda _: IDENTITY + bytes(32)),
    Vector(
        "R neutral in another spelling, S zero", lambda _: (ED_PRIME + 1).to_bytes(32, "little") + bytes(32)
    ),
    Vector("R of order eight, S zero", lambda _: ORDER_8 + bytes(32)),
    Vector(
        "R with its sign changed",
        ed_with(lambda octets: octets[:31] + bytes([octets[31] ^ 0x80]) + octets[32:]),
    ),
    Vector("R no point", ed_with(lambda octets: (2).to_bytes(32, "little") + octets[32:])),
    Vector("S first", ed_with(lambda octets: octets[32:] + octets[:32])),
    Vector("without its last octet", ed_with(lambda octets: octets[:-1])),
    Vector("one octet more", ed_with(lambda octets: octets + b"\0")),
    Vector("R alone", ed_with(lambda octets: octets[:32])),
    Vector("over the hash of the text", lambda text: ED.private.sign(hashlib.sha512(text.encode()).digest())),
    Vector("of Ed448", lambda text: ed448.Ed448PrivateKey.generate().sign(text.encode())),
]


@pytest.mark.requirement("N2.6.5")
@pytest.mark.parametrize("vector", EDDSA, ids=str)
def test_eddsa(vector: Vector) -> None:
    check(ED, vector)


@pytest.mark.requirement("3b.3")
@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("RS256", PS),
        ("PS256", RS),
        ("RS384", RS),
        ("ES256", ec_key("ES384")),
        ("ES384", ec_key("ES256")),
        ("ES512", ED),
        ("ES256", RS),
        ("EdDSA", ec_key("ES256")),
        ("EdDSA", RS),
        ("RS256", ED),
    ],
    ids=lambda value: value if isinstance(value, str) else f"key for {value.alg}",
)
def test_a_key_verifies_nothing_but_its_own_algorithm(alg: str, key: Key) -> None:
    """The header says *alg*, the signature is one of *key*, which is published with and without its algorithm."""
    token = key.sign(CLAIMS, alg=alg)
    assert refusal(token, key.jwk()) == "token_key"
    # An RSA key that is published for no algorithm fits several, and the signature decides.
    other_family = (alg[:2] in ("RS", "PS")) != (key.alg[:2] in ("RS", "PS")) or alg[:2] in ("ES", "Ed")
    assert refusal(token, key.jwk(alg=None)) == ("token_key" if other_family else "token_signature")


@pytest.mark.requirement("3b.3")
@pytest.mark.parametrize(
    "alg", ["Ed448", "ed25519", "ES256K", "RS1", "HS256", "none", "rs256", "RS256 ", "ESP256"]
)
def test_no_other_algorithm_has_a_name(alg: str) -> None:
    for key in (RS, ec_key(), ED):
        assert refusal(key.sign(CLAIMS, alg=alg), key.jwk(alg=None)) == "token_algorithm"


# Keys (RFC 7517, RFC 7518 section 6, RFC 8037)


def uint(number: int, size: int | None = None) -> str:
    return base64url(number.to_bytes(size or (number.bit_length() + 7) // 8 or 1))


@cache
def weak_modulus(bits: int) -> int:
    """The product of two primes; no library makes keys of 512 bits any more."""
    large = rsa_key(1024, bits=1024).private.private_numbers()
    if bits == 1024:
        return int(large.p * large.q)
    return int(large.p)


EC = ec_key()
EC_X, EC_Y = (int.from_bytes(from_base64url(EC.jwk()[name])) for name in "xy")
E384 = ec_key("ES384")
PASSED_OVER = {
    "RSA of 512 bits": RS.jwk(n=uint(weak_modulus(512))),
    "RSA of 1024 bits": RS.jwk(n=uint(weak_modulus(1024))),
    "RSA of 2047 bits": RS.jwk(n=uint(MODULUS >> 1 | 1)),
    "RSA of 8193 bits": RS.jwk(n=uint(1 << 8192 | 1)),
    "RSA, zeros in front make no 2048 bits": RS.jwk(n=uint(weak_modulus(1024), 256)),
    "RSA with e = 0": RS.jwk(e=uint(0)),
    "RSA with e = 1": RS.jwk(e=uint(1)),
    "RSA with e = 2": RS.jwk(e=uint(2)),
    "RSA with e even": RS.jwk(e=uint(65536)),
    "RSA with e as large as n": RS.jwk(e=RS.jwk()["n"]),
    "RSA without n": RS.jwk(n=None),
    "RSA without e": RS.jwk(e=None),
    "RSA with n empty": RS.jwk(n=""),
    "RSA with n zero": RS.jwk(n=uint(0)),
    "RSA with n a number": RS.jwk(n=MODULUS),
    **{f"RSA with {name}": RS.jwk(**{name: uint(3)}) for name in ("d", "p", "q", "dp", "dq", "qi")},
    "RSA with oth": RS.jwk(oth=[]),
    "RSA with k": RS.jwk(k=uint(3)),
    "RSA as EC": RS.jwk(kty="EC"),
    "oct": {"kty": "oct", "k": base64url(bytes(range(32)))},
    "oct with a public key beside it": {**RS.jwk(), "kty": "oct"},
    "EC with d": EC.jwk(d=uint(3, 32)),
    "EC, a point beside the curve": EC.jwk(y=uint(EC_Y ^ 1, 32)),
    "EC, x and y exchanged": EC.jwk(x=uint(EC_Y, 32), y=uint(EC_X, 32)),
    "EC, the point 0, 0": EC.jwk(x=uint(0, 32), y=uint(0, 32)),
    "EC, x is the prime": EC.jwk(x=uint(P, 32)),
    "EC, x beyond the prime": EC.jwk(x=uint(2**256 - 1, 32)),
    "EC, x as if modulo the prime": EC.jwk(x=uint(EC_X + P), y=uint(EC_Y, 33)),
    "EC without x": EC.jwk(x=None),
    "EC without y": EC.jwk(y=None),
    "EC, a compressed point": EC.jwk(x=base64url(b"\2" + EC_X.to_bytes(32)), y=None),
    "EC, x one octet short": EC.jwk(x=EC.jwk()["x"][:-2]),
    "EC, zeros in front": EC.jwk(x=uint(EC_X, 33), y=uint(EC_Y, 33)),
    "EC, zeros behind": EC.jwk(x=base64url(EC_X.to_bytes(32) + b"\0")),
    "EC without curve": EC.jwk(crv=None),
    "EC, a point of another curve": EC.jwk(crv="P-384", alg=None),
    "EC, another curve's point under this name": {**E384.jwk(), "crv": "P-256", "alg": None},
    "EC, secp256k1": EC.jwk(crv="secp256k1", alg=None),
    "EC, P-224": EC.jwk(crv="P-224", alg=None),
    "EC, the curve in lower case": EC.jwk(crv="p-256"),
    "Ed25519 with d": ED.jwk(d=base64url(bytes(32))),
    "Ed25519 without x": ED.jwk(x=None),
    "Ed25519, one octet short": ED.jwk(x=base64url(bytes(range(31)))),
    "Ed25519, one octet more": ED.jwk(x=base64url(from_base64url(ED.jwk()["x"]) + b"\0")),
    "Ed25519 as EC": ED.jwk(kty="EC"),
    "Ed448": ED.jwk(crv="Ed448", x=base64url(bytes(range(57)))),
    "X25519": ED.jwk(crv="X25519"),
    "for encryption": RS.jwk(use="enc"),
    "to sign with": RS.jwk(key_ops=["sign"]),
    "for a symmetric algorithm": RS.jwk(alg="HS256"),
    "for RSA encryption": RS.jwk(alg="RSA-OAEP"),
    "for an algorithm of another kind": RS.jwk(alg="ES256"),
    "for an algorithm of another curve": EC.jwk(alg="ES512"),
    "a list of types": RS.jwk(kty=["RSA"]),
    "no object": "RSA",
}
#: y of the points of Ed25519 whose order divides eight, in every spelling
SMALL = [
    0,
    1,
    ED_PRIME - 1,
    ED_PRIME,
    ED_PRIME + 1,
    int.from_bytes(ORDER_8, "little"),
    ED_PRIME - int.from_bytes(ORDER_8, "little"),
]


@pytest.mark.requirement("3b.19")
@pytest.mark.parametrize("jwk", PASSED_OVER.values(), ids=PASSED_OVER.keys())
def test_a_key_that_is_weak_or_none_is_passed_over(jwk: Any) -> None:
    if isinstance(jwk, dict):
        jwk = {name: value for name, value in jwk.items() if value is not None}
    assert not parse_key_set({"keys": [jwk]}).keys


@pytest.mark.requirement("3b.19")
@pytest.mark.parametrize("sign", [0, 1 << 255])
@pytest.mark.parametrize("y", SMALL)
def test_an_ed25519_key_for_which_anybody_can_sign_is_passed_over(y: int, sign: int) -> None:
    """With the neutral element as key, R neutral and S zero sign every text."""
    jwk = ED.jwk(x=base64url((y | sign).to_bytes(32, "little")))
    assert not parse_key_set({"keys": [jwk]}).keys
    assert refusal(f"{signing_input(ED)}.{base64url(IDENTITY + bytes(32))}", jwk) == "token_key"


TAKEN = {
    "RSA with e = 3": RS.jwk(e=uint(3)),
    "RSA with e of 33 bits": RS.jwk(e=uint(2**32 + 1)),
    "RSA with a zero in front of n": RS.jwk(n=uint(MODULUS, 257)),
    # Base64 with padding or of the other alphabet is the same number, and some providers write it.
    "RSA with n padded": RS.jwk(n=base64.urlsafe_b64encode(MODULUS.to_bytes(256)).decode()),
    "RSA of 8192 bits": RS.jwk(n=uint(1 << 8191 | 1)),
    "EC without use and algorithm": EC.jwk(use=None, alg=None),
    "with certificates, which nobody reads": RS.jwk(x5c=["MIIB"], x5u="https://evil.example/", x5t="x"),
}


@pytest.mark.requirement("3b.19")
@pytest.mark.parametrize("jwk", TAKEN.values(), ids=TAKEN.keys())
def test_a_key_that_is_only_unusual_is_taken(jwk: dict[str, Any]) -> None:
    assert len(parse_key_set({"keys": [jwk]}).keys) == 1


@pytest.mark.requirement("3b.19")
def test_an_even_modulus_verifies_nothing() -> None:
    """Whether a modulus is the product of two large primes cannot be seen; one that is even is seen in time."""
    private = RS.private.private_numbers()
    modulus, size = 2 * MODULUS, 257
    exponent = pow(65537, -1, (private.p - 1) * (private.q - 1))
    text = signing_input(RS)
    body = SHA256 + sha256(text.encode())
    encoded = b"\0\1" + b"\xff" * (size - 3 - len(body)) + b"\0" + body
    signature = pow(int.from_bytes(encoded), exponent, modulus)
    assert pow(signature, 65537, modulus) == int.from_bytes(encoded)
    jwk = RS.jwk(n=uint(modulus))
    assert refusal(f"{text}.{base64url(signature.to_bytes(size))}", jwk) == "token_signature"


@pytest.mark.requirement("3b.3")
def test_the_other_point_of_a_coordinate_is_another_key() -> None:
    assert refusal(EC.sign(CLAIMS), EC.jwk()) is None
    assert refusal(EC.sign(CLAIMS), EC.jwk(y=uint(P - EC_Y, 32))) == "token_signature"


# AES-GCM (NIST SP 800-38D), as sealed texts: version 1, key id 8, nonce 12, ciphertext, tag 16

APP = "https://app.example"
PURPOSE, NAME = "session", "__Host-a"
PAYLOAD = b"sixteen octets.."
NONCE = bytes(range(12))


def sealer(*keys: int, app: str = APP) -> Sealer:
    return Sealer(Keyring(Secret.literal(" ".join(map(text_key, keys or (0,)))), sync=5), app_id=app)


def derived(number: int, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(raw_key(number))


def key_id(number: int = 0) -> bytes:
    return derived(number, b"oauth2_mw key id", ID_BYTES)


def counted(text: str) -> bytes:
    return len(text.encode()).to_bytes(4) + text.encode()


def made(
    payload: bytes = PAYLOAD,
    *,
    key: int = 0,
    purpose: str = PURPOSE,
    name: str = NAME,
    app: str = APP,
    header: bytes | None = None,
    nonce: bytes = NONCE,
    additional: bytes | None = None,
) -> bytes:
    """A sealed text, put together here from its description."""
    head = header if header is not None else b"\1" + key_id(key)
    bound = head + counted(app) + counted(purpose) + name.encode()
    cipher = AESGCM(derived(key, b"oauth2_mw seal " + purpose.encode(), 32))
    return head + nonce + cipher.encrypt(nonce, payload, additional if additional is not None else bound)


def opened(octets: bytes, *keys: int) -> bytes | None:
    return sealer(*keys).open(PURPOSE, NAME, base64url(octets))


def flipped(octets: bytes, place: int, bit: int = 1) -> bytes:
    changed = bytearray(octets)
    changed[place] ^= bit
    return bytes(changed)


@pytest.mark.requirement("3c.2", "3c.4")
@pytest.mark.parametrize("payload", [b"", b"x", PAYLOAD, bytes(4096)], ids=["empty", "one", "block", "long"])
def test_a_sealed_text_is_what_its_description_says(payload: bytes) -> None:
    """Among them the ciphertext of length zero, of which the tag alone is left."""
    assert opened(made(payload)) == payload
    text = sealer().seal(PURPOSE, NAME, payload)
    octets = from_base64url(text)
    assert octets == made(payload, nonce=octets[9:21])


@pytest.mark.requirement("3c.1")
@pytest.mark.parametrize("place", range(len(made())))
def test_a_sealed_text_with_one_bit_changed_does_not_open(place: int) -> None:
    """Version, key id, nonce, ciphertext and tag, each bit of them."""
    for bit in range(8):
        assert opened(flipped(made(), place, 1 << bit)) is None


@pytest.mark.requirement("3c.1")
@pytest.mark.parametrize("payload", [b"", PAYLOAD], ids=["empty", "block"])
@pytest.mark.parametrize("left", range(16))
def test_a_tag_cut_short_does_not_open(payload: bytes, left: int) -> None:
    """GCM knows tags of 12 to 15 octets, and of 4 and 8; sealed texts do not."""
    octets = made(payload)
    assert opened(octets[: len(octets) - 16 + left]) is None


@pytest.mark.requirement("3c.1")
@pytest.mark.parametrize(
    "octets",
    [
        made()[:-16] + bytes(16),
        made()[:-16] + b"\xff" * 16,
        made()[:-16] + made(b"something else..")[-16:],
        made()[:-16],
        made()[:21] + made()[-16:],
        made()[:21],
        made() + b"\0",
        made() + made()[-16:],
        made() + made(),
        made()[:21] + b"\0" + made()[21:],
        made()[:9] + bytes(12) + made()[21:],
        made(b"")[:-16] + bytes(16),
        b"",
    ],
    ids=[
        *(
            "tag zero",
            "tag of ones",
            "tag of another text",
            "no tag",
            "no ciphertext",
            "header alone",
            "a zero more",
        ),
        *("tag twice", "twice", "a zero before the ciphertext", "nonce zero", "empty, tag zero", "nothing"),
    ],
)
def test_a_sealed_text_put_together_otherwise_does_not_open(octets: bytes) -> None:
    assert opened(octets) is None


@pytest.mark.requirement("3c.1", "3c.2")
@pytest.mark.parametrize("size", [8, 11, 13, 16, 24, 32, 64])
def test_a_nonce_of_another_size_does_not_open(size: int) -> None:
    """Genuinely encrypted with the right key: where such a nonce ends, the ciphertext is read wrongly."""
    assert opened(made(nonce=bytes(range(size)))) is None


@pytest.mark.requirement("3c.4")
@pytest.mark.parametrize(
    "octets",
    [
        made(additional=b""),
        made(additional=b"\1" + key_id()),
        made(purpose="attempt"),
        made(name="__Host-a.1"),
        made(name=""),
        made(app="https://app.example/core"),
        made(app="https://app.example" + "/"),
        made(app=APP[:-1], purpose=APP[-1] + PURPOSE),
        made(purpose=PURPOSE + NAME[0], name=NAME[1:]),
        made(purpose=PURPOSE[:-1], name=PURPOSE[-1] + NAME),
        made(header=b"\2" + key_id()),
        made(header=b"\0" + key_id()),
        made(additional=b"\1" + key_id() + APP.encode() + PURPOSE.encode() + NAME.encode()),
    ],
    ids=[
        *("nothing bound", "header alone bound", "other purpose", "other name", "no name", "other mount"),
        *("final slash", "app and purpose cut elsewhere", "purpose and name cut elsewhere", "cut before"),
        *("version 2", "version 0", "bound without lengths"),
    ],
)
def test_a_text_that_was_bound_to_something_else_does_not_open(octets: bytes) -> None:
    assert opened(octets) is None


@pytest.mark.requirement("3c.1", "3c.4")
def test_a_text_of_another_key_does_not_open() -> None:
    """Also under the id of a known key, and with both keys in the ring."""
    assert opened(made(key=1)) is None
    assert opened(made(key=1), 0, 1) == PAYLOAD
    assert opened(made(key=1, header=b"\1" + key_id(0)), 0, 1) is None
    assert opened(b"\1" + key_id(0) + made(key=1)[9:], 0, 1) is None
    assert opened(b"\1" + key_id(1) + made(key=0)[9:], 0, 1) is None


@pytest.mark.requirement("3c.2")
def test_the_root_key_and_the_key_of_another_purpose_open_nothing() -> None:
    head = b"\1" + key_id()
    bound = head + counted(APP) + counted(PURPOSE) + NAME.encode()
    for cipher in (AESGCM(raw_key(0)), AESGCM(derived(0, b"oauth2_mw seal attempt", 32))):
        assert opened(head + NONCE + cipher.encrypt(NONCE, PAYLOAD, bound)) is None


def test_the_points_of_small_order_in_these_tests_have_small_order() -> None:
    """The vectors themselves: a library that took such a key would let R neutral and S zero sign for it."""
    neutral = ed25519.Ed25519PublicKey.from_public_bytes(IDENTITY)
    neutral.verify(IDENTITY + bytes(32), b"every text")
    assert point_with(G[0]) in (G, (G[0], P - G[1]))
    assert times(N - 1, G) == (G[0], P - G[1])
