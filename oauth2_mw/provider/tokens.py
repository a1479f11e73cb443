"""What an ID token must prove before it signs anybody in (OpenID Connect Core, section 3.1.3.7; RFC 8725).

PyJWT verifies the signature, with the algorithms that the configuration and the metadata allow. All claims
are checked here, because the defaults of a JWT library are looser than a sign-in may be: it accepts missing times,
further audiences, and texts for numbers.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.documents import DocumentError, read_object, shown
from oauth2_mw.provider.keys import ALGORITHMS, MAX_KID, SigningKey
from oauth2_mw.provider.metadata import ProviderMetadata
from oauth2_mw.settings.model import ProviderSettings

#: characters; a token is measured before anything in it is decoded
MAX_TOKEN = 16 * 1024
MAX_SUBJECT = 255
#: seconds; the token has just been issued to us, so an old one is somebody's copy
MAX_AGE = 3600
# The end of the year 9999: beyond it, databases and datetime fail.
_LAST_SECOND = 253402300799

KeySource = Callable[[str | None, str], Sequence[SigningKey]]

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_HASHES: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        "256": hashlib.sha256,
        "384": hashlib.sha384,
        "512": hashlib.sha512,
        # Ed25519 hashes with SHA-512 inside (RFC 8032), and at_hash follows it.
        "DSA": hashlib.sha512,
    }
)


def validate_id_token(
    token: str,
    *,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    keys: KeySource,
    nonce: str,
    access_token: str | None,
    now: float,
) -> dict[str, Any]:
    """The claims of an ID token that answers one sign-in attempt of ours.

    :param keys: finds the issuer's keys for a ``kid`` (or ``None``) and an algorithm.
    :param nonce: the one sent with the authorization request.
    :param access_token: the one that came with the token, for ``at_hash``.
    :param now: seconds since the epoch.
    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    header, claims = _decode(token)
    allowed = allowed_algorithms(provider, metadata)
    alg = _check_header(header, allowed)
    _verify_signature(token, header.get("kid"), alg, keys=keys, allowed=allowed)
    _check_parties(claims, provider)
    _check_nonce(claims, nonce)
    _check_times(claims, now=now, leeway=provider.leeway)
    _check_authentication(claims, provider, now=now)
    if access_token is not None and "at_hash" in claims:
        _check_at_hash(claims["at_hash"], access_token, alg)
    return claims


def validate_userinfo(
    token: str, *, provider: ProviderSettings, metadata: ProviderMetadata, keys: KeySource
) -> dict[str, Any]:
    """The claims of a signed userinfo answer (OpenID Connect Core, section 5.3.2).

    It says whose it is and for whom, or it could be an answer to somebody else. What ``sub`` must be, the caller knows.

    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    header, claims = _decode(token)
    allowed = allowed_algorithms(provider, metadata)
    alg = _check_header(header, allowed)
    _verify_signature(token, header.get("kid"), alg, keys=keys, allowed=allowed)
    _check_parties(claims, provider)
    return claims


def allowed_algorithms(provider: ProviderSettings, metadata: ProviderMetadata) -> frozenset[str]:
    """The JWS algorithms to accept: those configured, else RS256 and what the provider announces.

    Asymmetric ones only: a symmetric one would make a signing key of the client secret.
    """
    announced = metadata.id_token_signing_alg_values_supported or ()
    wanted = provider.algorithms if provider.algorithms is not None else ("RS256", *announced)
    return frozenset(wanted) & ALGORITHMS.keys()


def check_subject(subject: Any) -> str:
    """A subject as OpenID Connect Core, section 2, has it: 1 to 255 characters, none of them a control.

    :raises TokenError: ``token_subject``.
    """
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise TokenError(
            f"sub must be a printable text of 1 to {MAX_SUBJECT} characters", code="token_subject"
        )
    return subject


def _decode(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a compact JWS, nothing verified (RFC 7515, section 7.1)."""
    if len(token) > MAX_TOKEN:
        raise TokenError(f"the ID token is longer than {MAX_TOKEN} characters", code="token_malformed")
    segments = token.split(".")
    if len(segments) != 3:
        raise TokenError(
            f"the ID token has {len(segments)} parts instead of 3: encrypted ID tokens are not supported, "
            "switch them off for this client at the provider",
            code="token_malformed",
        )
    header, claims, signature = segments
    _octets(signature, "signature")
    return _json(header, "header"), _json(claims, "payload")


def _octets(segment: str, name: str) -> bytes:
    if _SEGMENT.fullmatch(segment) and len(segment) % 4 != 1:
        octets = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        # One token, one spelling: otherwise a copy that looks different passes any list of tokens seen.
        if urlsafe_b64encode(octets).rstrip(b"=") == segment.encode("ascii"):
            return octets
    raise TokenError(f"the {name} of the ID token is not base64url", code="token_malformed")


def _json(segment: str, name: str) -> dict[str, Any]:
    try:
        return read_object(_octets(segment, name))
    except DocumentError as error:
        raise TokenError(
            f"the {name} of the ID token cannot be used: {error}", code="token_malformed"
        ) from error


def _check_header(header: Mapping[str, Any], allowed: frozenset[str]) -> str:
    """The algorithm of the token. ``jwk``, ``jku``, ``x5u`` and ``x5c`` are never looked at."""
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in allowed:
        raise TokenError(
            f"the ID token is signed with {shown(alg)}, and {' '.join(sorted(allowed))} is allowed: "
            "change it at the provider, or set algorithms",
            code="token_algorithm",
        )
    for name in ("crit", "b64"):
        if name in header:
            raise TokenError(
                f"the ID token's header holds {name}, which is not supported", code="token_header"
            )
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() != "jwt":
        raise TokenError(f"a token of type {shown(typ)} is no ID token", code="token_type")
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise TokenError(
            f"the kid of the ID token is not a text of 1 to {MAX_KID} characters", code="token_header"
        )
    return alg


def _verify_signature(
    token: str, kid: str | None, alg: str, *, keys: KeySource, allowed: frozenset[str]
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
        f"the signature of the ID token does not verify ({type(failure).__name__})", code="token_signature"
    ) from failure


def _check_parties(claims: Mapping[str, Any], provider: ProviderSettings) -> None:
    if claims.get("iss") != provider.issuer:
        raise TokenError(
            f"the ID token comes from issuer {shown(claims.get('iss'))} instead of {shown(provider.issuer)}",
            code="token_issuer",
        )
    audience = claims.get("aud")
    # Another audience could use the token against us; no configuration makes one trusted so far.
    if audience not in (provider.client_id, [provider.client_id]):
        raise TokenError(
            f"the ID token is for {shown(audience)} instead of {shown(provider.client_id)} alone",
            code="token_audience",
        )
    if claims.get("azp", provider.client_id) != provider.client_id:
        raise TokenError(f"the ID token was issued to {shown(claims['azp'])}", code="token_azp")
    check_subject(claims.get("sub"))


def _check_nonce(claims: Mapping[str, Any], nonce: str) -> None:
    found = claims.get("nonce")
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), nonce.encode()):
        raise TokenError("the ID token does not carry the nonce of this sign-in", code="token_nonce")


def _check_times(claims: Mapping[str, Any], *, now: float, leeway: int) -> None:
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    hint = "compare the clocks of both machines"
    if now >= expires + leeway:
        raise TokenError(
            f"the ID token expired {now - expires:.0f} seconds ago: {hint}", code="token_expired"
        )
    if issued > now + leeway:
        raise TokenError(
            f"the ID token was issued {issued - now:.0f} seconds in the future: {hint}", code="token_issued"
        )
    if now - issued > MAX_AGE + leeway:
        raise TokenError(
            f"the ID token was issued {now - issued:.0f} seconds ago: {hint}", code="token_issued"
        )
    if "nbf" in claims and _time(claims, "nbf") > now + leeway:
        raise TokenError(f"the ID token is not valid yet: {hint}", code="token_not_yet")


def _check_authentication(claims: Mapping[str, Any], provider: ProviderSettings, *, now: float) -> None:
    """``auth_time`` and ``acr``, when the request asked for them (section 3.1.3.7, steps 12 and 13)."""
    if provider.max_age is not None:
        since = now - _time(claims, "auth_time")
        if since > provider.max_age + provider.leeway or since < -provider.leeway:
            raise TokenError(
                f"the person signed in {since:.0f} seconds ago, and max_age is {provider.max_age}",
                code="token_auth_time",
            )
    elif "auth_time" in claims:
        _time(claims, "auth_time")
    if provider.acr_values and claims.get("acr") not in provider.acr_values:
        raise TokenError(
            f"acr is {shown(claims.get('acr'))}, and one of {' '.join(provider.acr_values)} was asked for",
            code="token_acr",
        )


def _check_at_hash(found: Any, access_token: str, alg: str) -> None:
    digest = _HASHES[alg[-3:]](access_token.encode()).digest()
    expected = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), expected):
        raise TokenError("at_hash in the ID token does not belong to the access token", code="token_at_hash")


def _time(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519, section 2), in seconds since the epoch."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TokenError(f"{name} in the ID token is no number of seconds", code="token_time")
    if not 0 < value <= _LAST_SECOND:
        raise TokenError(f"{name} in the ID token is no date of this age", code="token_time")
    return value
