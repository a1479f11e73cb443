"""Private keys as an operator writes them: PEM and JWK."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt import get_algorithm_by_name

from tests.support.providers.jose import Key


def pem(private: Any, *, kind: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes = b"") -> str:
    """A private key as PEM; by default as ``openssl genpkey`` writes it."""
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    octets: bytes = private.private_bytes(Encoding.PEM, kind, protection)
    return octets.decode("ascii")


def public_pem(private: Any) -> str:
    """The public half."""
    octets: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return octets.decode("ascii")


def private_jwk(key: Key, **changed: Any) -> str:
    """A private key as a JWK without name and algorithm; a member that is changed to ``None`` is left out."""
    members = get_algorithm_by_name(key.alg).to_jwk(key.private, as_dict=True)
    return json.dumps({name: value for name, value in {**members, **changed}.items() if value is not None})
