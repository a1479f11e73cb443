"""The signing keys that a provider publishes (RFC 7517).

Usable are public keys of RSA with 2048 bits or more, P-256, P-384, P-521 and Ed25519. A symmetric or private key in a
published set is a leak or an attack, and is ignored like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from oauth2_mw.provider.http.documents import present_members

MAX_KEYS = 100
#: how many keys are tried for one token
MAX_TRIED = 20
MAX_KID = 256
MIN_RSA_BITS = 2048
# The time to verify grows with the square of the size; nobody signs ID tokens with more.
_MAX_RSA_BITS = 8192
_ED25519_PRIME = 2**255 - 19
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
#: the second coordinates of the points whose order divides eight
_SMALL_ORDER = frozenset({0, 1, _ED25519_PRIME - 1, _ORDER_8, _ED25519_PRIME - _ORDER_8})
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

#: JWS algorithm (RFC 7518, section 3.1; RFC 8037) -> the key type and curve that it needs
ALGORITHMS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "RS256": ("RSA", None),
        "RS384": ("RSA", None),
        "RS512": ("RSA", None),
        "PS256": ("RSA", None),
        "PS384": ("RSA", None),
        "PS512": ("RSA", None),
        "ES256": ("EC", "P-256"),
        "ES384": ("EC", "P-384"),
        "ES512": ("EC", "P-521"),
        "EdDSA": ("OKP", "Ed25519"),
    }
)
#: a newer name of an algorithm -> the one under which it is known here (RFC 9864, section 2.2)
NEWER_NAMES: Mapping[str, str] = MappingProxyType({"Ed25519": "EdDSA"})


def known_name(alg: str) -> str:
    """Return the name under which an algorithm is known here, whichever of its names *alg* is."""
    return NEWER_NAMES.get(alg, alg)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key that may verify signatures of one kind."""

    kid: str | None
    kty: str
    crv: str | None
    #: the only algorithm that the provider allows for it, or ``None``
    alg: str | None
    #: an object of the cryptography package
    public: Any = field(repr=False)
    #: the issuer whose tokens alone it signs, in which ``{tenantid}`` stands for any tenant (Entra), or ``None``
    issuer: str | None = None

    def fits(self, alg: str) -> bool:
        """Return whether the key may have signed a token with *alg*."""
        return self.alg in (None, alg) and ALGORITHMS.get(alg) == (self.kty, self.crv)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a provider's JWKS document."""

    keys: tuple[SigningKey, ...]

    def matching(self, kid: str | None, alg: str) -> tuple[SigningKey, ...]:
        """Return the keys to try for a token, at most :data:`MAX_TRIED` (OpenID Connect Core, section 10.1).

        A token without ``kid`` may be signed with each of them; one that names its key also with a lone key that has
        no name.
        """
        fitting = [key for key in self.keys if key.fits(alg)]
        named = [key for key in fitting if kid in (None, key.kid)]
        nameless = [key for key in fitting if key.kid is None]
        return tuple(named or (nameless if len(nameless) == 1 else ()))[:MAX_TRIED]


def parse_key_set(document: Mapping[str, Any]) -> KeySet:
    """Return the usable keys of a JWKS document (RFC 7517, section 5).

    :raises ValueError: if it has no list of keys.
    """
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("it has no list of keys")
    keys = (_signing_key(jwk) for jwk in listed[:MAX_KEYS])
    return KeySet(tuple(key for key in keys if key is not None))


def _signing_key(jwk: Any) -> SigningKey | None:
    """Return the key that *jwk* describes, or ``None`` if it cannot sign ID tokens."""
    if not isinstance(jwk, dict):
        return None
    jwk = present_members(jwk)
    if _PRIVATE & jwk.keys():
        return None
    kid, alg = jwk.get("kid"), jwk.get("alg")
    if isinstance(alg, str):
        alg = known_name(alg)
    operations = jwk.get("key_ops", ["verify"])
    if (
        not (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID))
        or not (alg is None or (isinstance(alg, str) and alg in ALGORITHMS))
        or jwk.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return None
    kind: tuple[Any, Any] = (jwk.get("kty"), None if jwk.get("kty") == "RSA" else jwk.get("crv"))
    if kind not in ALGORITHMS.values() or (alg is not None and ALGORITHMS[alg] != kind):
        return None
    public = _public_key(jwk)
    if public is None:
        return None
    issuer = jwk.get("issuer")
    # What is no text names nobody's issuer.
    issuer = issuer if issuer is None or isinstance(issuer, str) else ""
    return SigningKey(kid=kid, kty=kind[0], crv=kind[1], alg=alg, public=public, issuer=issuer)


def _public_key(jwk: Mapping[str, Any]) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from jwt import PyJWK, PyJWTError

    try:
        public: Any = PyJWK(
            {name: jwk[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk}
        ).key
    except (PyJWTError, ValueError, TypeError, OverflowError):
        return None
    if isinstance(public, Ed25519PublicKey) and _has_small_order(public.public_bytes_raw()):
        return None
    if isinstance(public, RSAPublicKey) and not MIN_RSA_BITS <= public.key_size <= _MAX_RSA_BITS:
        return None
    return public


def _has_small_order(point: bytes) -> bool:
    """Return whether *point* is one of the eight of Ed25519 for which anybody can sign."""
    return int.from_bytes(point, "little") % (1 << 255) % _ED25519_PRIME in _SMALL_ORDER
