"""ID tokens and logout tokens: nobody without a key makes one, and what a signed one says is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from oauth2_mw.boundary import numeric_date
from oauth2_mw.errors import ProviderError, TokenError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.http.documents import present_members
from oauth2_mw.provider.jose.jwks import KeySet, parse_key_set
from oauth2_mw.provider.tokens.id_token import validate_id_token, validate_refreshed_id_token
from oauth2_mw.provider.tokens.logout_token import EVENT, validate_logout_token
from oauth2_mw.provider.tokens.userinfo import validate_userinfo
from oauth2_mw.provider.tokens.validator import TokenValidator
from oauth2_mw.settings.grammar import AttributePath
from tests.support.providers.jose import Key, at_hash, base64url, from_base64url
from tests.support.settings.providers import provider_settings

ISSUER = "https://op.example"
NOW = 1_800_000_000
NONCE = "the-nonce"
ACCESS_TOKEN = "the-access-token"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "client",
    "sub": "user-1",
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": NONCE,
}
_METADATA = ProviderMetadata(
    id_token_signing_alg_values_supported=("RS256", "PS256", "ES256", "EdDSA", "HS256", "none")
)


_SETTINGS: tuple[dict[str, Any], ...] = ({}, {"max_age": 300, "acr_values": ("gold", "silver"), "leeway": 0})


# Always the same keys, so that a signed token can be kept as a file.


@cache
def ed_key() -> Key:
    return Key(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "EdDSA", "ed")


@cache
def ec_key() -> Key:
    return Key(
        ec.derive_private_key(int.from_bytes(bytes(range(1, 33)), "big"), ec.SECP256R1()), "ES256", "ec"
    )


@cache
def key_set() -> KeySet:
    published = {
        "keys": [
            ed_key().jwk(),
            ec_key().jwk(),
            # Nobody has the other half of this one.
            {"kty": "RSA", "kid": "rsa", "e": "AQAB", "n": base64url(b"\xc5" * 256)},
        ]
    }
    return parse_key_set(published)


def _validator(**settings: Any) -> TokenValidator:
    return TokenValidator(provider_settings(issuer=ISSUER, **settings), _METADATA, key_set().matching)


def _validate(token: str, **settings: Any) -> dict[str, Any] | None:
    try:
        return validate_id_token(
            token, _validator(**settings), nonce=NONCE, access_token=ACCESS_TOKEN, now=NOW
        )
    except TokenError as error:
        explained(error)
        assert len(token) < 8 or token not in error.detail
        return None


def explained(error: ProviderError | TokenError) -> None:
    """An operator can read what was wrong."""
    assert error.code
    assert error.detail.isprintable(), "the log line holds what cannot be seen"
    assert 400 <= error.status < 600


def token(data: bytes) -> None:
    """Nobody without a key makes a token: one that is accepted carries the one payload that was ever signed."""
    text = any_token(data)
    claims = _validate(text)
    if claims is not None:
        assert claims == CLAIMS, "a forged token is accepted"
        assert text == ".".join(base64url(from_base64url(part)) for part in text.split(".")), (
            "a second spelling"
        )


def any_token(data: bytes) -> str:
    """A token as the transport hands it on: whatever the JSON of the answer held."""
    return data.decode("utf-8", "replace")


def claims(data: bytes) -> None:
    """A header on the first line and a payload below, signed with the provider's own key: what it says is checked."""
    header, _, payload = data.partition(b"\n")
    signing = f"{base64url(header)}.{base64url(payload)}"
    signed = f"{signing}.{base64url(ed_key().private.sign(signing.encode()))}"
    for settings in _SETTINGS:
        found = _validate(signed, **settings)
        if found is not None:
            assert found == present_members(json.loads(payload))
            _check_header(json.loads(header))
            _check_claims(found, **settings)
    try:
        found = validate_userinfo(signed, _validator())
    except TokenError as error:
        explained(error)
    else:
        _check_header(json.loads(header))
        _check_issuer_and_audience(found)


def logout_token(data: bytes) -> None:
    """As *claims*; and what orders a logout signs nobody in, the other way round neither."""
    header, _, payload = data.partition(b"\n")
    signing = f"{base64url(header)}.{base64url(payload)}"
    signed = f"{signing}.{base64url(ed_key().private.sign(signing.encode()))}"
    for subject in ("sub", "oid"):
        try:
            validator = _validator(subject=AttributePath.parse(subject))
            found = validate_logout_token(signed, validator, now=NOW)
        except TokenError as error:
            explained(error)
            continue
        payload_claims = present_members(json.loads(payload))
        _check_header(json.loads(header), types=("JWT", "LOGOUT+JWT", "APPLICATION/LOGOUT+JWT"))
        assert payload_claims["iss"] == found.issuer == ISSUER
        _check_audience(payload_claims["aud"])
        assert type(payload_claims["events"][EVENT]) is dict
        assert "nonce" not in payload_claims
        assert found.subject or found.sid
        assert subject == "oid" or found.subject in (payload_claims.get("sub"), None)
        for name in (found.subject, found.sid, found.jti):
            assert name is None or (0 < len(name) <= 255 and name.isprintable())
        assert NOW - 660 <= found.issued_at <= NOW + 60
        assert NOW < found.expires_at <= NOW + 721
        assert _validate(signed) is None
        with suppress(TokenError):
            validate_refreshed_id_token(
                signed, _validator(), nonce=None, auth_time=None, access_token=ACCESS_TOKEN, now=NOW
            )
            raise AssertionError("an order to log out is taken for an ID token")


def _check_header(header: dict[str, Any], types: tuple[str, ...] = ("JWT",)) -> None:
    assert header["alg"] == "EdDSA"
    assert header.get("kid") in ("ed", None)
    assert str(header.get("typ", "JWT")).upper() in types
    assert not {"crit", "b64"} & header.keys()


def _check_audience(found: str | list[str]) -> None:
    assert {*(found if isinstance(found, list) else [found])} == {"client"}


def _check_issuer_and_audience(found: Mapping[str, Any]) -> None:
    assert type(found["sub"]) is str
    assert 0 < len(found["sub"]) <= 255
    assert found["sub"].isprintable()
    assert found["iss"] == ISSUER
    _check_audience(found["aud"])
    assert found.get("azp", "client") == "client"


def _check_claims(
    found: dict[str, Any], *, leeway: int = 60, max_age: int | None = None, acr_values: tuple[str, ...] = ()
) -> None:
    _check_issuer_and_audience(found)
    assert found["nonce"] == NONCE
    _check_times(found, leeway=leeway)
    if max_age is not None:
        assert type(found["auth_time"]) in (int, float)
        assert NOW - max_age - leeway <= found["auth_time"] <= NOW + leeway
    assert not acr_values or found["acr"] in acr_values
    right = at_hash(ACCESS_TOKEN, "sha512")
    assert found.get("at_hash", right) == right


def check_refreshed(found: Mapping[str, Any]) -> None:
    """What the claims of a refreshed ID token must be when the person signed in a hundred seconds ago."""
    _check_issuer_and_audience(found)
    _check_times(found, leeway=60)
    assert "events" not in found
    auth_time = numeric_date(found.get("auth_time"))
    assert auth_time is None or int(auth_time) == NOW - 100


def _check_times(found: Mapping[str, Any], *, leeway: int) -> None:
    for name in ("exp", "iat", "nbf"):
        if name in found:
            assert type(found[name]) in (int, float)
    assert NOW - leeway < found["exp"] < 1e12
    assert NOW - 3600 - leeway <= found["iat"] <= NOW + leeway
    assert found.get("nbf", 0) <= NOW + leeway


def read_signed(text: str) -> dict[str, Any]:
    """What an answer of the userinfo endpoint says that is a signed token."""
    return validate_userinfo(text, _validator())
