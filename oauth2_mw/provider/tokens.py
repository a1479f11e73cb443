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
from typing import Any, TypeGuard

from oauth2_mw.errors import TokenError
from oauth2_mw.provider.documents import DocumentError, read_object, shown
from oauth2_mw.provider.keys import ALGORITHMS, MAX_KID, SigningKey
from oauth2_mw.provider.metadata import ProviderMetadata
from oauth2_mw.settings.model import ProviderSettings

#: characters; a token is measured before anything in it is decoded
MAX_TOKEN = 16 * 1024
MAX_SUBJECT = 255
MAX_SID = 255
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
    claims, alg = _signed_claims(token, provider=provider, metadata=metadata, keys=keys)
    _check_nonce(claims, nonce)
    _check_times(claims, now=now, leeway=provider.leeway)
    _check_age(claims, provider, now=now)
    _check_acr(claims, provider)
    _check_at_hash(claims, access_token, alg)
    return claims


def validate_refreshed_id_token(
    token: str,
    *,
    provider: ProviderSettings,
    metadata: ProviderMetadata,
    keys: KeySource,
    nonce: str | None,
    auth_time: int | None,
    access_token: str,
    now: float,
) -> dict[str, Any]:
    """The claims of an ID token that came for a refresh token (OpenID Connect Core, section 12.2).

    It must prove what a first one must, but for two things. ``max_age`` is not checked again: the person did not
    sign in anew. A nonce binds a sign-in to a browser, and there is none here: it should be missing; if it is there it
    must be the first one, as far as that is still known. Whether ``sub`` is the same, the caller knows.

    :param nonce: the one in the ID token that this one replaces; ``None``: not known, and then not compared.
    :param auth_time: when the person signed in at the provider, if it was said.
    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    claims, alg = _signed_claims(token, provider=provider, metadata=metadata, keys=keys)
    # What keeps a logout token from being an ID token is the nonce that it must not have.
    if "events" in claims:
        raise TokenError("a token that tells of an event is no ID token", code="token_type")
    if nonce is not None and "nonce" in claims:
        _check_nonce(claims, nonce)
    _check_times(claims, now=now, leeway=provider.leeway)
    _check_same_sign_in(claims, auth_time)
    _check_acr(claims, provider)
    _check_at_hash(claims, access_token, alg)
    return claims


def nonce_of(token: str) -> str | None:
    """The nonce in an ID token of ours that was validated before; ``None`` when there is none."""
    try:
        _, claims = _decode(token)
    except TokenError:
        return None
    nonce = claims.get("nonce")
    return nonce if isinstance(nonce, str) else None


def session_id(claims: Mapping[str, Any]) -> str | None:
    """The session at the provider (OpenID Connect Front-Channel Logout 1.0, section 3), or ``None``.

    No rule makes a strange ``sid`` a fault of the ID token, so it is passed over: a logout that names it finds nothing.
    """
    sid = claims.get("sid")
    return sid if is_session_id(sid) else None


def validate_userinfo(
    token: str, *, provider: ProviderSettings, metadata: ProviderMetadata, keys: KeySource
) -> dict[str, Any]:
    """The claims of a signed userinfo answer (OpenID Connect Core, section 5.3.2).

    It says whose it is and for whom, or it could be an answer to somebody else. What ``sub`` must be, the caller knows.

    :raises TokenError: with a code ``token_...`` that names the check which failed.
    """
    return _signed_claims(token, provider=provider, metadata=metadata, keys=keys)[0]


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


def is_session_id(sid: Any) -> TypeGuard[str]:
    """Whether *sid* is a text of 1 to 255 printable characters."""
    return isinstance(sid, str) and 0 < len(sid) <= MAX_SID and sid.isprintable()


def _signed_claims(
    token: str, *, provider: ProviderSettings, metadata: ProviderMetadata, keys: KeySource
) -> tuple[dict[str, Any], str]:
    """What a token says that this issuer signed for us, and with which algorithm."""
    header, claims = _decode(token)
    allowed = allowed_algorithms(provider, metadata)
    alg = _check_header(header, allowed)
    _verify_signature(token, header.get("kid"), alg, keys=keys, allowed=allowed)
    _check_parties(claims, provider)
    return claims, alg


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


def _check_age(claims: Mapping[str, Any], provider: ProviderSettings, *, now: float) -> None:
    """``auth_time``, when the request asked for it with ``max_age`` (section 3.1.3.7, step 13)."""
    if provider.max_age is not None:
        since = now - _time(claims, "auth_time")
        if since > provider.max_age + provider.leeway or since < -provider.leeway:
            raise TokenError(
                f"the person signed in {since:.0f} seconds ago, and max_age is {provider.max_age}",
                code="token_auth_time",
            )
    elif "auth_time" in claims:
        _time(claims, "auth_time")


def _check_same_sign_in(claims: Mapping[str, Any], auth_time: int | None) -> None:
    if "auth_time" in claims and int(_time(claims, "auth_time")) != auth_time and auth_time is not None:
        raise TokenError(
            "the ID token is about another sign-in at the provider than the one before: its auth_time differs",
            code="token_auth_time",
        )


def _check_acr(claims: Mapping[str, Any], provider: ProviderSettings) -> None:
    """``acr``, when the request asked for it (section 3.1.3.7, step 12)."""
    if provider.acr_values and claims.get("acr") not in provider.acr_values:
        raise TokenError(
            f"acr is {shown(claims.get('acr'))}, and one of {' '.join(provider.acr_values)} was asked for",
            code="token_acr",
        )


def _check_at_hash(claims: Mapping[str, Any], access_token: str | None, alg: str) -> None:
    if access_token is None or "at_hash" not in claims:
        return
    found = claims["at_hash"]
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
