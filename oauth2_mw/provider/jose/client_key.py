"""The private key of the client, with which it signs assertions: a PEM (RFC 7468) or a JWK (RFC 7517).

No message of this module quotes anything of a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.provider.http.documents import DocumentError, present_members, read_object
from oauth2_mw.provider.jose.jwks import ALGORITHMS, MIN_RSA_BITS, known_name

#: the curves of RFC 7518, section 3.4, as the cryptography package names them
_CURVES: Mapping[str, str] = MappingProxyType(
    {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
)
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)
_JWK_MEMBERS = frozenset({"kty", "crv", "n", "e", "d", "p", "q", "dp", "dq", "qi", "oth", "x", "y"})
_WANTED = f"take one of RSA ({MIN_RSA_BITS} bits or more), P-256, P-384, P-521 or Ed25519"
_NO_KEY = "it is neither a PEM nor a JWK: write file: and the path of one, like file:client-key.pem"
_DAMAGED = "it is damaged, or of an unknown kind: " + _WANTED


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A private key that signs client assertions."""

    #: the JWS algorithm (RFC 7518, section 3.1; RFC 8037)
    alg: str
    #: the name under which the provider knows its public key, if the JWK has one
    kid: str | None
    #: an object of the cryptography package
    private: Any = field(repr=False)


def parse_client_key(text: str, *, alg: str | None = None) -> ClientKey:
    """Return the key of a PEM or a JWK.

    :param alg: the algorithm to sign with, if one is chosen; otherwise it is the one that a JWK names, or follows from
        the kind of key.
    :raises ValueError: if it cannot be used; the message says why and what to do.
    """
    if text.lstrip().startswith("{"):
        return _from_jwk(text, alg)
    private = _load_pem(_private_block(text))
    if private is None:
        raise ValueError(_DAMAGED)
    return ClientKey(_chosen(_algorithm(private), alg), None, private)


def _private_block(text: str) -> bytes:
    """Return the one private key in a PEM; certificates, parameters and public keys may stand around it."""
    blocks = [(match[1], match[0]) for match in _PEM.finditer(text)]
    private = [(label, block) for label, block in blocks if label.endswith("PRIVATE KEY")]
    if not blocks:
        raise ValueError(_NO_KEY)
    if not private:
        raise ValueError(
            f"it holds no private key, only {', '.join(label for label, _ in blocks)}: the provider gets that one, "
            "write the private one here"
        )
    if len(private) > 1:
        raise ValueError(f"it holds {len(private)} private keys: leave only the one to sign with")
    label, block = private[0]
    if label == "ENCRYPTED PRIVATE KEY" or "Proc-Type: 4,ENCRYPTED" in block:
        raise ValueError(
            "it is encrypted, and nobody can type a passphrase here: decrypt it with openssl pkey -in OLD -out NEW, "
            "and make it readable for this service's user alone (chmod 600)"
        )
    if label == "OPENSSH PRIVATE KEY":
        raise ValueError(
            "it is in the format of OpenSSH: convert a copy of it with ssh-keygen -p -m PKCS8 -f COPY"
        )
    return block.encode("ascii", "replace")


def _load_pem(block: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(block, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _from_jwk(text: str, chosen: str | None) -> ClientKey:
    jwk = _members(text)
    if jwk is None:
        raise ValueError("it is not a JWK: that is one JSON object")
    if "keys" in jwk:
        raise ValueError("it is a set of keys: write its one private key alone")
    if jwk.get("kty") == "oct":
        raise ValueError("it is a shared secret: that is a client_secret, for client_secret_jwt")
    if "d" not in jwk:
        raise ValueError(
            "it is a JWK without the member d, and so a public key: the provider gets that one, write the private one "
            "here"
        )
    operations = jwk.get("key_ops", ["sign"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "sign" not in operations:
        raise ValueError("its use or key_ops say that it is not for signing: take a key that is")
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("its kid is not a string: write it as the provider knows it, in quotes")
    private = _load_jwk({name: value for name, value in jwk.items() if name in _JWK_MEMBERS})
    if private is None:
        raise ValueError(_DAMAGED)
    alg = _algorithm(private)
    named = jwk.get("alg")
    if named is None:
        return ClientKey(_chosen(alg, chosen), kid, private)
    suitable = _suitable(alg)
    if not isinstance(named, str) or known_name(named) not in suitable:
        raise ValueError(f"its alg does not fit the key: write {' or '.join(suitable)}, or leave it out")
    # RFC 7517, section 4.4: a key that names its algorithm serves no other, such as PS256.
    if chosen is not None and known_name(chosen) != known_name(named):
        raise ValueError(
            f"its alg is {named}, and client_assertion_algorithm is {chosen}: write the same in both, or leave one out"
        )
    return ClientKey(chosen or named, kid, private)


def _chosen(alg: str, chosen: str | None) -> str:
    """Return the algorithm that is chosen for a key, or *alg*, which follows from its kind."""
    if chosen is None:
        return alg
    suitable = _suitable(alg)
    if known_name(chosen) not in suitable:
        raise ValueError(
            f"client_assertion_algorithm = {chosen} does not fit it: write {' or '.join(suitable)}, or take another key"
        )
    return chosen


def _suitable(alg: str) -> list[str]:
    """Return the algorithms for keys of the kind that *alg* is for."""
    return [name for name, kind in ALGORITHMS.items() if kind == ALGORITHMS[alg]]


def _members(text: str) -> dict[str, Any] | None:
    try:
        return present_members(read_object(text.encode("utf-8", "surrogatepass")))
    except DocumentError:
        # The error may quote a member's name, and in a damaged file that may be part of the key.
        return None


def _load_jwk(members: dict[str, Any]) -> Any:
    from jwt import PyJWK, PyJWTError

    # The messages of PyJWT quote the whole key: none of them leaves this function, not even as a context.
    try:
        return PyJWK(members).key
    except (PyJWTError, ValueError, TypeError, ArithmeticError):
        return None


def _algorithm(private: Any) -> str:
    """Return the JWS algorithm for a key."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    alg = None
    if isinstance(private, RSAPrivateKey):
        if private.key_size < MIN_RSA_BITS:
            raise ValueError(f"it is an RSA key of {private.key_size} bits, which is too weak: {_WANTED}")
        alg = "RS256"
    elif isinstance(private, EllipticCurvePrivateKey):
        alg = _CURVES.get(private.curve.name)
    elif isinstance(private, Ed25519PrivateKey):
        alg = "EdDSA"
    if alg is None:
        raise ValueError(f"its kind is not supported: {_WANTED}")
    return alg
