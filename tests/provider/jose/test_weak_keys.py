"""Keys with which anybody could sign, and how large a key may be."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from oauth2_mw.provider.jose.jwks import ALGORITHMS, MAX_KEYS, SigningKey, parse_key_set
from tests.support.providers.jose import base64url, ed_key, rsa_key

RSA = rsa_key()
#: The points of Ed25519 whose order divides eight, in every encoding that a reader may accept: each with both signs,
#: and the small ones beyond the prime too.
SMALL_ORDER = [
    encoded[:-2] + f"{int(encoded[-2:], 16) | sign:02x}"
    for encoded in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
    for sign in (0, 0x80)
]


def usable(*jwks: Any) -> tuple[SigningKey, ...]:
    return parse_key_set({"keys": list(jwks)}).keys


def ed25519(point: bytes) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(point)}


def rsa(bits: int) -> dict[str, str]:
    modulus = (1 << (bits - 1)) + 1
    return {"kty": "RSA", "n": base64url(modulus.to_bytes((bits + 7) // 8, "big")), "e": "AQAB"}


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_point_for_which_anybody_can_sign_is_no_key(point: str) -> None:
    assert usable(ed25519(bytes.fromhex(point))) == ()


@pytest.mark.parametrize("point", ["02" + "00" * 31, "03" + "00" * 30 + "80", "eb" + "ff" * 30 + "7f"])
def test_its_neighbours_are_judged_by_their_signatures(point: str) -> None:
    assert len(usable(ed25519(bytes.fromhex(point)))) == 1


@pytest.mark.parametrize(("bits", "fits"), [(2047, 0), (2048, 1), (8192, 1), (8193, 0)])
def test_a_modulus_has_2048_to_8192_bits(bits: int, fits: int) -> None:
    assert len(usable(rsa(bits))) == fits


def test_what_no_library_can_read_is_no_key() -> None:
    assert (
        usable(ed25519(b"short"), {"kty": "RSA"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}) == ()
    )


def test_a_hundred_keys_are_read() -> None:
    assert MAX_KEYS == 100
    assert len(usable(*[RSA.jwk()] * 101)) == 100


def test_a_key_shows_no_material_and_is_never_changed() -> None:
    (key,) = usable(ed_key().jwk())
    assert "public" not in repr(key)
    with pytest.raises(FrozenInstanceError):
        key.alg = "none"  # type: ignore[misc]  # frozen
    found = parse_key_set({"keys": []})
    with pytest.raises(FrozenInstanceError):
        found.keys = (key,)  # type: ignore[misc]  # frozen
    assert "none" not in ALGORITHMS
