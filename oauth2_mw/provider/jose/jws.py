"""Compact JWS: reading a token and verifying its signature (RFC 7515, RFC 8725).

PyJWT verifies the signature, with the algorithms that the caller allows. The claims are checked by the modules of
``tokens``, one for each kind of token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oauth2_mw.encoding import base64url_octets
from oauth2_mw.errors import TokenError
from oauth2_mw.provider.http.documents import DocumentError, present_members, read_object
from oauth2_mw.provider.jose.jwks import ALGORITHMS, MAX_KID, NEWER_NAMES, SigningKey, known_name
from oauth2_mw.settings.text import shown

if TYPE_CHECKING:
    from jwt import PyJWS

#: characters; a token is measured before anything in it is decoded
MAX_TOKEN = 16 * 1024

#: Returns the issuer's keys for a ``kid`` (or ``None``) and an algorithm, in the order in which to try them.
KeySource = Callable[[str | None, str], Iterable[SigningKey]]


@dataclass(frozen=True, slots=True)
class TokenKind:
    """A kind of signed token."""

    #: its name in messages
    name: str
    #: the accepted values of ``typ``, in lower case; a token without ``typ`` counts as ``jwt`` (RFC 8725, section 3.11)
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature was verified, but not yet its claims."""

    kind: TokenKind
    alg: str
    claims: dict[str, Any] = field(repr=False)


def verify_jws(token: str, kind: TokenKind, *, algorithms: frozenset[str], keys: KeySource) -> VerifiedToken:
    """Read *token* and verify that one of the issuer's keys signed it (RFC 7515, section 5.2).

    :param algorithms: the accepted JWS algorithms.
    :raises TokenError: with a code ``token_...`` that names the failed check.
    """
    header, claims = read_jws(token, kind)
    alg = _check_header(header, kind, algorithms)
    _verify_signature(token, kind, kid=header.get("kid"), alg=alg, algorithms=algorithms, keys=keys)
    return VerifiedToken(kind, alg, claims)


def read_jws(token: str, kind: TokenKind) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of *token*, unverified (RFC 7515, section 7.1).

    Claims without a value are left out.

    :raises TokenError: ``token_malformed``.
    """
    if len(token) > MAX_TOKEN:
        raise TokenError(
            f"the {kind.name} is {len(token)} characters long, and at most {MAX_TOKEN} are read: have the provider put "
            "less into it, such as fewer groups",
            code="token_malformed",
        )
    segments = token.split(".")
    if len(segments) != 3:
        raise TokenError(
            f"the {kind.name} has {len(segments)} parts instead of 3: encrypted tokens are not supported, "
            "switch them off for this client at the provider",
            code="token_malformed",
        )
    header, claims, signature = segments
    _decode(signature, "signature", kind)
    return _decode_object(header, "header", kind), present_members(_decode_object(claims, "payload", kind))


def _decode(segment: str, name: str, kind: TokenKind) -> bytes:
    if octets := base64url_octets(segment):
        return octets
    raise TokenError(f"the {name} of the {kind.name} is not base64url", code="token_malformed")


def _decode_object(segment: str, name: str, kind: TokenKind) -> dict[str, Any]:
    try:
        return read_object(_decode(segment, name, kind))
    except DocumentError as error:
        raise TokenError(
            f"the {name} of the {kind.name} cannot be used: {error}", code="token_malformed"
        ) from error


def _check_header(header: Mapping[str, Any], kind: TokenKind, algorithms: frozenset[str]) -> str:
    """Return the token's algorithm, by the name that is known here.

    ``jwk``, ``jku``, ``x5u`` and ``x5c`` are ignored (RFC 8725, section 3.10).
    """
    alg = header.get("alg")
    if not isinstance(alg, str) or known_name(alg) not in algorithms:
        allowed = " ".join(sorted(algorithms))
        # Nothing else can be written in algorithms: a symmetric signature, or none, proves no issuer.
        setting = f", or add {alg} to algorithms" if alg in (*ALGORITHMS, *NEWER_NAMES) else ""
        raise TokenError(
            f"the {kind.name} is signed with {shown(alg)}, and {allowed} is allowed: choose one of these for this "
            f"client at the provider{setting}",
            code="token_algorithm",
        )
    for name in ("crit", "b64"):
        if name in header:
            raise TokenError(
                f"the header of the {kind.name} holds {name}, which is not supported", code="token_header"
            )
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in kind.types:
        raise TokenError(
            f"the {kind.name} has the type {shown(typ)} of another kind of token", code="token_type"
        )
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise TokenError(
            f"the kid of the {kind.name} is not a string of 1 to {MAX_KID} characters", code="token_header"
        )
    return known_name(alg)


def _verify_signature(
    token: str, kind: TokenKind, *, kid: str | None, alg: str, algorithms: frozenset[str], keys: KeySource
) -> None:
    verifier, tried, failure = jws_library(), 0, ""
    names = sorted({*algorithms, *(newer for newer, name in NEWER_NAMES.items() if name in algorithms)})
    for key in keys(kid, alg):
        tried += 1
        try:
            verifier.decode_complete(token, key.public, algorithms=names)
        except Exception as error:  # noqa: BLE001  whatever goes wrong inside a library is a refusal
            failure = type(error).__name__
        else:
            return
    if not tried:
        raise TokenError(
            f"the provider publishes no {alg} key {'without a name' if kid is None else shown(kid)}",
            code="token_key",
        )
    raise TokenError(
        f"the signature of the {kind.name} does not verify ({failure}) with any key of the provider that fits; keys "
        f"tried: {tried}",
        code="token_signature",
    )


def jws_library() -> PyJWS:
    """Return PyJWT's implementation of JWS, which knows algorithms by their newer names as well."""
    from jwt import PyJWS

    library = PyJWS()
    for newer, name in NEWER_NAMES.items():
        # A later release of PyJWT may know it by itself.
        with suppress(ValueError):
            library.register_algorithm(newer, library.get_algorithm_by_name(name))
    return library
