"""A compact JWS and its signature: which tokens are read at all, and who may have signed them (RFC 7515, RFC 8725).

PyJWT verifies the signature, with the algorithms that the caller allows. What the claims must
say is for the modules of the kinds of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oauth2_mw.encoding import base64url_octets
from oauth2_mw.errors import TokenError
from oauth2_mw.provider.http.documents import DocumentError, read_object
from oauth2_mw.provider.jose.jwks import MAX_KID, SigningKey
from oauth2_mw.settings.text import shown

#: characters; a token is measured before anything in it is decoded
MAX_TOKEN = 16 * 1024

KeySource = Callable[[str | None, str], Sequence[SigningKey]]


@dataclass(frozen=True, slots=True)
class TokenKind:
    """What a token is for."""

    #: in messages
    name: str
    #: what ``typ`` may be, in lower case; a token without one counts as ``jwt`` (RFC 8725, section 3.11)
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Signed:
    """What the issuer has signed."""

    kind: TokenKind
    alg: str
    claims: dict[str, Any] = field(repr=False)


def verify_jws(
    token: str,
    kind: TokenKind,
    *,
    algorithms: frozenset[str],
    keys: KeySource,
) -> Signed:
    """Read a token, and verify that one of the issuer's keys signed it.

    :param algorithms: the JWS algorithms to accept.
    :param keys: finds the issuer's keys for a ``kid`` (or ``None``) and an algorithm.
    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    header, claims = read_jws(token, kind)
    alg = _check_header(header, kind, algorithms)
    _verify_signature(token, kind, header.get("kid"), alg, keys=keys, allowed=algorithms)
    return Signed(kind, alg, claims)


def read_jws(token: str, kind: TokenKind) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, with nothing verified (RFC 7515, section 7.1).

    :raises TokenError: ``token_malformed``.
    """
    if len(token) > MAX_TOKEN:
        raise TokenError(f"the {kind.name} is longer than {MAX_TOKEN} characters", code="token_malformed")
    segments = token.split(".")
    if len(segments) != 3:
        raise TokenError(
            f"the {kind.name} has {len(segments)} parts instead of 3: encrypted tokens are not supported, "
            "switch them off for this client at the provider",
            code="token_malformed",
        )
    header, claims, signature = segments
    _octets(signature, "signature", kind)
    return _json(header, "header", kind), _json(claims, "payload", kind)


def _octets(segment: str, name: str, kind: TokenKind) -> bytes:
    if octets := base64url_octets(segment):
        return octets
    raise TokenError(f"the {name} of the {kind.name} is not base64url", code="token_malformed")


def _json(segment: str, name: str, kind: TokenKind) -> dict[str, Any]:
    try:
        return read_object(_octets(segment, name, kind))
    except DocumentError as error:
        raise TokenError(
            f"the {name} of the {kind.name} cannot be used: {error}", code="token_malformed"
        ) from error


def _check_header(header: Mapping[str, Any], kind: TokenKind, allowed: frozenset[str]) -> str:
    """The algorithm of the token. ``jwk``, ``jku``, ``x5u`` and ``x5c`` are never looked at."""
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in allowed:
        raise TokenError(
            f"the {kind.name} is signed with {shown(alg)}, and {' '.join(sorted(allowed))} is allowed: "
            "change it at the provider, or set algorithms",
            code="token_algorithm",
        )
    for name in ("crit", "b64"):
        if name in header:
            raise TokenError(
                f"the header of the {kind.name} holds {name}, which is not supported", code="token_header"
            )
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in kind.types:
        raise TokenError(f"a token of type {shown(typ)} is no {kind.name}", code="token_type")
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise TokenError(
            f"the kid of the {kind.name} is not a text of 1 to {MAX_KID} characters", code="token_header"
        )
    return alg


def _verify_signature(
    token: str, kind: TokenKind, kid: str | None, alg: str, *, keys: KeySource, allowed: frozenset[str]
) -> None:
    from jwt import PyJWS

    candidates = keys(kid, alg)
    if not candidates:
        raise TokenError(
            f"the provider publishes no {alg} key {'without a name' if kid is None else shown(kid)}",
            code="token_key",
        )
    verifier = PyJWS()
    for key in candidates:
        try:
            verifier.decode_complete(token, key.public, algorithms=sorted(allowed))
        except Exception as error:  # noqa: BLE001  whatever goes wrong inside a library is a refusal
            failure = error
        else:
            return
    raise TokenError(
        f"the signature of the {kind.name} does not verify ({type(failure).__name__})", code="token_signature"
    ) from failure
