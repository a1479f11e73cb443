"""Keys and signatures for a provider that may lie: any header, any payload, any algorithm."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import get_algorithm_by_name

_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@dataclass(frozen=True)
class Key:
    """A private key with the name and algorithm under which its public half is published."""

    private: Any = field(repr=False)
    alg: str = "RS256"
    kid: str | None = "key-1"

    def jwk(self, **changed: Any) -> dict[str, Any]:
        """The public key as a JWK; a member that is changed to ``None`` is left out."""
        public = _algorithm(self.alg).to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        members = {**public, "kid": self.kid, "alg": self.alg, "use": "sig", **changed}
        return {name: value for name, value in members.items() if value is not None}

    def sign(self, payload: dict[str, Any] | bytes, *, alg: str | None = None, **header: Any) -> str:
        """A compact JWS; a header member that is ``None`` is left out."""
        members = {"alg": alg or self.alg, "kid": self.kid, **header}
        signed = ".".join(
            (
                base64url(to_json({k: v for k, v in members.items() if v is not None})),
                base64url(to_json(payload)),
            )
        )
        signature = _algorithm(self.alg).sign(signed.encode(), self.private)
        return f"{signed}.{base64url(signature)}"


@cache
def _rsa(number: int, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def rsa_key(number: int = 1, *, bits: int = 2048, alg: str = "RS256") -> Key:
    """An RSA key, made once: they are slow to make. The same number is the same key, whatever it is used with."""
    return Key(_rsa(number, bits), alg, f"rsa-{number}")


@cache
def ec_key(alg: str = "ES256") -> Key:
    """A key on the curve that *alg* is for."""
    return Key(ec.generate_private_key(_CURVES[alg]), alg, alg.lower())


@cache
def ed_key() -> Key:
    """An Ed25519 key."""
    return Key(ed25519.Ed25519PrivateKey.generate(), "EdDSA", "ed25519")


def _algorithm(alg: str) -> Any:
    # RFC 9864: the newer name, which the library may not know.
    return get_algorithm_by_name("EdDSA" if alg == "Ed25519" else alg)


def to_json(value: dict[str, Any] | bytes) -> bytes:
    """JSON as it travels; bytes are taken for JSON already."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def base64url(octets: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The octets again."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def at_hash(access_token: str, digest: str = "sha256") -> str:
    """The left half of a hash (OpenID Connect Core, section 3.1.3.6)."""
    octets = hashlib.new(digest, access_token.encode()).digest()
    return base64url(octets[: len(octets) // 2])
